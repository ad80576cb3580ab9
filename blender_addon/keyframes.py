"""Dense curves and sparse keyframes: which samples to keep so that straight lines between them stay within a bound."""

from __future__ import annotations

import numpy as np


def kept_samples(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Indices (n_kept,) of the samples whose straight-line interpolation stays within tolerance of values.

    values (n_samples,) or (n_samples, n_dims), evenly spaced; the bound holds for every dimension and sample. First
    and last are kept; flat stretches keep their two ends. Source: Ramer 1972, Douglas and Peucker 1973, with the
    error taken along the value axis.
    """
    table = np.asarray(values, np.float64)
    if table.ndim == 1:
        table = table[:, None]
    n_samples = len(table)
    kept = np.zeros(n_samples, bool)
    kept[[0, n_samples - 1]] = True
    spans = [(0, n_samples - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        share = (np.arange(first + 1, last) - first)[:, None] / (last - first)
        line = table[first] + share * (table[last] - table[first])
        error = np.abs(table[first + 1 : last] - line).max(axis=1)
        worst = int(error.argmax())
        if error[worst] > tolerance:
            middle = first + 1 + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return np.flatnonzero(kept)


def keyframe_table(frames: np.ndarray, values: np.ndarray, tolerance: float | None = None) -> np.ndarray:
    """Keyframes (n_keys, 2) float32 of frame and value; all samples where tolerance is None.

    frames, values (n_samples,): scene frames in order, and the curve's values there.
    """
    frames, values = np.asarray(frames, np.float32), np.asarray(values, np.float32)
    if tolerance is not None and len(values) > 2:
        kept = kept_samples(values, tolerance)
        frames, values = frames[kept], values[kept]
    return np.stack([frames, values], axis=1)


def scene_frames(n_frames: int, *, frame_rate: float, scene_rate: float, start_frame: float) -> np.ndarray:
    """Scene frames (n_frames,) float64 at which the samples of a curve at frame_rate per second fall."""
    return start_frame + np.arange(n_frames) * (scene_rate / frame_rate)


def seconds_at(frame: float, *, scene_rate: float, start_frame: float) -> float:
    """Seconds since the shot's first frame."""
    return (frame - start_frame) / scene_rate


def unbroken_quaternions(rotation: np.ndarray) -> np.ndarray:
    """The same rotations (n_frames, 4) w x y z with signs chosen so that neighbours lie close together."""
    rotation = np.array(rotation, np.float64)
    if len(rotation) > 1:
        flips = np.sign((rotation[1:] * rotation[:-1]).sum(axis=1))
        flips[flips == 0] = 1.0
        rotation[1:] *= np.cumprod(flips)[:, None]
    return rotation
