"""The mesh that carries the photo: the face's landmarks, and rings around it over hair, ears, neck and beyond.

The rings follow the head as a rigid body at the depth of its outline, the oval's expression fades out over the nearest
ones, and both fade to nothing towards shoulders, picture border and background.
"""

from __future__ import annotations

import numpy as np

from backend.portrait.easing import smoothstep
from backend.portrait.glasses import looseness, wears_glasses
from backend.portrait.landmarks import N_SURFACE, triangles
from backend.portrait.motion import FaceMotion, MovedFace
from backend.portrait.plate import Plate
from bfm.landmarks import (
    FACE_OVAL,
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    LOWER_LIP_RINGS,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
    UPPER_LIP_RINGS,
)

RING_SCALES = np.float32([1.08, 1.18, 1.32, 1.5, 1.75, 2.1, 2.6, 3.4])
EXPRESSION_SHARES = np.float32([0.8, 0.55, 0.32, 0.16, 0.06, 0.0, 0.0, 0.0])
OUTLINE_SHARES = np.float32([0.3, 0.6, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0])  # from the oval's depth to the outline's
LEAST_SPACING = 0.35  # of the rings' distance in the photo: closer, and a far cheek would fold over
CALMING_ROUNDS = 30  # of averaging neighbours
OVAL = np.array(FACE_OVAL)


class WarpMesh:
    """Vertices (468 landmarks + rings) in the photo, and where they go."""

    def __init__(self, plate: Plate, motion: FaceMotion) -> None:
        self._motion = motion
        self._oval = plate.landmarks[OVAL]
        self._center = self._oval.mean(axis=0)
        rays = self._oval - self._center
        self._rings = self._center + RING_SCALES[:, None, None] * rays  # (n_rings, 36, 2)
        self.rest = np.concatenate([plate.landmarks[:N_SURFACE], self._rings.reshape(-1, 2)]).astype(np.float32)
        self.triangles = _all_triangles()
        self._follow = _head_share(plate, self._rings)
        self._looseness = looseness(plate)[:, None] if wears_glasses(plate) else None
        self._calmed, self._calm = _calming(self.rest[:N_SURFACE])
        inner = np.concatenate([self._oval[None], self._rings[:-1]])
        rays = self._rings - inner
        self._spacing = np.linalg.norm(rays, axis=2)
        self._rays = rays / np.maximum(self._spacing, 1e-6)[..., None]
        self._outline_depth = float(motion.rest_depth[[234, 454]].mean())

    def move(self, moved: MovedFace, landmarks: np.ndarray) -> np.ndarray:
        """Vertices (n_vertices, 3) x, y video pixels and depth, of a frame whose landmarks are (478, 2)."""
        motion = self._motion
        landmarks = self._behind_glasses(moved, landmarks)
        landmarks = landmarks[:N_SURFACE].copy()
        landmarks[self._calmed] = self.rest[self._calmed] + self._calm @ (landmarks - self.rest[:N_SURFACE])
        oval_rigid = motion.rigid(self._oval, motion.rest_depth[OVAL], moved.pose) - self._oval
        expression = landmarks[OVAL] - self._oval - oval_rigid
        flat = self._rings.reshape(-1, 2)
        outline = (motion.rigid(flat, self._outline_depth, moved.pose) - flat).reshape(self._rings.shape)
        share = OUTLINE_SHARES[:, None, None]
        rigid = (1.0 - share) * oval_rigid + share * outline
        shift = self._follow[..., None] * rigid + EXPRESSION_SHARES[:, None, None] * expression
        rings = self._unfolded(self._rings + shift, landmarks[OVAL])
        points = np.concatenate([landmarks[:N_SURFACE], rings.reshape(-1, 2)])
        behind = self._outline_depth + 0.3 * RING_SCALES
        depth = np.concatenate([moved.depth[:N_SURFACE], np.repeat(behind, len(OVAL))])
        return np.column_stack([points, depth]).astype(np.float32)

    def _behind_glasses(self, moved: MovedFace, landmarks: np.ndarray) -> np.ndarray:
        """landmarks with those behind glasses moving rigidly with the head."""
        if self._looseness is None:
            return landmarks
        rest, depth = self.rest[:N_SURFACE], self._motion.rest_depth[:N_SURFACE]
        rigid = self._motion.rigid(rest, depth, moved.pose)
        return rigid + self._looseness * (landmarks[:N_SURFACE] - rigid)

    def _unfolded(self, rings: np.ndarray, oval: np.ndarray) -> np.ndarray:
        """Rings pushed outwards where they would come too near the ring inside them."""
        rings = rings.copy()
        inner = oval
        for ring, ray, spacing in zip(rings, self._rays, self._spacing):
            lacking = LEAST_SPACING * spacing - np.einsum("ni,ni->n", ring - inner, ray)
            ring += np.maximum(lacking, 0.0)[:, None] * ray
            inner = ring
        return rings


