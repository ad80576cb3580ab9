"""Least squares with every unknown between two bounds, for many right sides at once."""

from __future__ import annotations

import numpy as np

_FULL_EXCHANGES = 4
"""Exchanges of all offending unknowns that may fail to improve before they are exchanged one at a time."""
_MOST_ROUNDS = 400


def bounded_solutions(normal: np.ndarray, rights: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """For every right side r the x within low ≤ x ≤ high that minimises ½ xᵀ N x − rᵀ x: (n_frames, n).

    normal (n, n), or one for every frame (n_frames, n, n), symmetric and positive definite; rights (n_frames, n);
    low, high (n,) or (n_frames, n). Block principal pivoting (Júdice & Pires 1994) on all frames at a time.
    """
    rights = np.asarray(rights, np.float64)
    low, high = (np.array(np.broadcast_to(bound, rights.shape), np.float64) for bound in (low, high))
    normal = np.asarray(normal, np.float64)
    side = np.zeros(rights.shape, np.int8)  # -1 held at low, 1 held at high, 0 free
    solution = np.clip(np.zeros_like(rights), low, high)
    least = np.full(len(rights), rights.shape[1] + 1)
    patience = np.full(len(rights), _FULL_EXCHANGES)
    open_frames = np.arange(len(rights))
    tolerance = 1e-9 * max(1.0, float(np.abs(rights).max(initial=0.0)))
    for _ in range(_MOST_ROUNDS):
        if not len(open_frames):
            break
        part = open_frames
        matrix = normal if normal.ndim == 2 else normal[part]
        x, slope = _held_solution(matrix, rights[part], low[part], high[part], side[part])
        solution[part] = x
        under, over = (x < low[part] - 1e-9) & (side[part] == 0), (x > high[part] + 1e-9) & (side[part] == 0)
        pulled = ((side[part] < 0) & (slope < -tolerance)) | ((side[part] > 0) & (slope > tolerance))
        offending = under | over | pulled
        count = offending.sum(1)
        better = count < least[part]
        patience[part] = np.where(better, _FULL_EXCHANGES, patience[part] - 1)
        least[part] = np.minimum(least[part], count)
        # Exchanging all can cycle; the last offender alone cannot (Murty 1974).
        lone = patience[part] < 0
        last = offending.shape[1] - 1 - offending[:, ::-1].argmax(1)
        only = np.zeros_like(offending)
        only[np.arange(len(part)), last] = True
        chosen = offending & (only | ~lone[:, None])
        moved = np.where(under, -1, np.where(over, 1, 0))
        side[part] = np.where(chosen, moved, side[part])
        open_frames = part[count > 0]
    return np.clip(solution, low, high)


def _held_solution(
    matrix: np.ndarray, rights: np.ndarray, low: np.ndarray, high: np.ndarray, side: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solutions (n, k) with the unknowns on a side held at that bound, and the slopes (n, k) there."""
    free = side == 0
    held = np.where(side < 0, low, np.where(side > 0, high, 0.0))
    rows = matrix if matrix.ndim == 3 else np.broadcast_to(matrix, (len(rights), *matrix.shape))
    known = np.einsum("fij,fj->fi", rows, held) if matrix.ndim == 3 else held @ matrix.T
    masked = rows * (free[:, :, None] & free[:, None, :])
    masked[:, np.arange(rights.shape[1]), np.arange(rights.shape[1])] += ~free
    x = np.linalg.solve(masked, np.where(free, rights - known, held)[..., None])[..., 0]
    applied = np.einsum("fij,fj->fi", rows, x) if matrix.ndim == 3 else x @ matrix.T
    return x, applied - rights
