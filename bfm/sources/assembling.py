"""A FaceModel from what a published model says: the parts that none of them has are filled in alike."""

from __future__ import annotations

import numpy as np

from bfm.contact import CONTACT_PAIRS
from bfm.landmarks import LANDMARKS_68
from bfm.model import FaceModel
from bfm.sources.correspondence import Correspondence, mirror_twins

PLAIN_SKIN = (0.55, 0.36, 0.28)
"""Linear RGB albedo where a model has no texture."""


def assembled(
    name: str, mean: np.ndarray, triangles: np.ndarray, marks: Correspondence, *, identity: np.ndarray,
    expression: np.ndarray, expression_names: tuple[str, ...], texture_mean: np.ndarray | None = None,
    texture: np.ndarray | None = None, quads: np.ndarray | None = None, uv: np.ndarray | None = None,
    regions: np.ndarray | None = None, region_names: tuple[str, ...] = ("face",),
) -> FaceModel:  # fmt: skip
    """A FaceModel without contacts of mean (n_vertices, 3) dm and bases (k, n_vertices, 3) dm per standard deviation.

    What is not given: plain skin without modes, no quads, cylindrical texture coordinates, one region.
    """
    n = len(mean)
    if texture_mean is None:
        texture_mean = np.tile(np.float32(PLAIN_SKIN), (n, 1))
    return FaceModel(
        name=name,
        mean=np.float32(mean),
        identity_basis=np.float32(identity),
        expression_basis=np.float32(expression),
        texture_mean=np.float32(texture_mean),
        texture_basis=np.zeros((0, n, 3), np.float32) if texture is None else np.float32(texture),
        triangles=np.ascontiguousarray(triangles, np.int32),
        quads=np.zeros((0, 4), np.int32) if quads is None else np.ascontiguousarray(quads, np.int32),
        uv=cylinder_uv(mean) if uv is None else np.float32(uv),
        regions=np.zeros(n, np.uint8) if regions is None else np.uint8(regions),
        region_names=region_names,
        twins=mirror_twins(mean),
        landmark_triangles=marks.landmark_triangles,
        landmark_barycentric=marks.landmark_barycentric,
        landmarks_68=np.array(LANDMARKS_68),
        contact_weights=np.zeros((len(CONTACT_PAIRS), n), np.float32),
        eyeballs=marks.eyeballs,
        pivot=marks.pivot,
        expression_names=expression_names,
    )


def numbered(count: int) -> tuple[str, ...]:
    """Names of expression modes that have no meaning of their own."""
    return tuple(f"expression{i:02d}" for i in range(count))


def cylinder_uv(points: np.ndarray) -> np.ndarray:
    """Texture coordinates (n, 2) 0–1 of points (n, 3) on an upright cylinder round their middle, +Z in the centre."""
    middle = points.mean(0)
    angle = np.arctan2(points[:, 0] - middle[0], points[:, 2] - points[:, 2].min() + 1e-3)
    flat = np.stack([angle, points[:, 1]], axis=1)
    return ((flat - flat.min(0)) / np.maximum(np.ptp(flat, axis=0), 1e-9)).astype(np.float32)
