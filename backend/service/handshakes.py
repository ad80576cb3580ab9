"""Logs the connections that do not get through the CURVE handshake: a wrong key, no key, another protocol."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import zmq
from zmq.utils.monitor import recv_monitor_message

# A connection that closes before the handshake is no refusal: our own clients look so whether somebody listens.
FAILURES = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "its key is not on the list",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "it has no key or speaks another protocol",
}
LOG_SECONDS = 1.0  # whoever knocks a thousand times fills no disk

log = logging.getLogger(__name__)


@contextlib.contextmanager
def failed_handshakes_logged(router: zmq.Socket) -> Iterator[None]:
    """Logs failed handshakes of a socket until the block ends, one line a second at most."""
    events = 0
    for event in FAILURES:
        events |= event
    monitor = router.get_monitor_socket(events | zmq.EVENT_MONITOR_STOPPED)
    thread = threading.Thread(target=_watch, args=(monitor,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        router.disable_monitor()
        thread.join(2)


def _watch(monitor: zmq.Socket) -> None:
    n_silent, next_line = 0, 0.0
    with contextlib.suppress(zmq.ZMQError):
        while (message := recv_monitor_message(monitor))["event"] != zmq.EVENT_MONITOR_STOPPED:
            if time.monotonic() < next_line:
                n_silent += 1
                continue
            more = f" ({n_silent} more since the last line)" if n_silent else ""
            log.warning("refused a connection: %s%s", FAILURES.get(message["event"], "unknown"), more)
            n_silent, next_line = 0, time.monotonic() + LOG_SECONDS
