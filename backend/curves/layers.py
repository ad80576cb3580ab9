"""The layers of a performance (lips, emotion, brows, blinks, gaze, head) kept apart and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backend.curves.resample import between, sampled_at
from backend.errors import InputError
from blender_addon.protocol.types import AnimationCurves, channel_subset, rest_rotations

HEAD = "head"


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
    layers = {name: layer * np.float32(strengths.get(name, 1.0)) for name, layer in curves.layers.items()}
    head = turned_by(curves.head_rotation, strengths.get(HEAD, 1.0))
    if all(strengths.get(name, 1.0) == 1.0 for name in curves.layers):
        return replace(curves, head_rotation=head)
    edits = curves.weights - layer_sum(curves.names, curves.layers)
    weights = np.clip(layer_sum(curves.names, layers) + edits, 0.0, 1.0)
    return with_eyes(replace(curves, weights=weights, layers=layers, head_rotation=head))


def with_layer(curves: AnimationCurves, name: str, layer: np.ndarray) -> AnimationCurves:
    """The curves with one layer (n_frames, n_channels) replaced or added, for mixing performances."""
    old = curves.layers.get(name, np.zeros_like(curves.weights))
    if np.shape(layer) != curves.weights.shape:
        raise InputError(f"Layer '{name}' should have shape {curves.weights.shape}, got {np.shape(layer)}.")
    edits = curves.weights - layer_sum(curves.names, curves.layers)
    layers = {**curves.layers, name: np.asarray(layer, np.float32)}
    if not curves.layers:
        # Curves without layers are one layer themselves.
        layers = {"curves": curves.weights - old, name: np.asarray(layer, np.float32)}
        edits = np.zeros_like(curves.weights)
    weights = np.clip(layer_sum(curves.names, layers) + edits, 0.0, 1.0)
    return with_eyes(replace(curves, weights=weights, layers=layers))


def with_layer_of(curves: AnimationCurves, name: str, other: AnimationCurves) -> AnimationCurves:
    """The curves with a layer of another performance, at their rate, held at its end; all of it where it has no layers.

    'head' takes the other's head. Raises InputError for a layer that the other lacks.
    """
    positions = np.arange(curves.n_frames) * (other.frame_rate / curves.frame_rate)
    there = sampled_at(other, positions)
    if name == HEAD:
        return replace(curves, head_rotation=there.head_rotation)
    if there.layers and name not in there.layers:
        raise InputError(f"The other performance has no layer '{name}', only {', '.join(there.layers)}.")
    layer = there.layers.get(name, there.weights)
    return with_layer(curves, name, channel_subset(there.names, layer, curves.names))


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
    from backend.curves.convert import eye_rotations
    from backend.export.names import arkit_columns

    left, right = eye_rotations(arkit_columns(curves))
    return replace(curves, left_eye=left, right_eye=right)


def turned_by(quaternions: np.ndarray, strength: float) -> np.ndarray:
    """Rotations (n, 4) scaled in angle: 0 is rest, 1 the same, 2 twice as far."""
    if strength == 1.0:
        return quaternions
    rest = rest_rotations(len(quaternions))
    return between(rest, quaternions, np.full(len(quaternions), strength, np.float32))
