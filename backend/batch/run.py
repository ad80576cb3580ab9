"""Runs a batch: checks all jobs, makes those that are not done, keeps the ledger, writes the report."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from backend.batch.console import BatchConsole
from backend.batch.jobs import BatchJob, RefusedJob, read_jobs
from backend.batch.ledger import DONE, FAILED, REFUSED, Entry, Ledger, file_records, is_whole
from backend.batch.report import write_report
from backend.batch.shot import content_hash
from backend.batch.workers import STAGING_PREFIX, LocalWorkers, Outcome, require_workers
from backend.errors import InputError
from backend.provenance.label import Marking

MAX_ATTEMPTS = 3  # of a job whose worker died
POLL_SECONDS = 0.5


class Workers(Protocol):
    """Who makes the jobs: processes here, or actors of a cluster."""

    n_free: int

    def submit(self, job: BatchJob) -> None: ...
    def events(self, timeout: float): ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class BatchOptions:
    """What was chosen for a batch. ray: a cluster's address, or None for processes here.

    workers: how many make shots at a time; None: half the cores here, or what suits the cluster.
    """

    out: Path
    template: str
    workers: int | None
    resume: bool
    ray: str | None
    marking: Marking

    @property
    def n_workers(self) -> int:
        """How many processes run here."""
        return self.workers if self.workers is not None else max(1, (os.cpu_count() or 1) // 2)


def run_batch(jobs_file: Path, options: BatchOptions) -> int:
    """Makes all jobs of a file; 0 where every one is done, else 1. Raises InputError where it cannot start."""
    jobs, refused = read_jobs(jobs_file, template=options.template)
    require_workers(options.n_workers)
    ledger = Ledger(options.out)
    _clear_unfinished(options.out)
    with BatchConsole(len(jobs) + len(refused)) as console:
        run = _Run(options, ledger, console)
        for job in refused:
            run.refuse(job)
        run.make(run.not_done(jobs))
    pages = write_report(options.out, run.entries, root=options.out)
    counts = {state: sum(entry.state == state for entry in run.entries) for state in (DONE, FAILED, REFUSED)}
    flagged = sum(bool(entry.flags) for entry in run.entries)
    print(f"{counts[DONE]} done ({run.n_kept} of them already were), {counts[FAILED]} failed, "
          f"{counts[REFUSED]} refused, {flagged} to look at")  # fmt: skip
    print(ledger.path)
    print(pages[0])
    return 0 if counts[DONE] == len(run.entries) else 1


def _clear_unfinished(out: Path) -> None:
    """Removes what a run that was killed left half made; it never had a final name."""
    for folder in out.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    """One run of a batch: what is known of each job, and the files moved to their names by this process alone."""

    def __init__(self, options: BatchOptions, ledger: Ledger, console: BatchConsole) -> None:
        self._options, self._ledger, self._console = options, ledger, console
        self._before = ledger.latest() if options.resume else {}
        self._contents: dict[str, Entry] = {}  # content hash → a done job whose files are whole
        self._attempts: dict[str, int] = {}
        self._hashes: dict[str, str] = {}
        self._twins: dict[str, list[BatchJob]] = {}  # content hash → jobs that wait for an equal one
        self.entries: list[Entry] = []
        self.n_kept = 0

    def refuse(self, job: RefusedJob) -> None:
        """Notes a job that cannot be made."""
        self._note(Entry(job.index, job.name, REFUSED, reason=job.reason))

    def not_done(self, jobs: Sequence[BatchJob]) -> deque[BatchJob]:
        """The jobs that are still to be made; done ones are kept where their files are whole."""
        left = deque()
        for job in jobs:
            try:
                content = self._hashes[job.name] = content_hash(job, marking=self._options.marking)
            except (InputError, OSError) as error:
                self.refuse(RefusedJob(job.index, job.name, str(error)))
                continue
            known = self._before.get(job.name)
            if known is not None and known.content == content and is_whole(known, self._options.out / job.name):
                self._contents[content] = known
                self.n_kept += 1
                self._remember(replace(known, index=job.index))
            else:
                left.append(job)
        return left

    def make(self, waiting: deque[BatchJob]) -> None:
        """Makes the jobs with the chosen workers; equal ones are made once and copied."""
        if not waiting:
            return
        workers = self._workers(len(waiting))
        n_running = 0
        try:
            while waiting or n_running:
                while waiting and workers.n_free:
                    if self._starts(job := waiting.popleft()):
                        workers.submit(job)
                        n_running += 1
                for event in workers.events(POLL_SECONDS):
                    if not isinstance(event, Outcome):
                        self._console.stage(event)
                        continue
                    n_running -= 1
                    if event.worker_died and self._attempts[event.job.name] < MAX_ATTEMPTS:
                        self._console.say(f"{event.job.name}: {event.reason} It is tried again.")
                        waiting.appendleft(event.job)
                    else:
                        waiting.extendleft(reversed(self._end(event)))
        finally:
            workers.close()

    def _workers(self, n_jobs: int) -> Workers:
        options = self._options
        if options.ray is not None:
            from backend.batch.cluster import RayWorkers

            return RayWorkers(options.ray, options.out, marking=options.marking, n=options.workers)
        return LocalWorkers(min(options.n_workers, n_jobs), options.out, marking=options.marking)

    def _starts(self, job: BatchJob) -> bool:
        """Whether a job has to be made now: an equal one that is done is copied, one that runs is waited for."""
        content = self._hashes[job.name]
        if content in self._contents:
            self._copy(job, self._contents[content])
            return False
        if content in self._twins and job.name not in self._attempts:
            self._twins[content].append(job)
            return False
        self._twins.setdefault(content, [])
        self._attempts[job.name] = self._attempts.get(job.name, 0) + 1
        return True

    def _end(self, outcome: Outcome) -> list[BatchJob]:
        """Delivers and notes a job that was made or has failed; gives the equal ones, which can go on now."""
        job, content = outcome.job, self._hashes[outcome.job.name]
        common = {"content": content, "seconds": round(outcome.seconds, 2), "worker": outcome.worker}
        common["attempts"] = self._attempts[job.name]
        if outcome.folder is None:
            self._note(Entry(job.index, job.name, FAILED, reason=outcome.reason, **common))
        else:
            try:
                files = file_records(outcome.folder)
                _deliver(outcome.folder, self._options.out / job.name)
            except OSError as error:
                reason = f"The files could not be put in place: {error.strerror or error}."
                self._note(Entry(job.index, job.name, FAILED, reason=reason, **common))
            else:
                entry = Entry(job.index, job.name, DONE, flags=outcome.flags, files=files, **common)
                self._contents[content] = entry
                self._note(entry)
        return self._twins.pop(content, [])

    def _copy(self, job: BatchJob, source: Entry) -> None:
        """Takes over the files of an equal job."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self._options.out))
            for name in source.files:
                shutil.copy2(self._options.out / source.name / name, folder / name)
            _deliver(folder, self._options.out / job.name)
        except OSError as error:
            reason = f"The files of '{source.name}' could not be copied: {error.strerror or error}."
            self._note(Entry(job.index, job.name, FAILED, content=source.content, reason=reason))
            return
        self._note(replace(source, index=job.index, name=job.name, source=source.name, seconds=0.0, attempts=0))

    def _note(self, entry: Entry) -> None:
        self._ledger.append(entry)
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._console.ended(entry)


def _deliver(folder: Path, target: Path) -> None:
    """Moves a job's finished folder to its name; an older one goes only when the new one is ready."""
    folder.chmod(0o755)
    old = folder.with_name(f"{folder.name}-old")
    if target.exists():
        os.replace(target, old)
    os.replace(folder, target)
    shutil.rmtree(old, ignore_errors=True)
