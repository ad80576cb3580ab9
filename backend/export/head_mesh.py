"""The project's own head as meshes and targets that any engine understands, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bfm.coefficients import (
    ARKIT_CHANNELS,
    CHANNEL_INDEX,
    EXPRESSION_DIMS,
    FULL_ACTIVATION_SD,
    IDENTITY_DIMS,
    TEXTURE_DIMS,
)
from blender_addon.protocol.types import AnimationCurves

METRES_PER_DECIMETRE = np.float32(0.1)
STILL = 2e-6  # metres; a vertex that moves less stands still
UNTURNED = 0.01  # of a unit normal


@dataclass(frozen=True)
class HeadMesh:
    """A head at rest and its 52 targets: +X the character's left, +Y up, +Z out of the face, metres.

    vertices, normals (n_vertices, 3); triangles (n_triangles, 3) int32; uv (n_vertices, 2) 0-1, origin bottom left;
    colors (n_vertices, 3) linear RGB 0-1; names (52,); targets, target_normals (52, n_vertices, 3): what is added at
    weight 1; regions (n_vertices,): what each vertex belongs to; pivot (3,): where the head turns; left_eye, right_eye
    (3,): centres of the eyeballs.
    """

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    colors: np.ndarray
    names: tuple[str, ...]
    targets: np.ndarray
    target_normals: np.ndarray
    regions: np.ndarray
    pivot: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray

    def moved_points(self, target: int) -> np.ndarray:
        """The vertices (k,) int64 that a target moves or turns enough to see."""
        moved = np.abs(self.targets[target]).max(1) > STILL
        return np.flatnonzero(moved | (np.abs(self.target_normals[target]).max(1) > UNTURNED))


def head_of(curves: AnimationCurves) -> HeadMesh:
    """The head of the face that the curves came from, or the average head where they carry no coefficients."""
    carried = curves.coefficients or {}
    identity = carried.get("identity", np.zeros(IDENTITY_DIMS, np.float32))
    texture = carried.get("texture", np.zeros(TEXTURE_DIMS, np.float32))
    return _head_mesh(np.asarray(identity, np.float32).tobytes(), np.asarray(texture, np.float32).tobytes())


@lru_cache(maxsize=2)
def _head_mesh(identity_bytes: bytes, texture_bytes: bytes) -> HeadMesh:
    """The embedded head of identity (80,) and texture (80,) float32 standard deviations, ARKit's 52 as targets."""
    from bfm.sources.embedded import load_embedded_model

    identity, texture = (np.frombuffer(data, np.float32) for data in (identity_bytes, texture_bytes))

    model = load_embedded_model()
    rest = model.vertices(identity, np.zeros((1, EXPRESSION_DIMS), np.float32))[0]
    # eyeballs and pivot belong to the average face; the identity carries them with the vertices around them.
    moved = model.vertices(np.zeros_like(identity), np.zeros((1, EXPRESSION_DIMS), np.float32))[0]
    shift = [_local_shift(moved, rest, centre) for centre in model.eyeballs]
    targets = _targets(model, identity, rest)
    normals = vertex_normals(rest, model.triangles)
    return HeadMesh(
        vertices=rest * METRES_PER_DECIMETRE,
        normals=normals,
        triangles=model.triangles.astype(np.int32),
        uv=model.uv,
        colors=model.albedo(texture).astype(np.float32),
        names=ARKIT_CHANNELS,
        targets=targets * METRES_PER_DECIMETRE,
        target_normals=np.stack([vertex_normals(rest + target, model.triangles) - normals for target in targets]),
        regions=np.array(model.region_names)[model.regions],
        pivot=model.pivot * METRES_PER_DECIMETRE,
        left_eye=(model.eyeballs[1] + shift[1]) * METRES_PER_DECIMETRE,
        right_eye=(model.eyeballs[0] + shift[0]) * METRES_PER_DECIMETRE,
    )


def _targets(model, identity: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(52, n_vertices, 3) dm: what each ARKit channel at 1 adds to the rest face."""
    n_arkit = len(ARKIT_CHANNELS)
    expression = np.eye(n_arkit, EXPRESSION_DIMS, dtype=np.float32) * FULL_ACTIVATION_SD
    targets = model.vertices(identity, expression) - rest
    # mouthClose has something to close only while the jaw is open.
    jaw, close = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
    sealed = model.vertices(identity, (expression[jaw] + expression[close])[None])[0]
    targets[close] = sealed - rest - targets[jaw]
    return targets.astype(np.float32)


def _local_shift(before: np.ndarray, after: np.ndarray, centre: np.ndarray, n_nearest: int = 40) -> np.ndarray:
    """Mean movement (3,) of the vertices nearest to a centre."""
    nearest = np.argsort(((before - centre) ** 2).sum(1))[:n_nearest]
    return (after[nearest] - before[nearest]).mean(0)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (n_vertices, 3), triangles weighted by area; +Z where a vertex belongs to none."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), [0.0, 0.0, 1.0]).astype(np.float32)
