"""The ears: helix, antihelix with two crura, concha, tragus, antitragus and lobe as relief over a plate, and a back.

Local axes in mm: x towards the back of the head, y up, height away from the head. 62 mm long and 32 mm wide, standing
off by about 20 mm at the rim (Gordon et al. 2014, ANSUR II: ear length 63 mm, breadth 37 mm, protrusion 22 mm).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bfm.sources.building.anatomy import smoothstep
from bfm.sources.building.parts import Part, grid_quads, outward

EAR_PLACE = np.array([73.4, -12.0, -76.0])
"""mm; the middle of the left ear's attachment."""
FLARE, LEAN = np.radians(25.0), np.radians(12.0)
"""How far the plate turns away from the head, and how far the ear leans back."""
HINGE = -9.5
"""mm; x of the line about which the plate turns away from the head."""
_LEAST_HEIGHT = 0.9
"""mm that the ear's front keeps above the skin of the head."""
N_AROUND = 60
_RADII = np.array([0.0, 0.1, 0.19, 0.28, 0.36, 0.44, 0.51, 0.58, 0.64, 0.70, 0.76, 0.81, 0.86, 0.90, 0.94, 0.975, 1.0])
_BACK = ((1.015, -1.6), (1.0, -3.4), (0.95, -5.4), (0.82, -8.5), (0.64, -12.5), (0.48, -18.0))
"""Radius and depth in mm of the rows behind the rim, down into the head."""

# Ridges as lines through (x, y) in mm, with height and half-width.
_ANTIHELIX = ((0.5, -15.5), (5.2, -12.0), (7.4, -7.5), (8.2, -3.0), (7.8, 2.5), (6.8, 6.0), (5.0, 9.0))
_RIDGES = (
    (_ANTIHELIX, 4.4, 2.5),
    (((5.0, 9.0), (3.6, 15.0), (1.0, 20.0)), 2.8, 2.5),
    (((5.0, 9.0), (-0.5, 11.8), (-6.0, 12.5)), 2.8, 1.8),
    (((-12.5, 3.5), (-7.5, 3.2), (-2.5, 1.6)), 2.6, 2.0),
    (((-10.0, -2.5), (-8.4, -5.5), (-8.6, -8.5)), 5.6, 2.6),
    (((-1.5, -15.5), (2.0, -15.0)), 3.6, 2.1),
)
# Bowls and swellings: middle (x, y), radii, height.
_MOUNDS = (
    ((-1.6, -5.5), (6.4, 8.0), -6.0),
    ((-1.5, 6.5), (5.2, 3.4), -4.0),
    ((-5.2, -13.0), (1.8, 3.0), -2.6),
    ((-3.5, -24.5), (6.5, 5.0), 1.6),
    ((-0.5, 16.5), (2.6, 3.0), -1.2),
)


def left_ear() -> Part:
    """The left ear with its back, standing off the head."""
    angle = np.arange(N_AROUND) / N_AROUND * 2.0 * np.pi  # 0 = towards the back of the head, a quarter turn = up
    outline = _outline(angle)
    front = np.concatenate([_row(radius, angle, outline) for radius in _RADII])
    front[:, 2] = _relief(front, np.repeat(_RADII, N_AROUND), np.tile(angle, len(_RADII)))
    rim = front[-N_AROUND:, 2]
    back = [_row(radius, angle, outline) for radius, _ in _BACK]
    for row, (radius, depth) in zip(back, _BACK):
        row[:, 2] = depth + rim * np.clip((radius - 0.8) / 0.2, 0.0, 1.0)
    points = np.concatenate([front, *back])
    # The front edge dips under the skin that it grows from.
    rooted = np.clip((-points[:, 0] - 9.0) / 3.0, 0.0, 1.0) * np.clip((points[:, 1] + 22.0) / 8.0, 0.0, 1.0)
    height = points[:, 2] + np.tan(FLARE) * (points[:, 0] - HINGE)
    n_front = len(front)
    height[:n_front] = np.maximum(height[:n_front], _LEAST_HEIGHT)
    height -= (_LEAST_HEIGHT + 2.5) * rooted * np.clip((np.linalg.norm(points[:, :2], axis=1) - 8.0) / 4.0, 0.0, 1.0)
    backwards, up = -points[:, 0], points[:, 1]
    y = up * np.cos(LEAN) + backwards * np.sin(LEAN)
    z = backwards * np.cos(LEAN) - up * np.sin(LEAN)
    placed = EAR_PLACE + np.stack([height, y, z], axis=1)
    quads = grid_quads(len(_RADII) + len(_BACK), N_AROUND, closed=True)
    return outward(Part(placed, quads, np.full(len(placed), "ear"), "skull"))


def _outline(angle: np.ndarray) -> np.ndarray:
    """Distance in mm of the ear's outline at angles (n,): broad above and behind, narrow at the lobe, flat in front."""
    x, y = np.cos(angle), np.sin(angle)
    below = np.clip(-y, 0.0, 1.0)
    wide = np.where(x > 0.0, 18.0 - 6.5 * below**1.4, 12.5 - 1.5 * below)
    power = np.where(y > 0.0, 2.3, 2.05)
    return (np.abs(x / wide) ** power + np.abs(y / 30.5) ** power) ** (-1.0 / power)


def _row(radius: float, angle: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """One ring of points (n, 3) mm, height 0."""
    reach = radius * outline
    return np.stack([reach * np.cos(angle), reach * np.sin(angle), np.zeros(len(angle))], axis=1)


def _relief(points: np.ndarray, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Height (n,) mm of the ear's front at points (n, 3), whose radius is a share of the outline's."""
    ridges = [
        top * np.exp(-((_distance(points[:, :2], np.array(line)) / half_width) ** 2))
        for line, top, half_width in _RIDGES
    ]
    # Where ridges meet they do not pile up.
    height = np.max(ridges, axis=0)
    for middle, radii, top in _MOUNDS:
        height += top * np.exp(-((((points[:, :2] - middle) / radii) ** 2).sum(1)))
    return height + _helix(radius, angle)


def _helix(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The rolled rim (n,) mm from its root in front over the top and down the back, and the groove inside it."""
    # Turns from the back downwards are negative: the helix ends where the lobe begins.
    turn = (angle + np.pi / 2.0) % (2.0 * np.pi) - np.pi / 2.0
    fade = smoothstep(turn, -1.35, -0.1) * smoothstep(turn, 3.1, 2.5)
    rim = 3.6 * np.exp(-(((radius - 0.93) / 0.065) ** 2))
    groove = -2.2 * np.exp(-(((radius - 0.79) / 0.07) ** 2))
    edge = -1.6 * np.clip((radius - 0.95) / 0.05, 0.0, 1.0)
    return (rim + groove) * fade + edge


def _distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance (n,) of points (n, 2) from a line through (k, 2)."""
    nearest = np.full(len(points), np.inf)
    for start, end in pairwise(line):
        along = end - start
        share = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - share[:, None] * along, axis=1))
    return nearest
