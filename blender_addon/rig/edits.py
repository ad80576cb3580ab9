"""What an animator changed: F-curves read back from a character as AnimationCurves, the inverse of rig/apply.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from mathutils import Euler, Quaternion

from ..compat import curve_bag
from ..keyframes import keyframe_tables
from ..protocol.types import AnimationCurves
from .apply import REST_PROPERTY, head_owner, head_path, shape_path
from .mapping import MOST_EXTREME, ShapeMatch

ROUNDING = 2e-4  # weight, or quaternion part: smaller differences come from float32 keyframes
SMALLEST_GAIN = 0.05


def edited_curves(
    received: AnimationCurves,
    frames: np.ndarray,
    *,
    meshes: Iterable[tuple[object, ShapeMatch]],
    head=None,
    bone_name: str = "",
    tolerance: float | None,
) -> AnimationCurves:
    """The received curves with what was changed on the character since they were applied with this tolerance.

    frames (n_frames,): scene frames of the samples. meshes: each with the match it was animated by. A curve is read
    from the first changed shape key that it alone drives; what mixtures of curves show is solved for by least squares.
    A curve that no mesh takes stays as received. Unchanged curves come back exactly as they were.
    """
    weights, unread, mixed = received.weights.copy(), set(received.names), []
    for mesh, match in meshes:
        bag = curve_bag(mesh.data.shape_keys) if mesh.data.shape_keys else None
        if bag is None:
            continue
        performed = match.shape_weights(received.names, received.weights)
        drawn = _drawn(performed, frames, tolerance)
        for shape, gains in match.sources.items():
            curve = bag.fcurves.find(shape_path(shape))
            if curve is None:
                continue
            now = np.clip(_evaluate(curve, frames), *MOST_EXTREME)
            changed = np.abs(now - drawn[shape]) >= ROUNDING
            if not changed.any():
                continue
            (name, gain), *others = gains.items()
            if others or abs(gain) < SMALLEST_GAIN:
                mixed.append((gains, np.where(changed, now - performed[shape], 0.0)))
            elif name in unread:
                unread.discard(name)
                column = received.names.index(name)
                weights[changed, column] = ((now - match.offsets.get(shape, 0.0)) / gain)[changed]
    weights += _solved(received.names, [row for row in mixed if set(row[0]) & unread])
    rotation = received.head_rotation
    if head is not None:
        rotation = _edited_rotation(received, frames, head, bone_name, tolerance)
    return replace(received, weights=np.clip(weights, 0.0, 1.0), head_rotation=rotation, layers={})


def changed_frames(before: AnimationCurves, after: AnimationCurves) -> tuple[int, int] | None:
    """First changed frame and the one after the last, of two performances of the same length; None where equal."""
    different = (before.weights != after.weights).any(axis=1) | (before.head_rotation != after.head_rotation).any(
        axis=1
    )
    places = np.flatnonzero(different)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else None


def _solved(names: tuple[str, ...], mixed: list[tuple[dict, np.ndarray]]) -> np.ndarray:
    """The smallest changes (n_frames, n_curves) of the curves that give changes of shapes which several of them mix."""
    if not mixed:
        return np.float32(0.0)
    gains = np.zeros((len(mixed), len(names)))
    for row, (mixture, _change) in enumerate(mixed):
        for name, gain in mixture.items():
            gains[row, names.index(name)] = gain
    changes = np.stack([change for _mixture, change in mixed], axis=1)
    return (changes @ np.linalg.pinv(gains).T).astype(np.float32)


def _evaluate(curve, frames: np.ndarray) -> np.ndarray:
    return np.array([curve.evaluate(float(frame)) for frame in frames])


def _drawn(performed: dict[str, np.ndarray], frames: np.ndarray, tolerance: float | None) -> dict[str, np.ndarray]:
    """Shape -> the values (n_frames,) that its thinned keyframes give."""
    if not performed:
        return {}
    tables = keyframe_tables(frames, np.stack(list(performed.values()), axis=1), tolerance)
    return {shape: np.interp(frames, table[:, 0], table[:, 1]) for shape, table in zip(performed, tables)}


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
