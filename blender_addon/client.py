"""The client of the backend: a DEALER socket on one side, message dataclasses on the other. No bpy.

Everything but connect() and wait() returns at once, so a timer on Blender's main thread can call it. The connection
mends itself: after an interruption, or a restart of the backend, unfinished jobs are picked up where they stood.
"""

from __future__ import annotations

import collections
import contextlib
import socket
import time
import uuid
from collections.abc import Callable, Iterator

import zmq

from .protocol.codec import decode, encode
from .protocol.discovery import read_endpoint
from .protocol.errors import BackendUnavailableError, ProtocolError
from .protocol.keys import ClientKeys
from .protocol.messages import (
    NOT_KEPT,
    SUPPORTED_VERSIONS,
    TERMINAL,
    Cancel,
    Hello,
    Ping,
    Pong,
    Refused,
    Resume,
    Status,
    StatusRequest,
    Submit,
    Welcome,
    new_job_name,
)
from .protocol.options import ShotOptions
from .protocol.types import AnimationCurves, EmotionTrack
from .transfer import RemoteJob
from .transfer import Video as Video  # what wait() and poll() give for a finished video

QUEUED_MESSAGES = 16
PING_SECONDS = 2.0
UPLOAD_SECONDS = 0.01
RECONNECT_MS = 100
HEARTBEAT_MS = 5000
PROGRAM = "emorig client"


