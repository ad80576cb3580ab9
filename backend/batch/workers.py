"""Processes on this machine that do jobs, one at a time each, with models loaded once: shots of a batch, shards of a
data set.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from backend.batch.jobs import BatchJob
from backend.errors import InputError, OutputError
from backend.provenance.label import Marking

PROGRESS_SECONDS = 0.2
STAGING_PREFIX = ".making-"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a job (a shot, a shard) ended: the folder with its files, or the reason why there is none."""

    job: Any
    worker: str
    seconds: float
    folder: Path | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""
    worker_died: bool = False


@dataclass(frozen=True)
class StageReport:
    """How far a worker is in its job; total 0 where a stage has no known length."""

    worker: str
    job: Any
    stage: str
    done: int
    total: int


def attempt(job: BatchJob, out: Path, *, marking: Marking, report: Callable[[str, int, int], None]) -> dict:
    """Makes a job in a folder of its own inside out and says how that ended; never raises for a job's own fault."""
    from backend.batch.shot import make_job

    started, folder = time.monotonic(), None
    try:
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=out))
        flags = make_job(job, folder, marking=marking, report=report)
        return {"folder": folder, "flags": flags, "seconds": time.monotonic() - started}
    except InputError as error:
        reason = str(error)
    except MemoryError:
        reason = "The machine ran out of memory: take fewer workers or a smaller size."
    except OSError as error:
        reason = f"A file could not be read or written: {error.strerror or error}."
    except Exception as error:
        log.exception("job %s stopped", job.name)
        reason = f"The shot stopped with an unexpected error ({type(error).__name__}: {error})."
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return {"reason": reason, "seconds": time.monotonic() - started}


Maker = Callable[..., dict]
"""Does a job: maker(job, report=report) to the fields of an Outcome; report(stage, done, total) says how far it is."""


def _work(pipe: connection.Connection, maker: Maker) -> None:
    """A worker process: takes jobs from the pipe until it closes."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        last = 0.0

        def report(stage: str, done: int, total: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last > PROGRESS_SECONDS:
                last = time.monotonic()
                pipe.send(("progress", (stage, done, total)))

        pipe.send(("ended", maker(job, report=report)))


@contextlib.contextmanager
def _threads_of_children(n: int) -> Iterator[None]:
    """Processes started meanwhile compute with n threads. Their libraries read it as they are loaded, which is before
    anything of ours runs there: so it must stand in the environment that they are given.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(n)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


class WorkerProcesses:
    """n processes that do jobs by a maker; one that dies costs its job one attempt and is followed by a new one."""

    def __init__(self, n: int, maker: Maker) -> None:
        self.n_workers = n
        self._threads, self._maker = max(1, (os.cpu_count() or 1) // n), maker
        self._context = get_context("spawn")
        self._pipes: dict[str, connection.Connection] = {}
        self._processes: dict[str, object] = {}
        self._jobs: dict[str, tuple[Any, float]] = {}

    @property
    def n_free(self) -> int:
        """How many jobs can be handed in now."""
        return self.n_workers - len(self._jobs)

    def submit(self, job: Any) -> None:
        """Hands a job to a free worker."""
        name = next(f"w{i + 1}" for i in range(self.n_workers) if f"w{i + 1}" not in self._jobs)
        self._jobs[name] = (job, time.monotonic())
        try:
            self._pipe(name).send(job)
        except (BrokenPipeError, OSError):  # it died between jobs
            self._bury(name)
            self._pipe(name).send(job)

    def _pipe(self, name: str) -> connection.Connection:
        if name not in self._pipes:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs, self._maker), daemon=True)
            with _threads_of_children(self._threads):
                process.start()
            theirs.close()
            self._pipes[name], self._processes[name] = ours, process
        return self._pipes[name]

    def events(self, timeout: float) -> Iterator[StageReport | Outcome]:
        """What has happened since, after waiting for something for at most timeout seconds."""
        names = {self._pipes[name]: name for name in self._jobs}
        for pipe in connection.wait(list(names), timeout):
            name = names[pipe]
            job, started = self._jobs[name]
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                seconds = time.monotonic() - started
                reason = f"The worker stopped ({self._bury(name)}); often for want of memory: try a smaller size."
                del self._jobs[name]
                yield Outcome(job, name, seconds, reason=reason, worker_died=True)
                continue
            if kind == "progress":
                yield StageReport(name, job, *content)
            else:
                del self._jobs[name]
                yield Outcome(job, name, **content)

    def _bury(self, name: str) -> str:
        """Puts a dead process aside and says how it ended."""
        process = self._processes.pop(name)
        self._pipes.pop(name).close()
        process.join(5)
        code = process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [process.pid for process in self._processes.values()]

    def close(self) -> None:
        """Ends every process at once."""
        for pipe in self._pipes.values():
            with contextlib.suppress(OSError):
                pipe.close()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(5)
            if process.is_alive():
                process.kill()


class LocalWorkers(WorkerProcesses):
    """Processes that make the shots of a batch in folders of their own inside out."""

    def __init__(self, n: int, out: Path, *, marking: Marking, maker: Callable = attempt) -> None:
        super().__init__(n, functools.partial(maker, out=out, marking=marking))


def require_workers(n: int) -> int:
    """n, where so many can run. Raises OutputError."""
    if not 1 <= n <= 256:
        raise OutputError(f"The number of workers should lie in 1-256, got {n}.")
    return n
