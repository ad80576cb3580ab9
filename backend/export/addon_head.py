"""Heads as files of the Blender add-on: imported models', and its own, python -m backend.export.addon_head."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.export.head_mesh import METRES_PER_DECIMETRE, head_of
from bfm.coefficients import EXPRESSION_DIMS, EXTRA_CHANNELS, FULL_ACTIVATION_SD, IDENTITY_DIMS
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

if TYPE_CHECKING:
    from bfm.model import FaceModel

ADDON_HEAD = Path(__file__).resolve().parents[2] / "blender_addon" / "data" / "head.npz"
LASHES = "lashes"
STILL = 2e-6  # metres; what moves less is stored as not moving


def addon_head() -> dict[str, np.ndarray]:
    """The average head as blender_addon/head.py reads it: metres, +Y up, +Z out of the face.

    vertices (n_vertices, 3) float32; faces (n_faces, 4 or 3) int32; shape_names (52,); shape_deltas
    (52, n_vertices, 3) float16; further_names (12,) and further_deltas (12, n_vertices, 3) float16 of the channels that
    ARKit lacks; regions (n_vertices,) uint8 into region_names; colors (n_vertices, 3) float16 linear 0-1; uv
    (n_vertices, 2) float32; pivot (3,).
    """
    from bfm.sources.embedded import load_embedded_model

    model = load_embedded_model()
    rest = rest_rotations(1)
    head = head_of(AnimationCurves(ARKIT_NAMES, np.zeros((1, len(ARKIT_NAMES)), np.float32), 25.0, rest, rest, rest))
    n_arkit = len(ARKIT_NAMES)
    expression = np.eye(EXPRESSION_DIMS, dtype=np.float32)[n_arkit:] * FULL_ACTIVATION_SD
    identity = np.zeros(IDENTITY_DIMS, np.float32)
    still = model.vertices(identity, np.zeros((1, EXPRESSION_DIMS), np.float32))
    further = (model.vertices(identity, expression) - still) * METRES_PER_DECIMETRE
    return {
        "vertices": head.vertices.astype(np.float32),
        "faces": np.asarray(model.quads if len(model.quads) else model.triangles, np.int32),
        "shape_names": np.array(head.names),
        "shape_deltas": _stored(head.targets),
        "further_names": np.array(EXTRA_CHANNELS),
        "further_deltas": _stored(further),
        "regions": model.regions.astype(np.uint8),
        "region_names": np.array(model.region_names),
        "colors": head.colors.astype(np.float16),
        "uv": head.uv.astype(np.float32),
        "pivot": head.pivot.astype(np.float32),
    }


def model_head(model: FaceModel) -> dict[str, np.ndarray]:
    """The average head of a face model, in the same form, with ARKit's 52 as its expressions show them.

    faces (n_faces, 4), -1 where a triangle has no fourth corner; what needs transparency and pictures to be seen as it
    is, tear films and lashes on cards, is left out. Without further shapes: a model's own expressions are not the
    coefficients.
    """
    from backend.faces.preview import expressions_of, triangles_alone
    from bfm.sources.ict import TRANSPARENT

    n_arkit = len(ARKIT_NAMES)
    still, weights = rest_rotations(n_arkit), np.eye(n_arkit, dtype=np.float32)
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    weights[close, jaw] = 1.0  # the lips have something to close only while the jaw is open
    curves = AnimationCurves(ARKIT_NAMES, weights, 25.0, still, still, still)
    identity = np.zeros(len(model.identity_basis), np.float32)
    expressions = expressions_of(model, curves)
    rest = model.vertices(identity, np.zeros_like(expressions[:1]))[0]
    deltas = model.vertices(identity, expressions[:n_arkit]) - rest
    deltas[close] -= deltas[jaw]
    alone = triangles_alone(model)
    faces = np.concatenate([model.quads.reshape(-1, 4), np.pad(alone, ((0, 0), (0, 1)), constant_values=-1)])
    hidden = [name in (TRANSPARENT, LASHES) for name in model.region_names]
    faces = faces[~np.array(hidden)[model.regions[faces[:, 0]]]]
    used, places = np.unique(faces[faces >= 0], return_inverse=True)
    faces[faces >= 0] = places.ravel()
    return {
        "vertices": (rest[used] * METRES_PER_DECIMETRE).astype(np.float32),
        "faces": faces.astype(np.int32),
        "shape_names": np.array(ARKIT_NAMES),
        "shape_deltas": _stored(deltas[:, used] * METRES_PER_DECIMETRE),
        "regions": model.regions[used].astype(np.uint8),
        "region_names": np.array(model.region_names),
        "colors": model.albedo(np.zeros(len(model.texture_basis), np.float32))[used].astype(np.float16),
        "uv": model.uv[used].astype(np.float32),
        "pivot": (model.pivot * METRES_PER_DECIMETRE).astype(np.float32),
    }


def _stored(deltas: np.ndarray) -> np.ndarray:
    return np.where(np.abs(deltas) < STILL, 0.0, deltas).astype(np.float16)


def write_addon_head(path: Path = ADDON_HEAD) -> Path:
    """Writes the project's head, complete or not at all."""
    return _write(path, addon_head())


def write_head(model: FaceModel, path: Path) -> Path:
    """Writes the head of a face model for the add-on, complete or not at all."""
    return _write(path, model_head(model))


def _write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(temporary, **arrays)
    os.replace(temporary, path)
    return path


if __name__ == "__main__":
    print(write_addon_head())
