"""Curves from what a file holds: channels by name, rotations where it has them, samples at any times."""

from __future__ import annotations

import numpy as np

from backend.errors import InputError
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, channel_subset, rest_rotations

# Rates that cameras and engines run at; a measured rate this near to one of them is that one.
COMMON_RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0, 24000 / 1001, 30000 / 1001, 60000 / 1001)
RATE_TOLERANCE = 2e-4  # relative; 24 and 23.976 lie 1e-3 apart
EVEN_TOLERANCE = 0.05  # of a frame; further off the even grid the samples are interpolated onto it
MAX_FRAMES = 2_000_000


def assembled(
    names: tuple[str, ...], weights: np.ndarray, frame_rate: float, *, head: np.ndarray | None = None,
    left_eye: np.ndarray | None = None, right_eye: np.ndarray | None = None,
) -> AnimationCurves:  # fmt: skip
    """Curves of weights (n_frames, n_channels); a missing head is at rest, missing eyes follow the eyeLook channels."""
    n_frames = len(weights)
    if n_frames == 0:
        raise InputError("These curves are empty: expected at least one frame.")
    if left_eye is None or right_eye is None:
        from blender_addon.protocol.layers import eye_rotations

        left_eye, right_eye = eye_rotations(channel_subset(names, np.asarray(weights, np.float32), ARKIT_NAMES))
    return AnimationCurves(
        names=names,
        weights=weights,
        frame_rate=frame_rate,
        head_rotation=rest_rotations(n_frames) if head is None else head,
        left_eye=left_eye,
        right_eye=right_eye,
    )


def rate_of_times(times: np.ndarray) -> float:
    """Frames per second of sample times (n,) s. Raises InputError where they do not rise from 0 or later."""
    if len(times) and times[0] < 0:
        raise InputError(f"Times should start at 0 s or later, got {times[0]:g} s.")
    steps = np.diff(times)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise InputError(f"Times should rise from frame to frame, got {times[row]:g} s after {times[row - 1]:g} s.")
    if len(times) < 2:
        return 60.0
    # Dropped frames lengthen single steps; the mean over the ordinary ones is finer than their median.
    usual = steps[np.abs(steps - np.median(steps)) < 0.5 * np.median(steps)]
    rate = 1.0 / float(usual.mean())
    nearest = min(COMMON_RATES, key=lambda common: abs(common - rate))
    return nearest if abs(nearest - rate) < RATE_TOLERANCE * rate else rate


def on_even_grid(times: np.ndarray, values: np.ndarray, frame_rate: float) -> np.ndarray:
    """Values (n, n_columns) at uneven times (n,) s, interpolated at 0, 1 / rate, … from the first; as they are if even.

    Raises InputError where the times span more frames than any performance has.
    """
    from_start = times - times[0]
    if np.abs(from_start * frame_rate - np.arange(len(times))).max(initial=0.0) <= EVEN_TOLERANCE:
        return values
    n_frames = round(float(from_start[-1] * frame_rate)) + 1
    if n_frames > MAX_FRAMES:
        raise InputError(f"The samples span {from_start[-1]:g} s, over {MAX_FRAMES} frames: cut the file.")
    grid = np.arange(n_frames) / frame_rate
    return np.stack([np.interp(grid, from_start, column) for column in values.T], axis=1)
