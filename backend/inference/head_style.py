"""The seeded oscillations that choose among the ways a head may move to the same words."""

from __future__ import annotations

import numpy as np

SLOW, FAST = (0.10, 0.26), (0.38, 0.70)  # Hz
N_STYLE = 6  # three axes and their speeds
SPEED_UNIT = 2.0  # per second: scales the speeds to about one


def head_style(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Drift of three axes and its speed (n, 6) at times (n,) s, about one standard deviation each.

    Each axis sums two slow oscillations and two faster, weaker ones of random frequency and phase.
    """
    columns, speeds = [], []
    for _ in range(3):
        drift, speed = np.zeros(len(times)), np.zeros(len(times))
        for band, strength in ((SLOW, 0.95), (SLOW, 0.8), (FAST, 0.35), (FAST, 0.3)):
            turning, phase = 2 * np.pi * rng.uniform(*band), rng.uniform(0, 2 * np.pi)
            drift += strength * np.sin(turning * times + phase)
            speed += strength * turning * np.cos(turning * times + phase)
        columns.append(drift)
        speeds.append(speed / SPEED_UNIT)
    return np.stack(columns + speeds, axis=1).astype(np.float32)