def _calming(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks (n,) near the outline's hidden side, and the shares (n, 468) by which each takes others' motion.

    There the mesh turns its back in the photo: its landmarks lie on the outline, one over the other, and would tear it
    apart each by its own depth.
    """
    corners = triangles()
    a, b, c = points[corners[:, 0]], points[corners[:, 1]], points[corners[:, 2]]
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    backs = corners[area * np.sign(np.median(area)) <= 0.0]
    joined = np.zeros((N_SURFACE, N_SURFACE), np.float32)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        joined[corners[:, i], corners[:, j]] = joined[corners[:, j], corners[:, i]] = 1.0
    near = np.zeros(N_SURFACE, bool)
    near[OVAL] = True
    for _ in range(2):
        near |= joined[near].any(axis=0)
    hidden = np.intersect1d(backs, np.nonzero(near)[0])
    mean = joined[hidden] / joined[hidden].sum(axis=1, keepdims=True)
    shares = np.eye(N_SURFACE, dtype=np.float32)
    for _ in range(CALMING_ROUNDS):
        shares[hidden] = mean @ shares
    return hidden, shares[hidden]


def _all_triangles() -> np.ndarray:
    holes = [
        _strip(RIGHT_UPPER_LID_RINGS[0], RIGHT_LOWER_LID_RINGS[0]),
        _strip(LEFT_UPPER_LID_RINGS[0], LEFT_LOWER_LID_RINGS[0]),
        _strip(UPPER_LIP_RINGS[3], LOWER_LIP_RINGS[3]),
    ]
    n, n_rings = len(OVAL), len(RING_SCALES)
    loops = np.concatenate([OVAL[None], N_SURFACE + np.arange(n * n_rings).reshape(n_rings, n)])
    inner, outer = loops[:-1], loops[1:]
    inner_next, outer_next = np.roll(inner, -1, axis=1), np.roll(outer, -1, axis=1)
    around = [
        np.stack([inner, inner_next, outer], axis=-1).reshape(-1, 3),
        np.stack([inner_next, outer_next, outer], axis=-1).reshape(-1, 3),
    ]
    return np.concatenate([triangles(), *holes, *around]).astype(np.int32)


def _strip(upper: tuple[int, ...], lower: tuple[int, ...]) -> np.ndarray:
    """Triangles between two rows of landmarks that share both ends."""
    found = []
    for i in range(len(upper) - 1):
        found += [(upper[i], upper[i + 1], lower[i]), (upper[i + 1], lower[i + 1], lower[i])]
    return np.array([corners for corners in found if len(set(corners)) == 3])


def _head_share(plate: Plate, rings: np.ndarray) -> np.ndarray:
    """How much of the head's motion each ring vertex (n_rings, 36) takes: 1 on the head, 0 on shoulders and beyond."""
    height, width = plate.image.shape[:2]
    face = plate.face_height
    from_chin = (rings - plate.landmarks[152]) @ plate.down / face
    from_middle = rings - plate.landmarks[1]
    sideways, upwards = np.abs(from_middle @ plate.across) / face, -(from_middle @ plate.down) / face
    share = 1.0 - smoothstep(from_chin, -0.05, 0.75)
    share *= 1.0 - smoothstep(sideways, 0.95, 1.7)
    share *= 1.0 - smoothstep(upwards, 1.25, 2.0)
    border = np.minimum.reduce([rings[..., 0], rings[..., 1], width - 1 - rings[..., 0], height - 1 - rings[..., 1]])
    share *= smoothstep(border / face, -0.02, 0.22)
    share[-1] = 0.0
    return share.astype(np.float32)
