"""Every message that the add-on and the backend exchange: one frozen dataclass each, listed in MESSAGES.

A job is named by the client with 32 hexadecimal digits. Messages of a job that carry a `sequence` are kept by the
backend in that order and can be asked for again (Resume); the others are news of the moment. Ranges are checked when
a message is built, by the sender and by the receiver alike: ProtocolError.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from .errors import ProtocolError
from .options import EXPORTS, ShotOptions
from .types import AnimationCurves, EmotionTrack

PROTOCOL_VERSION = 1
SUPPORTED_VERSIONS = (1,)

MEBIBYTE = 1 << 20
PART_BYTES = MEBIBYTE
MAX_AUDIO_BYTES = 512 * MEBIBYTE
MAX_PORTRAIT_BYTES = 64 * MEBIBYTE
MAX_PERFORMANCE_BYTES = 512 * MEBIBYTE
MAX_VIDEO_BYTES = 4096 * MEBIBYTE
MAX_FRAME_SIDE = 8192
MAX_TEXT = 2000

FRAME_ENCODINGS = ("jpeg", "rgb", "none")
UPLOADS = ("audio", "portrait", "performance")
REFUSALS = ("version", "token", "hello", "malformed", "internal")
JOB_STATES = ("receiving", "queued", "running", "finished", "failed", "cancelled")
NOT_KEPT = -1

_JOB_NAME = re.compile(r"[0-9a-f]{32}\Z")


def new_job_name() -> str:
    """A fresh job name, 32 hexadecimal digits that nobody can guess."""
    return uuid.uuid4().hex


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProtocolError(message)


def _require_job(job: str) -> None:
    _require(bool(_JOB_NAME.match(job)), f"A job's name should be 32 hexadecimal digits, got {job[:40]!r}.")


def _require_range(value: int, low: int, high: int, what: str) -> None:
    _require(low <= value <= high, f"{what} should lie in {low}-{high}, got {value}.")


def _require_text(text: str, what: str, most: int = MAX_TEXT) -> None:
    _require(len(text) <= most, f"{what} should have at most {most} characters, got {len(text)}.")


def _require_kept(job: str, sequence: int) -> None:
    _require_job(job)
    _require_range(sequence, NOT_KEPT, 1 << 40, "A message's sequence number")


@dataclass(frozen=True)
class Hello:
    """A client opens the conversation: the protocol versions it speaks, its own name over reconnections, the token."""

    versions: tuple[int, ...]
    client: str
    token: str
    program: str = ""

    def __post_init__(self) -> None:
        _require(0 < len(self.versions) <= 16, "A hello should offer 1 to 16 protocol versions.")
        _require_text(self.client, "A client's name", 64)
        _require_text(self.token, "A token", 256)
        _require_text(self.program, "A program's name", 200)


@dataclass(frozen=True)
class Welcome:
    """The backend's answer to Hello: the version chosen, this server's name (new at every start), device and models."""

    version: int
    server: str
    program: str
    device: str
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The backend cannot take what came: a code of REFUSALS and one sentence."""

    code: str
    reason: str

    def __post_init__(self) -> None:
        _require(self.code in REFUSALS, f"Unknown refusal '{self.code[:40]}'.")
        _require_text(self.reason, "A reason")


@dataclass(frozen=True)
class Submit:
    """A shot to make; the bytes of its files follow as UploadPart messages.

    audio_size and portrait_size: bytes of the encoded files (WAV, MP3, JPEG …); portrait_size 0 asks for curves alone.
    curves: edited curves to render instead of predicting them. frame_encoding: how frames come back, one of
    FRAME_ENCODINGS. frame_size: shorter side of those frames in pixels, None as rendered. priority: among the client's
    own waiting shots, higher first, -100 to 100. performance_size: bytes of a video of a face whose emotion the shot
    takes instead of `emotion`; 0 for none. export: a format of options.EXPORTS that the curves are written in; the file
    comes back as a video would. is_still: the frames of the curves alone are wanted, no video, as for a preview.
    """

    job: str
    audio_name: str
    audio_size: int
    emotion: EmotionTrack
    options: ShotOptions
    portrait_name: str = ""
    portrait_size: int = 0
    curves: AnimationCurves | None = None
    frame_encoding: str = "jpeg"
    frame_size: int | None = None
    priority: int = 0
    performance_name: str = ""
    performance_size: int = 0
    export: str = ""
    is_still: bool = False

    def __post_init__(self) -> None:
        _require_job(self.job)
        _require_text(self.performance_name, "The emotion video's name", 255)
        _require_range(self.performance_size, 0, MAX_PERFORMANCE_BYTES, "The emotion video's size in bytes")
        _require(self.export in ("", *EXPORTS), f"Curves cannot be exported as '{self.export[:40]}'.")
        _require_text(self.audio_name, "The audio's name", 255)
        _require_text(self.portrait_name, "The portrait's name", 255)
        _require_range(self.audio_size, 1, MAX_AUDIO_BYTES, "The audio's size in bytes")
        _require_range(self.portrait_size, 0, MAX_PORTRAIT_BYTES, "The portrait's size in bytes")
        known = ", ".join(FRAME_ENCODINGS)
        _require(self.frame_encoding in FRAME_ENCODINGS, f"Frames should be encoded as one of {known}.")
        if self.frame_size is not None:
            _require_range(self.frame_size, 16, MAX_FRAME_SIDE, "The size of frames in pixels")
        _require_range(self.priority, -100, 100, "A shot's priority")


