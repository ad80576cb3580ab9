"""What each channel of the embedded head does to the Basel expression, as the reconstruction network sees it.

Without the Basel Face Model's file, the embedded head is drawn in Deep3DFaceRecon's own camera with single channels and
with random mixes, the network reads expression coefficients off the pictures, and a ridge regression maps one to the
other. The error is that of mixes which the regression did not see, as a share of their spread. It is kept beside the
weights under the hash of the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from backend.checkpoints.store import weights_folder
from bfm.camera import RELATIVE_FOCAL, Camera, project
from bfm.coefficients import EXPRESSION_DIMS, FULL_ACTIVATION_SD
from bfm.lighting import lit_colors
from bfm.model import FaceModel
from bfm.rasterize import interpolate, rasterize, vertex_normals
from bfm.sources.embedded import load_embedded_model

SIZE = 224  # pixels
BASEL_SCALE = 1.028
BASEL_ORIGIN = np.float32([0.0, 0.289, 0.177])
"""Scale and decimetres that lay the embedded head's five points onto those of the Basel mean face."""
N_MIXES, N_HELD_OUT = 160, 40
RIDGE = 1e-2
BATCH = 16


@dataclass(frozen=True)
class Calibration:
    """matrix (64, 64): Basel expression sd per embedded expression sd; error: see the module."""

    matrix: np.ndarray
    error: float


def calibrate(network: nn.Module, *, model: FaceModel | None = None, n_mixes: int = N_MIXES) -> Calibration:
    """Fits the map from the embedded head's expression to the Basel one, by pictures of the head."""
    head = model or load_embedded_model()
    weights = _poses(n_mixes)
    pictures = [draw(head, weight * np.float32(FULL_ACTIVATION_SD)) for weight in weights]
    expression = _expressions(network, pictures)
    moved, seen = weights[1:] * FULL_ACTIVATION_SD, expression[1:] - expression[0]
    held = min(N_HELD_OUT, n_mixes // 4)
    train, test = slice(0, len(moved) - held), slice(len(moved) - held, None)
    normal = moved[train].T @ moved[train]
    ridge = RIDGE * np.trace(normal) / EXPRESSION_DIMS * np.eye(EXPRESSION_DIMS)
    matrix = np.linalg.solve(normal + ridge, moved[train].T @ seen[train])
    left = seen[test] - moved[test] @ matrix
    error = float(np.sqrt((left**2).sum() / max((seen[test] ** 2).sum(), 1e-12)))
    return Calibration(matrix.astype(np.float32), error)


def kept_calibration(network: nn.Module, digest: str) -> Calibration:
    """The calibration of a reconstruction network, made once per hash of its weights and kept beside them."""
    path = weights_folder() / f"calibration-{digest[:16]}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return Calibration(kept["matrix"], float(kept["error"]))
    made = calibrate(network)
    part = Path(f"{path}.part")
    with part.open("wb") as file:
        np.savez(file, matrix=made.matrix, error=made.error)
    os.replace(part, path)
    return made


def draw(head: FaceModel, expression: np.ndarray, *, size: int = SIZE) -> np.ndarray:
    """The embedded head with an expression (64,) sd in the reconstruction network's camera, (size, size, 3) uint8."""
    vertices = head.vertices(np.zeros(len(head.identity_basis), np.float32), expression[None])[0]
    vertices = BASEL_SCALE * vertices + BASEL_ORIGIN
    points = project(vertices, np.zeros(3), np.zeros(3), Camera(RELATIVE_FOCAL * size, size / 2, size / 2))
    colors = lit_colors(_albedo(head), vertex_normals(vertices, head.triangles), np.zeros(27))
    fragments = rasterize(points.astype(np.float32), head.triangles, height=size, width=size)
    picture = interpolate(fragments, head.triangles, np.clip(colors, 0.0, 1.0).astype(np.float32))
    picture[~fragments.covered] = 0.0
    return (255.0 * np.clip(picture, 0.0, 1.0) ** (1 / 2.2) + 0.5).astype(np.uint8)


@lru_cache(maxsize=1)
def _albedo_of(name: str) -> np.ndarray:
    head = load_embedded_model()
    return head.albedo(np.zeros(len(head.texture_basis), np.float32))


def _albedo(head: FaceModel) -> np.ndarray:
    return _albedo_of(head.name)


def _poses(n_mixes: int) -> np.ndarray:
    """Channel weights (1 + 64 + n_mixes, 64): rest, every channel alone, and mixes of about six channels."""
    random = np.random.default_rng(0)
    mixes = random.uniform(0.0, 1.0, (n_mixes, EXPRESSION_DIMS)) * (random.random((n_mixes, EXPRESSION_DIMS)) < 0.1)
    return np.concatenate([np.zeros((1, EXPRESSION_DIMS)), np.eye(EXPRESSION_DIMS), mixes]).astype(np.float32)


def _expressions(network: nn.Module, pictures: list[np.ndarray]) -> np.ndarray:
    """Expression coefficients (n, 64) that the network reads off pictures."""
    read = []
    with torch.inference_mode():
        for first in range(0, len(pictures), BATCH):
            batch = torch.from_numpy(np.stack(pictures[first : first + BATCH])).permute(0, 3, 1, 2).float() / 255
            read.append(network(batch)[:, 80 : 80 + EXPRESSION_DIMS].double().numpy())
    return np.concatenate(read)
