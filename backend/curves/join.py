"""Performances one after the other, without a jump where they meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.curves.resample import between, resampled
from backend.errors import InputError
from blender_addon.protocol.types import AnimationCurves, Phone

TURNS = ("head_rotation", "left_eye", "right_eye")


def joined(first: AnimationCurves, second: AnimationCurves, *, blend: float = 0.25) -> AnimationCurves:
    """The first performance, then the second from the frame after it; the seam fades over blend seconds on each side.

    Both keep their timing: what differs at the seam is added as an offset that dies out smoothly, half on each side.
    The second is resampled to the first's rate. Layers and coefficients are dropped, phones kept.
    Raises InputError where the channels differ.
    """
    if set(first.names) != set(second.names):
        lacking = sorted(set(first.names) ^ set(second.names))[0]
        raise InputError(f"Only one of the two performances has the channel '{lacking}': give both the same channels.")
    if not blend >= 0:
        raise InputError(f"The blend should be 0 s or more, got {blend:g}.")
    second = resampled(second, first.frame_rate)
    order = [second.names.index(name) for name in first.names]
    weights = second.weights[:, order]
    fade_out = _fade(first.n_frames, blend * first.frame_rate)[::-1]
    fade_in = _fade(second.n_frames, blend * first.frame_rate)
    middle = 0.5 * (first.weights[-1] + weights[0])
    left = first.weights + fade_out[:, None] * (middle - first.weights[-1])
    right = weights + fade_in[:, None] * (middle - weights[0])
    duration = first.n_frames / first.frame_rate
    phones = tuple(Phone(p.start + duration, p.end + duration, p.label) for p in second.phones)
    return replace(
        first,
        weights=np.clip(np.concatenate([left, right]), 0.0, 1.0),
        **{turn: _turns(getattr(first, turn), getattr(second, turn), fade_out, fade_in) for turn in TURNS},
        layers={},
        phones=first.phones + phones,
        coefficients=None,
    )


def _fade(n_frames: int, length: float) -> np.ndarray:
    """(n_frames,) from 1 at frame 0 to 0 after length frames, level at both ends."""
    share = np.clip(np.arange(n_frames) / max(length, 1e-9), 0.0, 1.0) if length > 0 else np.ones(n_frames)
    return (1.0 - share * share * (3.0 - 2.0 * share)).astype(np.float32)


def _turns(first: np.ndarray, second: np.ndarray, fade_out: np.ndarray, fade_in: np.ndarray) -> np.ndarray:
    """Quaternions of both parts, each turned towards the middle of the seam as its fade says."""
    from scipy.spatial.transform import Rotation

    middle = between(first[-1:], second[:1], np.array([0.5], np.float32))
    parts = []
    for part, end, fade in ((first, first[-1], fade_out), (second, second[0], fade_in)):
        change = Rotation.from_quat(middle[0, [1, 2, 3, 0]]) * Rotation.from_quat(end[[1, 2, 3, 0]]).inv()
        steps = Rotation.from_rotvec(fade[:, None] * change.as_rotvec())
        parts.append((steps * Rotation.from_quat(part[:, [1, 2, 3, 0]])).as_quat()[:, [3, 0, 1, 2]])
    return np.concatenate(parts).astype(np.float32)
