"""Numbers of the running service as Prometheus reads them, on a page that only this machine can fetch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from backend.errors import InputError
from blender_addon.protocol.messages import Status

HOST = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS = 5.0
HELP = {
    "emorig_up_seconds": ("gauge", "Seconds since the service started."),
    "emorig_clients": ("gauge", "Clients that were heard of lately."),
    "emorig_jobs_queued": ("gauge", "Jobs that wait."),
    "emorig_jobs_running": ("gauge", "Jobs that are being made."),
    "emorig_workers": ("gauge", "Worker processes that run."),
    "emorig_kept_bytes": ("gauge", "Bytes of results on disk."),
    "emorig_jobs_accepted_total": ("counter", "Jobs that were taken."),
    "emorig_jobs_declined_total": ("counter", "Jobs that were not taken: busy, too much, disk full."),
    "emorig_jobs_ended_total": ("counter", "Jobs that ended, by how."),
    "emorig_job_seconds_total": ("counter", "Seconds that finished jobs took their workers."),
    "emorig_frames_total": ("counter", "Frames of finished jobs."),
    "emorig_worker_deaths_total": ("counter", "Worker processes that died by themselves."),
    "emorig_refusals_total": ("counter", "Messages and clients that were refused, by why."),
}


@dataclass
class Metrics:
    """The service's counters since its start, and its gauges of the moment; name and label → value."""

    counters: Counter = field(default_factory=Counter)
    gauges: dict[str, float] = field(default_factory=dict)

    def count(self, name: str, by: float = 1, *, label: str = "") -> None:
        """Adds to a counter. label: 'key=value', of a fixed small set."""
        self.counters[name, label] += by

    def page(self) -> str:
        """Everything in Prometheus' text format."""
        lines = []
        rows = {(name, ""): value for name, value in self.gauges.items()} | dict(self.counters)
        for name, (kind, text) in HELP.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            found = sorted((label, value) for (known, label), value in rows.items() if known == name)
            for label, value in found or [("", 0)]:
                key, _, content = label.partition("=")
                lines.append(f'{name}{{{key}="{content}"}} {value:g}' if key else f"{name} {value:.10g}")
        return "\n".join(lines) + "\n"


def gauges_of(status: Status) -> dict[str, float]:
    """The gauges of a status."""
    return {
        "emorig_up_seconds": status.seconds,
        "emorig_clients": status.n_clients,
        "emorig_jobs_queued": status.n_queued,
        "emorig_jobs_running": status.n_running,
        "emorig_workers": sum(pid > 0 for pid in status.workers),
        "emorig_kept_bytes": status.kept_bytes,
    }


@contextmanager
def metrics_page(port: int, page: Callable[[], str]) -> Iterator[int]:
    """Serves http://127.0.0.1:port/metrics until the block ends; gives the port. Raises InputError."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET /metrics and nothing else."""

        timeout = REQUEST_SECONDS

        def do_GET(self) -> None:
            """The page, or 404."""
            is_known = self.path == "/metrics"
            body = page().encode() if is_known else b"Metrics are at /metrics.\n"
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Who looks at numbers is not worth a line in the log."""

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise InputError(f"Cannot serve metrics at port {port}: {error.strerror}. Choose another port.") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(2)
