"""Small face models of made-up numbers with the structure of published ones, for the tests of their readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.interpolate import griddata
from scipy.io import savemat
from scipy.spatial import cKDTree

from bfm.sources.embedded import load_embedded_model

COLUMNS, ROWS = 36, 40


def face_sheet() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sheet in the shape of a face: points (1440, 3) dm, triangles, and the vertices (68,) of the 68 points."""
    model = load_embedded_model()
    marks = model.landmark_mean.astype(np.float64)
    x, y = np.meshgrid(np.linspace(-0.85, 0.85, COLUMNS), np.linspace(marks[:, 1].max(), marks[:, 1].min(), ROWS))
    flat = np.stack([x.ravel(), y.ravel()], axis=1)
    z = griddata(marks[:468, :2], marks[:468, 2], flat, method="linear")
    z = np.where(np.isnan(z), griddata(marks[:468, :2], marks[:468, 2], flat, method="nearest"), z)
    points = np.column_stack([flat, z])
    cell = np.arange(COLUMNS * ROWS).reshape(ROWS, COLUMNS)
    a, b, c, d = cell[:-1, :-1].ravel(), cell[1:, :-1].ravel(), cell[1:, 1:].ravel(), cell[:-1, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    keypoints = cKDTree(points).query(marks[model.landmarks_68])[1]
    return points.astype(np.float32), triangles, keypoints


def vertex_triangles(triangles: np.ndarray, n_vertices: int) -> np.ndarray:
    """For each vertex its triangles (n_vertices, 8), len(triangles) where there are fewer."""
    listed = np.full((n_vertices, 8), len(triangles))
    filled = np.zeros(n_vertices, int)
    for index, corners in enumerate(triangles):
        for vertex in corners:
            listed[vertex, filled[vertex]] = index
            filled[vertex] += 1
    return listed


def write_bfm2009(folder: Path, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Writes the licensed files, the expression basis and the index files of a small model; gives what they should say.

    The whole model has extra vertices before and between those of the front, as the real one has.
    """
    rng = np.random.default_rng(seed)
    points, triangles, keypoints = face_sheet()
    n_front = len(points)
    n_trimmed, n_whole, n_modes, n_expressions = n_front + 50, n_front + 90, 90, 70
    trim = np.sort(rng.choice(n_whole, n_trimmed, replace=False))
    front = np.sort(rng.choice(n_trimmed, n_front, replace=False))
    mean = rng.normal(size=(n_whole, 3)) * 1e5
    mean[trim[front]] = points * 1e5
    arrays = {"shapeMU": mean.reshape(-1, 1), "texMU": rng.uniform(60, 200, (3 * n_whole, 1))}
    for kind in ("shape", "tex"):
        arrays[f"{kind}PC"] = rng.normal(size=(3 * n_whole, n_modes)).astype(np.float32)
        arrays[f"{kind}EV"] = rng.uniform(1, 900, (n_modes, 1))
    savemat(folder / "01_MorphableModel.mat", arrays)
    expressions = rng.normal(size=(n_expressions + 1, n_trimmed, 3)).astype("<f4")
    (folder / "Exp_Pca.bin").write_bytes(np.array([n_expressions], "<i4").tobytes() + expressions.tobytes())
    deviations = rng.uniform(1, 900, n_expressions)
    (folder / "std_exp.txt").write_text(" ".join(repr(float(d)) for d in deviations), encoding="ascii")
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": np.uint16(trim[:, None] + 1)})
    savemat(folder / "BFM_front_idx.mat", {"idx": np.float32(front[:, None] + 1)})
    info = {
        "tri": np.float32(triangles + 1),
        "point_buf": np.float32(vertex_triangles(triangles, n_front) + 1),
        "keypoints": np.float32(keypoints[None] + 1),
        "tri_mask2": np.float32(triangles[:100] + 1),
        "frontmask2_idx": np.float32(np.arange(60)[:, None] + 1),
        "skinmask": np.ones((1, n_front), np.float32),
    }
    savemat(folder / "facemodel_info.mat", info)
    arrays |= {"chosen": trim[front], "expressions": expressions[1:, front], "deviations": deviations}
    return arrays | {"points": points, "triangles": triangles, "keypoints": keypoints}
