"""A Python 3.11 or 3.12 on this machine for the backend, whatever Python Blender has itself. No bpy."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .backend_process import clean_environment
from .protocol.errors import InputError

VERSIONS = ((3, 12), (3, 11))
PROBE_SECONDS = 15.0
_PROBE = (
    "import sys, json, platform, importlib.util as u;"
    "print(json.dumps([list(sys.version_info[:2]), platform.machine(), sys.maxsize > 2**32,"
    " bool(u.find_spec('venv') and u.find_spec('ensurepip'))]))"
)


@dataclass(frozen=True)
class FoundPython:
    """A Python that can carry the backend: its program and its version."""

    program: str
    version: tuple[int, int]


def find_python(named: str = "") -> FoundPython:
    """The Python that is named, or the newest suitable one of this machine. Raises InputError, saying what to do."""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        raise InputError("PyTorch is no longer made for Macs with Intel processors: use a backend on another machine.")
    if named.strip():
        program = Path(named).expanduser()
        found, fault = _probe(str(program))
        if found is None:
            raise InputError(f"'{program}' cannot carry the backend: {fault}.")
        return found
    faults = []
    for program in dict.fromkeys(_candidates()):
        found, fault = _probe(program)
        if found is not None:
            return found
        faults.append(f"{program}: {fault}")
    raise InputError(_advice(faults))


def _candidates() -> Iterator[str]:
    """Programs that may be such a Python: by name on the path, then where installers of each system put them."""
    for major, minor in VERSIONS:
        name = f"python{major}.{minor}"
        if on_path := shutil.which(name):
            yield on_path
        for folder in _usual_folders(major, minor):
            program = folder / ("python.exe" if os.name == "nt" else name)
            if program.is_file():
                yield str(program)
    for name in ("python3", "python"):
        if on_path := shutil.which(name):
            yield on_path


def _usual_folders(major: int, minor: int) -> Iterator[Path]:
    home, short = Path.home(), f"{major}{minor}"
    if os.name == "nt":
        for variable, tail in (("LOCALAPPDATA", "Programs/Python"), ("PROGRAMFILES", ""), ("SYSTEMDRIVE", "/")):
            if base := os.environ.get(variable):
                yield Path(base) / tail / f"Python{short}"
        return
    yield from (Path("/usr/bin"), Path("/usr/local/bin"), Path("/opt/homebrew/bin"), home / ".local/bin")
    yield Path(f"/Library/Frameworks/Python.framework/Versions/{major}.{minor}/bin")
    for root, pattern in (
        (home / ".pyenv/versions", f"{major}.{minor}.*/bin"),
        (home / ".local/share/uv/python", f"cpython-{major}.{minor}*/bin"),
    ):
        yield from sorted(root.glob(pattern), reverse=True)


def _probe(program: str) -> tuple[FoundPython | None, str]:
    """The Python behind a program where it is suitable, and otherwise why it is not."""
    try:
        run = subprocess.run(
            [program, "-c", _PROBE],
            capture_output=True, text=True, timeout=PROBE_SECONDS, env=clean_environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        version, machine, is_64_bit, makes_environments = json.loads(run.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, "it is no Python that runs"
    shown = ".".join(map(str, version))
    if tuple(version) not in VERSIONS:
        return None, f"it is Python {shown} and the backend needs 3.11 or 3.12"
    if not is_64_bit:
        return None, f"it is a 32-bit Python {shown}"
    if not makes_environments:
        return None, f"its venv module is missing (on Debian and Ubuntu: install python{shown}-venv)"
    return FoundPython(program, tuple(version)), machine


def _advice(faults: list[str]) -> str:
    how = {
        "win32": "install Python 3.12 from the Microsoft Store or python.org",
        "darwin": "install Python 3.12 from python.org, or with 'brew install python@3.12'",
    }.get(sys.platform, "install it with the system's package manager, for example 'apt install python3.12-venv'")
    missing_venv = next((fault for fault in faults if "venv module" in fault), "")
    if missing_venv:
        return f"{missing_venv}. Then press Install Backend again."
    return f"No Python 3.11 or 3.12 was found: {how}, or name its program below; then press Install Backend again."
