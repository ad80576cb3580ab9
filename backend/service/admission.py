"""What the service takes on: how much in all, how much of one client, and the sentence that declines the rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from backend.service.fair_queue import FairQueue
from backend.service.jobs import JobStore
from blender_addon.protocol.messages import UPLOADS, Submit


@dataclass(frozen=True)
class ServiceLimits:
    """What the service takes on: waiting jobs in all and per client, ended jobs kept, their bytes and their age.

    bytes_per_client: of files handed in with jobs that have not ended. clients: that may be connected at a time.
    """

    queued: int = 64
    queued_per_client: int = 16
    bytes_per_client: int = 2 << 30
    clients: int = 256
    kept_jobs: int = 64
    kept_bytes: int = 8 << 30
    kept_seconds: float = 24 * 3600.0
    upload_seconds: float = 600.0
    silent_seconds: float = 600.0
    free_disk_bytes: int = 1 << 30


def reason_to_decline(
    request: Submit, client: str, *, store: JobStore, queue: FairQueue, limits: ServiceLimits, root: Path
) -> str | None:
    """Why a job cannot be taken now, in one sentence, or None."""
    receiving = [job for job in store if job.state == "receiving"]
    n_waiting = len(queue) + len(receiving)
    if n_waiting >= limits.queued:
        return f"The backend is busy: {n_waiting} shots are waiting already; send this one again when some are done."
    own = queue.count(client) + sum(job.client == client for job in receiving)
    if own >= limits.queued_per_client:
        return f"The backend is busy: {own} of your shots are waiting already; send this one again when some are done."
    wanted = sum(getattr(request, f"{upload}_size") for upload in UPLOADS)
    held = sum(job.announced_bytes for job in store if job.client == client and not job.has_ended)
    if held + wanted > limits.bytes_per_client:
        return (
            f"Your shots hold {held >> 20} MiB of the {limits.bytes_per_client >> 20} MiB that one client may: "
            "send this one again when some are done."
        )
    if shutil.disk_usage(root).free < wanted + limits.free_disk_bytes:
        return "The backend's disk is full: free some space on its machine and send the shot again."
    return None
