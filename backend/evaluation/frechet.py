"""Fréchet inception distance (Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule …", eq. 6)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from backend.errors import InputError
from backend.models.inception import N_FEATURES, InceptionV3

WEIGHTS = "pt_inception-2015-12-05"
BATCH = 8


class Gaussian:
    """Mean and covariance of features that come in parts."""

    def __init__(self, n_features: int) -> None:
        self._count = 0
        self._sum = np.zeros(n_features)
        self._squares = np.zeros((n_features, n_features))

    def add(self, features: np.ndarray) -> None:
        """Takes rows of features (n, n_features)."""
        features = np.asarray(features, np.float64)
        self._count += len(features)
        self._sum += features.sum(0)
        self._squares += features.T @ features

    @property
    def count(self) -> int:
        """How many rows there were."""
        return self._count

    @property
    def mean(self) -> np.ndarray:
        """The mean (n_features,)."""
        return self._sum / self._count

    @property
    def covariance(self) -> np.ndarray:
        """The covariance (n_features, n_features) by n - 1."""
        return (self._squares - np.outer(self._sum, self.mean)) / (self._count - 1)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Squared distance of the means plus the trace of C1 + C2 - 2 (C1 C2)^1/2; 0 for equal Gaussians."""
    difference = one.mean - other.mean
    first, second = one.covariance, other.covariance
    # The trace of the root of C1 C2 is that of the root of C1^1/2 C2 C1^1/2, which is symmetric.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ second @ root).clip(min=0.0)
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2.0 * np.sqrt(product).sum())


class InceptionFeatures:
    """Features of pictures by the public Inception weights. Raises InputError for another file."""

    def __init__(self, weights: Path) -> None:
        network = InceptionV3()
        try:
            state = torch.load(weights, weights_only=True, map_location="cpu")
            network.load_state_dict({name: state[name] for name in network.state_dict() if "num_batches" not in name},
                                    strict=False)  # fmt: skip
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
            raise InputError(f"'{weights}' is not {WEIGHTS} ({error}): give the public FID weights.") from error
        self._network = network.eval()
        self.n_features = N_FEATURES

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Features (n, 2048) of frames (n, H, W, 3) uint8 RGB."""
        parts = []
        for first in range(0, len(frames), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(frames[first : first + BATCH])).permute(0, 3, 1, 2)
            with torch.inference_mode():
                parts.append(self._network(batch.float() / 255.0).numpy())
        return np.concatenate(parts)
