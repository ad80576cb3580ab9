"""The layers of a performance (lips, emotion, brows, blinks, gaze, head) put together again at other strengths.

numpy alone, so that a client changes a strength or cuts out some frames without asking the backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .errors import InputError
from .types import ARKIT_NAMES, AnimationCurves, channel_subset

HEAD = "head"
# What an eyeLook channel at 1 turns the eye by, radians.
EYE_YAW_RANGE = np.radians(30.0)
EYE_PITCH_RANGE = np.radians(25.0)
# The coefficients' expression channels beyond ARKit's, and the standard deviations that a channel at 1 is.
FURTHER_NAMES = (
    "lipTighten", "lipsPart", "tongueUp", "tongueToTeeth", "tongueBack", "lowerLipToTeeth", "browFurrow",
    "nostrilFlare", "browInnerUpLeft", "browInnerUpRight", "cheekSuck", "neckTighten",
)  # fmt: skip
FULL_ACTIVATION_SD = 3.0


def combined(curves: AnimationCurves, strengths: Mapping[str, float]) -> AnimationCurves:
    """The curves with each layer at a strength (1 = as it is); what was edited beyond the layers stays.

    'head' scales the head's rotation. Raises InputError for a layer that the curves lack.
    """
    for name, strength in strengths.items():
        if name != HEAD and name not in curves.layers:
            known = ", ".join((*curves.layers, HEAD))
            raise InputError(f"These curves have no layer '{name}': use one of {known}.")
        if not (np.isfinite(strength) and strength >= 0):
            raise InputError(f"The strength of layer '{name}' should be 0 or more, got {strength}.")
    head = turned_by(curves.head_rotation, strengths.get(HEAD, 1.0))
    if all(strengths.get(name, 1.0) == 1.0 for name in curves.layers):
        return replace(curves, head_rotation=head)
    layers = {name: layer * np.float32(strengths.get(name, 1.0)) for name, layer in curves.layers.items()}
    edits = curves.weights - layer_sum(curves.names, curves.layers)
    weights = np.clip(layer_sum(curves.names, layers) + edits, 0.0, 1.0)
    return with_eyes(replace(curves, weights=weights, layers=layers, head_rotation=head))


def cut(curves: AnimationCurves, first: int, last: int) -> AnimationCurves:
    """The frames first..last-1 of curves, with what belongs to them of layers and coefficients."""
    if not 0 <= first < last <= curves.n_frames:
        raise InputError(f"The frames {first} to {last} should lie within 0 to {curves.n_frames}.")
    part, n_frames = slice(first, last), curves.n_frames
    coefficients = curves.coefficients
    if coefficients is not None:
        coefficients = {
            name: value[part] if isinstance(value, np.ndarray) and value.ndim == 2 and len(value) == n_frames else value
            for name, value in coefficients.items()
        }
    return replace(
        curves,
        weights=curves.weights[part],
        head_rotation=curves.head_rotation[part],
        left_eye=curves.left_eye[part],
        right_eye=curves.right_eye[part],
        layers={name: layer[part] for name, layer in curves.layers.items()},
        phones=(),
        coefficients=coefficients,
    )


def raw_channels(curves: AnimationCurves) -> AnimationCurves:
    """The expression coefficients themselves as curves: ARKit's 52 and FURTHER_NAMES.

    Raises InputError where the curves carry none.
    """
    carried = (curves.coefficients or {}).get("expression")
    if not isinstance(carried, np.ndarray) or carried.shape != (curves.n_frames, len(ARKIT_NAMES) + len(FURTHER_NAMES)):
        raise InputError("These curves carry no expression coefficients: animate the shot again.")
    weights = np.clip(carried / np.float32(FULL_ACTIVATION_SD), 0.0, 1.0)
    return replace(curves, names=(*ARKIT_NAMES, *FURTHER_NAMES), weights=weights, layers={}, coefficients=None)


def layer_sum(names: tuple[str, ...], layers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Weights (n_frames, n_channels) 0-1 that layers add up to, lips closing no further than the jaw is open."""
    if not layers:
        return np.float32(0.0)
    total = np.clip(np.sum(list(layers.values()), axis=0), 0.0, 1.0).astype(np.float32)
    if "mouthClose" in names and "jawOpen" in names:
        close, jaw = names.index("mouthClose"), names.index("jawOpen")
        total[:, close] = np.minimum(total[:, close], total[:, jaw])
    return total


def with_eyes(curves: AnimationCurves) -> AnimationCurves:
    """The curves with eye rotations that follow their eyeLook channels."""
    left, right = eye_rotations(channel_subset(curves.names, curves.weights, ARKIT_NAMES))
    return replace(curves, left_eye=left, right_eye=right)


def eye_rotations(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right eye quaternions (n_frames, 4) w x y z of the eyeLook channels in ARKit weights (n_frames, 52).

    The eye is lowered about x first, then turned about y.
    """
    column = {name: weights[:, index].astype(np.float64) for index, name in enumerate(ARKIT_NAMES)}
    turned = []
    for side, outward in (("Left", 1.0), ("Right", -1.0)):
        look_in, look_out, look_up, look_down = (column[f"eyeLook{way}{side}"] for way in ("In", "Out", "Up", "Down"))
        yaw = 0.5 * outward * (look_out - look_in) * EYE_YAW_RANGE
        pitch = 0.5 * (look_down - look_up) * EYE_PITCH_RANGE
        parts = (np.cos(yaw) * np.cos(pitch), np.cos(yaw) * np.sin(pitch), np.sin(yaw) * np.cos(pitch))
        turned.append(np.stack([*parts, -np.sin(yaw) * np.sin(pitch)], axis=1).astype(np.float32))
    return turned[0], turned[1]


def turned_by(quaternions: np.ndarray, strength: float) -> np.ndarray:
    """Rotations (n, 4) scaled in angle: 0 is rest, 1 the same, 2 twice as far."""
    if strength == 1.0:
        return quaternions
    turn = np.where(quaternions[:, :1] < 0, -1.0, 1.0) * quaternions.astype(np.float64)
    length = np.linalg.norm(turn[:, 1:], axis=1, keepdims=True)
    half = np.arctan2(length, turn[:, :1]) * strength
    axis = turn[:, 1:] / np.maximum(length, 1e-12)
    return np.concatenate([np.cos(half), axis * np.sin(half)], axis=1).astype(np.float32)
