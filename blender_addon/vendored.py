"""The legacy add-on's own pyzmq and msgpack, unpacked from the wheels in its folder. No bpy.

Blender 4.2 and newer installs an extension's wheels itself; before that nobody does, so the wheel that fits this
Python and system is unpacked once into the add-on's user folder and found from there.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

WHEELS = Path(__file__).with_name("wheels")
MODULES = ("zmq", "msgpack")
_WHEEL = re.compile(r"(?P<name>[\w.]+)-(?P<version>[\w.]+)-cp(?P<python>\d+)-(?P<abi>\w+)-(?P<system>[\w.]+)\.whl$")


def provide(place: Path, wheels: Path = WHEELS) -> None:
    """Makes MODULES importable where Blender's Python lacks them, by what the wheels hold; place is ours to write in.

    Does nothing where they are there already or no wheel fits; the session then says what is missing.
    """
    if all(importlib.util.find_spec(name) for name in MODULES):
        return
    fitting = [path for path in sorted(wheels.glob("*.whl")) if fits(path.name)]
    if not fitting:
        return
    folder = place / "-".join(
        ["modules", *(path.name.split("-cp")[0] for path in fitting), sys.implementation.cache_tag]
    )
    if not folder.is_dir():
        _unpack(fitting, folder)
    sys.path.append(str(folder))
    importlib.invalidate_caches()


def fits(
    wheel: str,
    *,
    python: tuple[int, int] = sys.version_info[:2],
    system: str = sys.platform,
    machine: str | None = None,
) -> bool:
    """Whether a wheel of this file name runs on a CPython version, system and machine; by default on these here."""
    parts = _WHEEL.match(wheel)
    if parts is None:
        return False
    built_for = (int(parts["python"][0]), int(parts["python"][1:]))
    if built_for != python and not (parts["abi"] == "abi3" and built_for <= python):
        return False
    machine = (machine or platform.machine()).lower()
    is_arm, tags = machine in ("arm64", "aarch64"), parts["system"]
    if system == "win32":
        return tags == "win_amd64" and not is_arm
    if system == "darwin":
        return tags.startswith("macosx") and tags.endswith(("universal2", "arm64" if is_arm else "x86_64"))
    return tags.startswith("manylinux") and tags.endswith("aarch64" if is_arm else "x86_64")


def _unpack(wheels: list[Path], folder: Path) -> None:
    """Unpacks the wheels into a folder, complete or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="modules-part-", dir=folder.parent))
    try:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(partial)
        os.replace(partial, folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # another Blender may have been first
        if not folder.is_dir():
            raise
