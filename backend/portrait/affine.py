"""Affine maps of the plane as (2, 3) arrays."""

from __future__ import annotations

import cv2
import numpy as np


def then(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The map (2, 3) that applies inner first and outer to its result."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 2) mapped by affine (2, 3)."""
    return points @ affine[:, :2].T + affine[:, 2]


def inverse(affine: np.ndarray) -> np.ndarray:
    """The map (2, 3) back."""
    return cv2.invertAffineTransform(affine)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) that brings points (n, 2) nearest to target (n, 2), least squares.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns", eq. 40–42.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    a, b = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * flip) @ vt * ((singular * flip).sum() / (a**2).sum())
    return np.column_stack([turn, target.mean(0) - turn @ source.mean(0)])


def source_grid(affine: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel of an image of size (width, height) the x and y (h, w) float32 that affine (2, 3) maps to it."""
    back = inverse(affine).astype(np.float32)
    columns, rows = np.arange(size[0], dtype=np.float32)[None], np.arange(size[1], dtype=np.float32)[:, None]
    return tuple(back[i, 0] * columns + back[i, 1] * rows + back[i, 2] for i in (0, 1))
