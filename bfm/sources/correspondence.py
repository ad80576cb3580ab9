"""Where mediapipe's 478 landmarks, the eyeballs and the neck's pivot lie on a model that knows the 68 points only.

The embedded head carries both sets. It is laid onto the other model by a similarity and then a smooth warp (thin-plate
kernel in 3D, Bookstein 1989) through the 68 points; the warped landmarks drop onto the nearest triangle. Those of the
478 that are among the 68 are pinned to the model's own points, so that the published ones stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.errors import FaceModelError
from bfm.landmarks import LANDMARKS_68

_JAW_LINE = 17
"""The first points of the 68: outlines that slide over the face, known less well than the rest."""
_CANDIDATES = 24
"""Triangles tried for each landmark: those whose centres lie nearest."""
_SMOOTHING = 1e-3


@dataclass(frozen=True)
class Correspondence:
    """landmark_triangles (478, 3) int32, landmark_barycentric (478, 3) float32; eyeballs (2, 3) and pivot (3,) dm."""

    landmark_triangles: np.ndarray
    landmark_barycentric: np.ndarray
    eyeballs: np.ndarray
    pivot: np.ndarray


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and shift (3,) that lay source (n, 3) onto target (n, 3) (Umeyama 1991)."""
    from_middle, to_middle = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(to_middle.T @ from_middle)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u * flip @ vt
    scale = float((singular * flip).sum() / (from_middle**2).sum())
    return scale, rotation, target.mean(0) - scale * rotation @ source.mean(0)


def correspondence(mean: np.ndarray, triangles: np.ndarray, keypoints: np.ndarray) -> Correspondence:
    """Correspondence of a mean face (n_vertices, 3) with triangles (n, 3) and the 68 points' vertices (68,).

    Raises FaceModelError for keypoints that do not form a face.
    """
    from scipy.interpolate import RBFInterpolator

    from bfm.sources.embedded import load_embedded_model

    embedded = load_embedded_model()
    known = embedded.landmark_mean[list(LANDMARKS_68)].astype(np.float64)
    goal = mean[keypoints].astype(np.float64)
    if np.linalg.svd(goal - goal.mean(0), compute_uv=False)[2] < 1e-6:
        raise FaceModelError("keypoints: the 68 points lie in one plane or on top of each other; give a face's")
    scale, rotation, shift = similarity(known[_JAW_LINE:], goal[_JAW_LINE:])
    laid = scale * known @ rotation.T + shift
    smoothing = np.full(len(known), _SMOOTHING)
    smoothing[:_JAW_LINE] *= 50.0
    warp = RBFInterpolator(laid, goal - laid, kernel="thin_plate_spline", smoothing=smoothing)

    def warped(points: np.ndarray) -> np.ndarray:
        moved = scale * points.astype(np.float64) @ rotation.T + shift
        return moved + warp(moved)

    corners, barycentric = nearest_on_surface(warped(embedded.landmark_mean), mean, triangles)
    for point, vertex in zip(LANDMARKS_68, keypoints, strict=True):
        corners[point], barycentric[point] = vertex, (1.0, 0.0, 0.0)
    # A warp through face points says nothing of the neck: the pivot only follows the similarity.
    pivot = scale * rotation @ embedded.pivot + shift
    return Correspondence(corners, barycentric, warped(embedded.eyeballs).astype(np.float32), pivot.astype(np.float32))


def nearest_on_surface(points: np.ndarray, mean: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertex triples (n, 3) int32 and barycentric weights (n, 3) float32 of the surface point nearest to each point."""
    from scipy.spatial import cKDTree

    mean = mean.astype(np.float64)
    tree = cKDTree(mean[triangles].mean(1))
    candidates = tree.query(points, k=min(_CANDIDATES, len(triangles)))[1].reshape(len(points), -1)
    corners = triangles[candidates]
    weights = _nearest_weights(points[:, None, :], *np.moveaxis(mean[corners], 2, 0))
    reached = np.einsum("pkc,pkcd->pkd", weights, mean[corners])
    best = np.linalg.norm(reached - points[:, None], axis=-1).argmin(1)
    rows = np.arange(len(points))
    return corners[rows, best].astype(np.int32), weights[rows, best].astype(np.float32)


def _nearest_weights(point: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Barycentric weights (…, 3) of the point of triangle a b c nearest to a point: the plane's, or the best edge's."""
    inside = _plane_weights(point, a, b, c)
    edges = []
    for order, start, end in (((0, 1, 2), a, b), ((1, 2, 0), b, c), ((2, 0, 1), c, a)):
        along = end - start
        length = np.maximum((along**2).sum(-1), 1e-18)
        share = np.clip(((point - start) * along).sum(-1) / length, 0.0, 1.0)
        weights = np.zeros((*share.shape, 3))
        weights[..., order[0]], weights[..., order[1]] = 1.0 - share, share
        edges.append(weights)
    options = np.stack([np.where((inside >= 0).all(-1)[..., None], inside, edges[0]), *edges])
    reached = options[..., :1] * a + options[..., 1:2] * b + options[..., 2:] * c
    best = ((reached - point) ** 2).sum(-1).argmin(0)
    return np.take_along_axis(options, best[None, ..., None], 0)[0]


def _plane_weights(point: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Barycentric weights (…, 3) of the point dropped onto the triangle's plane; some are negative outside it."""
    ab, ac, ap = b - a, c - a, point - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = d00 * d11 - d01 * d01
    safe = np.where(np.abs(area) < 1e-18, 1.0, area)
    v, w = (d11 * d20 - d01 * d21) / safe, (d00 * d21 - d01 * d20) / safe
    weights = np.stack([1.0 - v - w, v, w], axis=-1)
    weights[np.abs(area) < 1e-18] = -1.0
    return weights


def mirror_twins(mean: np.ndarray) -> np.ndarray:
    """The vertex (n_vertices,) int32 nearest to each one's mirror image across the plane x = 0."""
    from scipy.spatial import cKDTree

    return cKDTree(mean).query(mean * [-1.0, 1.0, 1.0])[1].astype(np.int32)
