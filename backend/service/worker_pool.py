"""The service's worker processes: started, given orders, watched, killed where they do not stop by themselves."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgpack
import zmq

# A cancelled job that does not look up is given up at once; its process is killed only later, because it mostly comes
# back by itself before a new one would have loaded the models again.
CANCEL_GRACE_SECONDS = 0.35
KILL_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 30.0

log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker on one device and the job it has; a process that died or was killed is followed by a new one."""

    def __init__(self, device: str, *, notes: str, job_function: str) -> None:
        self.device = device
        self.job: str | None = None
        self.cancel_deadline: float | None = None
        self._notes, self._job_function = notes, job_function
        self._failures = 0
        self._start_at = 0.0
        self._process: subprocess.Popen | None = None
        self.secret = b""

    @property
    def pid(self) -> int:
        """Process id, 0 where none runs."""
        return self._process.pid if self._process else 0

    @property
    def is_free(self) -> bool:
        """Whether a job can be ordered now."""
        return self._process is not None and self.job is None

    def start(self) -> None:
        """Starts the process, unless the pause after a failed start is not over."""
        if self._process is not None or time.monotonic() < self._start_at:
            return
        self.secret = secrets.token_bytes(32)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.service.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=_environment(self.device),
            start_new_session=True,
        )
        self._write({"notes": self._notes, "secret": self.secret.hex(), "job_function": self._job_function})

    def is_ready(self) -> None:
        """The process has said that it can work."""
        self._failures = 0

    def run(self, job: str, folder: Path, *, sequence: int) -> None:
        """Orders a job; its messages are numbered from sequence on."""
        self.job, self.cancel_deadline = job, None
        self._write({"job": job, "folder": str(folder), "sequence": sequence})

    def cancel(self) -> None:
        """Asks the job to stop."""
        if self.job is not None and self.cancel_deadline is None:
            self.cancel_deadline = time.monotonic() + CANCEL_GRACE_SECONDS
            self._write({"cancel": self.job})

    def give_up(self) -> None:
        """The job has not stopped within the grace; the process has a little longer to come back."""
        self.cancel_deadline = time.monotonic() + KILL_SECONDS - CANCEL_GRACE_SECONDS

    def done(self) -> None:
        """The job has ended and the process is free."""
        self.job, self.cancel_deadline = None, None

    def exit_code(self) -> int | None:
        """The exit code of a process that has died (negative: the signal), or None while it lives."""
        return self._process.poll() if self._process is not None else None

    def forget(self) -> None:
        """Puts a dead process aside; the next start waits longer after each failure."""
        self._close_pipe()
        self._process, self.secret = None, b""
        self._failures += 1
        pause = min(LONGEST_PAUSE_SECONDS, 0.25 * 2 ** min(self._failures, 10)) if self._failures > 1 else 0.0
        self._start_at = time.monotonic() + pause
        self.done()

    def kill(self) -> None:
        """Kills the process with all its children at once and waits until it is gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._close_pipe()
        self._process, self.secret = None, b""
        self.done()

    def _write(self, order: dict) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):  # a dead process is noticed by its exit code
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def _close_pipe(self) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):
            if self._process is not None:
                self._process.stdin.close()


def _environment(device: str) -> dict[str, str]:
    """The worker's environment: this process's import path, and only its own CUDA device, if any.

    Its threads sleep while they wait for each other: beside a busy Blender those that spin take each other's time.
    """
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:") if device.startswith("cuda:") else ""
    return environment


class WorkerPool:
    """One worker per device, and the socket on which their notes arrive."""

    def __init__(self, context: zmq.Context, devices: Sequence[str], *, job_function: str) -> None:
        self.notes = context.socket(zmq.PULL)
        self.notes.setsockopt(zmq.LINGER, 0)
        self.notes.setsockopt(zmq.MAXMSGSIZE, 1 << 20)
        port = self.notes.bind_to_random_port("tcp://127.0.0.1")
        address = f"tcp://127.0.0.1:{port}"
        self.workers = [WorkerProcess(device, notes=address, job_function=job_function) for device in devices]

    def start(self) -> None:
        """Starts every worker that does not run."""
        for worker in self.workers:
            worker.start()

    def free_worker(self) -> WorkerProcess | None:
        """A worker that can take a job, or None."""
        return next((worker for worker in self.workers if worker.is_free), None)

    def worker_of(self, job: str) -> WorkerProcess | None:
        """The worker that makes this job, or None."""
        return next((worker for worker in self.workers if worker.job == job), None)

    def seconds_to_deadline(self) -> float:
        """Seconds until the first deadline of a job that should stop, infinity where none should."""
        deadlines = [worker.cancel_deadline for worker in self.workers if worker.cancel_deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else float("inf")

    def read_notes(self) -> list[tuple[WorkerProcess, dict]]:
        """The notes that have come from living workers; whatever does not know a worker's secret is dropped."""
        notes = []
        for _ in range(256):
            try:
                parts = self.notes.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if len(parts) != 2:
                continue
            for worker in self.workers:
                if worker.secret and hmac.compare_digest(worker.secret, parts[0]):
                    notes.append((worker, msgpack.unpackb(parts[1])))
        return notes

    def close(self) -> None:
        """Kills every worker and closes the socket."""
        for worker in self.workers:
            worker.kill()
        self.notes.close()
