"""The clients of the service as it sees them: what each still has to be sent, and how far each is in its jobs."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import zmq

from backend.service.jobs import Job, JobStore
from blender_addon.protocol.codec import encode
from blender_addon.protocol.messages import NOT_KEPT, Failed

BURST = 8
MAX_REPLIES = 256
SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.2


@dataclass
class Peer:
    """One connected client. places: job -> sequence number of the next kept message to send it."""

    identity: bytes
    client: str
    places: dict[str, int] = field(default_factory=dict)
    last_heard: float = field(default_factory=time.monotonic)
    _replies: deque = field(default_factory=lambda: deque(maxlen=MAX_REPLIES))
    _news: dict[str, list] = field(default_factory=dict)
    _pause: float = SHORTEST_PAUSE_SECONDS
    _retry_at: float = 0.0

    def reply(self, message: object) -> None:
        """Sends an answer before anything else."""
        self._replies.append(encode(message))

    def tell(self, job: str, message: object) -> None:
        """Sends news of a job; newer news replaces what could not be sent yet."""
        self._news[job] = encode(message)

    def send(self, router: zmq.Socket, store: JobStore) -> float:
        """Sends what the socket takes. Returns the seconds after which to go on, infinity where nothing is left.

        Raises zmq.ZMQError (EHOSTUNREACH) when the client is gone.
        """
        if (wait := self._retry_at - time.monotonic()) > 0:
            return wait
        try:
            while self._replies:
                self._put(router, self._replies[0])
                self._replies.popleft()
            for job in list(self._news):
                self._put(router, self._news[job])
                del self._news[job]
            is_behind = self._send_kept(router, store)
        except zmq.Again:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            self._retry_at = time.monotonic() + self._pause
            return self._pause
        self._pause = SHORTEST_PAUSE_SECONDS
        return 0.0 if is_behind else float("inf")

    def _send_kept(self, router: zmq.Socket, store: JobStore) -> bool:
        """Sends a burst of kept messages, the jobs in turn. Returns whether more are left."""
        left = BURST
        while left > 0 and self.places:
            has_sent = False
            for name in list(self.places):
                job = store.get(name)
                if job is None or (job.has_ended and self.places[name] >= len(job.log)):
                    del self.places[name]
                elif self.places[name] < len(job.log):
                    self._put(router, self._read(job))
                    self.places[name] += 1
                    has_sent, left = True, left - 1
            if not has_sent:
                return False
        return bool(self.places)

    def _read(self, job: Job) -> list[bytes]:
        """The next kept message for this client, or the end of the job where somebody removed the file under it."""
        try:
            return job.log.read(self.places[job.name])
        except OSError:
            self.places[job.name] = len(job.log)
            return encode(Failed(job.name, NOT_KEPT, "The backend has lost the shot's results: send the shot again."))

    def _put(self, router: zmq.Socket, parts: list) -> None:
        router.send_multipart([self.identity, *parts], zmq.NOBLOCK)


def account_of(frame: zmq.Frame) -> str:
    """The public key with which a client of another machine was let in, which it cannot choose; else nothing."""
    try:
        return str(frame.get("User-Id"))
    except (zmq.ZMQError, KeyError):
        return ""


def send_waiting(router: zmq.Socket, peers: dict[bytes, Peer], store: JobStore) -> float:
    """Sends to every client what its socket takes and forgets those that are gone.

    Returns the seconds after which to call again, infinity where nothing waits.
    """
    wait = float("inf")
    for identity, peer in list(peers.items()):
        try:
            wait = min(wait, peer.send(router, store))
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            del peers[identity]
    return wait
