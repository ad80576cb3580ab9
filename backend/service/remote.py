"""Runs a shot on a backend over the wire, with the same sink and result as a shot that runs here."""

from __future__ import annotations

from pathlib import Path

from backend.curves.convert import coefficients_from_curves
from backend.errors import AudioError, InputError, PortraitError
from backend.pipeline import CancelledError, Shot, ShotResult, ShotSink
from blender_addon.client import Client, Video
from blender_addon.protocol.messages import Cancelled, Curves, Failed, Notice, Progress, Queued
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

LOCAL = "local"


def run_remote_shot(shot: Shot, sink: ShotSink, *, address: str, video_path: Path) -> ShotResult:
    """Hands a shot to the backend at address ('local': the one that runs for this user) and writes its video.

    Raises InputError for what the user must mend, BackendUnavailableError where no backend answers.
    """
    if not isinstance(shot.emotion, EmotionTrack):
        raise InputError("An emotion video is tracked on this machine only: leave out --backend, or give keyframes.")
    audio = _read(shot.audio, AudioError, "audio")
    portrait = None if shot.portrait is None else _read(shot.portrait, PortraitError, "portrait")
    with Client(None if address == LOCAL else address) as client:
        client.connect()
        job = client.submit(
            audio,
            audio_name=_name(shot.audio),
            portrait=portrait,
            portrait_name=_name(shot.portrait),
            emotion=shot.emotion,
            options=shot.options,
            frame_encoding="none",
        )
        try:
            curves, notices = _collect(client, job, sink, video_path)
        except BaseException:
            client.cancel(job)
            raise
    return ShotResult(coefficients_from_curves(curves), curves, notices)


def report_status(address: str) -> None:
    """Prints what the backend at address is doing. Raises BackendUnavailableError where none answers."""
    with Client(None if address == LOCAL else address) as client:
        client.connect()
        status = client.status()
    print(
        f"up {status.seconds:.0f} s on {status.device}: {status.n_running} running, {status.n_queued} waiting, "
        f"{status.n_clients} clients, {status.kept_bytes / (1 << 20):.1f} MiB of results kept"
    )
    for job in status.jobs:
        stage = f", {job.stage} {job.done}/{job.total}" if job.state == "running" else ""
        place = f", place {job.position}" if job.state == "queued" else ""
        print(f"  {job.job}  {job.state}{stage}{place}")


def _collect(client: Client, job: str, sink: ShotSink, video_path: Path) -> tuple[AnimationCurves, tuple[str, ...]]:
    """The curves and notices of a job while its video is written to video_path."""
    curves, notices = None, []
    partial = video_path.with_name(f".{video_path.name}.part")
    with partial.open("wb") as file:
        for message in client.wait(job):
            if sink.cancelled():
                raise CancelledError
            match message:
                case Progress():
                    sink.progress(message.stage, message.done, message.total)
                case Queued():
                    sink.progress(f"waiting, {message.position} before", 0, 0)
                case Notice():
                    notices.append(message.text)
                    sink.notice(message.text)
                case Curves():
                    curves = message.curves
                    sink.curves(curves)
                case Video():
                    file.write(message.data)
                case Failed():
                    raise InputError(message.reason)
                case Cancelled():
                    raise CancelledError
    if curves is None:
        raise InputError("The backend ended the job without curves: see its log.")
    if partial.stat().st_size:
        partial.replace(video_path)
        sink.video(video_path)
    else:
        partial.unlink()
    return curves, tuple(notices)


def _name(source: Path | bytes | None) -> str:
    return source.name if isinstance(source, Path) else ""


def _read(source: Path | bytes, error_type: type[InputError], what: str) -> bytes:
    """The bytes of an input. Raises error_type where the file cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise error_type(f"Cannot read the {what} '{source}' ({error.strerror}): give the path of a file.") from error