class Client:
    """One conversation with a backend.

    address: tcp://host:port, or None for the backend that runs for this user, or the path of the client.json of one on
    another machine. token: None reads it where the backend wrote it. timeout: seconds without an answer after which the
    backend counts as gone. keys: what client.json holds, where it was read already. Methods raise
    BackendUnavailableError when it is not there and ProtocolError when the two sides cannot understand each other.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 5.0,
        keys: ClientKeys | None = None,
    ) -> None:
        if address is not None and address.endswith(".json"):
            address, keys = None, ClientKeys.read(address)
        self._given_address, self._given_token, self._keys = address, token, keys
        self._timeout = timeout
        self._name = uuid.uuid4().hex
        self._context = zmq.Context()
        self._socket: zmq.Socket | None = None
        self._address = self._token = ""
        self._hello: list = []
        self._outgoing: collections.deque[list] = collections.deque()
        self._inbox: collections.deque[object] = collections.deque()
        self._jobs: dict[str, RemoteJob] = {}
        self._awaiting_since: float | None = None
        self._last_heard = 0.0
        self.welcome: Welcome | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the backend has said welcome on this connection."""
        return self.welcome is not None

    def jobs(self) -> list[str]:
        """The jobs of this client that have not ended."""
        return [name for name, job in self._jobs.items() if not job.has_ended]

    def open(self) -> None:
        """Starts the conversation without waiting for the answer, which poll() brings as Welcome."""
        self._close_socket()
        address, token = self._find()
        _require_listener(address, self._timeout)
        self._socket = _dealer(self._context, self._keys)
        self._socket.connect(address)
        self._address, self._token = address, token
        self._say_hello()

    def connect(self) -> Welcome:
        """Opens the conversation and waits for the backend's welcome, at most the timeout."""
        self.open()
        end = time.monotonic() + self._timeout
        while self.welcome is None:
            left = end - time.monotonic()
            if left <= 0:
                raise BackendUnavailableError(self._gone())
            self._socket.poll(max(1, int(left * 1000)))
            self._exchange(time.monotonic() + 0.05)
            if self._socket is None:
                raise BackendUnavailableError(self._gone())
        return self.welcome

    def submit(
        self,
        audio: bytes,
        *,
        audio_name: str,
        emotion: EmotionTrack,
        options: ShotOptions,
        portrait: bytes | None = None,
        portrait_name: str = "",
        curves: AnimationCurves | None = None,
        frame_encoding: str = "jpeg",
        frame_size: int | None = None,
        priority: int = 0,
        performance: bytes = b"",
        performance_name: str = "",
        export: str = "",
        is_still: bool = False,
    ) -> str:
        """Hands in a shot as the bytes of its files and returns the job's name; poll() sends what remains of them.

        portrait None: curves alone. curves: edited curves to render. frame_encoding, frame_size, priority,
        performance (an emotion video), export and is_still: see messages.Submit.
        """
        request = Submit(
            job=new_job_name(),
            audio_name=audio_name,
            audio_size=len(audio),
            emotion=emotion,
            options=options,
            portrait_name=portrait_name,
            portrait_size=len(portrait or b""),
            curves=curves,
            frame_encoding=frame_encoding,
            frame_size=frame_size,
            priority=priority,
            performance_name=performance_name,
            performance_size=len(performance),
            export=export,
            is_still=is_still,
        )
        files = {"audio": audio, "portrait": portrait or b"", "performance": performance}
        job = RemoteJob(request.job, request, files)
        self._jobs[request.job] = job
        if self.is_connected:
            job.begin_upload()
        self._flush()
        return request.job

    def poll(self, *, deadline: float = 0.01) -> list[object]:
        """The messages that have come, without waiting for any; reads on for at most `deadline` seconds."""
        if self._socket is None:
            self.open()
        self._exchange(time.monotonic() + deadline)
        self._keep_alive()
        messages = list(self._inbox)
        self._inbox.clear()
        return messages

    def wait(self, job: str, *, timeout: float | None = None) -> Iterator[object]:
        """The messages of one job as they come, up to its end; blocks. timeout: seconds for the whole of it, or None.

        Messages of other jobs stay for poll(). Raises BackendUnavailableError when the time is up.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            message = self._pick(lambda m: getattr(m, "job", None) == job)
            if message is not None:
                yield message
                if isinstance(message, TERMINAL):
                    return
            elif end is not None and time.monotonic() > end:
                raise BackendUnavailableError(f"The job {job} was not done within {timeout:g} s.")
            else:
                self._wait_a_little()

    def cancel(self, job: str) -> None:
        """Stops a job, waiting or running; Cancelled comes when it has stopped."""
        if job in self._jobs:
            self._jobs[job].cancel()
        self._send(Cancel(job))

    def resume(self, job: str, *, after: int = NOT_KEPT) -> None:
        """Asks for a job's kept messages again (those after a sequence number) and for its news from now on."""
        self._jobs[job] = RemoteJob(job, last_sequence=after)
        self._send(Resume(job, after))

    def status(self) -> Status:
        """What the backend is doing; waits for the answer, at most the timeout."""
        self._send(StatusRequest())
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            self._wait_a_little()
            if (answer := self._pick(lambda m: isinstance(m, Status))) is not None:
                return answer
        raise BackendUnavailableError(self._gone())

    def close(self) -> None:
        """Ends the conversation; jobs go on and can be resumed by name."""
        self._close_socket()
        self._context.term()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def _find(self) -> tuple[str, str]:
        """The address and the token to use now: those given, or those that a running backend wrote."""
        address, token = self._given_address, self._given_token
        if self._keys is not None:
            return address or self._keys.address, token or self._keys.token
        if address is None or token is None:
            endpoint = read_endpoint()
            if address in (None, endpoint.address):
                return endpoint.address, token or endpoint.token
        return address, token or ""

    def _say_hello(self) -> None:
        self.welcome = None
        self._hello = encode(Hello(SUPPORTED_VERSIONS, self._name, self._token, PROGRAM))
        self._awaiting_since = time.monotonic()
        self._flush()

    def _send(self, message: object) -> None:
        if self._socket is None:
            self.open()
        self._outgoing.append(encode(message))
        self._flush()

    def _flush(self) -> None:
        """Sends what the socket takes: hello, then messages, then pieces of submitted files for a little while."""
        if self._socket is None:
            return
        end = time.monotonic() + UPLOAD_SECONDS
        with contextlib.suppress(zmq.Again):
            if self._hello:
                self._socket.send_multipart(self._hello, zmq.NOBLOCK)
                self._hello = []
            if not self.is_connected:
                return
            while self._outgoing:
                self._socket.send_multipart(self._outgoing[0], zmq.NOBLOCK)
                self._outgoing.popleft()
            for job in self._jobs.values():
                while time.monotonic() < end and (message := job.next_upload()) is not None:
                    self._socket.send_multipart(encode(message), zmq.NOBLOCK)
                    job.upload_sent()

    def _exchange(self, end: float) -> None:
        """Sends and receives into the inbox until nothing is left to read or the clock says end."""
        self._flush()
        while self._socket is not None:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._last_heard, self._awaiting_since = time.monotonic(), None
            self._inbox.extend(self._take(decode(parts)))
            if time.monotonic() > end:
                break
        self._flush()

    def _pick(self, is_wanted: Callable[[object], bool]) -> object | None:
        """Takes the first wanted message out of the inbox and leaves the others for poll()."""
        for place, message in enumerate(self._inbox):
            if is_wanted(message):
                del self._inbox[place]
                return message
        return None

    def _wait_a_little(self) -> None:
        """Blocks until something comes, 20 ms at most, and reads it into the inbox."""
        if self._socket is not None:
            self._socket.poll(20)
        self._inbox.extend(self.poll(deadline=0.05))

    def _take(self, message: object) -> list[object]:
        """What one message means for the caller: itself, something made of it, or nothing."""
        if isinstance(message, Pong):
            return []
        if isinstance(message, Welcome):
            return [self._take_welcome(message)]
        if isinstance(message, Refused):
            return self._take_refusal(message)
        job = self._jobs.get(getattr(message, "job", ""))
        return [message] if job is None else job.take(message)

    def _take_welcome(self, welcome: Welcome) -> Welcome:
        self.welcome = welcome
        for job in self._jobs.values():
            self._outgoing.extend(encode(m) for m in job.recover())
        return welcome

    def _take_refusal(self, refusal: Refused) -> list[object]:
        if refusal.code == "hello":
            if self.is_connected:
                self._say_hello()
            return []
        if refusal.code in ("version", "token"):
            self._close_socket()
            if self._find() != (self._address, self._token):
                return []
        raise ProtocolError(refusal.reason)

    def _keep_alive(self) -> None:
        now = time.monotonic()
        if self._awaiting_since is not None:
            if now - self._awaiting_since > self._timeout:
                self._close_socket()
                raise BackendUnavailableError(self._gone())
        elif now - self._last_heard > PING_SECONDS:
            self._awaiting_since = now
            self._send(Ping(now))

    def _gone(self) -> str:
        return f"The backend at {self._address} does not answer: see whether it still runs, or start it again."

    def _close_socket(self) -> None:
        self.welcome, self._hello = None, []
        if self._socket is not None:
            self._socket.close(linger=200)
            self._socket = None


def _dealer(context: zmq.Context, keys: ClientKeys | None) -> zmq.Socket:
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES)
    # A full queue would stop the reading of heartbeats while Blender is held up, and the reconnection that follows ends
    # the whole process in an assertion of libzmq (its issue 3937). What comes is bounded by the jobs' own results.
    dealer.setsockopt(zmq.RCVHWM, 0)
    dealer.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    dealer.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    dealer.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
    if keys is not None:
        dealer.curve_serverkey = keys.server_public.encode("ascii")
        dealer.curve_publickey = keys.public.encode("ascii")
        dealer.curve_secretkey = keys.secret.encode("ascii")
    return dealer


def _require_listener(address: str, timeout: float) -> None:
    """ZeroMQ would try for ever where nobody listens; a plain connection tells at once."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
    except (OSError, ValueError) as error:
        raise BackendUnavailableError(
            f"No backend answers at {address}: start it from the add-on or with 'emorig serve'."
        ) from error
