"""The dry run: every input opened, every face found, every output folder tried, nothing made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from backend.batch.jobs import BatchJob, RefusedJob, read_jobs
from backend.batch.run import BatchOptions
from backend.errors import InputError, OutputError

SECONDS_PER_FRAME = 0.06  # of one core at 512 pixels, for the estimate


def rehearse(jobs_file: Path, options: BatchOptions) -> int:
    """Prints what is wrong with each job and what the batch would take; 0 where all could be made, else 1."""
    jobs, refused = read_jobs(jobs_file, template=options.template)
    _require_writable(options.out)
    if options.marking.is_on:
        options.marking.signer()
    faults = [*refused, *_faults(jobs)]
    for fault in sorted(faults, key=lambda fault: fault.index):
        print(f"job {fault.index}: {fault.reason}")
    bad = {fault.index for fault in faults}
    frames = sum(_n_frames(job) for job in jobs if job.index not in bad)
    seconds = frames * SECONDS_PER_FRAME / options.n_workers
    took = f"{seconds / 3600:.1f} hours" if seconds > 3600 else f"{max(seconds / 60, 0.1):.1f} minutes"
    workers = "one worker" if options.n_workers == 1 else f"{options.n_workers} workers"
    print(f"{len(jobs) + len(refused) - len(bad)} of {len(jobs) + len(refused)} jobs can be made: {frames} frames, "
          f"about {took} with {workers}.")  # fmt: skip
    return 1 if bad else 0


def _require_writable(out: Path) -> None:
    """Raises OutputError where the output folder cannot be made or written."""
    existing = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise OutputError(f"Cannot write to the output folder '{out}': choose another one.")


def _faults(jobs: Sequence[BatchJob]) -> list[RefusedJob]:
    """What is wrong with jobs' portraits and recordings, each file opened once."""
    from backend.audio.waveform import load_waveform
    from backend.pipeline import read_portrait

    checked: dict[object, str] = {}
    faults = []
    for job in jobs:
        options = job.options
        sound = (job.audio, options.start, options.end)
        if sound not in checked:
            checked[sound] = _reason(lambda: load_waveform(job.audio, start=options.start, end=options.end))  # noqa: B023
        if job.portrait is not None and job.portrait not in checked:
            checked[job.portrait] = _reason(lambda: read_portrait(job.portrait))  # noqa: B023
        reasons = [checked[sound], checked.get(job.portrait, "")]
        faults += [RefusedJob(job.index, job.name, reason) for reason in reasons if reason]
    return faults


def _reason(check) -> str:
    """The sentence of what a check found wrong, or nothing."""
    try:
        check()
    except InputError as error:
        return str(error)
    return ""


def _n_frames(job: BatchJob) -> int:
    from backend.audio.waveform import load_waveform

    waveform = load_waveform(job.audio, start=job.options.start, end=job.options.end)
    return round(len(waveform.samples) / waveform.sample_rate * job.options.frame_rate)
