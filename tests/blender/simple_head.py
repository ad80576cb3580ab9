"""A head for tests: a sphere with one small bump for each ARKit shape, in the format of blender_addon/data/head.npz."""

from pathlib import Path

import numpy as np

from blender_addon.protocol.types import ARKIT_NAMES

N_RINGS, N_SIDES = 16, 24


def write_simple_head(path: Path, *, names: tuple[str, ...] = ARKIT_NAMES) -> None:
    """Writes vertices, faces, shape_names and shape_deltas of a sphere."""
    height, turn = np.meshgrid(
        np.linspace(0.05, np.pi - 0.05, N_RINGS), np.arange(N_SIDES) * 2 * np.pi / N_SIDES, indexing="ij"
    )
    points = np.stack([np.sin(height) * np.sin(turn), np.cos(height), np.sin(height) * np.cos(turn)], -1).reshape(-1, 3)
    place = np.arange(N_RINGS * N_SIDES).reshape(N_RINGS, N_SIDES)
    along = np.roll(place, -1, axis=1)
    faces = np.stack([place[:-1], place[1:], along[1:], along[:-1]], -1).reshape(-1, 4)
    centres = points[np.linspace(0, len(points) - 1, len(names)).astype(int)]
    near = np.exp(-20.0 * ((points[None] - centres[:, None]) ** 2).sum(-1))
    np.savez_compressed(
        path,
        vertices=points.astype(np.float32),
        faces=faces.astype(np.int32),
        shape_names=np.array(names),
        shape_deltas=(0.2 * near[..., None] * points[None]).astype(np.float32),
    )
