"""Offset and confidence of SyncNet's embeddings of lips and sound (Chung & Zisserman 2016, §4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_SHIFT = 15  # frames either way
EPSILON = 1e-6


@dataclass(frozen=True)
class LipSync:
    """distances (n_frames, 31) by shift; offset: frames that the sound must be moved by, negative where it lags;
    distance: the smallest mean; confidence: the median mean less the smallest.
    """

    distances: np.ndarray
    offset: int
    distance: float
    confidence: float

    @property
    def means(self) -> np.ndarray:
        """The mean distance (31,) at every shift."""
        return self.distances.mean(0)

    def frame_confidence(self, kernel: int = 9) -> np.ndarray:
        """The confidence (n_frames,) of single frames at the offset, through a median filter."""
        from scipy.signal import medfilt

        best = self.distances[:, MAX_SHIFT - self.offset]
        return medfilt(np.median(self.means) - best, kernel)


def lip_sync(lips: np.ndarray, sound: np.ndarray) -> LipSync:
    """What embeddings (n_frames, 1024) of lips and of sound say of each other; frames beyond the sound are zeros."""
    n = len(lips)
    padded = np.pad(sound, ((MAX_SHIFT, MAX_SHIFT), (0, 0)))
    shifts = 2 * MAX_SHIFT + 1
    distances = np.stack(
        [np.linalg.norm(lips - padded[shift : shift + n] + EPSILON, axis=1) for shift in range(shifts)], axis=1
    )
    means = distances.mean(0)
    best = int(means.argmin())
    confidence = float(np.median(means) - means[best])
    return LipSync(distances, MAX_SHIFT - best, float(means[best]), confidence)
