"""Layers of one performance in another; how they add up is the protocol's, which both sides share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.curves.resample import sampled_at
from backend.errors import InputError
from blender_addon.protocol.layers import HEAD, layer_sum, with_eyes
from blender_addon.protocol.types import AnimationCurves, channel_subset


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
