"""Where mediapipe's 478 landmarks, the eyeballs and the neck's pivot lie on a model that knows the 68 points only.

The embedded head carries both sets. It is laid onto the other model by a similarity and then a smooth warp (thin-plate
kernel in 3D, Bookstein 1989) through the 68 points; the warped landmarks drop onto the nearest triangle. Those of the
478 that are among the 68 are pinned to the model's own points, so that the published ones stay exact. Where a model
names no points at all, the two surfaces are registered instead.
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
_N_SKIN = 468
_FURTHEST = 0.08
"""Decimetres between the faces' surfaces, median, beyond which they do not fit."""


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


def correspondence(
    mean: np.ndarray, triangles: np.ndarray, corners: np.ndarray, weights: np.ndarray | None = None, *,
    points: np.ndarray | None = None, eyeballs: np.ndarray | None = None,
) -> Correspondence:  # fmt: skip
    """Correspondence of a mean face (n_vertices, 3) with triangles (n, 3) through known points of the 68.

    corners: the vertices (n,) that are the points, or triples (n, 3) of vertices with barycentric weights (n, 3);
    points (n,): which of the 68 they are, all in order where not given; eyeballs (m, 3): triangles that bear the irises
    where the skin does not. Raises FaceModelError for points that do not form a face.
    """
    from bfm.sources.embedded import load_embedded_model

    if weights is None:
        corners = np.repeat(np.asarray(corners)[:, None], 3, axis=1)
        weights = np.tile([1.0, 0.0, 0.0], (len(corners), 1))
    points = np.arange(68) if points is None else np.asarray(points)
    embedded = load_embedded_model()
    marks = np.array(LANDMARKS_68)[points]
    known = embedded.landmark_mean[marks].astype(np.float64)
    goal = np.einsum("nk,nkc->nc", weights, mean[corners].astype(np.float64))
    if np.linalg.svd(goal - goal.mean(0), compute_uv=False)[2] < 1e-6:
        raise FaceModelError("keypoints: the known points lie in one plane or on top of each other; give a face's")
    inner = points >= _JAW_LINE
    laying = similarity(known[inner], goal[inner])
    smoothing = np.where(inner, _SMOOTHING, 50.0 * _SMOOTHING)
    found = _through(known, goal, laying, smoothing, mean, triangles)
    if eyeballs is not None:
        irises = _warped(known, goal, laying, smoothing)(embedded.landmark_mean[_N_SKIN:])
        found.landmark_triangles[_N_SKIN:], found.landmark_barycentric[_N_SKIN:] = nearest_on_surface(
            irises, mean, eyeballs
        )
    found.landmark_triangles[marks], found.landmark_barycentric[marks] = corners, weights
    return found


def registered(mean: np.ndarray, triangles: np.ndarray) -> Correspondence:
    """Correspondence with a mean face (n_vertices, 3) dm whose points nobody named, by laying the embedded face on it.

    The face must be upright, look along +Z and be of life size. Iterative closest points with a similarity, then with a
    thin-plate warp that grows less stiff (Amberg, Romdhani & Vetter 2007 in spirit). Raises FaceModelError where
    the surfaces stay apart.
    """
    from scipy.spatial import cKDTree

    from bfm.rasterize import vertex_normals
    from bfm.sources.embedded import load_embedded_model

    embedded = load_embedded_model()
    own = embedded.landmark_mean[:_N_SKIN].astype(np.float64)
    own_normals = vertex_normals(embedded.mean, embedded.triangles)[embedded.landmark_triangles[:_N_SKIN, 0]]
    normals = vertex_normals(mean, triangles)
    tree = cKDTree(mean)
    moved = own + (mean[mean[:, 2].argmax()] - own[own[:, 2].argmax()])
    laying = (1.0, np.eye(3), moved[0] - own[0])

    def matched(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        distance, near = tree.query(points, k=12)
        # Lips and lids have two sheets close together: only a side that faces the same way is a match.
        apart = distance + 0.3 * (1.0 - np.einsum("pkc,pc->pk", normals[near], own_normals))
        best = near[np.arange(len(points)), apart.argmin(1)]
        reach = np.linalg.norm(mean[best] - points, axis=1)
        return best, reach, reach < 2.5 * np.median(reach) + 1e-3

    for _ in range(40):
        best, reach, kept = matched(moved)
        laying = similarity(own[kept], mean[best[kept]].astype(np.float64))
        moved = laying[0] * own @ laying[1].T + laying[2]
    if np.median(reach) > _FURTHEST:
        raise FaceModelError(
            f"the embedded face cannot be laid onto this model: they stay {np.median(reach) * 100:.0f} mm apart; "
            "expected an upright face of life size that looks along +Z"
        )
    for stiffness in (1.0, 0.3, 0.1, 0.03):
        best, _, kept = matched(moved)
        goal = mean[best[kept]].astype(np.float64)
        moved = _warped(own[kept], goal, laying, np.full(kept.sum(), stiffness))(own)
    best, _, kept = matched(moved)
    return _through(own[kept], mean[best[kept]].astype(np.float64), laying, np.full(kept.sum(), 0.03), mean, triangles)


def _warped(known: np.ndarray, goal: np.ndarray, laying, smoothing: np.ndarray):
    """The map of points (n, 3) that a similarity and then a warp from known to goal (k, 3) make."""
    from scipy.interpolate import RBFInterpolator

    scale, rotation, shift = laying
    laid = scale * known @ rotation.T + shift
    warp = RBFInterpolator(laid, goal - laid, kernel="thin_plate_spline", smoothing=smoothing)

    def warped(points: np.ndarray) -> np.ndarray:
        moved = scale * points.astype(np.float64) @ rotation.T + shift
        return moved + warp(moved)

    return warped


def _through(known, goal, laying, smoothing, mean: np.ndarray, triangles: np.ndarray) -> Correspondence:
    """The embedded head's landmarks, eyeballs and pivot on a model, through known points and where they lie there."""
    from bfm.sources.embedded import load_embedded_model

    embedded = load_embedded_model()
    warped = _warped(known, goal, laying, smoothing)
    corners, weights = nearest_on_surface(warped(embedded.landmark_mean), mean, triangles)
    # A warp through face points says nothing of the neck: the pivot only follows the similarity.
    scale, rotation, shift = laying
    pivot = scale * rotation @ embedded.pivot + shift
    return Correspondence(corners, weights, warped(embedded.eyeballs).astype(np.float32), pivot.astype(np.float32))


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
