"""The one soft step that every layer of the renderer fades with."""

from __future__ import annotations

import numpy as np


def smoothstep(value, start, end) -> np.ndarray:
    """0 up to start, 1 from end on, 3t² − 2t³ between; start, end: numbers or arrays that broadcast with value."""
    t = np.minimum(np.maximum((value - start) / (end - start), 0.0), 1.0)  # np.clip takes longer on small arrays
    return t * t * (3.0 - 2.0 * t)
