"""Aggregate statistics of measured landmarks: the mean face and its principal modes of variation.

Provenance: mediapipe's 478 landmarks of 55 faces (photos and paintings of people, depth as mediapipe estimates it),
similarity-aligned, in units of the interpupillary distance. Only the mean and the principal components of the 55 faces
together with their mirror images are kept; no single face can be read back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bfm.landmarks import mirror_indices

STATISTICS_FILE = Path(__file__).with_name("landmark_statistics.npz")
N_MODES = 70

INTERPUPILLARY_MM = 63.0
"""Mean interpupillary distance of adults (Dodgson 2004, "Variation and extrema of human interpupillary distance")."""


@dataclass(frozen=True)
class LandmarkStatistics:
    """mean (478, 3) mm; modes (n_modes, 478, 3) mm per standard deviation; twins (478,) mirror indices."""

    mean: np.ndarray
    modes: np.ndarray
    twins: np.ndarray


def similarity_align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (n, 3) moved onto a target (n, 3) by the best rotation, scale and translation (Umeyama 1991)."""
    source, goal = points - points.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(source.T @ goal)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (singular * flip).sum() / (source**2).sum()
    return scale * source @ (u * flip @ vt) + target.mean(0)


def measure(faces: np.ndarray) -> LandmarkStatistics:
    """Symmetric mean and principal modes of faces (n_faces, 478, 3), in millimetres, eyes' midpoint at the origin."""
    mean = faces.mean(0).astype(np.float64)
    twins = mirror_indices(mean)
    mirrored = faces[:, twins] * np.array([-1.0, 1.0, 1.0])
    cloud = np.concatenate([faces, mirrored]).astype(np.float64)
    for _ in range(6):
        aligned = np.stack([similarity_align(face, mean) for face in cloud])
        mean = aligned.mean(0)
        mean = (mean + mean[twins] * [-1.0, 1.0, 1.0]) / 2.0
        mean -= mean[[33, 133, 159, 145, 263, 362, 386, 374]].mean(0)
        mean *= INTERPUPILLARY_MM / np.linalg.norm(mean[468] - mean[473])
    aligned = np.stack([similarity_align(face, mean) for face in cloud])
    _, singular, vt = np.linalg.svd((aligned - mean).reshape(len(aligned), -1), full_matrices=False)
    spread = singular[:N_MODES] / np.sqrt(len(cloud) - 1)
    return LandmarkStatistics(mean, (spread[:, None] * vt[:N_MODES]).reshape(-1, *mean.shape), twins)


def save_statistics(statistics: LandmarkStatistics, path: Path) -> None:
    """Write the statistics, rounded to what the measurement is worth, replacing the file at once."""
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(
        temporary,
        mean=statistics.mean.astype(np.float32),
        modes=statistics.modes.astype(np.float16),
        twins=statistics.twins.astype(np.int16),
    )
    temporary.replace(path)


def load_statistics(path: Path) -> LandmarkStatistics:
    """The shipped statistics."""
    with np.load(path, allow_pickle=False) as stored:
        return LandmarkStatistics(
            stored["mean"].astype(np.float64), stored["modes"].astype(np.float64), stored["twins"].astype(np.int64)
        )
