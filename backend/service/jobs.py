"""Jobs of the service: their files, and the messages kept of them on disk; what a restart needs lies there too."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgpack

from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.errors import InputError
from blender_addon.protocol.messages import UPLOADS, JobSummary, Submit

LOG_NAME, INDEX_NAME = "messages.bin", "messages.index"
RECORD_NAME, REQUEST_NAME = "job.json", "request.msgpack"
KEPT_FILES = (LOG_NAME, INDEX_NAME, RECORD_NAME, REQUEST_NAME)
ENDED = ("finished", "failed", "cancelled")


class MessageLog:
    """The kept messages of one job in a file, number i being its sequence number; only their places are in memory.

    A second file lists the sizes of the messages that clients may have seen, for a service that starts again.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._index = path, path.with_name(INDEX_NAME)
        self._places: list[tuple[int, tuple[int, ...]]] = []
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def append(self, parts: Sequence[bytes]) -> None:
        """Writes a message after the last known one, over whatever a stopped worker left half written."""
        with open(self._path, "r+b" if self._path.exists() else "w+b") as file:
            file.truncate(self.n_bytes)
            file.seek(self.n_bytes)
            for part in parts:
                file.write(part)
        self.note([len(part) for part in parts])

    def note(self, sizes: Sequence[int]) -> None:
        """Takes note of a message of these part sizes that a worker has written after the last known one."""
        with open(self._index, "ab") as index:
            index.write(msgpack.packb(list(sizes)))
        self._take_note(sizes)

    def _take_note(self, sizes: Sequence[int]) -> None:
        self._places.append((self.n_bytes, tuple(sizes)))
        self.n_bytes += sum(sizes)

    def restore(self) -> None:
        """Reads the index of a former run and cuts off what no client has seen. Raises OSError and ValueError."""
        with open(self._index, "rb") as index:
            for sizes in msgpack.Unpacker(index, max_buffer_size=1 << 20):
                self._take_note([int(size) for size in sizes])
        with open(self._path, "r+b") as file:
            if os.fstat(file.fileno()).st_size < self.n_bytes:
                raise ValueError("the messages are shorter than their index says")
            file.truncate(self.n_bytes)

    def read(self, sequence: int) -> list[bytes]:
        """The parts of the message with this sequence number."""
        offset, sizes = self._places[sequence]
        with open(self._path, "rb") as file:
            file.seek(offset)
            return [file.read(size) for size in sizes]


@dataclass
class Job:
    """One shot in the service: who handed it in, where its files are, how far it is."""

    name: str
    client: str
    folder: Path
    request: Submit
    state: str = "receiving"
    stage: str = ""
    done: int = 0
    total: int = 0
    received: dict[str, int] = field(default_factory=dict)
    touched: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.time)  # seconds since the epoch
    log: MessageLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = MessageLog(self.folder / LOG_NAME)

    @property
    def has_ended(self) -> bool:
        """Whether the job has finished, failed or been cancelled."""
        return self.state in ENDED

    def expected(self, upload: str) -> int:
        """The size in bytes that the client announced for an upload."""
        return getattr(self.request, f"{upload}_size")

    @property
    def announced_bytes(self) -> int:
        """The bytes of the files that the client announced."""
        return sum(self.expected(upload) for upload in UPLOADS)

    @property
    def is_whole(self) -> bool:
        """Whether every announced byte has come."""
        return all(self.received.get(upload, 0) == self.expected(upload) for upload in UPLOADS)

    def record(self) -> None:
        """Writes down whose job it is and how far, complete or not at all."""
        fields = {"client": self.client, "state": self.state, "since": self.since, "changed": time.time()}
        partial = self.folder / f"{RECORD_NAME}.part"
        partial.write_text(json.dumps(fields), encoding="utf-8")
        os.replace(partial, self.folder / RECORD_NAME)

    def summary(self, position: int) -> JobSummary:
        """The job as a line of the service's status."""
        return JobSummary(self.name, self.state, self.stage, self.done, self.total, position, self.log.n_bytes)


def upload_path(folder: Path, request: Submit, upload: str) -> Path:
    """Where an uploaded file lies: our name for it, with the client's suffix where that is a plain one."""
    name = getattr(request, f"{upload}_name")
    suffix = os.path.splitext(name)[1].lower()
    is_plain = 1 < len(suffix) <= 6 and suffix.isascii() and suffix[1:].isalnum()
    return folder / f"{upload}{suffix if is_plain else ''}"


