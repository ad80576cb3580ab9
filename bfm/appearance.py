"""Fits skin colour and light to a picture whose shape and pose are known: texture (80,) and lighting (27,).

Alternating ridge regressions on the pixels at visible skin vertices, in linear light: nine spherical harmonics per
colour channel given the albedo, then the albedo's modes given the light (Deng et al. 2019, eq. 3, without its network).
Light and skin colour trade off: a picture alone does not tell dark skin in strong light from light skin in weak light.
The priors keep the light near even white and the skin near the model's mean; the hue goes to the skin first.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bfm.camera import project, rotation_matrix
from bfm.coefficients import LIGHTING_DIMS, TEXTURE_DIMS
from bfm.errors import FaceModelError
from bfm.fitting import FittedFace
from bfm.lighting import AMBIENT, harmonics
from bfm.model import FaceModel
from bfm.rasterize import rasterize, vertex_normals

_SEEN_REGIONS = ("skin", "lips")
_RASTER_SIDE = 256
"""Pixels of the longer side of the depth map that tells which vertices are seen."""
_DEPTH_TOLERANCE = 0.04
"""Decimetres that a vertex may lie behind the depth map and still count as seen."""
_NOISE = 0.05
"""Standard deviation of a pixel's colour, linear 0–1: what the model cannot explain."""
_TEXTURE_PRIOR = 0.5
"""Standard deviation of texture coefficients: below one, because a picture's light has its own unevenness."""
_LIGHT_PRIOR = np.array([0.5] + [0.25] * 3 + [0.10] * 5)
"""Standard deviation of the harmonics' coefficients, common to the three colours."""
_TINTS = (0.02, 0.02, 0.05, 0.1, 0.25, 0.25)
"""Per round: spread of how one colour's light differs from the others', as a share of the common one's.

White light first, so that the skin takes the hue that skins can have and the light only what is left.
"""


def fit_appearance(model: FaceModel, fit: FittedFace, image: np.ndarray) -> FittedFace:
    """The fit with texture and lighting from a picture (height, width, 3) uint8 sRGB.

    Raises FaceModelError for another kind of picture or where too little skin is seen.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise FaceModelError(f"the picture should be (height, width, 3) uint8, got {image.shape} {image.dtype}")
    vertices = model.vertices(fit.identity, fit.expression[None])[0]
    seen = project(vertices, fit.rotation, fit.translation, fit.camera)
    normals = vertex_normals(vertices, model.triangles) @ rotation_matrix(fit.rotation).T
    chosen = _visible_skin(model, seen, normals, image.shape[:2])
    if len(chosen) < 200:
        raise FaceModelError("too little of the face lies inside the picture to fit its colour and light")
    colors = linear_light(_sample(image, seen[chosen, :2]))
    lighting, texture = _alternate(model, chosen, colors, harmonics(normals[chosen].astype(np.float64)))
    return replace(fit, lighting=lighting.astype(np.float32), texture=texture.astype(np.float32))


def linear_light(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0–1 as linear light 0–1 (IEC 61966-2-1)."""
    srgb = np.asarray(srgb, np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _visible_skin(model: FaceModel, seen: np.ndarray, normals: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Indices of skin vertices that face the camera, lie inside the picture and behind nothing."""
    span = np.ptp(seen[:, :2], axis=0).max()
    corner = seen[:, :2].min(0)
    small = seen.copy()
    small[:, :2] = (seen[:, :2] - corner) * (_RASTER_SIDE - 1) / span
    depth = rasterize(small, model.triangles, height=_RASTER_SIDE, width=_RASTER_SIDE).depth
    column, row = np.clip(np.round(small[:, :2]).astype(int), 0, _RASTER_SIDE - 1).T
    height, width = shape
    inside = (seen[:, 0] > 1) & (seen[:, 0] < width - 2) & (seen[:, 1] > 1) & (seen[:, 1] < height - 2)
    unhidden = seen[:, 2] < depth[row, column] + _DEPTH_TOLERANCE
    wanted = [model.region_names.index(name) for name in _SEEN_REGIONS if name in model.region_names]
    # Hair hangs over temples and forehead more often than not: the middle of the face tells.
    x, y, _ = model.mean.T
    middle = (np.abs(x) < 0.52) & (y < 0.32) & (y > -1.02)
    return np.flatnonzero(middle & np.isin(model.regions, wanted) & (normals[:, 2] > 0.25) & inside & unhidden)


def _sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colours (n, 3) 0–1 of a picture at points (n, 2) x, y in pixels, each the mean of the 3 × 3 pixels around it."""
    x, y = np.round(points).astype(int).T
    total = np.zeros((len(points), 3))
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            total += image[np.clip(y + dy, 0, image.shape[0] - 1), np.clip(x + dx, 0, image.shape[1] - 1)]
    return total / (9.0 * 255.0)


def _alternate(model: FaceModel, chosen: np.ndarray, colors: np.ndarray, bands: np.ndarray):
    """Lighting (27,) and texture (80,) of colours (n, 3) at chosen vertices with harmonics (n, 9)."""
    mean = model.texture_mean[chosen].astype(np.float64)
    basis = np.ascontiguousarray(model.texture_basis[:, chosen], np.float64)  # else every product copies it
    base = np.zeros((3, 9))
    base[:, 0] = AMBIENT
    texture = np.zeros(TEXTURE_DIMS)
    weight = np.ones(len(chosen))
    noise = _NOISE * np.sqrt(len(chosen) / 300.0)
    for tint in _TINTS:
        albedo = np.clip(mean + np.tensordot(texture, basis, 1), 0.02, 1.0)
        light = _light(bands, albedo, colors, base, weight / noise, tint=tint)
        shading = np.maximum(bands @ (base + light).T, 0.02)
        design = (basis * shading * weight[:, None]).reshape(TEXTURE_DIMS, -1).T / noise
        target = ((colors - mean * shading) * weight[:, None]).reshape(-1) / noise
        texture = np.linalg.solve(design.T @ design + np.eye(TEXTURE_DIMS) / _TEXTURE_PRIOR**2, design.T @ target)
        left = np.abs(colors - (mean + np.tensordot(texture, basis, 1)) * shading).max(1)
        weight = np.sqrt(np.minimum(1.0, 2.0 * np.median(left) / np.maximum(left, 1e-6)))
    return light.reshape(LIGHTING_DIMS), np.clip(texture, -3.0, 3.0)


def _light(bands: np.ndarray, albedo: np.ndarray, colors: np.ndarray, base: np.ndarray, weight: np.ndarray, *, tint):
    """Harmonics (3, 9) beyond base (3, 9) that explain colours (n, 3) of albedo (n, 3), mostly white."""
    normal, right = np.zeros((27, 27)), np.zeros(27)
    for channel in range(3):
        design = bands * (albedo[:, channel] * weight)[:, None]
        own = slice(9 * channel, 9 * channel + 9)
        normal[own, own] = design.T @ design
        right[own] = design.T @ (colors[:, channel] * weight - design @ base[channel])
    common, apart = np.full((3, 3), 1.0 / 3.0), np.eye(3) - 1.0 / 3.0
    normal += np.kron(common, np.diag(1.0 / _LIGHT_PRIOR**2))
    normal += np.kron(apart, np.diag(1.0 / (tint * _LIGHT_PRIOR) ** 2))
    return np.linalg.solve(normal, right).reshape(3, 9)
