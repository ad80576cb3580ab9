"""How long each format of curves takes to write and to read back, and how large it gets."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.commands.demo import EMOTION, SENTENCE
from backend.evaluation.speed import processor_name, timed
from backend.export.formats import FORMATS, read_curves, write_curves
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack, Phone

RATE = 60.0


def long_performance(minutes: float) -> AnimationCurves:
    """The shipped sentence at 60 frames per second, said again and again."""
    from backend.audio.waveform import load_waveform
    from backend.curves.convert import curves_from_performance
    from backend.curves.resample import sampled_at
    from backend.inference.performance import perform
    from backend.pipeline import articulate, make_coefficients
    from blender_addon.protocol.options import ShotOptions

    options = ShotOptions(frame_rate=RATE)
    articulation = articulate(load_waveform(SENTENCE), RATE)
    emotion = EmotionTrack.parse(EMOTION).sample(RATE, len(articulation.weights))
    performance = perform(articulation, emotion, options=options)
    once = curves_from_performance(performance, make_coefficients(performance, None), articulation.phones)
    n_frames = round(minutes * 60 * RATE)
    length = once.n_frames / RATE
    phones = tuple(
        Phone(p.start + i * length, p.end + i * length, p.label)
        for i in range(-(-n_frames // once.n_frames))
        for p in once.phones
        if p.end + i * length <= n_frames / RATE
    )
    return replace(sampled_at(once, np.resize(np.arange(once.n_frames), n_frames).astype(float)), phones=phones)


def report(minutes: float) -> None:
    """Prints a line per format."""
    curves = long_performance(minutes)
    table = Table(title=f"{minutes:g} minutes at {RATE:g} frames per second on {processor_name()}")
    for column in ("format", "written, s", "of the processor", "read, s", "MB"):
        table.add_column(column, justify="left" if column == "format" else "right")
    with tempfile.TemporaryDirectory() as folder:
        for name, item in FORMATS.items():
            path = Path(folder) / f"Shot_1_{name}{item.suffixes[0] if item.suffixes else '.csv'}"
            busy = time.process_time()
            _, writing = timed(lambda: write_curves(curves, path, name=name, options=ExportOptions()))  # noqa: B023
            busy = time.process_time() - busy
            reader = name if name != "godot3" else "godot"
            _, reading = timed(lambda: read_curves(path, name=reader))  # noqa: B023
            table.add_row(name, f"{writing:.2f}", f"{busy:.2f}", f"{reading:.2f}", f"{path.stat().st_size / 1e6:.1f}")
            path.unlink()
    Console().print(table)
