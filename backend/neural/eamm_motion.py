"""EAMM's key points over time: speech's, moved by an emotion's displacement and smoothed (Ji et al. 2022, §3)."""

from __future__ import annotations

import numpy as np

from backend.models.eamm.emotion import DISPLACED
from backend.models.eamm.keypoints import Keypoints
from backend.neural.one_euro import one_euro, one_euro_in_place

DISPLACEMENT_SHARES = (0.2, 1.0, 1.0)
"""How much of its displacement each face key point takes in the published demonstration."""


def eamm_poses(rows: np.ndarray, n_frames: int) -> np.ndarray:
    """Poses (n_frames, 6) float32 of rows (n, 6 or more) of a pose tracker: a single one repeated; several smoothed,
    then played forwards and backwards until they last, or cut.
    """
    rows = np.asarray(rows, np.float64)[:, :6]
    if len(rows) > 1:
        rows = one_euro_in_place(rows, cutoff=0.004, beta=0.7)
        if len(rows) < n_frames:
            rows = np.concatenate([rows, rows[::-1]])
    repeats = -(-n_frames // len(rows))
    return np.tile(rows, (repeats, 1))[:n_frames].astype(np.float32)


def smoothed(points: Keypoints, *, cutoff: float, beta: float, scale: float) -> Keypoints:
    """Key points (T, …) through a One-Euro filter of values times scale."""
    parts = (one_euro(part * scale, cutoff=cutoff, beta=beta) / scale for part in (points.value, points.jacobian))
    return Keypoints(*parts)


def with_emotion(points: Keypoints, displacement: Keypoints | None, *, strength: float = 1.0) -> Keypoints:
    """Raw key points (T, 10, …) smoothed, the face's moved by smoothed displacements (T, 4, …) times strength."""
    calm = smoothed(points, cutoff=0.05, beta=8.0, scale=10.0)
    if displacement is None:
        return calm
    moved = smoothed(displacement, cutoff=1.0, beta=0.2, scale=100.0)
    value, jacobian = calm.value.clone(), calm.jacobian.clone()
    for slot, (point, share) in enumerate(zip(DISPLACED, DISPLACEMENT_SHARES)):
        value[:, point] += strength * share * moved.value[:, slot]
        jacobian[:, point] += strength * share * moved.jacobian[:, slot]
    return Keypoints(value, jacobian)