def write_request(folder: Path, request: Submit) -> None:
    """Keeps a request in the job's folder for the worker to read."""
    parts = [bytes(part) for part in encode(request)]
    (folder / REQUEST_NAME).write_bytes(msgpack.packb(parts))


def read_request(folder: Path) -> Submit:
    """The request kept in a job's folder."""
    return decode(msgpack.unpackb((folder / REQUEST_NAME).read_bytes()))


class JobStore:
    """All jobs that the service knows, and the disk they take; the oldest ended ones go when that is too much."""

    def __init__(self, root: Path, *, max_jobs: int, max_bytes: int, max_seconds: float) -> None:
        self._root = root
        self._max_jobs, self._max_bytes, self._max_seconds = max_jobs, max_bytes, max_seconds
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def get(self, name: str) -> Job | None:
        """The job of this name, or None for one that is unknown or no longer kept."""
        return self._jobs.get(name)

    def add(self, request: Submit, client: str) -> Job:
        """A new job with a folder of its own that only this user can read."""
        folder = self._root / request.job
        folder.mkdir(mode=0o700)
        write_request(folder, request)
        job = Job(request.job, client, folder, replace(request, curves=None))  # the curves are the worker's to read
        self._jobs[job.name] = job
        return job

    def receive(self, job: Job, upload: str, offset: int, data: bytes) -> bool:
        """Writes a piece of an uploaded file. False where it does not follow the last one, or is too much."""
        have = job.received.get(upload, 0)
        if offset != have or have + len(data) > job.expected(upload):
            return False
        with open(upload_path(job.folder, job.request, upload), "ab" if have else "wb") as file:
            file.write(data)
        job.received[upload] = have + len(data)
        job.touched = time.monotonic()
        return True

    def end(self, job: Job, state: str) -> None:
        """Marks a job as ended and removes all its files but the kept messages."""
        job.state, job.touched = state, time.monotonic()
        with contextlib.suppress(OSError):  # a full disk; a restart would make the shot again
            job.record()
        for path in job.folder.iterdir():
            if path.name not in KEPT_FILES:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def restore(self) -> list[Job]:
        """The jobs that a former run left, ended ones with their results; gives those to be made, oldest first.

        What cannot be read is removed.
        """
        for folder in sorted(path for path in self._root.iterdir() if path.is_dir()):
            try:
                job = _restored(folder)
            except (OSError, ValueError, KeyError, TypeError, InputError):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._jobs[job.name] = job
        return sorted((job for job in self if not job.has_ended), key=lambda job: job.since)

    def remove(self, job: Job) -> None:
        """Forgets a job and its files."""
        self._jobs.pop(job.name, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    @property
    def kept_bytes(self) -> int:
        """The bytes of all kept messages."""
        return sum(job.log.n_bytes for job in self)

    def evict(self) -> list[Job]:
        """Removes ended jobs, oldest first, until number, bytes and age are within bounds. Returns the removed."""
        ended = sorted((job for job in self if job.has_ended), key=lambda job: job.touched)
        n_bytes, removed = self.kept_bytes, []
        for job in ended:
            is_old = time.monotonic() - job.touched > self._max_seconds
            if is_old or n_bytes > self._max_bytes or len(ended) - len(removed) > self._max_jobs:
                n_bytes -= job.log.n_bytes
                self.remove(job)
                removed.append(job)
        return removed


def _restored(folder: Path) -> Job:
    """The job of a folder that a former run left. Raises OSError, ValueError, KeyError, TypeError, InputError."""
    fields = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    state, since = str(fields["state"]), float(fields["since"])
    if state not in (*ENDED, "queued"):
        raise ValueError(f"a job cannot go on from the state {state}")
    request = replace(read_request(folder), curves=None)
    job = Job(folder.name, str(fields["client"]), folder, request, state=state, since=since)
    for upload in ("audio", "portrait"):
        if state == "queued" and job.expected(upload):
            job.received[upload] = upload_path(folder, request, upload).stat().st_size
    if state == "queued" and not job.is_whole:
        raise ValueError("the job's files are not whole")
    job.log.restore()
    job.touched = time.monotonic() - max(0.0, time.time() - float(fields["changed"]))
    return job
