"""Ambient occlusion: how much of the light from all around reaches each vertex of a mesh, by depth maps.

Zhukov, Iones & Kronin 1998, "An ambient light illumination model".
"""

from __future__ import annotations

import numpy as np

from bfm.rasterize import rasterize, vertex_normals

N_DIRECTIONS = 48
_SIDE = 320
"""Pixels of a depth map."""
_BIAS = 0.012
"""A vertex this share of the mesh's radius behind the nearest surface still counts as seen."""


def ambient_occlusion(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Share of the light (n_vertices,) float32, 0–1, that reaches vertices (n_vertices, 3) through triangles."""
    middle = (vertices.max(0) + vertices.min(0)) / 2.0
    centred = vertices - middle
    radius = float(np.linalg.norm(centred, axis=1).max())
    normals = vertex_normals(vertices, triangles)
    reached, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in _directions(N_DIRECTIONS):
        facing = np.maximum(normals @ direction, 0.0)
        across = np.cross([0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0], direction)
        across /= np.linalg.norm(across)
        axes = np.stack([across, np.cross(direction, across), -direction], axis=1)
        seen = centred @ axes / radius
        seen[:, :2] = (seen[:, :2] + 1.0) * 0.5 * (_SIDE - 1)
        depth = rasterize(seen, triangles, height=_SIDE, width=_SIDE).depth
        column, row = np.rint(seen[:, :2]).astype(int).T
        nearest = depth[np.clip(row, 0, _SIDE - 1), np.clip(column, 0, _SIDE - 1)]
        reached += facing * (seen[:, 2] < nearest + _BIAS)
        total += facing
    return (reached / np.maximum(total, 1e-9)).astype(np.float32)


def _directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) spread evenly over the sphere (Fibonacci's spiral)."""
    step = np.arange(count) + 0.5
    height = 1.0 - 2.0 * step / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * step
    reach = np.sqrt(1.0 - height**2)
    return np.stack([reach * np.cos(angle), height, reach * np.sin(angle)], axis=1)
