"""Facial action units (Ekman, Friesen & Hager 2002) as weights of the model's named expression channels, and back.

AU_CHANNELS says which channels one action unit moves at full intensity (FACS level E, 1.0). AU23 and AU25 have no
ARKit shape and use the extra channels; AU26 is the relaxed jaw drop, AU27 the full stretch.
EMOTION_AUS is Table II of EmoSpeaker (Feng et al.) where it names the emotion; fear and disgusted differ, see there.
"""

from __future__ import annotations

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS


def _both(name: str, weight: float) -> dict[str, float]:
    """The same weight on the left and right channel of a pair."""
    return {f"{name}Left": weight, f"{name}Right": weight}


AU_CHANNELS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: _both("browOuterUp", 1.0),
    4: {**_both("browDown", 0.8), "browFurrow": 0.7},
    5: _both("eyeWide", 1.0),
    6: {**_both("cheekSquint", 1.0), **_both("eyeSquint", 0.3)},
    7: _both("eyeSquint", 1.0),
    9: {**_both("noseSneer", 1.0), **_both("browDown", 0.15)},
    10: {**_both("mouthUpperUp", 0.9), **_both("noseSneer", 0.15)},
    12: _both("mouthSmile", 1.0),
    14: _both("mouthDimple", 1.0),
    15: _both("mouthFrown", 1.0),
    16: _both("mouthLowerDown", 1.0),
    17: {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.3},
    18: {"mouthPucker": 1.0},
    20: _both("mouthStretch", 1.0),
    21: {"neckTighten": 1.0},
    22: {"mouthFunnel": 1.0},
    23: {"lipTighten": 1.0},
    24: _both("mouthPress", 1.0),
    25: {"lipsPart": 1.0},
    26: {"jawOpen": 0.4, "lipsPart": 0.3},
    27: {"jawOpen": 1.0},
    28: {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    29: {"jawForward": 1.0},
    34: {"cheekPuff": 1.0},
    35: {"cheekSuck": 1.0},
    38: {"nostrilFlare": 1.0},
    43: _both("eyeBlink", 1.0),
    45: _both("eyeBlink", 1.0),
}
"""Action unit number → channel name → channel weight at full intensity."""

EMOTION_AU_INTENSITIES: dict[str, dict[int, float]] = {
    "neutral": {},
    "calm": {},
    "angry": {4: 1.0, 5: 0.6, 7: 0.8, 23: 0.8},
    "contempt": {12: 0.5, 14: 0.9},
    "disappointed": {1: 0.7, 15: 0.7},
    "disgusted": {9: 0.9, 10: 0.7, 17: 0.4},
    "fear": {1: 0.9, 2: 0.6, 4: 0.5, 5: 0.9, 7: 0.3, 20: 0.7, 25: 0.5},
    "happy": {6: 0.8, 12: 0.9, 25: 0.5},
    "sad": {1: 0.9, 4: 0.5, 15: 0.8},
    "surprised": {1: 0.9, 2: 0.9, 5: 0.8, 26: 0.6},
}
"""Emotion → action unit → intensity (0–1) at full emotion.

Which units: EmoSpeaker's Table II. Two rows are this project's, after FACS: fear adds 4, 7 and 20 (Table II's 1 2 5 25
differs from surprise only in what speech moves too); disgusted (absent there) is 9, 10 and 17. Contempt is one-sided in
life: apply its units to one side. The intensities are this project's.
"""

EMOTION_AUS: dict[str, tuple[int, ...]] = {name: tuple(units) for name, units in EMOTION_AU_INTENSITIES.items()}
"""Emotion → its action unit numbers, ascending."""


def au_weights(intensities: dict[int, float], *, side: str = "both") -> np.ndarray:
    """Channel weights (64,) 0–1 of action unit intensities 0–1; where units share a channel the stronger one counts.

    side "left" or "right" keeps only that side's channels (and the ones without a side).
    Raises KeyError for a unit that AU_CHANNELS does not have.
    """
    weights = np.zeros(EXPRESSION_DIMS, np.float32)
    dropped = {"left": "Right", "right": "Left", "both": None}[side]
    for unit, intensity in intensities.items():
        for name, weight in AU_CHANNELS[unit].items():
            if dropped is not None and name.endswith(dropped):
                continue
            column = CHANNEL_INDEX[name]
            weights[column] = max(weights[column], weight * float(intensity))
    return np.clip(weights, 0.0, 1.0)


def emotion_weights(emotion: str, *, side: str = "both") -> np.ndarray:
    """Channel weights (64,) 0–1 of an emotion at full intensity. Raises KeyError for an unknown emotion."""
    return au_weights(EMOTION_AU_INTENSITIES[emotion], side=side)


def au_matrix() -> tuple[tuple[int, ...], np.ndarray]:
    """Unit numbers (n_units,) and the matrix (n_units, 64) of their channel weights at full intensity."""
    units = tuple(AU_CHANNELS)
    return units, np.stack([au_weights({unit: 1.0}) for unit in units])


def au_intensities(weights: np.ndarray, units: tuple[int, ...] = tuple(AU_CHANNELS)) -> np.ndarray:
    """Intensities (n_frames, n_units) 0–1 of action units that best explain channel weights (n_frames, 64).

    Bounded least squares per frame. AU45 repeats AU43 and AU27 contains AU26's jaw: name only the units of interest.
    """
    from scipy.optimize import lsq_linear

    matrix = np.stack([au_weights({unit: 1.0}) for unit in units]).astype(np.float64)
    frames = np.atleast_2d(np.asarray(weights, np.float64))
    system = np.vstack([matrix.T, 1e-3 * np.eye(len(units))])
    solved = [lsq_linear(system, np.concatenate([row, np.zeros(len(units))]), bounds=(0.0, 1.0)).x for row in frames]
    return np.asarray(solved, np.float32)
