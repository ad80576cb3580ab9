"""A batch on Ray: one actor per GPU or per few cores, its models loaded once; files travel as bytes both ways.

No folder is shared between machines. This process alone writes results, so that each is written once, however often a
job was tried; and it hands out no more jobs than there are actors, so that results never pile up.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backend.batch.jobs import BatchJob
from backend.batch.workers import STAGING_PREFIX, Outcome, StageReport, attempt
from backend.errors import BackendUnavailableError, InputError
from backend.provenance.label import Marking

LOCAL = "local"
CORES_PER_ACTOR = 4
VIDEO_PREFIX = "video:"


@dataclass(frozen=True)
class Parcel:
    """A job with the bytes of its files, and of the certificate that signs, by what they are."""

    job: BatchJob
    marking: Marking
    files: Mapping[str, bytes]


def pack(job: BatchJob, marking: Marking) -> Parcel:
    """Reads a job's files. Raises OSError."""
    paths = {"portrait": job.portrait, "audio": job.audio, "certificate": marking.certificate, "key": marking.key}
    if job.emotion.startswith(VIDEO_PREFIX):
        paths["emotion"] = Path(job.emotion.removeprefix(VIDEO_PREFIX))
    elif job.emotion.endswith(".json"):
        paths["emotion"] = Path(job.emotion)
    return Parcel(job, marking, {what: path.read_bytes() for what, path in paths.items() if path is not None})


def unpack(parcel: Parcel, folder: Path) -> tuple[BatchJob, Marking]:
    """Writes a parcel's files into a folder, under their own names, and points the job at them."""
    job, marking = parcel.job, parcel.marking

    def placed(what: str, path: Path | None) -> Path | None:
        if path is None:
            return None
        place = folder / what / path.name
        place.parent.mkdir()
        place.write_bytes(parcel.files[what])
        return place

    emotion = job.emotion
    if "emotion" in parcel.files:
        prefix = VIDEO_PREFIX if emotion.startswith(VIDEO_PREFIX) else ""
        emotion = prefix + str(placed("emotion", Path(emotion.removeprefix(prefix))))
    job = replace(job, portrait=placed("portrait", job.portrait), audio=placed("audio", job.audio), emotion=emotion)
    certificate, key = placed("certificate", marking.certificate), placed("key", marking.key)
    return job, replace(marking, certificate=certificate, key=key)


def make_parcel(parcel: Parcel, maker: Callable) -> dict:
    """Makes a parcel's job in a temporary folder; gives its files' bytes, or the reason why there are none."""
    with tempfile.TemporaryDirectory(prefix="emorig-") as temporary:
        inputs, out = Path(temporary, "in"), Path(temporary, "out")
        inputs.mkdir()
        out.mkdir()
        job, marking = unpack(parcel, inputs)
        result = maker(job, out, marking=marking, report=lambda *_progress: None)
        if (folder := result.pop("folder", None)) is not None:
            result["files"] = {path.name: path.read_bytes() for path in folder.iterdir()}
        elif "reason" in result:
            result["reason"] = result["reason"].replace(str(inputs), "")
        return result


