"""Spherical-harmonics lighting of Deep3DFaceRecon: nine bands per RGB channel, evaluated at vertex normals.

Ramamoorthi & Hanrahan 2001, "An Efficient Representation for Irradiance Environment Maps"; Deng et al. 2019, eq. 3.
A lighting vector (27,) holds 9 coefficients of red, then of green, then of blue, relative to AMBIENT. Normals are in
model space turned by the pose: +X the character's left, +Y up, +Z to the camera.
"""

from __future__ import annotations

import numpy as np

from bfm.coefficients import LIGHTING_DIMS
from bfm.errors import FaceModelError

N_BANDS = 9
AMBIENT = 0.8
"""Added to the first coefficient of every channel, so that a lighting of zeros is even white light."""

# Each harmonic's normalisation times the clamped cosine's transfer coefficient (π, 2π/√3, 2π/√8).
_CONSTANT = np.pi / np.sqrt(4.0 * np.pi)
_LINEAR = (2.0 * np.pi / np.sqrt(3.0)) * np.sqrt(3.0) / np.sqrt(4.0 * np.pi)
_QUADRATIC = (2.0 * np.pi / np.sqrt(8.0)) * 3.0 * np.sqrt(5.0) / np.sqrt(12.0 * np.pi)


def harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine harmonics (…, 9) of unit normals (…, 3)."""
    x, y, z = np.moveaxis(np.asarray(normals), -1, 0)
    bands = [
        np.full_like(x, _CONSTANT),
        -_LINEAR * y,
        _LINEAR * z,
        -_LINEAR * x,
        _QUADRATIC * x * y,
        -_QUADRATIC * y * z,
        0.5 / np.sqrt(3.0) * _QUADRATIC * (3.0 * z**2 - 1.0),
        -_QUADRATIC * x * z,
        0.5 * _QUADRATIC * (x**2 - y**2),
    ]
    return np.stack(bands, axis=-1)


def lit_colors(albedo: np.ndarray, normals: np.ndarray, lighting: np.ndarray) -> np.ndarray:
    """Colours (…, n_vertices, 3) of albedo and unit normals, both (…, n_vertices, 3), under lighting (…, 27).

    Not clipped: strong light goes beyond 1. Raises FaceModelError for lighting of another length.
    """
    lighting = np.asarray(lighting)
    if lighting.shape[-1:] != (LIGHTING_DIMS,):
        raise FaceModelError(f"lighting should have 27 values, got shape {lighting.shape}")
    bands = lighting.reshape(*lighting.shape[:-1], 3, N_BANDS).copy()
    bands[..., 0] += AMBIENT
    return albedo * (harmonics(normals) @ np.swapaxes(bands, -1, -2))
