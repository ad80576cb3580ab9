"""Contact weights at the landmarks: which skin follows when a pair of lid or lip landmarks is brought together."""

from __future__ import annotations

import numpy as np

from bfm.contact import CONTACT_PAIRS
from bfm.landmarks import (
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    LOWER_LIP_RINGS,
    N_LANDMARKS,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
    UPPER_LIP_RINGS,
)
from bfm.sources.building.muscles_eyes import BLINK_LOWER_SHARE, LOWER_FOLLOW, UPPER_FOLLOW

LIP_UPPER_SHARE = 0.35
"""Share of a gap between the lips that the upper lip travels when they seal; the lower lip travels the rest."""

_LIP_FOLLOW = (1.0, 0.92, 0.80, 0.66)
"""How far the lip's rings follow its rim, from the rim to the outer border."""


def contact_weights() -> np.ndarray:
    """Signed shares (23, 478) of each contact pair's gap that a landmark travels; see bfm.contact.close."""
    weights = np.zeros((len(CONTACT_PAIRS), N_LANDMARKS))
    eyes = ((RIGHT_UPPER_LID_RINGS, RIGHT_LOWER_LID_RINGS), (LEFT_UPPER_LID_RINGS, LEFT_LOWER_LID_RINGS))
    row = 0
    for upper_rings, lower_rings in eyes:
        for column in range(1, 8):
            for ring, follow in zip(upper_rings, UPPER_FOLLOW):
                weights[row, ring[column]] -= (1.0 - BLINK_LOWER_SHARE) * follow
            for ring, follow in zip(lower_rings, LOWER_FOLLOW):
                weights[row, ring[column]] += BLINK_LOWER_SHARE * follow
            row += 1
    for column in range(1, 10):
        for upper, lower, follow in zip(UPPER_LIP_RINGS[::-1], LOWER_LIP_RINGS[::-1], _LIP_FOLLOW):
            weights[row, upper[column]] -= LIP_UPPER_SHARE * follow
            weights[row, lower[column]] += (1.0 - LIP_UPPER_SHARE) * follow
        row += 1
    return weights
