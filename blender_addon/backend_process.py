"""Finding, starting, watching and stopping the backend's program. No bpy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .protocol.errors import BackendUnavailableError

KEEPER = Path(__file__).with_name("keeper.py")
PROGRAM = "emorig.exe" if os.name == "nt" else "emorig"
ENVIRONMENT_FOLDERS = (Path(".venv/Scripts"), Path(".venv/bin"), Path("Scripts"), Path("bin"))
STOP_SECONDS = 8.0
LOG_TAIL = 4000

# Blender's own Python settings would mislead another Python.
HIDDEN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would mislead another Python."""
    return {name: value for name, value in os.environ.items() if name not in HIDDEN_VARIABLES}


def find_command(chosen: str = "", installed: Path | None = None) -> list[str]:
    """The command that serves: from a chosen emorig program, Python, or folder; else what this machine has.

    Looked for in this order when nothing is chosen: the program installed from the panel, the path of programs, and
    the environment of the project that this add-on lies in. Raises BackendUnavailableError.
    """
    if chosen.strip():
        return _command_at(Path(chosen).expanduser())
    if installed is not None and installed.is_file():
        return [str(installed), "serve"]
    on_path = shutil.which("emorig")
    if on_path:
        return [on_path, "serve"]
    program = _in_folder(Path(__file__).resolve().parent.parent)
    if program:
        return [str(program), "serve"]
    raise BackendUnavailableError(
        "The backend is not installed: press Install Backend, or choose an 'emorig' program in the preferences."
    )


def _command_at(place: Path) -> list[str]:
    if place.is_dir():
        program = _in_folder(place)
        if program is None:
            raise BackendUnavailableError(
                f"There is no 'emorig' program in '{place}': choose the program in the add-on's preferences."
            )
        return [str(program), "serve"]
    if not place.is_file():
        raise BackendUnavailableError(f"'{place}' does not exist: choose the emorig program in the preferences.")
    if place.name.lower().startswith("python"):
        return [str(place), "-m", "backend", "serve"]
    return [str(place), "serve"]


def _in_folder(folder: Path) -> Path | None:
    return next((folder / sub / PROGRAM for sub in ENVIRONMENT_FOLDERS if (folder / sub / PROGRAM).is_file()), None)


class BackendProcess:
    """A backend started from here; it ends when stop() is called and when this process ends in any way."""

    def __init__(self, command: list[str], log_path: Path, *, append: bool = False) -> None:
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        flags = subprocess.CREATE_NO_WINDOW if os.name == "nt" else 0
        with open(log_path, "ab" if append else "wb") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", str(KEEPER), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                creationflags=flags,
                cwd=str(Path.home()),
            )

    @property
    def is_running(self) -> bool:
        """Whether the program still runs."""
        return self._keeper.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The program's exit code, None while it runs."""
        return self._keeper.poll()

    def last_words(self) -> str:
        """The last line that the program wrote, or an empty text."""
        return self.last_line(self.log_path)

    @staticmethod
    def last_line(log_path: Path) -> str:
        """The last line of a log that says something, or an empty text."""
        try:
            text = log_path.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")

    def ask_to_stop(self) -> None:
        """Tells the program to end, without waiting for it."""
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            self._keeper.stdin.close()

    def stop(self) -> None:
        """Ends the program and waits for it."""
        self.ask_to_stop()
        try:
            self._keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
