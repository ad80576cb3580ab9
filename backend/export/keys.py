"""Curves as few keys, on straight lines or smooth, for formats that store keys one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backend.curves.filters import kept_frames

LONGEST = 512  # frames between two keys of a smooth curve at most
ROUNDING = 1e-5  # by which a curve may leave its bounds


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


def frame_slopes(values: np.ndarray) -> np.ndarray:
    """Slope per frame (n_frames, …) of a smooth curve through every frame that never overshoots between two of them.

    Central differences, level at extremes and at the ends of rests, limited as by Fritsch and Carlson (1980).
    """
    slopes = np.zeros(values.shape, np.float64)
    if len(values) < 3:
        return slopes
    steps = np.diff(values.astype(np.float64), axis=0)
    before, after = steps[:-1], steps[1:]
    limit = 3.0 * np.minimum(np.abs(before), np.abs(after))
    middle = np.clip(0.5 * (before + after), -limit, limit)
    slopes[1:-1] = np.where(before * after > 0, middle, 0.0)
    return slopes


def smooth_keys(
    values: np.ndarray, tolerance: float, *, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[np.ndarray, np.ndarray]:
    """Which frames (n_frames, n_curves) bool become keys of cubic Hermite curves, and their slopes per frame.

    values (n_frames, n_curves, width): the width components of one curve share its keys. Between keys the curve with
    frame_slopes stays within tolerance of every frame, and within bounds. Stretches of LONGEST frames are halved until
    they fit.
    """
    n_frames, n_curves, _ = values.shape
    slopes = frame_slopes(values)
    kept = np.zeros((n_frames, n_curves), bool)
    kept[[0, -1]] = True
    # The frames are cut into stretches whose lengths are powers of two, the rest into ever shorter ones.
    length, start = (LONGEST if tolerance > 0 else 1), 0
    pending: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    while length >= 1:
        starts = np.arange(start, n_frames - length, length)
        where, curve = (grid.ravel() for grid in np.meshgrid(starts, np.arange(n_curves), indexing="ij"))
        pending.setdefault(length, []).append((where, curve))
        start += length * len(starts)
        where, curve = (np.concatenate(parts) for parts in zip(*pending.pop(length)))
        kept[where, curve] = True
        strays = _strays(values, slopes, where, curve, length, bounds) > tolerance
        if length > 1 and strays.any():
            half = length // 2
            again = np.concatenate([where[strays], where[strays] + half])
            pending.setdefault(half, []).append((again, np.tile(curve[strays], 2)))
        length //= 2
    return kept, slopes


def _strays(
    values: np.ndarray, slopes: np.ndarray, where: np.ndarray, curve: np.ndarray, length: int,
    bounds: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """How far (n_stretches,) the cubic over each stretch strays from the frames inside it; endlessly out of bounds."""
    if length == 1 or len(where) == 0:
        return np.zeros(len(where))
    share = (np.arange(1, length) / length)[None, :, None]
    inside = values[where[:, None] + np.arange(1, length), curve[:, None]]
    ends = [(values[at, curve][:, None], slopes[at, curve][:, None] * length) for at in (where, where + length)]
    line = hermite(share, *ends[0], *ends[1])
    strays = np.where((line < bounds[0] - ROUNDING) | (line > bounds[1] + ROUNDING), np.inf, np.abs(line - inside))
    return strays.reshape(len(where), -1).max(1)


def hermite(share: np.ndarray, value0, slope0, value1, slope1) -> np.ndarray:
    """The cubic from value0 to value1 at share 0-1, with slopes per unit of share."""
    square, cube = share * share, share * share * share
    return (
        (2 * cube - 3 * square + 1) * value0
        + (cube - 2 * square + share) * slope0
        + (3 * square - 2 * cube) * value1
        + (cube - square) * slope1
    )


def on_keys(times: np.ndarray, keys: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Values (n, width) at grid (n,) s of keys (k, 3, width): value, incoming and outgoing slope per second.

    Held outside the keys; an infinite slope holds the value up to the next key, as engines do.
    """
    if len(times) < 2:
        return np.repeat(keys[:1, 0], len(grid), axis=0)
    inside = np.clip(grid, times[0], times[-1])
    at = np.clip(np.searchsorted(times, inside, side="right") - 1, 0, len(times) - 2)
    span = (times[at + 1] - times[at])[:, None]
    share = (inside - times[at])[:, None] / span
    leaving, arriving = keys[at, 2] * span, keys[at + 1, 1] * span
    held = ~(np.isfinite(leaving) & np.isfinite(arriving))
    line = hermite(share, keys[at, 0], np.where(held, 0, leaving), keys[at + 1, 0], np.where(held, 0, arriving))
    return np.where(held & (share < 1), keys[at, 0], line)
