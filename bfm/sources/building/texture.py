"""Albedo of the head and how it varies: linear RGB 0–1 per vertex.

The mean is a light brown skin with redder lips, cheeks, nose and ears. The modes are made, not measured: melanin and
haemoglobin shift the skin along the two axes that skin colour varies on (Tsumura et al. 2003), lips, brows, irises and
scalp have their own colours, and smooth waves over the face stand for blotches and uneven tan. They are honest about
being simple: no measured albedo is in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.coefficients import TEXTURE_DIMS

SKIN = np.array([0.520, 0.300, 0.210])
REGION_ALBEDO = {
    "pupil": (0.010, 0.010, 0.010),
    "iris": (0.120, 0.075, 0.040),
    "sclera": (0.820, 0.800, 0.770),
    "eyelid": (0.560, 0.260, 0.210),
    "teeth": (0.720, 0.660, 0.540),
    "gums": (0.420, 0.130, 0.130),
    "tongue": (0.420, 0.150, 0.140),
    "mouth": (0.300, 0.085, 0.080),
}
# Change of log albedo per standard deviation: melanin darkens blue most, haemoglobin green and blue, scattering all.
MELANIN, HAEMOGLOBIN, CAROTENE = (
    np.array([-0.22, -0.33, -0.42]),
    np.array([-0.02, -0.13, -0.09]),
    np.array([0.01, -0.01, -0.10]),
)


@dataclass(frozen=True)
class Areas:
    """Soft weights (n_vertices,) 0–1: lips, brows, cheeks (with nose tip and ears), scalp, skin (what melanin
    colours), throat (the depth of the mouth), lashes (the lids' margins); rim: place on the irises, 0 the middle, 1 the
    edge."""

    lips: np.ndarray
    brows: np.ndarray
    flushed: np.ndarray
    scalp: np.ndarray
    skin: np.ndarray
    throat: np.ndarray
    lashes: np.ndarray
    rim: np.ndarray


def mean_albedo(areas: Areas, regions: np.ndarray) -> np.ndarray:
    """Albedo (n_vertices, 3) of the mean face; regions (n_vertices,) names."""
    albedo = np.tile(SKIN, (len(regions), 1))
    albedo *= np.exp(areas.flushed[:, None] * 1.3 * HAEMOGLOBIN)
    for weight, color in (
        (areas.lips, (0.400, 0.135, 0.120)),
        (0.82 * areas.brows, (0.060, 0.035, 0.024)),
        (0.80 * areas.scalp, (0.065, 0.040, 0.028)),
    ):
        albedo += weight[:, None] * (np.array(color) - albedo)
    for name, color in REGION_ALBEDO.items():
        albedo[regions == name] = color
    # Irises are lighter round the pupil and end in a dark ring.
    iris = regions == "iris"
    albedo[iris] *= (1.5 - 0.7 * areas.rim[iris] - 0.55 * (areas.rim[iris] > 0.97))[:, None]
    return albedo * ((1.0 - 0.85 * areas.throat) * np.clip(1.0 - 0.75 * areas.lashes, 0.1, 1.0))[:, None]


def albedo_modes(mean: np.ndarray, areas: Areas, regions: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Albedo modes (80, n_vertices, 3) per standard deviation; points (n_vertices, 3) mm."""
    skin = (areas.skin * (1.0 - 0.8 * areas.brows) * (1.0 - 0.8 * areas.scalp))[:, None] * mean
    hair = (areas.brows + areas.scalp)[:, None] * mean
    iris = (regions == "iris").astype(float)[:, None] * mean
    modes = [skin * MELANIN, skin * HAEMOGLOBIN, skin * CAROTENE]
    modes += [areas.lips[:, None] * mean * np.array(c) for c in ((0.05, -0.10, -0.07), (-0.12, -0.15, -0.15))]
    modes += [areas.flushed[:, None] * skin * 1.6 * HAEMOGLOBIN]
    modes += [areas.brows[:, None] * np.array([0.04, 0.026, 0.018])]
    modes += [hair * np.array(c) for c in ((0.8, 0.8, 0.8), (0.7, 0.1, -0.2))]
    modes += [iris * np.array(c) for c in ((0.7, 0.7, 0.7), (-0.2, 0.3, 1.0), (-0.1, 0.5, 0.1))]
    modes += [(regions == "sclera")[:, None] * np.array([-0.01, -0.03, -0.05])]
    modes += [(regions == "teeth")[:, None] * np.array([-0.03, -0.05, -0.08])]
    modes += [areas.scalp[:, None] * np.array([0.05, 0.035, 0.026])]
    modes += _waves(skin, points, TEXTURE_DIMS - len(modes))
    return np.stack(modes)


def _waves(skin: np.ndarray, points: np.ndarray, count: int) -> list[np.ndarray]:
    """Smooth unevenness of the skin: cosine waves across and up the head, coarse ones stronger."""
    waves = []
    window = np.exp(
        -(np.maximum(-100.0 - points[:, 1], 0.0) ** 2) / 300.0 - np.maximum(-points[:, 2] - 45.0, 0.0) ** 2 / 800.0
    )
    frequencies = sorted(((p, q) for p in range(9) for q in range(9) if p + q > 0), key=lambda f: f[0] ** 2 + f[1] ** 2)
    for p, q in frequencies:
        wave = np.cos(np.pi * p * (points[:, 0] + 90.0) / 180.0) * np.cos(np.pi * q * (points[:, 1] + 150.0) / 220.0)
        size = 0.30 / (1.0 + 0.6 * np.hypot(p, q)) * window
        waves += [skin * (size * wave)[:, None] * axis for axis in (MELANIN, HAEMOGLOBIN)]
    return waves[:count]
