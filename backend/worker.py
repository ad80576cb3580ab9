"""The process that makes the shots of the service: one at a time, models loaded once, results written as messages.

Orders come on standard input, one JSON object a line; the end of it means that the service is gone, and so is this
process then. A result is appended to the job's message log, and a note of it sent to the service.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np
import zmq

from backend.errors import InputError, NoFaceError
from backend.jobs import LOG_NAME, read_request, upload_path
from blender_addon.protocol.codec import encode
from blender_addon.protocol.messages import (
    MAX_TEXT,
    MAX_VIDEO_BYTES,
    PART_BYTES,
    Curves,
    Frame,
    Notice,
    Submit,
    VideoPart,
)
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

JPEG_QUALITY = 92
PROGRESS_SECONDS = 0.1
SPEECH_RATE = 16000
MAX_FRAMES_BYTES = 4 << 30  # of one job's kept frames; the video holds them all

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRequest:
    """A shot for the job function: files by path, None for a portrait that was not sent; folder is for its own use."""

    portrait: Path | None
    audio: Path
    emotion: EmotionTrack
    options: ShotOptions
    curves: AnimationCurves | None
    folder: Path


class JobSink:
    """Takes a shot's results as they come and keeps them as messages; the pipeline's ShotSink."""

    def __init__(
        self,
        request: Submit,
        folder: Path,
        *,
        sequence: int,
        note: Callable[..., None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._request, self._note, self._is_cancelled = request, note, is_cancelled
        self._sequence = sequence
        self._log = open(folder / LOG_NAME, "ab")  # noqa: SIM115 closed with the job
        self._frames_bytes = 0
        self._stage, self._stage_start, self._last_progress = "", 0.0, 0.0
        self.n_frames = 0

    def close(self) -> None:
        """Closes the message log."""
        self._log.close()

    def cancelled(self) -> bool:
        """Whether the client wants the job to stop."""
        return self._is_cancelled()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tells how far a stage is, ten times a second at most."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_start, self._last_progress = stage, now, 0.0
        if done < total and now - self._last_progress < PROGRESS_SECONDS:
            return
        self._last_progress = now
        elapsed = now - self._stage_start
        rate = done / elapsed if done > 1 and elapsed > 0 else 0.0
        self._note("progress", stage=stage, done=int(done), total=int(total), rate=rate)

    def notice(self, text: str) -> None:
        """Keeps a sentence for the user."""
        self._keep(Notice(self._request.job, self._sequence, text[:MAX_TEXT]))

    def curves(self, curves: AnimationCurves) -> None:
        """Keeps the curves."""
        self._keep(Curves(self._request.job, self._sequence, curves))

    def frame(self, index: int, image: np.ndarray) -> None:
        """Keeps a frame, image (H, W, 3) uint8 RGB, in the size and encoding that the client asked for."""
        self.n_frames += 1
        if self._request.frame_encoding == "none" or self._frames_bytes > MAX_FRAMES_BYTES:
            return
        picture = _resized(image, self._request.frame_size)
        data = _jpeg(picture) if self._request.frame_encoding == "jpeg" else picture.tobytes()
        height, width = picture.shape[:2]
        self._frames_bytes += len(data)
        encoding = self._request.frame_encoding
        self._keep(Frame(self._request.job, self._sequence, index, width, height, encoding, data))

    def video(self, path: Path) -> None:
        """Keeps the video file in parts."""
        total = os.path.getsize(path)
        if total > MAX_VIDEO_BYTES:
            raise InputError(f"The video has {total >> 20} MiB and at most {MAX_VIDEO_BYTES >> 20} can be sent.")
        with open(path, "rb") as file:
            for offset in range(0, total, PART_BYTES):
                self._keep(VideoPart(self._request.job, self._sequence, offset, total, file.read(PART_BYTES)))

    def _keep(self, message: object) -> None:
        parts = encode(message)
        for part in parts:
            self._log.write(part)
        self._log.flush()
        self._note("kept", sizes=[len(part) for part in parts])
        self._sequence += 1


def _resized(image: np.ndarray, shorter_side: int | None) -> np.ndarray:
    if shorter_side is None or shorter_side >= min(image.shape[:2]):
        return np.ascontiguousarray(image)
    import cv2

    scale = shorter_side / min(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _jpeg(image: np.ndarray) -> bytes:
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def render_request(request: JobRequest, sink: JobSink) -> None:
    """The job function of the service: predicts and renders a shot, or renders curves that were edited."""
    from backend.pipeline import Shot, rerender, run_shot

    video_path = request.folder / "video.mp4"
    if request.curves is None:
        shot = Shot(request.portrait, request.audio, request.emotion, request.options)
        run_shot(shot, sink, video_path=video_path)
        return
    if request.portrait is None:
        raise InputError("Rendering edited curves needs a portrait: choose the one they were made with.")
    rerender(request.portrait, request.curves, request.audio, options=request.options, sink=sink, video_path=video_path)


def prepare() -> None:
    """Loads what every shot needs, by a second of silence and a grey picture, while nobody waits for it."""
    import backend.curves.convert
    import backend.inference.performance
    import backend.portrait.renderer
    import backend.video  # noqa: F401 these are imported for what they import
    from backend.pipeline import articulate
    from backend.portrait.analysis import analyse_portrait
    from blender_addon.protocol.types import Waveform

    with contextlib.suppress(NoFaceError):
        analyse_portrait(np.full((256, 256, 3), 128, np.uint8))
    articulate(Waveform(np.zeros(SPEECH_RATE, np.float32), SPEECH_RATE), 25.0)


class Worker:
    """Runs the ordered jobs on the main thread while another thread listens for orders."""

    def __init__(self, setup: dict) -> None:
        self._secret = bytes.fromhex(setup["secret"])
        self._notes = zmq.Context.instance().socket(zmq.PUSH)
        self._notes.setsockopt(zmq.LINGER, 500)
        self._notes.setsockopt(zmq.SNDHWM, 0)
        self._notes.connect(setup["notes"])
        self._function, self._prepare = load_job_function(setup["job_function"])
        self._orders: queue.Queue[dict] = queue.Queue()
        self._cancelled: set[str] = set()

    def listen(self) -> None:
        """Reads orders until the service closes the pipe; then nobody wants the work any more and the process ends."""
        for line in sys.stdin:
            order = json.loads(line)
            if "cancel" in order:
                self._cancelled.add(order["cancel"])
            else:
                self._orders.put(order)
        os._exit(0)

    def work(self) -> None:
        """Takes orders one after the other, for ever."""
        try:
            self._prepare()
        except Exception:
            log.exception("the worker could not prepare itself; a job will say why")
        self._note("ready", job="")
        while True:
            order = self._orders.get()
            self._run(order["job"], Path(order["folder"]), order["sequence"])

    def _run(self, job: str, folder: Path, sequence: int) -> None:
        started = time.monotonic()
        request = read_request(folder)
        sink = JobSink(
            request,
            folder,
            sequence=sequence,
            note=lambda kind, **fields: self._note(kind, job=job, **fields),
            is_cancelled=lambda: job in self._cancelled,
        )
        tempfile.tempdir = str(folder)
        outcome, reason = "finished", ""
        try:
            self._function(_job_request(request, folder), sink)
        except InputError as error:
            outcome, reason = "failed", _in_clients_words(str(error), request, folder)
        except MemoryError:
            outcome, reason = "failed", "The backend ran out of memory: try a smaller size or a shorter recording."
        except Exception as error:
            if job not in self._cancelled:
                log.exception("job %s stopped", job)
            outcome = "failed"
            reason = f"The shot stopped with an unexpected error ({type(error).__name__}); the backend's log says more."
        finally:
            sink.close()
        if job in self._cancelled:
            outcome = "cancelled"
            self._cancelled.discard(job)
        seconds = time.monotonic() - started
        self._note("done", job=job, outcome=outcome, reason=reason, n_frames=sink.n_frames, seconds=seconds)

    def _note(self, kind: str, **fields) -> None:
        self._notes.send_multipart([self._secret, msgpack.packb({"note": kind, **fields})])


def _job_request(request: Submit, folder: Path) -> JobRequest:
    portrait = upload_path(folder, request, "portrait") if request.portrait_size else None
    audio = upload_path(folder, request, "audio")
    return JobRequest(portrait, audio, request.emotion, request.options, request.curves, folder)


def _in_clients_words(sentence: str, request: Submit, folder: Path) -> str:
    """An error's sentence with the client's names of its files in place of our paths."""
    for upload, name in (("audio", request.audio_name), ("portrait", request.portrait_name)):
        sentence = sentence.replace(str(upload_path(folder, request, upload)), name or f"the {upload}")
    return sentence


def load_job_function(dotted_name: str) -> tuple[Callable[[JobRequest, JobSink], None], Callable[[], None]]:
    """The function 'package.module:name' that makes a job's results, and its module's prepare()."""
    module_name, _, name = dotted_name.partition(":")
    module = importlib.import_module(module_name)
    return getattr(module, name), module.prepare


def main() -> None:
    """Reads the setup from the first line of standard input and works until that input ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the service's to handle
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    worker = Worker(json.loads(sys.stdin.readline()))
    threading.Thread(target=worker.listen, daemon=True).start()
    worker.work()


if __name__ == "__main__":
    main()
