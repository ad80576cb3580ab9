"""How loud a recording has been so far: the level of the streaming network, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from .features import ACTIVE_RANGE, FEATURE_RATE, FLOOR_RANGE, N_MELS, QUIETEST

ATTACK = 0.2  # share of a louder frame's excess that the level takes over
RELEASE_IN_SPEECH, RELEASE_IN_PAUSES = 0.4 / FEATURE_RATE, 0.1 / FEATURE_RATE  # nepers per frame
MEMORY = 8.0 * FEATURE_RATE  # frames of speech that the mean spectrum remembers
PRIOR = 0.5 * FEATURE_RATE  # frames that the usual spectrum counts for before speech is heard
FORGETTING = 0.5  # nepers of the memory that each neper of a louder level takes: what was quiet was no speech


@dataclass
class RunningLevel:
    """Loudness (nepers of power), weighted sum of log-mels (80,) of speech relative to it, and its weight, so far."""

    loudness: float
    total: np.ndarray
    weight: float

    @classmethod
    def begin(cls, usual_spectrum: np.ndarray) -> RunningLevel:
        """The level before any sound; usual_spectrum (80,): mean log-mels of speech beside its loudness."""
        return cls(float(QUIETEST), np.asarray(usual_spectrum, np.float64) * PRIOR, PRIOR)

    def normalise(self, mels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-mels (n_frames, 80) as the network sees them, float32, and the loudness (n_frames,); goes on from here.

        Each frame is relative to the level of the sound up to it, as features.normalise is to that of a whole one.
        """
        seen = np.zeros(mels.shape, np.float32)
        loudness = np.zeros(len(mels), np.float32)
        self.loudness, self.weight = _run(
            np.ascontiguousarray(mels, np.float32), self.total, self.loudness, self.weight, seen, loudness
        )
        return seen, loudness


@njit(cache=True)
def _run(mels, total, level, weight, seen, loudness):
    """Normalises mels (n, 80) into seen and loudness; changes total (80,); returns the level and the weight after."""
    for frame in range(len(mels)):
        power = 0.0
        for band in range(N_MELS):
            power += mels[frame, band]
        power /= N_MELS
        before = level
        is_active = power > level - ACTIVE_RANGE
        if power > level:
            level += ATTACK * (power - level)
        else:
            level -= RELEASE_IN_SPEECH if is_active else RELEASE_IN_PAUSES
        level = max(level, QUIETEST)
        keep = np.exp(-FORGETTING * max(level - before, 0.0)) * (1.0 - 1.0 / MEMORY if is_active else 1.0)
        kept = max(weight * keep, 1.0)
        mean = 0.0
        for band in range(N_MELS):
            total[band] *= kept / weight
            if is_active:
                total[band] += mels[frame, band] - level
            mean += total[band]
        weight = kept + (1.0 if is_active else 0.0)
        mean /= N_MELS * weight
        for band in range(N_MELS):
            reference = level + 0.5 * (total[band] / weight + mean)
            seen[frame, band] = 0.25 * (max(mels[frame, band], level + mean - FLOOR_RANGE) - reference)
        loudness[frame] = level
    return level, weight
