"""The One-Euro filter (Casiez et al. 2012) as EAMM's demonstration runs it: per element, 100 samples per second."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FREQUENCY = 100.0  # samples per second that the published code assumes, whatever the video's rate
DERIVATIVE_CUTOFF = 1.0  # Hz


def one_euro(values: Tensor, *, cutoff: float, beta: float) -> Tensor:
    """A sequence (T, …) smoothed over its first axis; the first sample passes unchanged."""
    filtered = [values[0]]
    slope = torch.zeros_like(values[0])
    share = _share(DERIVATIVE_CUTOFF)
    for raw, before in zip(values[1:], values[:-1]):
        slope = share * (raw - before) * FREQUENCY + (1 - share) * slope
        weight = _share(cutoff + beta * slope.abs())
        filtered.append(weight * raw + (1 - weight) * filtered[-1])
    return torch.stack(filtered)


def one_euro_in_place(values: np.ndarray, *, cutoff: float, beta: float) -> np.ndarray:
    """The same for arrays (T, …), the slope taken against the previous filtered value: the published code writes every
    result back into the row that the filter still holds as its last raw value.
    """
    filtered = np.array(values, np.float64)
    slope = np.zeros_like(filtered[0])
    share = _share(DERIVATIVE_CUTOFF)
    for i in range(1, len(filtered)):
        slope = share * (filtered[i] - filtered[i - 1]) * FREQUENCY + (1 - share) * slope
        weight = _share(cutoff + beta * np.abs(slope))
        filtered[i] = weight * filtered[i] + (1 - weight) * filtered[i - 1]
    return filtered


def _share(cutoff):
    """The weight of a new sample at a cutoff frequency in Hz."""
    return 1.0 / (1.0 + (1.0 / (2.0 * np.pi * cutoff)) * FREQUENCY)
