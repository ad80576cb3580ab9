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
from typing import TYPE_CHECKING

import msgpack
import numpy as np
import zmq

from backend.errors import InputError, NoFaceError
from backend.inference.memory import Memory
from backend.service.job_sink import JobSink
from backend.service.jobs import read_request, upload_path
from blender_addon.protocol.messages import UPLOADS, Submit
from blender_addon.protocol.options import EXPORTS, ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

if TYPE_CHECKING:
    from backend.inference.emotion_video import EmotionVideo

SPEECH_RATE = 16000
KEPT_BYTES = 256 << 20  # of what the latest recordings gave: an hour and a half of speech

log = logging.getLogger(__name__)
_memory = Memory(KEPT_BYTES)  # a seed, a phone or an emotion that changes is a small job then


@dataclass(frozen=True)
class JobRequest:
    """A shot for the job function: files by path, None for a portrait that was not sent; folder is for its own use.

    export: the format in which the curves are wanted as a file, empty for a shot. is_still: frames without a video.
    """

    portrait: Path | None
    audio: Path
    emotion: EmotionTrack | EmotionVideo
    options: ShotOptions
    curves: AnimationCurves | None
    folder: Path
    export: str = ""
    is_still: bool = False


def render_request(request: JobRequest, sink: JobSink) -> None:
    """The job function of the service: predicts and renders a shot, or renders curves that were edited."""
    from backend.pipeline import Shot, rerender, run_shot, still

    if request.export:
        from backend.export.formats import write_curves
        from backend.export.options import ExportOptions

        if request.curves is None:
            raise InputError("An export needs the curves to write: animate the shot first.")
        place = request.folder / f"curves{EXPORTS[request.export][0]}"
        advice = write_curves(request.curves, place, name=request.export, options=ExportOptions())
        if advice:
            sink.notice(advice)
        sink.video(place)
        return
    if request.is_still and request.curves is None:
        raise InputError("Frames without a video need the curves that they show: animate the shot first.")
    video_path = request.folder / "video.mp4"
    if request.curves is None:
        shot = Shot(request.portrait, request.audio, request.emotion, request.options)
        run_shot(shot, sink, video_path=video_path, memory=_memory)
        return
    if request.portrait is None:
        raise InputError("Rendering edited curves needs a portrait: choose the one they were made with.")
    given = (request.portrait, request.curves, request.audio)
    if request.is_still:
        still(*given, options=request.options, sink=sink)
        return
    rerender(*given, options=request.options, sink=sink, video_path=video_path)


def prepare() -> None:
    """Loads what every shot needs, by a second of noise and a grey picture, while nobody waits for it."""
    import backend.portrait.renderer
    import backend.video  # noqa: F401 these are imported for what they import
    from backend.curves.convert import curves_from_performance
    from backend.inference.performance import perform
    from backend.native_logs import held_back
    from backend.pipeline import articulate, make_coefficients
    from backend.portrait.analysis import analyse_portrait
    from blender_addon.protocol.types import Waveform

    with contextlib.suppress(NoFaceError), held_back():
        analyse_portrait(np.full((256, 256, 3), 128, np.uint8))
    noise = 0.1 * np.random.default_rng(0).standard_normal(SPEECH_RATE).clip(-3.0, 3.0)
    articulation = articulate(Waveform(noise.astype(np.float32), SPEECH_RATE), 25.0)
    emotion = EmotionTrack.parse("happy:0.5").sample(25.0, len(articulation.weights))
    performance = perform(articulation, emotion, options=ShotOptions(frame_rate=25.0))
    curves_from_performance(performance, make_coefficients(performance, None), articulation.phones)


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
        except OSError as error:
            # A cancelled job's files go away at once, under a job that still reads them.
            if job not in self._cancelled:
                log.exception("job %s stopped", job)
            outcome = "failed"
            reason = f"The backend could not read or write a file ({error.strerror or type(error).__name__})."
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
    emotion = request.emotion
    if request.performance_size:
        from backend.inference.emotion_video import EmotionVideo

        emotion = EmotionVideo(upload_path(folder, request, "performance"))
    options, curves = request.options, request.curves
    return JobRequest(portrait, audio, emotion, options, curves, folder, request.export, request.is_still)


def _in_clients_words(sentence: str, request: Submit, folder: Path) -> str:
    """An error's sentence with the client's names of its files in place of our paths."""
    for upload in UPLOADS:
        name = getattr(request, f"{upload}_name")
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
