"""How long each stage of a shot takes on this machine, beside a baseline that encodes the still photo.

python -m backend.evaluation.speed [--seconds 8] [--sizes 256 512]
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.commands.demo import EMOTION, SENTENCE
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EmotionTrack

if TYPE_CHECKING:
    from backend.portrait.refine import Predict


def timed(work: Callable[[], object]) -> tuple[object, float]:
    """The result of work and the seconds that it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def processor_name() -> str:
    """The processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


def hardware_name(device: str) -> str:
    """The processor, and the GPU where pixels are moved on one."""
    if device == "cpu":
        return processor_name()
    import torch

    return f"{processor_name()}, {torch.cuda.get_device_name(device)}"


def measure(
    seconds: float, size: int, *, device: str = "cpu", refiner: tuple[Predict, int] | None = None
) -> dict[str, float]:
    """Seconds of each stage of a shot at a size (shorter side, pixels), networks warm; and frames per second.

    device: where pixels are moved; refiner: as WarpRenderer takes it.
    """
    from skimage import data

    from backend.audio.waveform import load_waveform
    from backend.curves.convert import curves_from_performance
    from backend.inference.performance import perform
    from backend.native_logs import held_back
    from backend.pipeline import articulate, make_coefficients
    from backend.portrait.analysis import analyse_portrait
    from backend.portrait.renderer import WarpRenderer

    options = ShotOptions(size=size, end=seconds)
    waveform, listening = timed(lambda: load_waveform(SENTENCE, end=seconds))
    articulate(waveform, options.frame_rate)  # loads the network
    articulation, speech = timed(lambda: articulate(waveform, options.frame_rate))
    emotion = EmotionTrack.parse(EMOTION).sample(options.frame_rate, len(articulation.weights))
    with held_back():
        analyse_portrait(data.astronaut())  # loads the landmark models
        portrait, reading = timed(lambda: analyse_portrait(data.astronaut()))
    performance, performing = timed(lambda: perform(articulation, emotion, options=options))
    coefficients = make_coefficients(performance, portrait)
    _, curving = timed(lambda: curves_from_performance(performance, coefficients, articulation.phones))
    renderer, preparing = timed(lambda: WarpRenderer(portrait, size=size, device=device, refiner=refiner))
    renderer.render(coefficients, 0)  # compiles what is compiled at first use
    frames, rendering = timed(lambda: list(renderer.frames(coefficients)))
    _, encoding = timed(lambda: _encode(frames, seconds))
    _, still = timed(lambda: _encode([frames[0]] * len(frames), seconds))
    stages = {
        "read sound": listening,
        "speech to lips": speech,
        "emotion, blinks, head": performing,
        "curves": curving,
        "read portrait": reading,
        "prepare renderer": preparing,
        "render and refine frames": rendering,
        "encode video": encoding,
    }
    _whole_shot(ShotOptions(size=size, end=1.0), device)  # loads and compiles what is used first
    whole = _whole_shot(options, device)
    return stages | {
        "whole shot, encoded beside rendering, marked, signed": whole,
        "frames per second, whole shot": len(frames) / whole,
        "frames per second, rendering and refining": len(frames) / rendering,
        "speech, times real time": seconds / speech,
        "baseline: still photo encoded": still,
    }


def _whole_shot(options: ShotOptions, device: str) -> float:
    """Seconds from files to the finished video by the pipeline itself: a portrait it has not seen, loaded networks."""
    import cv2
    from skimage import data

    from backend.pipeline import Shot, run_shot

    portrait = cv2.imencode(".png", np.ascontiguousarray(data.astronaut()[:, ::-1, ::-1]))[1].tobytes()
    shot = Shot(portrait, SENTENCE, EmotionTrack.parse(EMOTION), options, device=device)
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda: run_shot(shot, _Silent(), video_path=Path(folder) / "video.mp4"))[1]


class _Silent:
    """A sink that keeps nothing."""

    def progress(self, stage: str, done: int, total: int) -> None: ...
    def notice(self, text: str) -> None: ...
    def curves(self, curves: object) -> None: ...
    def frame(self, index: int, image: np.ndarray) -> None: ...
    def video(self, path: Path) -> None: ...
    def cancelled(self) -> bool:
        return False


def measure_face_model(n_frames: int = 1500) -> dict[str, float]:
    """Seconds that the embedded head's vertices and its solve to ARKit's channels take for so many frames."""
    from bfm.channel_sets import channel_set
    from bfm.coefficients import FULL_ACTIVATION_SD, IDENTITY_DIMS
    from bfm.retarget import to_channels
    from bfm.sources.embedded import load_embedded_model

    model = load_embedded_model()
    random = np.random.default_rng(0)
    keys = random.random((n_frames // 10 + 1, len(model.expression_names))) ** 4
    weights = np.stack([np.interp(np.arange(n_frames) / 10, np.arange(len(keys)), key) for key in keys.T], axis=1)
    expression = (weights * FULL_ACTIVATION_SD).astype(np.float32)
    identity = np.zeros(IDENTITY_DIMS, np.float32)

    def vertices() -> None:
        for part in np.array_split(expression, max(1, n_frames // 100)):
            model.vertices(identity, part)

    return {
        f"{n_frames} frames of {model.n_vertices} vertices": timed(vertices)[1],
        f"{n_frames} frames solved to ARKit's channels": timed(
            lambda: to_channels(model, weights.astype(np.float32), channel_set("arkit"))
        )[1],
    }


def measure_curves(seconds: float = 60.0) -> dict[str, float]:
    """How many times faster than real time so many seconds of emotional speech become curves, by what is slowest."""
    from backend.audio.waveform import load_waveform
    from backend.curves.convert import curves_from_performance
    from backend.inference.performance import perform
    from backend.pipeline import articulate, make_coefficients
    from blender_addon.protocol.types import Waveform

    sentence, options = load_waveform(SENTENCE), ShotOptions()
    minute = Waveform(np.resize(sentence.samples, round(seconds * sentence.sample_rate)), sentence.sample_rate)
    articulate(sentence, options.frame_rate)  # loads what hears
    articulation, hearing = timed(lambda: articulate(minute, options.frame_rate))
    emotion = EmotionTrack.parse(EMOTION).sample(options.frame_rate, len(articulation.weights))

    def acting() -> None:
        performance = perform(articulation, emotion, options=options)
        curves_from_performance(performance, make_coefficients(performance, None), articulation.phones)

    acting()  # loads what acts
    taken = timed(acting)[1]
    named = {"sound to lips": hearing, "lips to the whole face's curves": taken, "sound to curves": hearing + taken}
    return {f"{what}, times real time": seconds / spent for what, spent in named.items()}


def _encode(frames: list[np.ndarray], seconds: float) -> None:
    """Writes frames to a temporary video with the demonstration's sound."""
    from backend.video import VideoWriter

    height, width = frames[0].shape[:2]
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoWriter(
            Path(folder) / "video.mp4", width=width, height=height, frame_rate=25.0, audio=SENTENCE, end=seconds
        ) as writer,
    ):
        for frame in frames:
            writer.write(frame)


def report(seconds: float, sizes: tuple[int, ...], *, device: str = "cpu", refiner: Path | None = None) -> None:
    """Prints the table of stages of a shot so many seconds long, a column for each size in pixels.

    device: "cpu" or "cuda"; refiner: weights in place of the shipped ones; a whole shot always has those. Raises
    InputError for absent devices.
    """
    from backend.portrait.refiner_network import load_refiner, shipped_refiner

    network = shipped_refiner(device) if refiner is None else load_refiner(refiner, device=device)
    columns = {size: measure(seconds, size, device=device, refiner=network) for size in sizes}
    table = Table(title=f"{seconds:g} s of speech at 25 frames per second on {hardware_name(device)}")
    table.add_column("stage, seconds unless it says otherwise")
    for size in columns:
        table.add_column(f"{size} px", justify="right")
    for stage in columns[sizes[0]]:
        table.add_row(stage, *(f"{columns[size][stage]:.2f}" for size in columns))
    console = Console()
    console.print(table)
    for what, factor in measure_curves().items():
        console.print(f"a minute of speech, {what}: {factor:.0f}")
    for what, taken in measure_face_model().items():
        console.print(f"{what}: {taken:.2f} s")
