"""Head motion of a speaker: PoseNet's, with the inertia of a head and a start at rest."""

from __future__ import annotations

import numpy as np

from .emospeaker import CoefficientNetworks, resampled
from .head_style import head_style

INERTIA = 0.06  # seconds, standard deviation: windows join without a corner
POSTURE = 0.35  # seconds, standard deviation with which a head takes a posture
START = 0.5  # seconds in which the head leaves its rest


def head_motion(
    networks: CoefficientNetworks, content: np.ndarray, emotion: np.ndarray, *, frame_rate: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Head rotation (n_frames, 3), radians, and translation (n_frames, 3), decimetres, relative to rest.

    content (n, C) at the networks' rate; emotion weights (n_frames, 7) at frame_rate. The shot starts at rest.
    """
    from scipy.ndimage import gaussian_filter1d

    n_frames, rate = len(emotion), networks.frame_rate
    felt = gaussian_filter1d(emotion.astype(np.float64), POSTURE * frame_rate, axis=0, mode="nearest")
    style = head_style(np.random.default_rng((seed, 51)), np.arange(len(content)) / rate)
    pose = networks.pose(content, resampled(felt, frame_rate, rate, len(content)), style)
    pose = gaussian_filter1d(pose.astype(np.float64), INERTIA * rate, axis=0, mode="nearest")
    moved = resampled(pose, rate, frame_rate, n_frames).astype(np.float64)
    start = np.clip(np.arange(n_frames) / (START * frame_rate), 0.0, 1.0)[:, None]
    moved *= start * start * (3.0 - 2.0 * start)
    return moved[:, :3].astype(np.float32), moved[:, 3:].astype(np.float32)
