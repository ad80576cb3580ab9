"""Curves that the tests of the add-on know beforehand."""

from __future__ import annotations

import numpy as np

from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

N_FRAMES = 24


def known_curves(frame_rate: float, n_frames: int = N_FRAMES) -> AnimationCurves:
    """One bump for each channel, at a time of its own; the head turns 0.2 rad to its left and back."""
    time = np.linspace(0.0, 1.0, n_frames)[:, None]
    peaks = np.linspace(0.1, 0.9, len(ARKIT_NAMES))[None]
    weights = np.exp(-((time - peaks) ** 2) / 0.02)
    yaw = 0.2 * np.sin(np.pi * time[:, 0])
    head = np.stack([np.cos(yaw / 2), 0 * yaw, np.sin(yaw / 2), 0 * yaw], axis=1)
    rest = rest_rotations(n_frames)
    coefficients = {"model": "test", "expression": weights.astype(np.float32)}
    return AnimationCurves(
        ARKIT_NAMES, weights, frame_rate, head, rest, rest, layers={"lips": weights}, coefficients=coefficients
    )
