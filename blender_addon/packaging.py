"""Builds the two files that users install: an extension for Blender 4.2 and newer, and a legacy add-on for 3.4.

    python blender_addon/packaging.py --out dist

The extension carries wheels of pyzmq and msgpack for every Python and system that these versions of Blender have.
This file itself goes into neither.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
MODULES = ("pyzmq>=26", "msgpack>=1.1")
PYTHONS = ("3.11", "3.13")
# Tags that pip accepts for each system, newest first; the wheels' own tags decide.
PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_11_0_arm64", "macosx_10_15_universal2", "macosx_10_9_universal2"),
    "macos-x64": ("macosx_10_15_x86_64", "macosx_10_15_universal2", "macosx_10_9_x86_64", "macosx_10_9_universal2"),
}
LEFT_OUT = {"packaging.py", "blender_manifest.toml"}
EARLIEST = (1980, 1, 1, 0, 0, 0)  # one date for all entries: the same source gives the same bytes


def main() -> None:
    """Builds both zips into the folder --out."""
    parser = argparse.ArgumentParser(description="Build the Blender add-on's zips.")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder of the zips")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        wheels = download_wheels(Path(folder))
        print(build_extension(out, wheels))
    print(build_legacy(out))


def manifest() -> str:
    """The extension's manifest as it stands in the source."""
    return (SOURCE / "blender_manifest.toml").read_text(encoding="utf-8")


def version() -> str:
    """The add-on's version."""
    return tomllib.loads(manifest())["version"]


def download_wheels(folder: Path) -> list[Path]:
    """The wheels of MODULES for all PYTHONS and PLATFORMS, downloaded into a folder."""
    for python in PYTHONS:
        for tags in PLATFORMS.values():
            platforms = [part for tag in tags for part in ("--platform", tag)]
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            subprocess.run(
                [*command, "--python-version", python, *platforms, "--dest", str(folder), *MODULES], check=True
            )
    return sorted(folder.glob("*.whl"))


def build_extension(out: Path, wheels: list[Path]) -> Path:
    """The extension zip with these wheels, named in its manifest."""
    listed = "".join(f'  "./wheels/{wheel.name}",\n' for wheel in wheels)
    head, mark, tail = manifest().partition("[permissions]")
    text = f"{head}wheels = [\n{listed}]\n\n{mark}{tail.partition('[build]')[0].rstrip()}\n"
    entries = {"blender_manifest.toml": text.encode()}
    entries |= source_files()
    entries |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    return write_zip(out / f"emorig-{version()}.zip", entries)


def build_legacy(out: Path) -> Path:
    """The zip for Blender before 4.2: one folder, described by bl_info."""
    entries = {f"emorig/{name}": data for name, data in source_files().items()}
    return write_zip(out / f"emorig-{version()}-legacy.zip", entries)


def source_files() -> dict[str, bytes]:
    """The add-on's own files, path in the add-on -> content, with the licence."""
    files = {
        path.relative_to(SOURCE).as_posix(): path.read_bytes()
        for path in sorted(SOURCE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.name not in LEFT_OUT
    }
    return files | {"LICENSE": (SOURCE.parent / "LICENSE").read_bytes()}


def write_zip(path: Path, entries: dict[str, bytes]) -> Path:
    """Writes the entries in order, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(entries.items()):
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), data, zipfile.ZIP_DEFLATED)
    os.replace(temporary, path)
    return path


if __name__ == "__main__":
    main()