@dataclass(frozen=True)
class UploadPart:
    """A piece of a submitted file: which of UPLOADS, the offset of its first byte, at most PART_BYTES of data."""

    job: str
    upload: str
    offset: int
    data: bytes

    def __post_init__(self) -> None:
        _require_job(self.job)
        _require(self.upload in UPLOADS, f"An upload should be one of {', '.join(UPLOADS)}.")
        _require_range(self.offset, 0, MAX_AUDIO_BYTES, "An upload's offset")
        _require_range(len(self.data), 1, PART_BYTES, "The bytes of a part")


@dataclass(frozen=True)
class Accepted:
    """The shot has arrived whole; position: jobs that come before it, 0 when it starts at once."""

    job: str
    sequence: int
    position: int

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)


@dataclass(frozen=True)
class Queued:
    """A waiting job has moved up: position is the number of jobs before it."""

    job: str
    position: int

    def __post_init__(self) -> None:
        _require_job(self.job)


@dataclass(frozen=True)
class Progress:
    """How far a stage is: done of total (frames, where the stage goes by frames), and its frames per second or 0."""

    job: str
    stage: str
    done: int
    total: int
    frames_per_second: float = 0.0

    def __post_init__(self) -> None:
        _require_job(self.job)
        _require_text(self.stage, "A stage's name", 64)


@dataclass(frozen=True)
class Notice:
    """Something the user should know about the shot that is no error: several faces, no speech in the audio."""

    job: str
    sequence: int
    text: str

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)
        _require_text(self.text, "A notice")


@dataclass(frozen=True)
class Curves:
    """The animation curves of a job with their layers, phones and coefficients; they come before the first frame."""

    job: str
    sequence: int
    curves: AnimationCurves

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)


@dataclass(frozen=True)
class Frame:
    """One rendered picture: data is a JPEG file, or width * height * 3 bytes of RGB rows from the top."""

    job: str
    sequence: int
    index: int
    width: int
    height: int
    encoding: str
    data: bytes

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)
        _require_range(self.index, 0, 1 << 31, "A frame's index")
        _require_range(self.width, 1, MAX_FRAME_SIDE, "A frame's width")
        _require_range(self.height, 1, MAX_FRAME_SIDE, "A frame's height")
        _require(self.encoding in ("jpeg", "rgb"), "A frame should be encoded as jpeg or rgb.")
        if self.encoding == "rgb":
            wanted = self.width * self.height * 3
            _require(len(self.data) == wanted, f"A frame should have {wanted} bytes, got {len(self.data)}.")


@dataclass(frozen=True)
class VideoPart:
    """A piece of the finished MP4 file: its first byte's offset, the file's total size, at most PART_BYTES of data."""

    job: str
    sequence: int
    offset: int
    total: int
    data: bytes

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)
        _require_range(self.total, 1, MAX_VIDEO_BYTES, "The video's size in bytes")
        _require_range(len(self.data), 1, PART_BYTES, "The bytes of a part")
        _require_range(self.offset, 0, self.total - len(self.data), "A video part's offset")


@dataclass(frozen=True)
class Finished:
    """The job is done: frames rendered, and the seconds it took since it started."""

    job: str
    sequence: int
    n_frames: int
    seconds: float

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)


@dataclass(frozen=True)
class Failed:
    """The job ended without its result; reason is one sentence for the user."""

    job: str
    sequence: int
    reason: str

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)
        _require_text(self.reason, "A reason")


@dataclass(frozen=True)
class Cancelled:
    """The job was cancelled and has stopped."""

    job: str
    sequence: int

    def __post_init__(self) -> None:
        _require_kept(self.job, self.sequence)


@dataclass(frozen=True)
class Cancel:
    """Stop this job, waiting or running."""

    job: str

    def __post_init__(self) -> None:
        _require_job(self.job)


@dataclass(frozen=True)
class Resume:
    """Send this job's kept messages after the sequence number `after` (NOT_KEPT: all), and go on with its news."""

    job: str
    after: int = NOT_KEPT

    def __post_init__(self) -> None:
        _require_kept(self.job, self.after)


@dataclass(frozen=True)
class Ping:
    """Are you there? stamp comes back in the Pong, seconds of the sender's own clock."""

    stamp: float


@dataclass(frozen=True)
class Pong:
    """Here, with the Ping's stamp."""

    stamp: float


@dataclass(frozen=True)
class StatusRequest:
    """Asks for Status."""


@dataclass(frozen=True)
class JobSummary:
    """One job of a Status: its state (of JOB_STATES), the stage and how far it is, and its result's size in bytes."""

    job: str
    state: str
    stage: str
    done: int
    total: int
    position: int
    kept_bytes: int


@dataclass(frozen=True)
class Status:
    """The backend at this moment: seconds since its start, device, its workers' process ids, clients and jobs."""

    seconds: float
    device: str
    workers: tuple[int, ...]
    n_clients: int
    n_queued: int
    n_running: int
    kept_bytes: int
    jobs: tuple[JobSummary, ...] = ()


# Only these cross the wire, by these names.
MESSAGES = {
    "hello": Hello,
    "welcome": Welcome,
    "refused": Refused,
    "submit": Submit,
    "upload": UploadPart,
    "accepted": Accepted,
    "queued": Queued,
    "progress": Progress,
    "notice": Notice,
    "curves": Curves,
    "frame": Frame,
    "video": VideoPart,
    "finished": Finished,
    "failed": Failed,
    "cancelled": Cancelled,
    "cancel": Cancel,
    "resume": Resume,
    "ping": Ping,
    "pong": Pong,
    "status?": StatusRequest,
    "status": Status,
}

TERMINAL = (Finished, Failed, Cancelled)
