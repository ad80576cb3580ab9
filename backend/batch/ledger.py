"""The ledger of a batch: one JSON line per ended job, appended at once, and whether a job's files are whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from backend.errors import OutputError

LEDGER = "ledger.jsonl"
DONE, FAILED, REFUSED = "done", "failed", "refused"


@dataclass(frozen=True)
class Entry:
    """How one job ended. files: name → (bytes, sha256). source: the job whose files were taken over, if any."""

    index: int
    name: str
    state: str
    content: str = ""
    seconds: float = 0.0
    worker: str = ""
    attempts: int = 1
    reason: str = ""
    flags: tuple[str, ...] = ()
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    source: str = ""
    ended: str = ""


class Ledger:
    """The ledger in a batch's folder. Raises OutputError where it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._mend()
        except OSError as error:
            raise OutputError(f"Cannot write to the output folder '{folder}' ({error.strerror}).") from error

    def _mend(self) -> None:
        """Ends a line that a stopped run left half written, so that the next one stands alone."""
        if self.path.exists() and self.path.stat().st_size:
            with self.path.open("r+b") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
        else:
            self.path.touch()

    def append(self, entry: Entry) -> None:
        """Writes an entry through to the disk."""
        record = asdict(entry) | {"ended": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"The ledger '{self.path}' cannot be written ({error.strerror}): nothing is lost; "
                              "mend that and run again with --resume.") from error  # fmt: skip

    def latest(self) -> dict[str, Entry]:
        """The last entry of each name; lines that are no entries are passed over."""
        return {entry.name: entry for entry in self._entries()}

    def _entries(self) -> Iterator[Entry]:
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                    record["files"] = {name: (int(n), str(h)) for name, (n, h) in record["files"].items()}
                    yield Entry(**record | {"flags": tuple(record["flags"])})
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue


def file_records(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and sha256 of every file of a job."""
    records = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            records[path.name] = (path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
    return records


def is_whole(entry: Entry, folder: Path) -> bool:
    """Whether every file of a done job lies in its folder as it was written."""
    if entry.state != DONE or not entry.files:
        return False
    try:
        for name, (n_bytes, digest) in entry.files.items():
            path = folder / name
            if path.stat().st_size != n_bytes:
                return False
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
    except OSError:
        return False
    return True
