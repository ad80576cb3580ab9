"""The add-on's side of the conversation: a backend started when needed, one job at a time, its progress. No bpy.

tick() is called by a timer and returns at once; wait() is the same for a program without timers.
"""

from __future__ import annotations

import enum
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .backend_process import BackendProcess, find_command
from .protocol.discovery import read_endpoint
from .protocol.errors import BackendUnavailableError, InputError, ProtocolError
from .protocol.messages import TERMINAL, Accepted, Failed, Progress, Queued, Welcome

START_SECONDS = 90.0
RETRY_SECONDS = 0.5
GIVE_UP_SECONDS = 60.0
POLL_SECONDS = 0.012


class State(enum.Enum):
    """How things stand with the backend."""

    OFFLINE = "Backend off"
    STARTING = "Backend starting"
    READY = "Ready"
    BUSY = "Working"
    LOST = "Backend lost, trying again"
    REFUSED = "Backend refuses"
    UNAVAILABLE = "Not installed completely"


@dataclass(frozen=True)
class BackendChoice:
    """Which backend: a program to start (empty: the installed one, or one that is found), or one that runs already.

    That one is given by address and token, or by the key file (client.json) of a backend on another machine.
    """

    program: str = ""
    installed: Path | None = None
    address: str = ""
    token: str = ""
    keys_path: str = ""
    log_path: Path = Path("emorig-backend.log")

    @property
    def runs_already(self) -> bool:
        """Whether the backend is not to be started from here."""
        return bool(self.address or self.keys_path)


@dataclass(frozen=True)
class Request:
    """A shot to hand in: the arguments of Client.submit, and what the sender wants to remember about it."""

    arguments: dict
    memo: dict = field(default_factory=dict)


@dataclass
class Job:
    """The job that runs: its name once handed in, its stage and how far that is."""

    request: Request
    name: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    frames_per_second: float = 0.0
    is_cancelling: bool = False


def missing_modules() -> list[str]:
    """Which Python modules of the connection this Python lacks."""
    return [name for name in ("zmq", "msgpack", "numpy") if importlib.util.find_spec(name) is None]


def _client(choice: BackendChoice):
    from .client import Client
    from .protocol.keys import ClientKeys

    keys = ClientKeys.read(choice.keys_path) if choice.keys_path else None
    return Client(choice.address or None, token=choice.token or None, keys=keys)


