"""The head behind the face: cranium and neck as a smooth solid, and rings of vertices from the face to the neck.

The rings are the concentric circles of two-circle (bipolar) coordinates on a sphere around the head, one circle the
face, the other the neck, so that every cell stays nearly square; each direction is then carried out to the solid.
Sizes after adult means of anthropometric surveys (Gordon et al. 2014, ANSUR II): head length about 195 mm, breadth
152 mm, chin to crown about 225 mm, neck circumference about 375 mm.
"""

from __future__ import annotations

import numpy as np

CENTER = np.array([0.0, -10.0, -80.0])
"""mm; the point that directions are taken from."""

CRANIUM_CENTER, CRANIUM_RADII = np.array([0.0, 20.0, -80.0]), np.array([75.0, 96.0, 96.0])
NECK_TOP, NECK_BOTTOM = np.array([0.0, -40.0, -92.0]), np.array([0.0, -185.0, -106.0])
NECK_RADII = np.array([53.0, 53.0])
NAPE_CENTER, NAPE_RADII = np.array([0.0, -38.0, -98.0]), np.array([65.0, 60.0, 54.0])

FACE_RADIUS, NECK_RADIUS = np.radians(54.0), np.radians(22.0)
_FACE_AXIS = np.array([0.0, np.sin(np.radians(-6.0)), np.cos(np.radians(-6.0))])
_NECK_AXIS_DEGREES = -98.0
"""Direction of the neck's opening from CENTER, degrees of elevation in the sagittal plane (-90 = straight down)."""


def solid(points: np.ndarray) -> np.ndarray:
    """Positive inside, negative outside (n,), for points (n, 3) mm: cranium, nape and neck smoothly joined."""
    # A superellipsoid: the vault is fuller than an egg.
    cranium = 1.0 - (np.abs((points - CRANIUM_CENTER) / CRANIUM_RADII) ** 2.35).sum(1) ** (1.0 / 2.35)
    nape = 1.0 - np.linalg.norm((points - NAPE_CENTER) / NAPE_RADII, axis=1)
    along = (points[:, 1] - NECK_TOP[1]) / (NECK_BOTTOM[1] - NECK_TOP[1])
    axis = NECK_TOP + along[:, None] * (NECK_BOTTOM - NECK_TOP)
    flare = 1.0 + 0.22 * np.clip(along - 0.45, 0.0, 1.0) ** 2
    radial = (points[:, [0, 2]] - axis[:, [0, 2]]) / (NECK_RADII * flare[:, None])
    neck = 1.0 - np.linalg.norm(radial, axis=1) - np.maximum(-along, 0.0) * 2.0
    sharpness = 14.0
    return np.log(np.exp(sharpness * cranium) + np.exp(sharpness * nape) + np.exp(sharpness * neck)) / sharpness


def surface(directions: np.ndarray) -> np.ndarray:
    """Distance (n,) mm from CENTER to the solid's surface along unit directions (n, 3), by bisection."""
    low, high = np.full(len(directions), 20.0), np.full(len(directions), 260.0)
    for _ in range(40):
        middle = (low + high) / 2.0
        inside = solid(CENTER + middle[:, None] * directions) > 0.0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


class _TwoCircles:
    """Coordinates (depth, angle) on the sphere between the face's circle and the neck's."""

    def __init__(self) -> None:
        elevation = np.arctan2(_FACE_AXIS[1], _FACE_AXIS[2])
        away = elevation - np.radians(_NECK_AXIS_DEGREES)
        near, far = np.tan((away - NECK_RADIUS) / 2.0), np.tan((away + NECK_RADIUS) / 2.0)
        center, radius, face = (near + far) / 2.0, (far - near) / 2.0, np.tan(FACE_RADIUS / 2.0)
        # Limit points p, q on the axis: p q = face², (p - center)(q - center) = radius².
        total = (face**2 + center**2 - radius**2) / center
        root = np.sqrt(total**2 / 4.0 - face**2)
        self.inner, self.outer = -1j * (total / 2.0 - root), -1j * (total / 2.0 + root)
        self.turn = np.array(
            [[1.0, 0.0, 0.0], [0.0, np.cos(elevation), -np.sin(elevation)], [0.0, np.sin(elevation), np.cos(elevation)]]
        )
        self.neck_depth = float(self.coordinates(self._from_plane(np.array([-1j * near])))[0][0])

    def _from_plane(self, z: np.ndarray) -> np.ndarray:
        square = np.abs(z) ** 2
        local = np.stack([2.0 * z.real, 2.0 * z.imag, 1.0 - square], axis=1) / (1.0 + square)[:, None]
        return local @ self.turn

    def coordinates(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth and angle (n,) of unit directions (n, 3)."""
        local = directions @ self.turn.T
        z = (local[:, 0] + 1j * local[:, 1]) / (1.0 + local[:, 2])
        w = (z - self.inner) / (z - self.outer)
        return np.log(np.abs(w)), np.angle(w)

    def directions(self, depth: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Unit directions (n, 3) of depth and angle (n,)."""
        w = np.exp(depth + 1j * angle)
        return self._from_plane((self.inner - self.outer * w) / (1.0 - w))


def rings(oval: np.ndarray, *, n_rings: int) -> np.ndarray:
    """Vertices (n_rings, n, 3) mm from just behind the face's oval (n, 3) to the end of the neck.

    The oval runs once round; its own points are not repeated.
    """
    circles = _TwoCircles()
    offset = oval - CENTER
    reach = np.linalg.norm(offset, axis=1)
    depth, angle = circles.coordinates(offset / reach[:, None])
    angle = np.unwrap(angle)
    even = angle[0] + np.sign(angle[-1] - angle[0]) * 2.0 * np.pi * np.arange(len(oval)) / len(oval)
    even += (angle - even).mean()
    correction = reach - surface(offset / reach[:, None])
    result = []
    for share in np.arange(1, n_rings + 1) / n_rings:
        at = depth + share**1.1 * (circles.neck_depth - depth)
        turned = angle + (even - angle) * min(1.0, 1.6 * share)
        out = circles.directions(at, turned)
        result.append(CENTER + out * surface(out)[:, None])
    result = np.stack(result)
    travelled = np.cumsum(np.linalg.norm(np.diff(np.concatenate([oval[None], result]), axis=0), axis=2), axis=0)
    fade = np.exp(-((travelled / 42.0) ** 2))
    away = (result - CENTER) / np.linalg.norm(result - CENTER, axis=2, keepdims=True)
    return result + (fade * correction)[:, :, None] * away
