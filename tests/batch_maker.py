"""Stands in for the pipeline in the tests of batches: does what the recording's text says, quickly."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from pathlib import Path


def make(job, out: Path, *, marking, report) -> dict:
    """One file made of the recording; 'crash' dies, 'once NAME' dies the first time, 'full' finds no room."""
    order = job.audio.read_text()
    report("rendering", 1, 2)
    if order == "crash":
        os._exit(9)
    if order == "once":
        mark = job.audio.with_suffix(".tried")
        if not mark.exists():
            mark.touch()
            os._exit(9)
    if order == "full":
        from backend.batch import workers

        real = tempfile.mkdtemp

        def no_room(**_options):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        tempfile.mkdtemp = no_room
        try:
            return workers.attempt(job, out, marking=marking, report=report)
        finally:
            tempfile.mkdtemp = real
    if order == "slow":
        time.sleep(0.3)
    folder = Path(tempfile.mkdtemp(prefix=".making-", dir=out))
    (folder / "half").write_text("first")
    if order == "endless":
        time.sleep(60)
    (folder / "curves.json").write_text(json.dumps({"made_of": order, "by": os.getpid()}))
    return {"folder": folder, "flags": ("look",) if order == "odd" else (), "seconds": 0.1}


def on_ray(job, out: Path, *, marking, report, mark: Path) -> dict:
    """make() on an actor; 'killed once' kills its process by a signal, as the system does for want of memory."""
    import signal

    order = job.audio.read_text()
    if order == "killed once" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if order.startswith("slow"):
        time.sleep(0.1)
    return make(job, out, marking=marking, report=report)
