"""Curves as keys on straight lines, for formats that store keys one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backend.curves.filters import kept_frames


def keyed_columns(values: np.ndarray, tolerance: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per column of values (n_frames, n_columns): the frames (k,) kept and the values (k,) there.

    Straight lines between them stay within tolerance of every frame.
    """
    kept = kept_frames(values, tolerance) if tolerance > 0 else np.ones(values.shape, bool)
    for column, keep in zip(values.T, kept.T):
        frames = np.flatnonzero(keep)
        yield frames, column[frames]


def keyed_rows(values: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Frames (k,) and rows (k, n_columns) of values whose columns share their keys, as rotations do."""
    if tolerance <= 0:
        return np.arange(len(values)), values
    frames = np.flatnonzero(kept_frames(values, tolerance).any(1))
    return frames, values[frames]


def slopes(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Incoming and outgoing slope per second (k, …) at each key of a line through times (k,) and values (k, …)."""
    if len(times) < 2:
        return np.zeros_like(values), np.zeros_like(values)
    steps = np.diff(values, axis=0) / np.diff(times).reshape(-1, *[1] * (values.ndim - 1))
    return np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
