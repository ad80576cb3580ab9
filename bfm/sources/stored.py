"""Face models as files of our own: every array in one npz, written whole or not at all and checked when read."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from bfm.errors import FaceModelError
from bfm.landmarks import N_LANDMARKS
from bfm.model import FaceModel
from bfm.sources.reading import field, indices, read_npz

FORMAT = "emorig-face-model-1"
_TEXTS = ("region_names", "expression_names")


def save_model(model: FaceModel, path: Path) -> None:
    """Writes a model to an .npz."""
    arrays = {f.name: getattr(model, f.name) for f in fields(FaceModel) if f.init}
    for name in _TEXTS:
        arrays[name] = np.array(arrays[name], str)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez(file, format=np.array(FORMAT), **arrays)
    partial.replace(path)


def load_model(path: Path) -> FaceModel:
    """The model of an .npz that save_model wrote. Raises FaceModelError naming the field that is wrong."""
    arrays = read_npz(path)
    if str(arrays.get("format", "")) != FORMAT:
        raise FaceModelError(f"'{path}' is not a face model of this program: import the original with emorig model")
    n = len(field(arrays, "mean", (None, 3), path=path))
    shapes = {
        "mean": (n, 3), "identity_basis": (None, n, 3), "expression_basis": (None, n, 3), "texture_mean": (n, 3),
        "texture_basis": (None, n, 3), "uv": (n, 2), "landmark_barycentric": (N_LANDMARKS, 3), "eyeballs": (2, 3),
        "pivot": (3,), "contact_weights": (None, n),
    }  # fmt: skip
    vertices = {"triangles": (None, 3), "quads": (None, 4), "twins": (n,), "landmark_triangles": (N_LANDMARKS, 3)}
    values = {name: field(arrays, name, shape, path=path) for name, shape in shapes.items()}
    values |= {name: indices(arrays, name, shape, path=path, first=0, last=n - 1) for name, shape in vertices.items()}
    return FaceModel(
        name=str(arrays.get("name", path.stem)),
        regions=field(arrays, "regions", (n,), path=path, dtype=np.uint8),
        landmarks_68=indices(arrays, "landmarks_68", (68,), path=path, first=0, last=N_LANDMARKS - 1),
        units=str(arrays.get("units", "dm")),
        **{name: tuple(str(text) for text in arrays.get(name, ())) for name in _TEXTS},
        **values,
    )
