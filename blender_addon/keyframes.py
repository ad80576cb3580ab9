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
    table = table[:, None] if table.ndim == 1 else table
    samples = np.arange(len(table))
    kept = np.unique([0, len(table) - 1])
    while len(kept) > 1:
        lines = np.stack([np.interp(samples, kept, column[kept]) for column in table.T], axis=1)
        error = np.abs(table - lines).max(axis=1)
        worst = np.maximum.reduceat(error, kept[:-1])
        span = np.minimum(np.searchsorted(kept, samples, side="right") - 1, len(kept) - 2)
        # Every span that is off splits at its first worst sample, all spans at once.
        splits = np.flatnonzero((error == worst[span]) & (error > tolerance))
        if not len(splits):
            break
        kept = np.union1d(kept, splits[np.unique(span[splits], return_index=True)[1]])
    return kept


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
