"""Installs the backend into an environment of its own in the background, from the wheel that the add-on has. No bpy.

The steps run one after the other on a thread; the panel reads stage, detail and fraction. The environment counts as
installed only once its last step has left a note of the wheel in it, so a broken installation is never used.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .backend_process import PROGRAM, BackendProcess
from .protocol.errors import InputError
from .python_finder import find_python

NOTE = "emorig-installed.json"
FREE_BYTES = {"cpu": 4 << 30, "cuda": 12 << 30}
N_PACKAGES = 110  # about what the backend draws in; only the progress bar depends on it
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_DOWNLOADING = re.compile(r"Downloading .*?([A-Za-z][\w.]*?)-\d[^/\s]*")


class Compute(enum.Enum):
    """What the backend computes on: which build of PyTorch is installed."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True)
class InstallChoice:
    """What to install and where: the backend's wheel, the environment's folder, and the user's choices.

    python: a program to use, empty for one that is found. torch_index: the package index that has the wanted build of
    PyTorch, where pip's own does not.
    """

    wheel: Path
    place: Path
    compute: Compute = Compute.CPU
    python: str = ""
    torch_index: str = ""


def installed_program(place: Path) -> Path | None:
    """The emorig program of a complete installation in a folder, or None."""
    program = place / ("Scripts" if os.name == "nt" else "bin") / PROGRAM
    return program if (place / NOTE).is_file() and program.is_file() else None


def is_current(place: Path, wheel: Path | None) -> bool:
    """Whether a complete installation is that of this wheel; true where the add-on brings none."""
    if wheel is None:
        return True
    try:
        return json.loads((place / NOTE).read_text(encoding="utf-8"))["wheel"] == _digest(wheel)
    except (OSError, ValueError, KeyError):
        return False


class Installation:
    """One installation on its way. is_running, error and sentence tell how it stands; all is safe to read any time."""

    def __init__(self, choice: InstallChoice) -> None:
        self._choice = choice
        self._process: BackendProcess | None = None
        self._is_cancelled = False
        self._log_path = choice.place.with_name(f"{choice.place.name}-install.log")
        self._started = time.monotonic()
        self._collected: set[str] = set()
        self.stage, self.fraction, self.error, self.sentence = "Looking for Python", 0.0, "", ""
        self._thread = threading.Thread(target=self._run, name="emorig-install", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still at work."""
        return self._thread.is_alive()

    @property
    def seconds(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self._started

    def cancel(self) -> None:
        """Stops it; what was installed so far is removed."""
        self._is_cancelled = True
        process = self._process
        if process is not None:
            process.ask_to_stop()

    def join(self, timeout: float | None = None) -> None:
        """Waits for its end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        place = self._choice.place
        try:
            self._install()
        except InputError as error:
            self.error = "" if self._is_cancelled else str(error)
        except OSError as error:
            self.error = f"The backend could not be installed in '{place}' ({error.strerror or error})."
        if self.error or self._is_cancelled:
            shutil.rmtree(place, ignore_errors=True)

    def _install(self) -> None:
        choice, place = self._choice, self._choice.place
        if sys.platform == "win32" and choice.compute is Compute.CUDA and not choice.torch_index.strip():
            raise InputError(
                "On Windows the default packages compute on the CPU alone: copy the index address that pytorch.org "
                "shows for your CUDA version into 'PyTorch Packages', or choose CPU."
            )
        found = find_python(choice.python)
        _require_space(place, FREE_BYTES[choice.compute.value])
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        python = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
        version = ".".join(map(str, found.version))
        self._step(f"Making an environment of Python {version}", [found.program, "-m", "venv", str(place)], 0.02)
        self._step("Updating pip", [*pip, "--upgrade", "pip"], 0.05)
        raw = ["--progress-bar", "raw"]
        if choice.torch_index.strip():
            torch = [*pip, *raw, "--index-url", choice.torch_index.strip(), _torch_requirement(choice.wheel)]
            self._step("Installing PyTorch", torch, 0.5)
        self._step("Installing the backend", [*pip, *raw, str(choice.wheel)], 0.95)
        self._step("Trying it", [python, "-c", _TRIAL], 1.0)
        computes = BackendProcess.last_line(self._log_path)
        note = {"wheel": _digest(choice.wheel), "python": version, "torch": computes}
        partial = place / f"{NOTE}.part"
        partial.write_text(json.dumps(note), encoding="utf-8")
        os.replace(partial, place / NOTE)
        self.stage, self.fraction = "Installed", 1.0
        self.sentence = f"The backend is installed: {computes}, {self.seconds:.0f} s."
        if choice.compute is Compute.CUDA and "no CUDA" in computes:
            self.sentence += " It finds no NVIDIA GPU: look at the driver, or install again for the CPU."

    def _step(self, stage: str, command: list[str], until: float) -> None:
        """Runs one command to its end, reading its progress. Raises InputError with its last words where it fails."""
        if self._is_cancelled:
            raise InputError("cancelled")
        self.stage, begin = stage, self.fraction
        self._process = BackendProcess(command, self._log_path, append=True)
        position = self._log_path.stat().st_size
        while self._process.is_running:
            time.sleep(0.1)
            position = self._read(position, stage, begin, until)
        if self._is_cancelled:
            raise InputError("cancelled")
        if self._process.exit_code:
            raise InputError(
                f"{stage} failed: {self._process.last_words() or 'it said nothing'} The log is '{self._log_path}'."
            )
        self.fraction = until

    def _read(self, position: int, stage: str, begin: float, until: float) -> int:
        """Takes what the log has gained as progress; returns the place read up to."""
        with open(self._log_path, "rb") as log:
            log.seek(position)
            text = log.read().decode("utf-8", "replace")
            position = log.tell()
        for line in text.splitlines():
            if line.startswith("Collecting "):
                self._collected.add(line.split()[1])
            elif match := _DOWNLOADING.search(line):
                self.stage = f"Downloading {match[1]}"
            elif match := _PROGRESS.search(line):
                done, total = int(match[1]), max(int(match[2]), 1)
                if total > 10 << 20:
                    self.stage = f"{self.stage.split(',')[0]}, {done >> 20} of {total >> 20} MB"
            elif line.startswith("Installing collected"):
                self.stage = stage
        share = min(len(self._collected) / N_PACKAGES, 0.95)
        self.fraction = max(self.fraction, begin + share * (until - begin))
        return position


_TRIAL = (
    "import torch, backend.service.server;"
    "print('CUDA on ' + torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'CPU, no CUDA device')"
)


def _torch_requirement(wheel: Path) -> str:
    """The range of PyTorch versions that the backend's wheel asks for."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode("utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Requires-Dist: torch")), "torch")


def _require_space(place: Path, n_bytes: int) -> None:
    folder = next(parent for parent in place.parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise InputError(
            f"The backend needs about {n_bytes >> 30} GB in '{folder}' and {free >> 30} GB are free: make room first."
        )


def _digest(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()
