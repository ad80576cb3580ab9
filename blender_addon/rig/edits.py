"""What an animator changed: F-curves read back from a character as AnimationCurves, the inverse of rig/apply.py."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..compat import curve_bag
from ..keyframes import keyframe_tables
from ..protocol.types import AnimationCurves
from .apply import REST_PROPERTY, head_owner, head_path, shape_path
from .drafts import stored_values
from .landing import LINEAR
from .mapping import MOST_EXTREME, ShapeMatch

ROUNDING = 2e-4  # weight, or quaternion part: smaller differences come from float32 keyframes
SMALLEST_GAIN = 0.05
Result = TypeVar("Result")


@dataclass(frozen=True)
class Reading:
    """What a character shows at the samples' frames, read from its F-curves.

    shapes: of each mesh its match, and shape key -> values (n_frames,). turn: rotation mode, channels (n_frames, 3 or
    4), the bone's or the object's rest, and whether it is a bone's; None where nothing turns.
    """

    shapes: tuple[tuple[ShapeMatch, dict[str, np.ndarray]], ...]
    turn: tuple[str, np.ndarray, Quaternion, bool] | None


def edited_curves(
    received: AnimationCurves,
    frames: np.ndarray,
    *,
    meshes: Iterable[tuple[object, ShapeMatch]],
    head=None,
    bone_name: str = "",
    tolerance: float | None,
) -> AnimationCurves:
    """The received curves with what was changed on the character since they were applied, read and compared at once."""
    return compared(received, frames, finished(read_rig(frames, meshes, head, bone_name)), tolerance=tolerance)


def read_rig(
    frames: np.ndarray, meshes: Iterable[tuple[object, ShapeMatch]], head=None, bone_name: str = ""
) -> Generator[None, None, Reading]:
    """Reads what a character shows at frames (n_frames,); yields between F-curves, and returns a Reading.

    In between anything may happen to the scene, so that things are found by name each time; what is gone is not read.
    """
    named, head_name = [(mesh.name, match) for mesh, match in meshes], head.name if head is not None else ""
    shapes = []
    for name, match in named:
        values = {}
        for shape in match.sources:
            curve = _shape_curve(name, shape)
            if curve is not None:
                values[shape] = np.clip(_evaluate(curve, frames), *MOST_EXTREME)
            yield None
        shapes.append((match, values))
    head = bpy.data.objects.get(head_name) if head_name else None
    return Reading(tuple(shapes), None if head is None else _read_turn(frames, head, bone_name))


def compared(
    received: AnimationCurves, frames: np.ndarray, reading: Reading, *, tolerance: float | None
) -> AnimationCurves:
    """The received curves with what a reading shows to have been changed since they were applied with this tolerance.

    A curve is taken from the first changed shape key that it alone drives; what mixtures of curves show is solved for
    by least squares. A curve that no mesh takes stays as received. Unchanged curves come back exactly as they were.
    Needs no Blender, so that a thread may do it.
    """
    weights, unread, mixed = received.weights.copy(), set(received.names), []
    for match, values in reading.shapes:
        performed = match.shape_weights(received.names, received.weights)
        drawn = _drawn({shape: performed[shape] for shape in values}, frames, tolerance)
        for shape, now in values.items():
            changed = np.abs(now - drawn[shape]) >= ROUNDING
            if not changed.any():
                continue
            (name, gain), *others = match.sources[shape].items()
            if others or abs(gain) < SMALLEST_GAIN:
                mixed.append((match.sources[shape], np.where(changed, now - performed[shape], 0.0)))
            elif name in unread:
                unread.discard(name)
                column = received.names.index(name)
                weights[changed, column] = ((now - match.offsets.get(shape, 0.0)) / gain)[changed]
    weights += _solved(received.names, [row for row in mixed if set(row[0]) & unread])
    rotation = received.head_rotation
    if reading.turn is not None:
        rotation = _edited_rotation(received, reading.turn, tolerance)
    return replace(received, weights=np.clip(weights, 0.0, 1.0), head_rotation=rotation, layers={})


def finished(steps: Generator[object, None, Result]) -> Result:
    """What a generator returns, run to its end at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _shape_curve(mesh_name: str, shape: str):
    """The F-curve of a mesh's shape key, or None where it, the mesh or its shape keys are gone."""
    mesh = bpy.data.objects.get(mesh_name)
    keys = getattr(mesh.data, "shape_keys", None) if mesh is not None else None
    bag = curve_bag(keys) if keys is not None else None
    return None if bag is None else bag.fcurves.find(shape_path(shape))


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
    """Values (n_frames,) of an F-curve; one of straight lines, as they land, is read in one go."""
    straight = stored_values(curve, "interpolation")[:-1] == LINEAR
    if len(curve.modifiers) or len(curve.sampled_points) or not straight.all():
        return np.array([curve.evaluate(float(frame)) for frame in frames])
    times, values = stored_values(curve, "co").astype(np.float64).T
    inside = np.interp(frames, times, values)
    if curve.extrapolation == "CONSTANT" or len(times) < 2 or (times[0] <= frames[0] and frames[-1] <= times[-1]):
        return inside
    return np.array([curve.evaluate(float(frame)) for frame in frames])


def _drawn(performed: dict[str, np.ndarray], frames: np.ndarray, tolerance: float | None) -> dict[str, np.ndarray]:
    """Shape -> the values (n_frames,) that its thinned keyframes give."""
    if not performed:
        return {}
    tables = keyframe_tables(frames, np.stack(list(performed.values()), axis=1), tolerance)
    return {shape: np.interp(frames, table[:, 0], table[:, 1]) for shape, table in zip(performed, tables)}


def _read_turn(frames: np.ndarray, head, bone_name: str) -> tuple[str, np.ndarray, Quaternion, bool] | None:
    bag, owner = curve_bag(head), head_owner(head, bone_name)
    path = head_path(owner.rotation_mode, bone_name)
    size = 3 if path.endswith("rotation_euler") else 4
    curves = [bag.fcurves.find(path, index=index) for index in range(size)] if bag is not None else [None]
    if None in curves:
        return None
    if bone_name:
        rest = owner.bone.matrix_local.to_quaternion()
    else:
        rest = Quaternion(tuple(head.get(REST_PROPERTY, (1.0, 0.0, 0.0, 0.0))))
    channels = np.stack([_evaluate(curve, frames) for curve in curves], axis=1)
    return owner.rotation_mode, channels, rest, bool(bone_name)


def _edited_rotation(received: AnimationCurves, turn, tolerance: float | None) -> np.ndarray:
    """Head rotation (n_frames, 4) in the curves' axes; as received where the F-curves were not changed."""
    mode, channels, rest, is_bone = turn
    turns = [_quaternion(mode, row) for row in channels]
    back = rest.inverted()
    turns = [rest @ turn @ back if is_bone else back @ turn for turn in turns]
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
