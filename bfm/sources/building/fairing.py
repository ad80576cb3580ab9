"""Smooth joins: points moved to where the surface bends least between what is held still."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import spsolve


def laplacian(points: np.ndarray, faces: list[tuple[int, ...]]) -> csr_matrix:
    """Difference of each point from its neighbours' mean, neighbours weighted by nearness: (n, n)."""
    edges = {(min(a, b), max(a, b)) for face in faces for a, b in zip(face, face[1:] + face[:1])}
    a, b = np.array(sorted(edges)).T
    weight = 1.0 / np.maximum(np.linalg.norm(points[a] - points[b], axis=1), 0.5)
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    near = coo_matrix((np.concatenate([weight, weight]), (rows, columns)), shape=(len(points),) * 2).tocsr()
    total = np.asarray(near.sum(1)).ravel()
    return diags(np.ones(len(points))) - diags(1.0 / np.maximum(total, 1e-9)) @ near


def fair(points: np.ndarray, faces: list[tuple[int, ...]], free: np.ndarray) -> np.ndarray:
    """Points (n, 3) with those in free (n,) bool moved to minimise the squared Laplacian (thin-plate energy)."""
    difference = laplacian(points, faces)
    energy = (difference.T @ difference).tocsr()
    inner = energy[free][:, free]
    result = points.copy()
    result[free] = spsolve(inner.tocsc(), -energy[free][:, ~free] @ points[~free])
    return result
