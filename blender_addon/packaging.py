"""Builds the two files that users install, and checks them: an extension for Blender 4.2 on, a legacy add-on for 3.4.

    python blender_addon/packaging.py --out dist [--bpy-python PYTHON]

Both carry wheels of pyzmq and msgpack for every Python and system that their versions of Blender have, and the
backend's own wheel for the panel's Install button. --bpy-python names a Python that has the bpy package: the extension
is then held against Blender's own validator. This file itself goes into neither.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
MODULES = ("pyzmq>=26", "msgpack>=1.1")
EXTENSION_PYTHONS = ("3.11", "3.13")  # Blender 4.2 to 5.0, and 5.1 on
LEGACY_PYTHONS = ("3.10", "3.11")  # Blender 3.4 to 4.0, and 4.1
# Tags that pip accepts for each system, newest first; the wheels' own tags decide.
PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_11_0_arm64", "macosx_10_15_universal2", "macosx_10_9_universal2"),
    "macos-x64": (
        "macosx_10_15_x86_64", "macosx_10_13_x86_64", "macosx_10_15_universal2", "macosx_10_9_x86_64",
        "macosx_10_9_universal2",
    ),
}  # fmt: skip
SYSTEMS = {
    "linux-x64": ("linux", "x86_64"),
    "windows-x64": ("win32", "AMD64"),
    "macos-arm64": ("darwin", "arm64"),
    "macos-x64": ("darwin", "x86_64"),
}
LEFT_OUT = {"packaging.py", "blender_manifest.toml"}
LEGACY_ONLY = {"vendored.py"}
EARLIEST = (1980, 1, 1, 0, 0, 0)  # one date for all entries: the same source gives the same bytes


def main() -> None:
    """Builds both zips into the folder --out and checks them."""
    parser = argparse.ArgumentParser(description="Build the Blender add-on's zips.")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder of the zips")
    parser.add_argument("--bpy-python", type=Path, help="a Python with bpy, for Blender's own validator")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        backend = build_backend(place / "backend")
        extension = build_extension(chosen.out, download_wheels(place / "new", EXTENSION_PYTHONS), backend)
        legacy = build_legacy(chosen.out, download_wheels(place / "old", LEGACY_PYTHONS), backend)
    check_wheels(extension, "wheels/", EXTENSION_PYTHONS)
    check_wheels(legacy, "emorig/wheels/", LEGACY_PYTHONS)
    check_legacy(legacy)
    validated = chosen.bpy_python is not None and chosen.bpy_python.is_file()
    if validated:
        print(validate(extension, chosen.bpy_python).strip())
    print(f"{extension}  Blender 4.2 and newer, {'valid by' if validated else 'not held against'} Blender's own tool")
    print(f"{legacy}  Blender 3.4 to 4.1, complete")


def manifest() -> str:
    """The extension's manifest as it stands in the source."""
    return (SOURCE / "blender_manifest.toml").read_text(encoding="utf-8")


def version() -> str:
    """The add-on's version."""
    return tomllib.loads(manifest())["version"]


def download_wheels(folder: Path, pythons: tuple[str, ...]) -> list[Path]:
    """The wheels of MODULES for these Python versions and all PLATFORMS, downloaded into a folder."""
    for python in pythons:
        for tags in PLATFORMS.values():
            platforms = [part for tag in tags for part in ("--platform", tag)]
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            subprocess.run(
                [*command, "--python-version", python, *platforms, "--dest", str(folder), *MODULES], check=True
            )
    return sorted(folder.glob("*.whl"))


def build_backend(folder: Path) -> Path:
    """The backend's wheel, built from the project that the add-on lies in."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(SOURCE.parent)], check=True)
    return next(folder.glob("emorig-*.whl"))


def build_extension(out: Path, wheels: list[Path], backend: Path | None = None) -> Path:
    """The extension zip with these wheels, named in its manifest, and the backend's wheel as a file."""
    listed = "".join(f'  "./wheels/{wheel.name}",\n' for wheel in wheels)
    head, mark, tail = manifest().partition("[permissions]")
    text = f"{head}wheels = [\n{listed}]\n\n{mark}{tail.partition('[build]')[0].rstrip()}\n"
    entries = {"blender_manifest.toml": text.encode()}
    entries |= {name: data for name, data in source_files().items() if name not in LEGACY_ONLY}
    entries |= _wheel_files(wheels, backend)
    return write_zip(out / f"emorig-{version()}.zip", entries)


def build_legacy(out: Path, wheels: list[Path] = (), backend: Path | None = None) -> Path:
    """The zip for Blender before 4.2: one folder, described by bl_info, that unpacks its wheels itself."""
    entries = source_files() | _wheel_files(wheels, backend)
    return write_zip(out / f"emorig-{version()}-legacy.zip", {f"emorig/{name}": data for name, data in entries.items()})


def check_wheels(path: Path, folder: str, pythons: tuple[str, ...]) -> None:
    """Raises SystemExit where the zip lacks a module for one of these Pythons on any of PLATFORMS, or the backend."""
    sys.path.insert(0, str(SOURCE))
    from vendored import fits

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inside = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    for python in pythons:
        major, minor = (int(part) for part in python.split("."))
        for label, (system, machine) in SYSTEMS.items():
            found = {n.split("-")[0] for n in inside if fits(n, python=(major, minor), system=system, machine=machine)}
            if found != {"pyzmq", "msgpack"}:
                raise SystemExit(f"{path} lacks wheels for Python {python} on {label}: it has {found or 'none'}.")
    if not any("backend_wheel/emorig-" in name for name in names):
        raise SystemExit(f"{path} lacks the backend's wheel.")


def check_legacy(path: Path) -> None:
    """Raises SystemExit where the zip is no add-on that Blender installs: one folder, bl_info, Python that parses."""
    with zipfile.ZipFile(path) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        modules = {name: ast.parse(archive.read(name)) for name in archive.namelist() if name.endswith(".py")}
    assigned = [node for node in modules["emorig/__init__.py"].body if isinstance(node, ast.Assign)]
    info = next((ast.literal_eval(node.value) for node in assigned if node.targets[0].id == "bl_info"), {})
    if tops != {"emorig"} or info.get("version") != tuple(map(int, version().split("."))):
        raise SystemExit(f"{path} is no legacy add-on: folders {tops}, version {info.get('version')}.")


def validate(path: Path, bpy_python: Path) -> str:
    """What Blender's own tool says about the extension zip. Raises SystemExit where it finds a fault."""
    scripts = next(bpy_python.parent.parent.glob("lib/python3*/site-packages/bpy/*/scripts"))
    tool = scripts / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    tags = scripts / "modules" / "_bpy_internal" / "extensions" / "tags.py"
    run = subprocess.run(
        [sys.executable, str(tool), "validate", "--valid-tags", str(tags), str(path)], capture_output=True, text=True
    )
    if run.returncode:
        raise SystemExit(f"{path} is not valid: {run.stdout}{run.stderr}")
    return run.stdout


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


def _wheel_files(wheels: list[Path], backend: Path | None) -> dict[str, bytes]:
    files = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    return files if backend is None else files | {f"backend_wheel/{backend.name}": backend.read_bytes()}


if __name__ == "__main__":
    main()
