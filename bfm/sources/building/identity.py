"""Identity modes at the landmarks: how faces differ once their expressions are taken off.

Provenance: the principal modes of statistics.py, freed of what expressions explain by generalised least squares
(identity covariance estimated in turn), then made consistent: lips stay closed at their rims, irises keep their size
and look ahead.
"""

from __future__ import annotations

import numpy as np

from bfm.landmarks import (
    INNER_LIP_PAIRS,
    LEFT_IRIS,
    LEFT_LID_PAIRS,
    LOWER_LIP_RINGS,
    RIGHT_IRIS,
    RIGHT_LID_PAIRS,
    UPPER_LIP_RINGS,
)
from bfm.sources.building.statistics import LandmarkStatistics

_EXPRESSION_PRIOR = 0.35
"""Standard deviation of a channel's weight in a portrait."""
_NOISE_MM = 1.2
_EXPRESSION_REMOVED = 0.8
"""Share of what expressions span that is taken off the identity modes: a wide mouth may be either, mostly a smile."""


def _expression_free(faces: np.ndarray, expressions: np.ndarray, covariance: tuple) -> np.ndarray:
    """Residuals (n, 1434) mm minus the expression that explains them best given the identity covariance."""
    design = expressions.reshape(len(expressions), -1).T
    basis, spread = covariance
    # Woodbury: (σ² I + B B^T)^-1 applied without a 1434² matrix.
    scaled = basis * spread[:, None]
    core = np.eye(len(spread)) * _NOISE_MM**2 + scaled @ scaled.T

    def whiten(matrix: np.ndarray) -> np.ndarray:
        return (matrix - scaled.T @ np.linalg.solve(core, scaled @ matrix)) / _NOISE_MM**2

    normal = design.T @ whiten(design) + np.eye(design.shape[1]) / _EXPRESSION_PRIOR**2
    weights = np.linalg.solve(normal, design.T @ whiten(faces.T))
    return faces - (design @ weights).T


def _consistent(modes: np.ndarray) -> np.ndarray:
    """Modes (n, 478, 3) with lips closed at the rims and each iris moving as one with its eye."""
    fixed = modes.copy()
    for upper, lower in INNER_LIP_PAIRS:
        half_gap = (modes[:, lower] - modes[:, upper]) / 2.0
        column = UPPER_LIP_RINGS[3].index(upper)
        for depth, share in ((3, 1.0), (2, 0.7), (1, 0.4), (0, 0.2)):
            fixed[:, UPPER_LIP_RINGS[depth][column]] += share * half_gap
            fixed[:, LOWER_LIP_RINGS[depth][column]] -= share * half_gap
    for iris, pairs, corners in ((RIGHT_IRIS, RIGHT_LID_PAIRS, (33, 133)), (LEFT_IRIS, LEFT_LID_PAIRS, (263, 362))):
        around = [*corners, *[index for pair in pairs for index in pair]]
        fixed[:, list(iris)] = modes[:, around].mean(1, keepdims=True)
    return fixed


def _without_expression(modes: np.ndarray, expressions: np.ndarray) -> np.ndarray:
    """Modes (n, 1434) with most of what the expressions (64, 478, 3) span strongly taken off (ridge projection)."""
    design = expressions.reshape(len(expressions), -1)
    normal = design @ design.T + 60.0 * np.eye(len(design))
    return modes - _EXPRESSION_REMOVED * np.linalg.solve(normal, design @ modes.T).T @ design


def identity_modes(statistics: LandmarkStatistics, expressions: np.ndarray, *, n_modes: int) -> np.ndarray:
    """Identity modes (n_modes, 478, 3) in mm per standard deviation, strongest first.

    expressions (64, 478, 3) mm at full activation. The measured modes stand for the faces: their second moments agree.
    """
    measured = statistics.modes.reshape(len(statistics.modes), -1)
    basis, spread = np.linalg.svd(measured, full_matrices=False)[2][:20], np.full(20, 12.0)
    for _ in range(4):
        free = _expression_free(measured, expressions, (basis, spread))
        _, spread, basis = np.linalg.svd(free, full_matrices=False)
    modes = _without_expression(spread[:n_modes, None] * basis[:n_modes], expressions)
    return _consistent(modes.reshape(n_modes, -1, 3))
