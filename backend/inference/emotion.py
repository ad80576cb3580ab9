"""Emotion as facial displacement, kept off the lips' closures.

EmoNet says how the emotion displaces the face; as in EAMM, the displacement adds linearly to the speaking face. Here
it gives way where speech must win.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import numpy as np

from bfm.coefficients import CHANNEL_INDEX

# Channels that open the lips: speech rules them, so emotion yields where the speaker's lips are shut.
LIP_OPENING = ("jawOpen", "lipsPart", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
               "mouthUpperUpRight", "mouthShrugUpper")  # fmt: skip
# Channels that spread the lips: rounding in speech takes from them.
LIP_SPREADING = ("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthDimpleLeft",
                 "mouthDimpleRight")  # fmt: skip
# Channels that press the lips together: they give way while the mouth has to be open.
LIP_PRESSING = ("lipTighten", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper",
                "mouthShrugLower")  # fmt: skip

# Share of each channel in the opening between the lips, jawOpen = 1.
APERTURE = MappingProxyType(
    {
        "jawOpen": 1.0,
        "mouthClose": -1.0,
        "lipsPart": 1.0,
        "mouthFunnel": 0.3,
        "mouthLowerDownLeft": 0.25,
        "mouthLowerDownRight": 0.25,
        "mouthUpperUpLeft": 0.25,
        "mouthUpperUpRight": 0.25,
    }
)

ONSET = 0.12  # s, time constant of a face following its emotion
YIELD_TO_ROUNDING = 0.55  # share of the spreading that full rounding takes
YIELD_TO_OPENING = 0.5  # share of the pressing that a wide-open mouth takes
SHUT_APERTURE = 0.15  # aperture about which lips stop counting as shut
QUIET_SPEECH = 0.3  # activity of the softest speech, whose closures count as much as those of loud speech
JAW_WHILE_SPEAKING = 0.35  # share of the emotion's jaw drop that remains in speech
# Weight from which a displacement nears 1 without reaching it: a curve that is cut off flat is one that an animator has
# to draw again.
KNEE = 0.75


def felt_emotion(emotion: np.ndarray, frame_rate: float) -> np.ndarray:
    """Emotion weights (n_frames, 7) as a face follows them: no corners at keyframes."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(emotion.astype(np.float64), ONSET * frame_rate, axis=0, mode="nearest")


def emotion_layer(
    displacement: np.ndarray, lips: np.ndarray, *, activity: np.ndarray, frame_rate: float, seed: int
) -> np.ndarray:
    """An emotion's layer (n_frames, 64) for its displacement (n_frames, 64) on lips that move by (n_frames, 64).

    activity (n_frames,) 0-1 says where there is speech. Frames are frame_rate per second.
    """
    held = displacement * _breathing(len(displacement), frame_rate, seed)[:, None]
    return giving_way(_limited(np.maximum(held, 0.0)), lips, activity)


def giving_way(displacement: np.ndarray, lips: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """An emotion's displacement (n_frames, 64) where it gives way to the speech of lips (n_frames, 64)."""
    # What speech uses of a channel's range is not used twice: the sum of both stays in 0-1.
    layer = displacement * (1.0 - np.clip(lips, 0.0, 1.0).astype(np.float64))
    layer[:, _columns(LIP_OPENING)] *= 1.0 - lip_closure(lips, activity)[:, None]
    layer[:, CHANNEL_INDEX["jawOpen"]] *= 1.0 - (1.0 - JAW_WHILE_SPEAKING) * activity
    rounding = np.clip(lips[:, _columns(("mouthPucker", "mouthFunnel"))].sum(1), 0.0, 1.0)
    layer[:, _columns(LIP_SPREADING)] *= 1.0 - YIELD_TO_ROUNDING * rounding[:, None]
    opening = np.clip(lips[:, CHANNEL_INDEX["jawOpen"]] / 0.4, 0.0, 1.0)
    layer[:, _columns(LIP_PRESSING)] *= 1.0 - YIELD_TO_OPENING * opening[:, None]
    return layer.astype(np.float32)


def lip_closure(lips: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """How shut speech holds the lips (n_frames,), 0-1; 0 in silence, where emotion may part them."""
    aperture = lips[:, _columns(APERTURE)] @ np.array(list(APERTURE.values()))
    spoken = np.clip(activity / QUIET_SPEECH, 0.0, 1.0)
    return spoken * np.exp(-((np.clip(aperture, 0.0, None) / SHUT_APERTURE) ** 2))


def _limited(weights: np.ndarray) -> np.ndarray:
    """Weights of 0 and above, any shape, that still grow above KNEE, ever less, towards 1."""
    room = 1.0 - KNEE
    return np.where(weights > KNEE, 1.0 - room * np.exp(-np.maximum(weights - KNEE, 0.0) / room), weights)


def _columns(names: Iterable[str]) -> list[int]:
    return [CHANNEL_INDEX[name] for name in names]


def _breathing(n_frames: int, frame_rate: float, seed: int) -> np.ndarray:
    """A slow factor (n_frames,) around 0.97 that keeps a held expression from freezing."""
    times = np.arange(n_frames) / frame_rate
    phases = np.random.default_rng((seed, 11)).uniform(0.0, 2 * np.pi, 3)
    wave = sum(np.sin(2 * np.pi * f * times + p) for f, p in zip((0.13, 0.29, 0.47), phases, strict=True))
    return 0.97 + 0.01 * wave
