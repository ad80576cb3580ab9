"""The neutral landmark face in millimetres, its joints, and smooth weights over it that muscles are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

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

CONDYLE = np.array([0.0, -20.0, -66.0])
"""Height and depth of the jaw's hinge in mm from the eyes' midpoint: just before the tragus."""

EYEBALL_RADIUS = 12.0
"""mm; the adult eyeball is about 24 mm across."""
IRIS_RADIUS = 5.9
"""mm; horizontal visible iris diameter 11.7–11.8 mm (Rüfer et al. 2005)."""
LID_THICKNESS = 0.9
"""mm of lid between the eyeball and the landmark on the lid's outer edge."""


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth ramp of x from 0 at low to 1 at high (cubic Hermite); low may exceed high."""
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@dataclass(frozen=True)
class Anatomy:
    """Neutral landmarks and what moves them.

    points (478, 3) mm, lips closed; twins (478,); eyeballs (2, 3) mm, right then left. field_points (478, 3) mm is
    where muscles are evaluated: both lips of a contact pair share one place, so that a muscle moves them alike.
    """

    points: np.ndarray
    twins: np.ndarray
    eyeballs: np.ndarray
    field_points: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shared = self.points.copy()
        for upper, lower in INNER_LIP_PAIRS:
            shared[[upper, lower]] = (self.points[upper] + self.points[lower]) / 2.0
        object.__setattr__(self, "field_points", shared)

    @property
    def mouth_height(self) -> float:
        """y of the mouth corners in mm."""
        return float(self.points[[61, 291], 1].mean())

    @property
    def mouth_half_width(self) -> float:
        """x of the left mouth corner in mm."""
        return float(self.points[291, 0])

    def bell(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """Gaussian weights (478,) around (x, y) mm with standard deviations in mm."""
        p = self.field_points
        return np.exp(-0.5 * (((p[:, 0] - x) / width) ** 2 + ((p[:, 1] - y) / height) ** 2))

    def left(self, margin: float = 8.0) -> np.ndarray:
        """Weights (478,): 1 on the character's left, 0 on the right, a smooth ramp of ±margin mm between."""
        return smoothstep(self.field_points[:, 0], -margin, margin)

    def lower_mouth(self) -> np.ndarray:
        """Weights (478,): 1 on the lower lip and below, 0 on the upper and above, turning about the mouth corners."""
        p = self.points
        beside = np.maximum(np.abs(p[:, 0]) - self.mouth_half_width + 1.5, 0.0)
        below = self.mouth_height - p[:, 1]
        weight = smoothstep(np.degrees(np.arctan2(below, beside + 1e-6)), -75.0, 75.0)
        for ring in UPPER_LIP_RINGS:
            weight[list(ring[1:-1])] = 0.0
        for ring in LOWER_LIP_RINGS:
            weight[list(ring[1:-1])] = 1.0
        for ring in UPPER_LIP_RINGS:
            weight[[ring[0], ring[-1]]] = 0.5
        return weight

    def mirrored(self, displacement: np.ndarray) -> np.ndarray:
        """The displacement (478, 3) of the other side."""
        return displacement[self.twins] * [-1.0, 1.0, 1.0]


def _close_lips(points: np.ndarray) -> np.ndarray:
    """Lips brought together at their rims; what a ring lies away from the rim it moves less."""
    closed = points.copy()
    for upper, lower in INNER_LIP_PAIRS:
        half_gap = (points[lower] - points[upper]) / 2.0
        column = UPPER_LIP_RINGS[3].index(upper)
        for depth, share in ((3, 1.0), (2, 0.7), (1, 0.45), (0, 0.25)):
            closed[UPPER_LIP_RINGS[depth][column]] += share * half_gap
            closed[LOWER_LIP_RINGS[depth][column]] -= share * half_gap
    return closed


def _place_eyes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lid margins put on the eyeball's surface and irises on the eyeball looking ahead; (points, eyeballs (2, 3))."""
    placed, eyeballs = points.copy(), np.zeros((2, 3))
    reach = EYEBALL_RADIUS + LID_THICKNESS
    for eye, (pairs, iris) in enumerate(((RIGHT_LID_PAIRS, RIGHT_IRIS), (LEFT_LID_PAIRS, LEFT_IRIS))):
        margin = [index for pair in pairs for index in pair]
        middle = points[margin].mean(0)
        front = points[list(pairs[3])].mean(0)[2]
        center = np.array([np.sign(middle[0]) * 31.5, middle[1] + 0.4, front - reach + 1.2])
        across = np.linalg.norm(points[margin, :2] - center[:2], axis=1)
        # Towards the corners the lids leave the ball (caruncle inside, skin outside): the measured depth stays there.
        on_ball = smoothstep(across, 12.0, 9.0)
        surface = center[2] + np.sqrt(np.maximum(reach**2 - across**2, 1.0))
        placed[margin, 2] = on_ball * surface + (1.0 - on_ball) * np.maximum(points[margin, 2], surface)
        depth = np.sqrt(EYEBALL_RADIUS**2 - IRIS_RADIUS**2)
        placed[iris[0]] = center + np.array([0.0, 0.0, depth])
        for index in iris[1:]:
            away = points[index, :2] - points[iris[0], :2]
            placed[index] = placed[iris[0]] + np.append(IRIS_RADIUS * away / np.linalg.norm(away), 0.0)
        eyeballs[eye] = center
    return placed, eyeballs


def neutral_anatomy(mean: np.ndarray, twins: np.ndarray) -> Anatomy:
    """The anatomy of a symmetric mean face: mean (478, 3) mm, twins (478,) mirror indices."""
    points, eyeballs = _place_eyes(_close_lips(mean))
    points = (points + points[twins] * [-1.0, 1.0, 1.0]) / 2.0
    return Anatomy(points, twins, eyeballs)
