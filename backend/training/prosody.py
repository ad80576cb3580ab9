"""How an emotion is heard in the voice: rate, pitch and liveliness of a synthesised sentence.

Directions and sizes follow the reviews of Murray and Arnott (1993) and Scherer (2003): anger, fear, joy and surprise
are faster, higher and wider in pitch, sadness slower, lower and flat, disgust and contempt slower and lower. That is
mostly arousal; valence can hardly be said with these three, so emotion stays the user's choice.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from blender_addon.protocol.types import EMOTIONS

from .corpus import NEUTRAL
from .engines import Delivery

NEUTRAL_SHARE = 0.2
LEVELS = 3
# Natural logarithms of the change of duration, pitch and pitch range at the highest level.
PROSODY = {
    "angry": (-0.12, 0.15, 0.50), "contempt": (0.10, -0.08, -0.10), "disgusted": (0.15, -0.08, 0.00),
    "fear": (-0.20, 0.30, 0.20), "happy": (-0.10, 0.22, 0.50), "sad": (0.22, -0.12, -0.50),
    "surprised": (-0.05, 0.30, 0.60),
}  # fmt: skip


@dataclass(frozen=True)
class Mood:
    """An emotion (an index into EMOTIONS or NEUTRAL) and its level, 1-3, 0 when neutral."""

    emotion: int
    level: int


CALM = Mood(NEUTRAL, 0)


def draw_mood(rng: random.Random) -> Mood:
    """A random mood: a fifth is neutral, the rest spread over the emotions and their levels."""
    if rng.random() < NEUTRAL_SHARE:
        return CALM
    return Mood(rng.randrange(len(EMOTIONS)), rng.randint(1, LEVELS))


def spoken_with(mood: Mood, pitch: float, rng: random.Random) -> Delivery:
    """A delivery of a mood by a voice of so many Hz, with the speaker's own variation around it."""
    arousal = rng.uniform(-0.6, 0.6)
    share = mood.level / LEVELS
    slower, higher, wider = PROSODY[EMOTIONS[mood.emotion]] if mood.emotion != NEUTRAL else (0.0, 0.0, 0.0)
    stretch = np.exp(share * slower - 0.22 * arousal + rng.gauss(0.0, 0.14))
    pitch = pitch * np.exp(share * higher + 0.22 * arousal + rng.gauss(0.0, 0.10))
    return Delivery(float(np.clip(stretch, 0.6, 1.7)), float(pitch), float(np.exp(share * wider + 0.4 * arousal)))
