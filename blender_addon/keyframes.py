"""Dense curves and sparse keyframes: which samples to keep so that straight lines between them stay within a bound."""

from __future__ import annotations

import numpy as np

BLOCK = 1024  # samples swept one after the other; a kept sample begins each block


def kept_samples(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Indices (n_kept,) of the samples whose straight-line interpolation stays within tolerance of values.

    values (n_samples,) or (n_samples, n_dims), evenly spaced; the bound holds for every dimension and sample. First
    and last are kept; flat stretches keep their two ends, and one sample in BLOCK.
    """
    table = np.asarray(values, np.float64)
    return np.flatnonzero(_kept(table.reshape(len(table), 1, -1), tolerance)[0])


def keyframe_table(frames: np.ndarray, values: np.ndarray, tolerance: float | None = None) -> np.ndarray:
    """Keyframes (n_keys, 2) float32 of frame and value; all samples where tolerance is None.

    frames, values (n_samples,): scene frames in order, and the curve's values there.
    """
    return keyframe_tables(frames, np.asarray(values, np.float32)[:, None], tolerance)[0]


def keyframe_tables(frames: np.ndarray, columns: np.ndarray, tolerance: float | None) -> list[np.ndarray]:
    """The keyframes (n_keys, 2) float32 of each of several curves, columns (n_samples, n_curves)."""
    frames, columns = np.asarray(frames, np.float32), np.asarray(columns, np.float32)
    if tolerance is None or len(columns) < 3:
        kept = np.ones(columns.T.shape, bool)
    else:
        kept = _kept(columns[:, :, None].astype(np.float64), tolerance)
    return [np.stack([frames[keep], values[keep]], axis=1) for keep, values in zip(kept, columns.T)]


def _kept(table: np.ndarray, tolerance: float) -> np.ndarray:
    """Which samples (n_series, n_samples) bool of series (n_samples, n_series, n_dims) straight lines need.

    From a kept sample the line to the next is drawn as far as every sample between allows: each narrows a cone of
    slopes, and the first sample that lies outside makes the one before it a kept one (Reumann and Witkam 1974, with
    the error along the value axis). Blocks of the series are swept side by side.
    """
    n_samples, n_series, n_dims = table.shape
    n_blocks = max(-(-(n_samples - 1) // BLOCK), 1)
    size = min(BLOCK, max(n_samples - 1, 1))
    padded = np.concatenate([table, np.repeat(table[-1:], n_blocks * size + 1 - n_samples, axis=0)])
    place = np.arange(n_blocks)[:, None] * size + np.arange(size + 1)
    blocks = np.ascontiguousarray(padded[place].transpose(1, 2, 0, 3)).reshape(size + 1, -1, n_dims)
    kept = np.zeros(blocks.shape[:2], bool)
    kept[0] = kept[-1] = True
    anchor, age = blocks[0].copy(), np.zeros((blocks.shape[1], 1))
    low, high = np.full_like(anchor, -np.inf), np.full_like(anchor, np.inf)
    for step in range(1, size + 1):
        age += 1.0
        rise = blocks[step] - anchor
        slope = rise / age
        outside = ((slope < low) | (slope > high)).any(axis=1)
        if outside.any():
            kept[step - 1, outside] = True
            anchor[outside] = blocks[step - 1, outside]
            age[outside] = 1.0
            low[outside], high[outside] = -np.inf, np.inf
            rise[outside] = blocks[step, outside] - anchor[outside]
        np.maximum(low, (rise - tolerance) / age, out=low)
        np.minimum(high, (rise + tolerance) / age, out=high)
    by_series = kept.reshape(size + 1, n_series, n_blocks)
    flags = np.concatenate([by_series[:-1].transpose(1, 2, 0).reshape(n_series, -1), by_series[-1:, :, -1].T], axis=1)
    flags = flags[:, :n_samples]
    flags[:, -1] = True
    return flags


def merged_keys(before: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stays of older keys when new ones replace those in their range.

    before (n_before, 2): frame and value of the older keys. table (n_keys, 2): the new ones. Returns the indices of
    the older keys that come first and those that come last.
    """
    first, last = table[0, 0] - 0.5, table[-1, 0] + 0.5
    return np.flatnonzero(before[:, 0] < first), np.flatnonzero(before[:, 0] > last)


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
