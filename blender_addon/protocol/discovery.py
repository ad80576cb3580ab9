"""Where a backend running on this machine says how to reach it: one small file that only its user can read."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import BackendUnavailableError

FOLDER_VARIABLE = "EMORIG_STATE_DIR"
FILE_NAME = "service.json"
MODELS_VARIABLE = "EMORIG_MODELS"


@dataclass(frozen=True)
class Endpoint:
    """A backend's address (tcp://host:port), its token, its process id and the name of this run of it."""

    address: str
    token: str
    pid: int
    server: str


def state_folder() -> Path:
    """The user's own folder for the state of running programs, by the custom of the system."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "EmoRig"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "EmoRig"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "emorig"


def models_folder() -> Path:
    """Where the user's imported face models lie; EMORIG_MODELS moves it."""
    if named := os.environ.get(MODELS_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "emorig" / "models"


def heads_folder() -> Path:
    """Where their heads lie as files that the add-on adds to a scene."""
    return models_folder() / "heads"


def endpoint_file() -> Path:
    """The file in which a running backend's endpoint is written."""
    return state_folder() / FILE_NAME


def write_endpoint(endpoint: Endpoint) -> Path:
    """Writes the endpoint readable by this user alone, complete or not at all. Returns the file."""
    path = endpoint_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(endpoint), file)
    os.replace(temporary, path)
    return path


def read_endpoint() -> Endpoint:
    """The endpoint of the backend that runs for this user. Raises BackendUnavailableError where there is none."""
    path = endpoint_file()
    try:
        _require_own(path)
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Endpoint(str(fields["address"]), str(fields["token"]), int(fields["pid"]), str(fields["server"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendUnavailableError(
            "No backend is running for this user: start it from the add-on or with 'emorig serve'."
        ) from error


def _require_own(path: Path) -> None:
    """A file that another user could have written would send this user's portraits to that user."""
    owner = path.stat().st_uid
    if hasattr(os, "getuid") and owner != os.getuid():
        raise PermissionError(f"{path} belongs to another user")


def remove_endpoint(server: str) -> None:
    """Removes the file where it still speaks of this run of the backend."""
    with contextlib.suppress(BackendUnavailableError, FileNotFoundError):
        if read_endpoint().server == server:
            endpoint_file().unlink()
