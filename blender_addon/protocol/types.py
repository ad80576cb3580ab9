"""The types that every stage hands to the next: a waveform, emotion over time, and animation curves.

Frame i is centred at i / frame_rate seconds. All arrays are float32 and checked when built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from .errors import InputError

# The order of Apple's ARKit enumeration (and of Live Link Face's UDP packet).
ARKIT_NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
NEUTRAL = "neutral"
# Labels of other datasets and of both papers that mean one of ours.
EMOTION_ALIASES = {
    "anger": "angry", "disgust": "disgusted", "disappointed": "sad", "disappointment": "sad", "fearful": "fear",
    "afraid": "fear", "happiness": "happy", "sadness": "sad", "surprise": "surprised", "calm": NEUTRAL,
    "none": NEUTRAL,
}  # fmt: skip
# How the weights travel from a key to the next: share of the way there at share s of the time.
INTERPOLATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "linear": lambda s: s,
        "smooth": lambda s: s * s * (3.0 - 2.0 * s),
        "constant": np.zeros_like,
        "ease_in": lambda s: s * s,
        "ease_out": lambda s: s * (2.0 - s),
    }
)
LEVELS = 3  # MEAD's intensity levels, evenly on 0-1: level 1, 2, 3 = 1/3, 2/3, 1


def _finite_array(value, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    """value as a read-only float32 array; None in shape stands for any length. Raises InputError."""
    array = np.ascontiguousarray(value, dtype=np.float32)
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = tuple("n" if n is None else n for n in shape)
        raise InputError(f"{what} should have shape {wanted}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"{what} holds values that are not finite numbers.")
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Waveform:
    """Mono sound: samples (n_samples,) in [-1, 1] at sample_rate Hz."""

    samples: np.ndarray
    sample_rate: int

    def __post_init__(self) -> None:
        samples = _finite_array(self.samples, (None,), "Waveform samples")
        if self.sample_rate <= 0:
            raise InputError(f"Waveform sample rate should be above 0 Hz, got {self.sample_rate}.")
        if samples.size and np.abs(samples).max() > 1.0 + 1e-4:
            raise InputError(f"Waveform samples should lie in [-1, 1], got a peak of {np.abs(samples).max():.3g}.")
        object.__setattr__(self, "samples", samples)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class EmotionKey:
    """One emotion keyframe; interpolation says how its weights travel to the next key."""

    time: float
    label: str
    intensity: float
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        label = EMOTION_ALIASES.get(self.label.strip().lower(), self.label.strip().lower())
        if label != NEUTRAL and label not in EMOTIONS:
            known = ", ".join((NEUTRAL, *EMOTIONS))
            raise InputError(f"Unknown emotion '{self.label}': use one of {known}.")
        if not (np.isfinite(self.time) and self.time >= 0):
            raise InputError(f"An emotion keyframe's time should be 0 s or later, got {self.time}.")
        if not 0.0 <= self.intensity <= 1.0:
            where = f"of '{label}' at {self.time:g} s"
            raise InputError(f"The intensity {where} should lie in 0-1, got {self.intensity:g}.")
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(f"Unknown interpolation '{self.interpolation}': use one of {', '.join(INTERPOLATIONS)}.")
        object.__setattr__(self, "label", label)


def intensity_of(value: object) -> float:
    """An intensity 0-1 of a number or of its text, or of one of MEAD's levels: 'level1', 'level2', 'level3'.

    Raises InputError for another level and ValueError for what is no number.
    """
    text = str(value).strip().lower()
    if not text.startswith("level"):
        return float(text)
    level = text.removeprefix("level").strip()
    if level not in {str(n) for n in range(1, LEVELS + 1)}:
        raise InputError(f"An intensity level is level1, level2 or level{LEVELS}, got '{value}'.")
    return int(level) / LEVELS


@dataclass(frozen=True)
class EmotionTrack:
    """Emotion category and intensity over time as keyframes in time order; held before the first and after the last."""

    keys: tuple[EmotionKey, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(self.keys))
        if not self.keys:
            raise InputError("An emotion track needs at least one keyframe, for example 0:neutral:0.")
        for before, after in zip(self.keys, self.keys[1:]):
            if after.time <= before.time:
                raise InputError(
                    f"Emotion keyframes should be in time order, got {after.time:g} s after {before.time:g} s."
                )

    @classmethod
    def parse(cls, text: str) -> EmotionTrack:
        """Reads 'happy:0.8', 'happy:level2' or '0:neutral:0,1.5:happy:0.8,3:angry:1'.

        A timed key may end in how it travels to the next, as '0:happy:0.2:smooth'; see INTERPOLATIONS.
        """
        keys = []
        for part in (p.strip() for p in text.split(",")):
            fields = [f.strip() for f in part.split(":")]
            try:
                if len(fields) == 2:
                    keys.append(EmotionKey(0.0, fields[0], intensity_of(fields[1])))
                elif len(fields) in (3, 4):
                    keys.append(EmotionKey(float(fields[0]), fields[1], intensity_of(fields[2]), *fields[3:]))
                elif len(fields) == 1 and fields[0]:
                    keys.append(EmotionKey(0.0, fields[0], 1.0))
                else:
                    raise ValueError(f"{len(fields)} fields")
            except InputError:
                raise
            except ValueError as error:
                raise InputError(
                    f"Cannot read the emotion '{part}': write LABEL:INTENSITY or TIME:LABEL:INTENSITY with numbers."
                ) from error
        return cls(tuple(keys))

    @classmethod
    def from_json(cls, text: str) -> EmotionTrack:
        """Reads {"keys": [{"time", "label", "intensity" or "level" (1-3), "interpolation"?}, ...]}."""
        try:
            rows = json.loads(text)["keys"]
            keys = [
                EmotionKey(
                    float(row["time"]),
                    str(row["label"]),
                    intensity_of(f"level{row['level']}" if "level" in row else row["intensity"]),
                    row.get("interpolation", "linear"),
                )
                for row in rows
            ]
            return cls(tuple(keys))
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                'Cannot read the emotion file: expected {"keys": [{"time": 0, "label": "happy", "intensity": 0.8}]}.'
            ) from error

    def to_json(self) -> str:
        """The same track as JSON text."""
        rows = [
            {"time": k.time, "label": k.label, "intensity": k.intensity, "interpolation": k.interpolation}
            for k in self.keys
        ]
        return json.dumps({"keys": rows})

    def sample(self, frame_rate: float, n_frames: int) -> np.ndarray:
        """Emotion weights (n_frames, 7) in the order of EMOTIONS; row sum <= 1, the remainder is neutral."""
        times = np.arange(n_frames) / frame_rate
        at_keys = np.zeros((len(self.keys), len(EMOTIONS)), np.float32)
        for row, key in enumerate(self.keys):
            if key.label != NEUTRAL:
                at_keys[row, EMOTIONS.index(key.label)] = key.intensity
        key_times = np.array([k.time for k in self.keys])
        before = np.clip(np.searchsorted(key_times, times, side="right") - 1, 0, len(self.keys) - 1)
        after = np.minimum(before + 1, len(self.keys) - 1)
        span = np.maximum(key_times[after] - key_times[before], 1e-9)
        share = np.clip((times - key_times[before]) / span, 0.0, 1.0)
        kinds = np.array([k.interpolation for k in self.keys])[before]
        travelled = np.select([kinds == kind for kind in INTERPOLATIONS], [f(share) for f in INTERPOLATIONS.values()])
        share = np.where(after == before, 0.0, travelled)[:, None]
        return ((1.0 - share) * at_keys[before] + share * at_keys[after]).astype(np.float32)


@dataclass(frozen=True)
class Phone:
    """One phone of the speech: start and end in seconds, and its label (ARPAbet, 'sil' for silence)."""

    start: float
    end: float
    label: str


REST_ROTATION = (1.0, 0.0, 0.0, 0.0)
UNIT_TOLERANCE = 1e-6  # float32 rounds a unit quaternion's length by less


@dataclass(frozen=True)
class AnimationCurves:
    """Named channel weights and rotations over time, ready for a rig.

    weights (n_frames, n_channels): 0-1, columns named by names. head_rotation, left_eye, right_eye (n_frames, 4): unit
    quaternions w x y z from rest, +Y up, +Z out of the face, left = the character's left (+X). layers: name -> weights
    of the same shape, whose sum clipped to 0-1 is weights. coefficients: the arrays of the face coefficients the
    curves came from (identity, texture, expression, rotation, translation, lighting) and the model's name.
    Raises InputError where shapes disagree or values are not finite.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    frame_rate: float
    head_rotation: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)
    phones: tuple[Phone, ...] = ()
    coefficients: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        names = tuple(str(n) for n in self.names)
        if len(set(names)) != len(names):
            raise InputError("Curve names should differ from one another.")
        if not (np.isfinite(self.frame_rate) and self.frame_rate > 0):
            raise InputError(f"The curves' frame rate should be above 0, got {self.frame_rate}.")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "frame_rate", float(self.frame_rate))
        weights = _finite_array(self.weights, (None, len(names)), "Curve weights")
        object.__setattr__(self, "weights", weights)
        for what in ("head_rotation", "left_eye", "right_eye"):
            turn = np.array(getattr(self, what), np.float64).reshape(-1, 4)
            norm = np.linalg.norm(turn, axis=1, keepdims=True)
            if len(turn) and not (np.isfinite(norm).all() and norm.min() > 1e-6):
                raise InputError(f"Curve {what} should hold unit quaternions (w, x, y, z).")
            # What is a unit quaternion already keeps its bits, so that files read and written again stay the same.
            turn = np.where(np.abs(norm - 1.0) < UNIT_TOLERANCE, turn, turn / norm)
            object.__setattr__(self, what, _finite_array(turn, (len(weights), 4), f"Curve {what}"))
        layers = {str(k): _finite_array(v, weights.shape, f"Layer '{k}'") for k, v in self.layers.items()}
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "phones", tuple(self.phones))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.weights)

    def column(self, name: str) -> np.ndarray:
        """One channel's weights (n_frames,). Raises KeyError for an unknown name."""
        try:
            return self.weights[:, self.names.index(name)]
        except ValueError:
            raise KeyError(f"no curve named '{name}'") from None


def rest_rotations(n_frames: int) -> np.ndarray:
    """n_frames identity quaternions (n_frames, 4)."""
    return np.tile(np.array(REST_ROTATION, np.float32), (n_frames, 1))


def channel_subset(names: Iterable[str], weights: np.ndarray, wanted: Iterable[str]) -> np.ndarray:
    """Columns of weights (n_frames, n_channels) picked by name, zeros where a wanted name is absent."""
    column = {name: i for i, name in enumerate(names)}
    picked = [weights[:, column[w]] if w in column else np.zeros(len(weights), np.float32) for w in wanted]
    return np.stack(picked, axis=1) if picked else np.zeros((len(weights), 0), np.float32)
