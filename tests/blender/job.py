"""A quick job function for the tests of the add-on: known curves, small frames, a true video with sound."""

from __future__ import annotations

import time

import numpy as np
from known_curves import known_curves

from backend.errors import InputError
from backend.service.worker import render_request
from backend.video import VideoWriter

WIDTH, HEIGHT = 96, 128


def prepare() -> None:
    """Nothing to load."""


def make(request, sink) -> None:
    """Curves, frames and video; an intensity that rises makes frames brighter; seed 99 takes its time."""
    options = request.options
    if request.export:
        render_request(request, sink)
        return
    sink.progress("speech to lips", 0, 0)
    if request.audio.read_bytes().startswith(b"not sound"):
        raise InputError("The audio is not speech: give a recording.")
    curves = request.curves or known_curves(options.frame_rate)
    sink.curves(curves)
    if request.portrait is None:
        return
    video = request.folder / "video.mp4"
    n_frames = curves.n_frames
    felt = request.emotion.sample(options.frame_rate, n_frames).sum(axis=1)
    with VideoWriter(
        video,
        width=WIDTH,
        height=HEIGHT,
        frame_rate=options.frame_rate,
        audio=request.audio,
        end=max(n_frames / options.frame_rate, 0.4),
    ) as writer:
        for index in range(n_frames):
            picture = np.full((HEIGHT, WIDTH, 3), (60, 40 + 180 * felt[index], 90), np.uint8)
            writer.write(picture)
            sink.frame(index, picture)
            sink.progress("rendering", index + 1, n_frames)
            if options.seed == 99:
                time.sleep(0.05)
            if sink.cancelled():
                return
    sink.video(video)
