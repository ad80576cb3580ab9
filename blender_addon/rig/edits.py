"""What an animator changed: F-curves read back from a character as AnimationCurves, the inverse of rig/apply.py."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..compat import curve_bag
from ..keyframes import kept_samples
from ..protocol.types import AnimationCurves
from .apply import REST_PROPERTY, head_owner, head_path, shape_names
from .mapping import match_shapes

ROUNDING = 2e-4  # weight, or quaternion part: smaller differences come from float32 keyframes


def edited_curves(
    received: AnimationCurves, frames: np.ndarray, *, meshes, head=None, bone_name: str = "", tolerance: float | None
) -> AnimationCurves:
    """The received curves with what was changed on the character since they were applied with this tolerance.

    frames (n_frames,): scene frames of the samples. A channel is read from the first shape key that it alone drives;
    one that no mesh takes stays as received. Unchanged curves come back exactly as they were.
    """
    weights = received.weights.copy()
    unread = set(received.names)
    for mesh in meshes:
        bag = curve_bag(mesh.data.shape_keys) if mesh.data.shape_keys else None
        if bag is None:
            continue
        for shape, gains in match_shapes(received.names, shape_names(mesh)).sources.items():
            (name, gain), *others = gains.items()
            curve = bag.fcurves.find(f'key_blocks["{bpy.utils.escape_identifier(shape)}"].value')
            if others or gain != 1.0 or name not in unread or curve is None:
                continue
            unread.discard(name)
            column = received.names.index(name)
            now = np.clip(_evaluate(curve, frames), 0.0, 1.0)
            changed = _is_changed(now, received.weights[:, column], frames, tolerance)
            weights[changed, column] = now[changed]
    rotation = received.head_rotation
    if head is not None:
        rotation = _edited_rotation(received, frames, head, bone_name, tolerance)
    return replace(received, weights=np.clip(weights, 0.0, 1.0), head_rotation=rotation, layers={})


def _evaluate(curve, frames: np.ndarray) -> np.ndarray:
    return np.array([curve.evaluate(float(frame)) for frame in frames])


def _is_changed(now: np.ndarray, was: np.ndarray, frames: np.ndarray, tolerance: float | None) -> np.ndarray:
    """Where (n_frames,) bool a curve differs from what the thinned keyframes of the samples `was` gave."""
    kept = kept_samples(was, tolerance) if tolerance is not None and len(was) > 2 else np.arange(len(was))
    return np.abs(now - np.interp(frames, np.asarray(frames)[kept], was[kept])) >= ROUNDING


def _edited_rotation(received: AnimationCurves, frames, head, bone_name: str, tolerance) -> np.ndarray:
    """Head rotation (n_frames, 4) in the curves' axes; as received where the F-curves were not changed."""
    bag, owner = curve_bag(head), head_owner(head, bone_name)
    path = head_path(owner.rotation_mode, bone_name)
    size = 3 if path.endswith("rotation_euler") else 4
    curves = [bag.fcurves.find(path, index=index) for index in range(size)] if bag is not None else [None]
    if None in curves:
        return received.head_rotation
    channels = np.stack([_evaluate(curve, frames) for curve in curves], axis=1)
    turns = [_quaternion(owner.rotation_mode, row) for row in channels]
    if bone_name:
        axes = owner.bone.matrix_local.to_quaternion()
        turns = [axes @ turn @ axes.inverted() for turn in turns]
    else:
        rest = Quaternion(tuple(head.get(REST_PROPERTY, (1.0, 0.0, 0.0, 0.0))))
        turns = [rest.inverted() @ turn for turn in turns]
    rotation = np.array([(turn.w, turn.x, turn.z, -turn.y) for turn in turns])
    rotation /= np.linalg.norm(rotation, axis=1, keepdims=True)
    rotation *= np.where((rotation * received.head_rotation).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    bound = ROUNDING + (tolerance or 0.0)
    return np.where(np.abs(rotation - received.head_rotation).max(axis=1, keepdims=True) < bound,
                    received.head_rotation, rotation)  # fmt: skip


def _quaternion(mode: str, channels: np.ndarray) -> Quaternion:
    if mode == "QUATERNION":
        return Quaternion(channels)
    if mode == "AXIS_ANGLE":
        return Quaternion(channels[1:], float(channels[0]))
    return Euler(channels, mode).to_quaternion()
