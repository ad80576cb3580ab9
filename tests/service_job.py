"""Job functions for the tests of the service: quick and exact, and as untidy as a test needs."""

from __future__ import annotations

import os
import time

import numpy as np

from backend.errors import InputError
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

N_FRAMES = 6
SIDE = 32


def prepare() -> None:
    """Nothing needs to be loaded."""


def picture(index: int) -> np.ndarray:
    """Frame number index (32, 48, 3) uint8: a ramp that moves."""
    ramp = (np.arange(SIDE * 48 * 3).reshape(SIDE, 48, 3) + 7 * index) % 256
    return ramp.astype(np.uint8)


def curves_for(audio: bytes, *, n_frames: int = N_FRAMES) -> AnimationCurves:
    """Curves that depend on the audio's bytes alone."""
    level = np.frombuffer(audio, np.uint8).mean() / 255.0
    weights = np.full((n_frames, len(ARKIT_NAMES)), level, np.float32)
    rest = rest_rotations(n_frames)
    return AnimationCurves(ARKIT_NAMES, weights, 25.0, rest, rest, rest, layers={"lips": weights})


def make(request, sink) -> None:
    """Curves of the audio, six frames, and a video that is the portrait's bytes 3 MB over."""
    sink.progress("speech to lips", 0, 0)
    sink.curves(curves_for(request.audio.read_bytes()))
    for index in range(N_FRAMES):
        if sink.cancelled():
            return
        sink.frame(index, picture(index))
        sink.progress("rendering", index + 1, N_FRAMES)
    if request.portrait is not None:
        video = request.folder / "video.mp4"
        video.write_bytes(request.portrait.read_bytes() * (3_000_000 // request.portrait.stat().st_size + 1))
        sink.video(video)


def make_slowly(request, sink) -> None:
    """Frames 20 ms apart for a minute, or until it is cancelled."""
    sink.curves(curves_for(request.audio.read_bytes()))
    for index in range(3000):
        if sink.cancelled():
            return
        time.sleep(0.02)
        sink.frame(index, picture(index))


def make_briefly(request, sink) -> None:
    """Curves after a quarter of a second."""
    time.sleep(0.25)
    sink.curves(curves_for(request.audio.read_bytes()))


def make_by_name(request, sink) -> None:
    """Does what the audio says, make() for any other speech.

    'stuck' never looks up, 'deaf' for a while, 'crash' dies, 'refuse' and 'break' raise.
    """
    order = request.audio.read_bytes()
    if order == b"stuck":
        while True:
            time.sleep(0.05)
    if order == b"deaf":
        time.sleep(0.8)
        return None
    if order == b"slow":
        return make_slowly(request, sink)
    if order == b"brief":
        return make_briefly(request, sink)
    if order == b"crash":
        os._exit(3)
    if order == b"refuse":
        raise InputError("The audio is not speech: give a recording.")
    if order == b"break":
        raise RuntimeError("a bug")
    return make(request, sink)
