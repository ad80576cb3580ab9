"""Where skin meets skin: lids that shut and lips that seal exactly, whosever face it is and whatever else it does.

The linear basis closes the mean face. What another identity's eye opening adds, and what other channels leave between
the lips at a closure, is taken off at the pairs of landmarks that meet, with the skin around them following.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bfm.landmarks import INNER_LIP_PAIRS, LEFT_LID_PAIRS, RIGHT_LID_PAIRS

CONTACT_PAIRS = np.array(RIGHT_LID_PAIRS + LEFT_LID_PAIRS + INNER_LIP_PAIRS)
"""Landmarks (23, 2) that meet, upper then lower: seven pairs of the right eye, seven of the left, nine of the lips."""

RIGHT_EYE_PAIRS, LEFT_EYE_PAIRS, LIP_PAIRS = slice(0, 7), slice(7, 14), slice(14, 23)

_LEAST_SHARE = 2e-4
"""A point that travels less of a gap than this is left where it is: that is 2 micrometres of a centimetre."""


def gaps(points: np.ndarray) -> np.ndarray:
    """Vectors (…, 23, 3) from the lower to the upper landmark of every contact pair of points (…, 478, 3)."""
    return points[..., CONTACT_PAIRS[:, 0], :] - points[..., CONTACT_PAIRS[:, 1], :]


def closing_vectors(posed: np.ndarray, open_gaps: np.ndarray, *, blinks: np.ndarray, seal: np.ndarray) -> np.ndarray:
    """What every contact pair still has to close (n_frames, 23, 3), in the points' unit.

    posed (n_frames, 478, 3): landmarks after the linear basis; open_gaps (n_frames, 23, 3): the gaps that the same face
    would have without blinking; blinks (n_frames, 2): closed share of the right and left eye, 0–1; seal (n_frames,):
    share of the lips' opening that mouthClose takes back, 0–1.
    """
    vectors = gaps(posed)
    for side, pairs in enumerate((RIGHT_EYE_PAIRS, LEFT_EYE_PAIRS)):
        blinking = (blinks[:, side] > 0.0)[:, None, None]
        wanted = (1.0 - blinks[:, side, None, None]) * open_gaps[:, pairs]
        vectors[:, pairs] = np.where(blinking, vectors[:, pairs] - wanted, 0.0)
    vectors[:, LIP_PAIRS] *= seal[:, None, None]
    return vectors


def close(points: np.ndarray, vectors: np.ndarray, contact_weights: np.ndarray) -> np.ndarray:
    """Points (n_frames, n, 3), changed in place, with gaps (n_frames, 23, 3) taken off through contact weights (23, n).

    A weight is the signed share of a gap that a point travels: negative on upper lids and lips, positive on lower, so
    that the two landmarks of a pair differ by one.
    """
    if np.abs(vectors).max(initial=0.0) > 0.0:
        place, pair = np.nonzero(np.abs(contact_weights.T) > _LEAST_SHARE)
        _travel(points, vectors, place, pair, np.ascontiguousarray(contact_weights[pair, place]))
    return points


@njit(cache=True)
def _travel(points, vectors, place, pair, share):
    """Adds share (m,) of the vectors of pair (m,) to the points of place (m,), frame by frame."""
    for frame in range(points.shape[0]):
        for i in range(place.shape[0]):
            for axis in range(3):
                points[frame, place[i], axis] += share[i] * vectors[frame, pair[i], axis]