class Session:
    """The state of the conversation with one backend."""

    def __init__(self, make_client: Callable[[BackendChoice], object] = _client) -> None:
        self._make_client = make_client
        self._client = None
        self._process: BackendProcess | None = None
        self._started_at = self._retry_at = self._lost_since = 0.0
        self._stale_server = ""
        self._is_open = self._runs_already = False
        self._failures: list[Failed] = []
        self._device = ""
        self.job: Job | None = None
        self.detail = ""
        self._state = State.OFFLINE
        missing = missing_modules()
        if missing:
            self._state = State.UNAVAILABLE
            self.detail = (
                f"Blender's Python lacks {' and '.join(missing)}: install the EmoRig extension (Blender 4.2 or newer), "
                "or these modules into Blender's Python."
            )

    @property
    def state(self) -> State:
        """How things stand; busy counts from handing in to the end of a job."""
        return State.BUSY if self._state is State.READY and self.job is not None else self._state

    @property
    def is_idle(self) -> bool:
        """Whether nothing is expected from anywhere, so that nobody needs to call tick()."""
        return self._state in {State.OFFLINE, State.UNAVAILABLE, State.REFUSED} and self.job is None

    @property
    def headline(self) -> str:
        """The state in a few words, with the device where it is known."""
        if self.state in {State.READY, State.BUSY} and self._device:
            return f"{self.state.value} ({self._device})"
        return self.state.value

    @property
    def progress(self) -> float:
        """How far the job's stage is, 0-1; 0 while its length is not known."""
        return self.job.done / self.job.total if self.job is not None and self.job.total else 0.0

    @property
    def progress_text(self) -> str:
        """What the job does now."""
        job = self.job
        if job is None:
            return ""
        if job.is_cancelling:
            return "Cancelling"
        if not job.name or not job.stage:
            return "Waiting for the backend" if not job.name else "Sending"
        if not job.total:
            return job.stage.capitalize()
        text = f"{job.stage.capitalize()} {job.done} of {job.total}"
        if job.frames_per_second > 0 and job.done < job.total:
            left = round((job.total - job.done) / job.frames_per_second)
            text += f", {left // 60}:{left % 60:02d} left"
        return text

    def connect(self, choice: BackendChoice) -> None:
        """Opens the conversation with a backend that runs, or starts one. Raises InputError."""
        if self._state is State.UNAVAILABLE:
            raise BackendUnavailableError(self.detail)
        if self._state in {State.STARTING, State.READY, State.LOST}:
            return
        self.detail, self._started_at, self._is_open = "", time.monotonic(), False
        self._client, self._runs_already = self._make_client(choice), choice.runs_already
        try:
            self._client.open()
            self._is_open = True
        except BackendUnavailableError:
            if choice.runs_already:
                self._close_client()
                raise
            self._start_process(choice)
        self._state = State.STARTING

    def submit(self, request: Request) -> None:
        """Hands in a job as soon as the backend is ready. Raises InputError while another one runs."""
        if self.job is not None:
            raise InputError("A shot is being made: wait for it, or cancel it first.")
        self.job = Job(request)
        if self._state is State.READY:
            self._hand_in()

    def cancel(self) -> None:
        """Asks the backend to stop the job; one that was not handed in yet is dropped."""
        if self.job is None:
            return
        if not self.job.name or self._state is not State.READY:
            self.job = None
            return
        self.job.is_cancelling = True
        self._client.cancel(self.job.name)

    def tick(self) -> list[object]:
        """The job's messages that have come since the last call, its end included."""
        if self._client is None:
            return []
        now = time.monotonic()
        if now < self._retry_at:
            return []
        if self._is_open and self._process is not None and not self._process.is_running:
            return self._end(f"The backend stopped unexpectedly: its log is '{self._process.log_path}'.")
        try:
            if self._state is State.STARTING and not self._reach():
                return self._check_start(now)
            messages = self._client.poll(deadline=POLL_SECONDS)
        except BackendUnavailableError as error:
            return self._lose(str(error), now)
        except ProtocolError as error:
            return self._refuse(str(error))
        taken = [message for message in messages if self._take(message)]
        failures, self._failures = self._failures, []
        return taken + failures

    def wait(self, *, timeout: float, until: Callable[[], bool]) -> list[object]:
        """Ticks until the condition holds; returns all messages. Raises BackendUnavailableError when time is up."""
        end, messages = time.monotonic() + timeout, []
        while not until():
            if time.monotonic() > end:
                raise BackendUnavailableError(f"The backend was not done within {timeout:g} s.")
            messages += self.tick()
            time.sleep(0.005)
        return messages

    def close(self, *, wait_for_process: bool = True) -> None:
        """Ends the conversation and the backend that was started here."""
        self._close_client()
        if self._process is not None:
            self._process.stop() if wait_for_process else self._process.ask_to_stop()
            self._process = None
        self.job, self._device = None, ""
        if self._state is not State.UNAVAILABLE:
            self._state, self.detail = State.OFFLINE, ""

    def _start_process(self, choice: BackendChoice) -> None:
        try:
            self._stale_server = read_endpoint().server
        except BackendUnavailableError:
            self._stale_server = ""
        try:
            self._process = BackendProcess(find_command(choice.program, choice.installed), choice.log_path)
        except (BackendUnavailableError, OSError) as error:
            self._close_client()
            raise BackendUnavailableError(str(error)) from error

    def _reach(self) -> bool:
        """Whether a conversation with the starting backend is open."""
        if self._is_open:
            return True
        try:
            if read_endpoint().server == self._stale_server:
                return False
            self._client.open()
        except BackendUnavailableError:
            return False
        self._is_open = True
        return True

    def _check_start(self, now: float) -> list[object]:
        self._retry_at = now + RETRY_SECONDS
        if self._process is not None and not self._process.is_running:
            return self._end(f"The backend could not start: {self._process.last_words() or 'it said nothing'}")
        if now - self._started_at > START_SECONDS:
            return self._end(f"The backend did not start within {START_SECONDS:g} s.")
        return []

    def _take(self, message: object) -> bool:
        """Brings the state up to date with a message; says whether it belongs to the job."""
        if isinstance(message, Welcome):
            self._state, self._device, self.detail = State.READY, message.device, ""
            if self.job is not None and not self.job.name:
                self._hand_in()
            return False
        job = self.job
        if job is None or getattr(message, "job", None) != job.name:
            return False
        self._state, self.detail, self._lost_since = State.READY, "", 0.0
        if isinstance(message, Progress):
            job.stage, job.done, job.total = message.stage, message.done, message.total
            job.frames_per_second = message.frames_per_second
        elif isinstance(message, Accepted | Queued):
            job.stage = f"{message.position} shots before this one" if message.position else "starting"
        elif isinstance(message, TERMINAL):
            self.job = None
        return True

    def _hand_in(self) -> None:
        try:
            self.job.name = self._client.submit(**self.job.request.arguments)
        except InputError as error:
            self._failures += self._fail(str(error))

    def _lose(self, reason: str, now: float) -> list[object]:
        if self._state is State.STARTING:
            if self._runs_already:
                return self._end(reason)
            self._is_open = False
            return self._check_start(now)
        if self._state is not State.LOST:
            self._lost_since = now
        self._state, self.detail, self._retry_at = State.LOST, reason, now + RETRY_SECONDS
        if now - self._lost_since > GIVE_UP_SECONDS:
            return self._end(reason)
        return []

    def _refuse(self, reason: str) -> list[object]:
        failed = self._fail(reason)
        self._close_client()
        self._state, self.detail = State.REFUSED, reason
        return failed

    def _end(self, reason: str) -> list[object]:
        """Gives the backend up; the job, if there is one, has failed."""
        failed = self._fail(reason)
        self.close(wait_for_process=False)
        self.detail = reason
        return failed

    def _fail(self, reason: str) -> list[object]:
        job, self.job = self.job, None
        return [] if job is None else [Failed(job.name or "0" * 32, 0, reason[:2000])]

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
