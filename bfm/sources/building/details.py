"""Relief of the skin too fine for the coarse mesh: nostrils and the creases of the upper lids."""

from __future__ import annotations

import numpy as np

from bfm.landmarks import LEFT_UPPER_LID_RINGS, RIGHT_UPPER_LID_RINGS
from bfm.sources.building.anatomy import smoothstep

_CREASE_PLACE = 0.60
"""Where the lid folds when the eye opens, between its margin (0) and the ring above (1)."""
_CREASE_DEPTH, _FOLD_HEIGHT = 1.0, 0.8
"""mm that the crease sinks in and the fold above it stands out."""


def nostrils(points: np.ndarray) -> np.ndarray:
    """Offset (n, 3) mm that sinks two nostrils into the underside of the nose."""
    across = (np.abs(points[:, 0]) - 7.6) / 3.4
    deep = (points[:, 2] - 22.0) / 5.0
    high = (points[:, 1] + 43.5) / 3.5
    weight = np.exp(-(across**2) - deep**2 - high**2)
    return weight[:, None] * np.array([0.0, 6.0, -1.5])


def lid_creases(points: np.ndarray) -> np.ndarray:
    """Offset (n, 3) mm that folds both upper lids; points (n, 3) mm with the landmarks first."""
    offset = np.zeros_like(points)
    for margin, above in ((ring[0], ring[1]) for ring in (RIGHT_UPPER_LID_RINGS, LEFT_UPPER_LID_RINGS)):
        line = (1.0 - _CREASE_PLACE) * points[list(margin)] + _CREASE_PLACE * points[list(above)]
        line = line[np.argsort(line[:, 0])]
        over = points[:, 1] - np.interp(points[:, 0], line[:, 0], line[:, 1])
        front = np.abs(points[:, 2] - np.interp(points[:, 0], line[:, 0], line[:, 2]))
        ends = smoothstep(points[:, 0], line[0, 0], line[2, 0]) * smoothstep(points[:, 0], line[-1, 0], line[-3, 0])
        weight = ends * smoothstep(front, 6.0, 3.0)
        crease = -_CREASE_DEPTH * np.exp(-((over / 1.0) ** 2))
        fold = _FOLD_HEIGHT * np.exp(-(((over - 2.4) / 1.5) ** 2))
        offset += (weight * (crease + fold))[:, None] * np.array([0.0, -0.3, 1.0])
    return offset