class _Actor:
    """Lives on a machine of the cluster and makes one job after the other."""

    def __init__(self, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        logging.basicConfig(level=logging.WARNING)

    def make(self, parcel: Parcel, maker: Callable) -> dict:
        """See make_parcel."""
        return make_parcel(parcel, maker)

    def pid(self) -> int:
        """The process that it lives in."""
        return os.getpid()


class RayWorkers:
    """n actors of a Ray cluster (None: one per GPU, else one per 4 cores); an actor that is lost is replaced.

    address: 'auto', HOST:PORT, ray://…, or 'local' for a cluster of this machine's cores. Raises InputError where Ray
    is not installed and BackendUnavailableError where no cluster answers.
    """

    def __init__(
        self, address: str, out: Path, *, marking: Marking, n: int | None = None, maker: Callable = attempt
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError("Ray is not installed: pip install 'emorig[cluster]'.") from error
        self._ray, self._out, self._marking, self._maker = ray, out, marking, maker
        self._was_connected = ray.is_initialized()
        if not self._was_connected:
            self._connect(address, n)
        resources = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        self.n_workers = n or gpus or max(1, cores // CORES_PER_ACTOR)
        self._resources = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": max(1, cores // self.n_workers)}
        self._actors: dict[str, object] = {}
        self._jobs: dict[object, tuple[str, BatchJob, float]] = {}
        self._reports: list[StageReport | Outcome] = []

    def _connect(self, address: str, n: int | None) -> None:
        chosen = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address == LOCAL:
            chosen |= {"num_cpus": max(n or 0, os.cpu_count() or 1), "include_dashboard": False}
        try:
            self._ray.init(address=address, **chosen)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise BackendUnavailableError(
                f"No Ray cluster answers at '{address}': start one with 'ray start --head', or use 'local'."
            ) from error

    @property
    def n_free(self) -> int:
        """How many jobs can be handed in now."""
        return self.n_workers - len(self._jobs)

    def submit(self, job: BatchJob) -> None:
        """Hands a job to a free actor; one whose files cannot be read any more ends at once."""
        try:
            parcel = pack(job, self._marking)
        except OSError as error:
            self._reports.append(Outcome(job, "", 0.0, reason=f"Cannot read '{error.filename}': {error.strerror}."))
            return
        busy = {name for name, _, _ in self._jobs.values()}
        name = next(f"r{i + 1}" for i in range(self.n_workers) if f"r{i + 1}" not in busy)
        reference = self._actor(name).make.remote(parcel, self._maker)
        self._jobs[reference] = (name, job, time.monotonic())
        self._reports.append(StageReport(name, job, "being made", 0, 0))

    def _actor(self, name: str):
        if name not in self._actors:
            threads = int(self._resources.get("num_cpus", 1))
            self._actors[name] = self._ray.remote(_Actor).options(**self._resources).remote(threads)
        return self._actors[name]

    def events(self, timeout: float) -> Iterator[StageReport | Outcome]:
        """What has happened since, after waiting for something for at most timeout seconds."""
        reports, self._reports = self._reports, []
        yield from reports
        ready, _ = self._ray.wait(list(self._jobs), timeout=timeout) if self._jobs else ([], [])
        for reference in ready:
            name, job, started = self._jobs.pop(reference)
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                cause = str(error.cause or error).strip().splitlines()[-1][:300]
                reason = f"A machine of the cluster could not take the job; is the same EmoRig there? ({cause})"
                yield Outcome(job, name, time.monotonic() - started, reason=reason)
                continue
            except self._ray.exceptions.RayError as error:
                lost = self._actors.pop(name)
                self._ray.kill(lost)  # one that is only out of reach must not go on beside its successor
                reason = f"The worker was lost ({type(error).__name__}); often for want of memory: try a smaller size."
                yield Outcome(job, name, time.monotonic() - started, reason=reason, worker_died=True)
                continue
            yield self._outcome(name, job, result)

    def _outcome(self, name: str, job: BatchJob, result: dict) -> Outcome:
        """Writes the files that came back into a folder of their own."""
        files = result.pop("files", None)
        if files is None:
            return Outcome(job, name, **result)
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self._out))
            for file_name, data in files.items():
                (folder / file_name).write_bytes(data)
        except OSError as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return Outcome(job, name, result["seconds"], reason=f"The files could not be written: {error.strerror}.")
        return Outcome(job, name, folder=folder, **result)

    @property
    def pids(self) -> list[int]:
        """The processes of the actors."""
        return self._ray.get([actor.pid.remote() for actor in self._actors.values()])

    def close(self) -> None:
        """Ends the actors, and the connection where this object made it."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if not self._was_connected:
            self._ray.shutdown()
