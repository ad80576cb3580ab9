"""Opens the service: address, token, keys, workers; and closes all of it when the program is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zmq

from backend.errors import InputError
from backend.service.admission import ServiceLimits
from backend.service.endpoints import (
    CLIENT_FILE,
    ServiceKeys,
    address_of,
    bound_router,
    clear_stale_folders,
    kept_folder,
    require_safe_host,
    service_folder,
)
from backend.service.metrics import metrics_page
from backend.service.router import Service
from backend.service.worker_pool import WorkerPool
from blender_addon.protocol.discovery import Endpoint, remove_endpoint, write_endpoint

DEFAULT_JOB_FUNCTION = "backend.service.worker:render_request"

MAX_WORKERS = 64

log = logging.getLogger(__name__)


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Lets SIGTERM, SIGINT and a closed terminal set stop; only a program's main thread receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def devices_of(names: Sequence[str], workers: int) -> tuple[str, ...]:
    """One device for each worker: 'cpu', 'cuda' or 'cuda:N', each so many times. Raises InputError."""
    for name in names:
        if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
            raise InputError(f"Unknown device '{name}': use cpu or cuda:N.")
    if not 1 <= workers <= MAX_WORKERS:
        raise InputError(f"The number of workers should lie in 1-{MAX_WORKERS}, got {workers}.")
    return tuple("cuda:0" if name == "cuda" else name for name in names for _ in range(workers))


def _print_at_once(text: str) -> None:
    """Whoever started the program waits for this line, perhaps through a pipe."""
    print(text, flush=True)


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    token: str | None = None,
    keys: ServiceKeys | None = None,
    devices: Sequence[str] = ("cpu",),
    job_function: str = DEFAULT_JOB_FUNCTION,
    limits: ServiceLimits | None = None,
    jobs: Path | None = None,
    metrics_port: int | None = None,
    stop: threading.Event | None = None,
    announce: Callable[[str], None] = _print_at_once,
) -> None:
    """Serves clients until SIGTERM, SIGINT or stop.

    port 0 takes a free one. token None makes a new one; both are written for clients of this user on this machine.
    keys: needed to listen on anything but loopback; then only clients with the keys made with them are let in.
    devices: one worker process each. job_function: 'module:name', called with a worker.JobRequest and a
    worker.JobSink. jobs: a folder in which jobs and results outlive the service: what was not done when it stopped is
    parked there and made by the next one; None: a temporary one. metrics_port: of the page for Prometheus on loopback,
    0 takes a free one. Raises InputError where the address cannot be served.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s service %(levelname)s %(message)s")
    require_safe_host(host, keys)
    token = token or (keys.token if keys is not None else secrets.token_urlsafe(32))
    stop = stop or threading.Event()
    clear_stale_folders()
    with contextlib.ExitStack() as cleanup:
        context = cleanup.enter_context(zmq.Context())
        router = cleanup.enter_context(bound_router(context, host, port, keys))
        if jobs is not None:
            root = cleanup.enter_context(kept_folder(jobs))
        else:
            root = service_folder()
            cleanup.callback(shutil.rmtree, root, ignore_errors=True)
        pool = WorkerPool(context, devices, job_function=job_function)
        cleanup.callback(pool.close)
        limits = limits or ServiceLimits()
        service = Service(router, pool, token=token, root=root, limits=limits, stop=stop, parks=jobs is not None)
        if metrics_port is not None:
            port_taken = cleanup.enter_context(metrics_page(metrics_port, service.metrics.page))
            log.info("metrics at http://127.0.0.1:%d/metrics", port_taken)
        cleanup.enter_context(_stopped_by_signals(stop))
        address = address_of(router, host)
        if keys is None:
            path = write_endpoint(Endpoint(address, token, os.getpid(), service.name))
            cleanup.callback(remove_endpoint, service.name)
            announce(f"EmoRig serves at {address}; clients of this user find it and its token in {path}.")
        else:
            announce(f"EmoRig serves at {address}; clients need the {CLIENT_FILE} that was made with its keys.")
        service.run()
