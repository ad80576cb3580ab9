"""Channel sets that rigs and papers use, each channel as weights of the embedded head's 64 named channels.

arkit: Apple's 52. facs: every action unit of bfm.facs. emospeaker: the 17 units that EmoSpeaker measures (Table I).
eamm: the four mouth-corner units that EAMM names as lost behind its mouth mask. ovr: Oculus' 15 visemes in their order
(sil is rest). preston_blair: the ten mouths of Blair's "Advanced Animation" (1947). vrm: VRM 1.0's preset expressions.
The poses of visemes, mouths and presets are this project's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.coefficients import ARKIT_CHANNELS, CHANNEL_INDEX, EXPRESSION_DIMS
from bfm.errors import FaceModelError
from bfm.facs import AU_CHANNELS, au_weights, emotion_weights

EMOSPEAKER_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
EAMM_UNITS = (12, 14, 15, 20)

_SIDED = (
    "mouthSmile", "mouthStretch", "mouthPress", "mouthLowerDown", "mouthUpperUp", "mouthDimple", "eyeBlink",
    "eyeLookUp", "eyeLookDown", "eyeSquint", "cheekSquint", "browDown",
)  # fmt: skip

_VISEMES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"jawOpen": 0.12, "mouthClose": 0.12, "mouthPress": 0.4, "lipTighten": 0.2},
    "FF": {"jawOpen": 0.08, "lowerLipToTeeth": 0.8, "mouthUpperUp": 0.25},
    "TH": {"jawOpen": 0.16, "tongueToTeeth": 1.0, "mouthLowerDown": 0.3, "lipsPart": 0.3},
    "DD": {"jawOpen": 0.14, "tongueUp": 0.9, "mouthLowerDown": 0.35, "lipsPart": 0.3},
    "kk": {"jawOpen": 0.2, "tongueBack": 1.0, "mouthLowerDown": 0.2, "lipsPart": 0.3},
    "CH": {"jawOpen": 0.12, "mouthFunnel": 0.55, "mouthLowerDown": 0.25, "mouthUpperUp": 0.2, "tongueUp": 0.5},
    "SS": {"jawOpen": 0.06, "mouthStretch": 0.3, "mouthLowerDown": 0.4, "tongueUp": 0.4, "lipsPart": 0.2},
    "nn": {"jawOpen": 0.15, "tongueUp": 1.0, "mouthLowerDown": 0.3, "mouthStretch": 0.15},
    "RR": {"jawOpen": 0.14, "mouthFunnel": 0.35, "mouthPucker": 0.2, "tongueBack": 0.4},
    "aa": {"jawOpen": 0.6, "mouthLowerDown": 0.25, "mouthUpperUp": 0.2},
    "E": {"jawOpen": 0.35, "mouthStretch": 0.3, "mouthSmile": 0.15, "mouthLowerDown": 0.3, "mouthUpperUp": 0.2},
    "ih": {"jawOpen": 0.18, "mouthStretch": 0.35, "mouthSmile": 0.2, "mouthLowerDown": 0.35},
    "oh": {"jawOpen": 0.4, "mouthFunnel": 0.5, "mouthPucker": 0.2},
    "ou": {"jawOpen": 0.15, "mouthPucker": 0.75, "mouthFunnel": 0.3},
}

_MOUTHS: dict[str, dict[str, float]] = {
    "rest": {},
    "MBP": _VISEMES["PP"],
    "FV": _VISEMES["FF"],
    "L": {"jawOpen": 0.3, "tongueUp": 1.0, "mouthLowerDown": 0.2},
    "AI": {"jawOpen": 0.65, "mouthLowerDown": 0.25, "mouthUpperUp": 0.2},
    "E": _VISEMES["E"],
    "O": {"jawOpen": 0.45, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "U": {"jawOpen": 0.2, "mouthPucker": 0.6, "mouthFunnel": 0.4},
    "WQ": {"jawOpen": 0.08, "mouthPucker": 0.95, "mouthFunnel": 0.1},
    "etc": {"jawOpen": 0.12, "mouthLowerDown": 0.4, "mouthStretch": 0.2, "mouthUpperUp": 0.1},
}

_VRM_POSES: dict[str, dict[str, float]] = {
    "relaxed": {"mouthSmile": 0.35, "eyeSquint": 0.3, "cheekSquint": 0.2, "eyeBlink": 0.15},
    "aa": _VISEMES["aa"], "ih": _VISEMES["ih"], "ou": _VISEMES["ou"], "ee": _VISEMES["E"], "oh": _VISEMES["oh"],
    "blink": {"eyeBlink": 1.0},
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "lookUp": {"eyeLookUp": 1.0},
    "lookDown": {"eyeLookDown": 1.0},
    "lookLeft": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "lookRight": {"eyeLookOutRight": 1.0, "eyeLookInLeft": 1.0},
}  # fmt: skip
_VRM_EMOTIONS = ("happy", "angry", "sad", "surprised")


@dataclass(frozen=True)
class ChannelSet:
    """names (n,) of channels and the weights (n, 64) of the named channels that each stands for at 1."""

    name: str
    names: tuple[str, ...]
    weights: np.ndarray


def channel_set(name: str) -> ChannelSet:
    """A channel set by name. Raises FaceModelError for one that is unknown."""
    if name not in CHANNEL_SETS:
        raise FaceModelError(f"channel set '{name}' is unknown: use one of {', '.join(CHANNEL_SETS)}")
    names, weights = CHANNEL_SETS[name]()
    return ChannelSet(name, names, weights)


def _arkit() -> tuple[tuple[str, ...], np.ndarray]:
    return ARKIT_CHANNELS, np.eye(len(ARKIT_CHANNELS), EXPRESSION_DIMS, dtype=np.float32)


def _units(units: tuple[int, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    return tuple(f"AU{unit}" for unit in units), np.stack([au_weights({unit: 1.0}) for unit in units])


def _poses(poses: dict[str, dict[str, float]]) -> tuple[tuple[str, ...], np.ndarray]:
    rows = np.zeros((len(poses), EXPRESSION_DIMS), np.float32)
    for row, pose in zip(rows, poses.values(), strict=True):
        for channel, weight in pose.items():
            for name in [channel + "Left", channel + "Right"] if channel in _SIDED else [channel]:
                row[CHANNEL_INDEX[name]] = weight
    return tuple(poses), rows


def _vrm() -> tuple[tuple[str, ...], np.ndarray]:
    names, poses = _poses(_VRM_POSES)
    return (*_VRM_EMOTIONS, *names), np.concatenate([[emotion_weights(e) for e in _VRM_EMOTIONS], poses])


CHANNEL_SETS = {
    "arkit": _arkit,
    "facs": lambda: _units(tuple(unit for unit in AU_CHANNELS if unit != 43)),
    "emospeaker": lambda: _units(EMOSPEAKER_UNITS),
    "eamm": lambda: _units(EAMM_UNITS),
    "ovr": lambda: _poses(_VISEMES),
    "preston_blair": lambda: _poses(_MOUTHS),
    "vrm": _vrm,
}
"""Name → what builds the set. AU43 is AU45 held, so facs lists the latter alone."""
