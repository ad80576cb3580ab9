"""Emotion over time as facial displacement: FACS action units at their apex, kept off the lips' closures.

The action units of each emotion are EmoSpeaker's Table II (bfm/facs.py), with supporting units at lower
intensity so that the emotion reads at a glance while the mouth is busy speaking. As in
EAMM, the displacement adds linearly to the speaking face.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from bfm.coefficients import CHANNEL_INDEX
from bfm.facs import au_weights, emotion_weights
from blender_addon.protocol.types import EMOTIONS

# Beside an emotion's own action units (bfm/facs.py): units that support its prototype in FACS, with intensity (0-1).
SUPPORTING_UNITS: Mapping[str, Mapping[int, float]] = MappingProxyType(
    {
        "angry": {9: 0.35, 15: 0.2, 17: 0.25, 24: 0.4},
        "disgusted": {4: 0.45, 6: 0.25, 7: 0.4, 15: 0.2},
        "fear": {21: 0.4},
        "happy": {2: 0.12, 7: 0.15},
        "sad": {7: 0.25, 17: 0.35},
        "surprised": {25: 0.2},
    }
)
# Contempt is one-sided in life; these channel weights make up its other half.
CONTEMPT_SIDE = "left"
CONTEMPT_CHANNELS = MappingProxyType(
    {
        "mouthUpperUpLeft": 0.2,
        "cheekSquintLeft": 0.3,
        "browOuterUpLeft": 0.35,
        "browDownRight": 0.3,
        "eyeSquintLeft": 0.2,
        "eyeSquintRight": 0.35,
        "mouthPressRight": 0.2,
    }
)

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
JAW_WHILE_SPEAKING = 0.35  # share of the emotion's jaw drop that remains in speech


def apex_weights() -> np.ndarray:
    """Channel weights (7, 64) of each emotion at full intensity, in the order of EMOTIONS."""
    rows = []
    for label in EMOTIONS:
        side = CONTEMPT_SIDE if label == "contempt" else "both"
        rows.append(emotion_weights(label, side=side) + au_weights(SUPPORTING_UNITS.get(label, {})))
    apex = np.stack(rows)
    for channel, weight in CONTEMPT_CHANNELS.items():
        apex[EMOTIONS.index("contempt"), CHANNEL_INDEX[channel]] += weight
    return np.clip(apex, 0.0, 1.0).astype(np.float32)


def emotion_layer(
    emotion: np.ndarray, lips: np.ndarray, *, activity: np.ndarray, frame_rate: float, seed: int
) -> np.ndarray:
    """Displacement (n_frames, 64) of emotion weights (n_frames, 7) on a face whose lips move by lips (n_frames, 64).

    activity (n_frames,) 0-1 says where there is speech. Frames are frame_rate per second.
    """
    followed = _follow(emotion, frame_rate)
    followed = followed * _breathing(len(emotion), frame_rate, seed)[:, None]
    return giving_way(followed @ apex_weights(), lips, activity)


def giving_way(displacement: np.ndarray, lips: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """An emotion's displacement (n_frames, 64) where it gives way to the speech of lips (n_frames, 64)."""
    layer = np.array(displacement, np.float64)
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
    return activity * np.exp(-((np.clip(aperture, 0.0, None) / 0.07) ** 2))


def _columns(names: Iterable[str]) -> list[int]:
    return [CHANNEL_INDEX[name] for name in names]


def _follow(emotion: np.ndarray, frame_rate: float) -> np.ndarray:
    """Emotion weights after a zero-lag second-order low-pass: keyframes turn without a corner."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(emotion.astype(np.float64), ONSET * frame_rate, axis=0, mode="nearest")


def _breathing(n_frames: int, frame_rate: float, seed: int) -> np.ndarray:
    """A slow factor (n_frames,) around 0.97 that keeps a held expression from freezing."""
    times = np.arange(n_frames) / frame_rate
    phases = np.random.default_rng((seed, 11)).uniform(0.0, 2 * np.pi, 3)
    wave = sum(np.sin(2 * np.pi * f * times + p) for f, p in zip((0.13, 0.29, 0.47), phases, strict=True))
    return 0.97 + 0.01 * wave
