"""AnimationCurves onto a character: F-curves on shape keys of its meshes, head rotation on an object or a bone.

The curves' axes (+X the character's left, +Y up, +Z out of the face) become Blender's (+X left, +Z up, -Y out of the
face): (x, y, z) -> (x, -z, y).
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..compat import curve_bag, curve_group
from ..keyframes import keyframe_table, unbroken_quaternions
from ..protocol.errors import InputError
from ..protocol.types import AnimationCurves
from .mapping import ShapeMatch, match_shapes

GROUP = "EmoRig"
REST_PROPERTY = "emorig_rest_rotation"
LINEAR = 1
AUTO_CLAMPED = 4
ROTATION_PATHS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}


@dataclass(frozen=True)
class MeshReport:
    """What happened to one mesh: its object's name, the match, its new F-curves and keyframes.

    driven: shape keys on which a driver keeps the curve from showing.
    """

    name: str
    match: ShapeMatch
    n_curves: int
    n_keys: int
    driven: tuple[str, ...] = ()


def shape_names(mesh_object) -> tuple[str, ...]:
    """The object's shape keys without its rest shape; empty where it has none."""
    keys = getattr(mesh_object.data, "shape_keys", None)
    if keys is None:
        return ()
    return tuple(block.name for block in keys.key_blocks if block != keys.reference_key)


def apply_to_mesh(mesh_object, curves: AnimationCurves, frames: np.ndarray, *, tolerance: float | None) -> MeshReport:
    """Writes F-curves on the shape keys of one mesh, in place of any they had in the shot's range.

    frames (n_frames,): scene frames. tolerance: largest deviation of thinned keyframes, None for every frame.
    Raises InputError where no shape key answers to any curve, or the mesh belongs to another file.
    """
    match = match_shapes(curves.names, shape_names(mesh_object))
    if not match.sources:
        raise InputError(
            f"'{mesh_object.name}' has no shape key named like ARKit's (jawOpen, eyeBlinkLeft, ...): "
            "choose another mesh or add the EmoRig head."
        )
    shape_keys = mesh_object.data.shape_keys
    if shape_keys.library is not None:
        raise InputError(f"'{mesh_object.name}' is linked from another file: make a library override of it first.")
    bag = curve_bag(shape_keys, create=True)
    group, n_keys, driven = curve_group(bag, GROUP), 0, []
    for shape, values in match.shape_weights(curves.names, curves.weights).items():
        block = shape_keys.key_blocks[shape]
        block.slider_max, block.mute = max(block.slider_max, 1.0), False
        path = f'key_blocks["{bpy.utils.escape_identifier(shape)}"].value'
        n_keys += write_curve(bag, path, 0, keyframe_table(frames, values, tolerance), group)
        if shape_keys.animation_data.drivers.find(path) is not None:
            driven.append(shape)
    shape_keys.update_tag()
    return MeshReport(mesh_object.name, match, n_curves=len(match.sources), n_keys=n_keys, driven=tuple(driven))


def apply_head_rotation(target, bone_name: str, curves: AnimationCurves, frames: np.ndarray, *, tolerance) -> int:
    """Writes the head's rotation from rest on an object, or on a pose bone where bone_name is set; returns keyframes.

    Objects turn about their own axes from the rotation that they had before the first shot. tolerance: largest
    deviation of a thinned channel (quaternion part or radians). Raises InputError for an unknown bone.
    """
    turns = [blender_rotation(q) for q in unbroken_quaternions(curves.head_rotation)]
    owner = head_owner(target, bone_name)
    if bone_name:
        axes = owner.bone.matrix_local.to_quaternion()
        turns = [axes.inverted() @ turn @ axes for turn in turns]
    else:
        rest = _rest_rotation(target)
        turns = [rest @ turn for turn in turns]
    path, values = head_path(owner.rotation_mode, bone_name), _rotation_channels(owner.rotation_mode, turns)
    bag = curve_bag(target, create=True)
    group = curve_group(bag, bone_name or GROUP)
    tables = [keyframe_table(frames, column, tolerance) for column in values.T]
    n_keys = sum(write_curve(bag, path, index, table, group) for index, table in enumerate(tables))
    target.update_tag()
    return n_keys


def head_owner(target, bone_name: str):
    """The pose bone or object that turns as the head. Raises InputError for an unknown bone."""
    if not bone_name:
        return target
    if target.type != "ARMATURE" or bone_name not in target.pose.bones:
        raise InputError(f"'{target.name}' has no bone named '{bone_name}': choose the head bone again.")
    return target.pose.bones[bone_name]


def head_path(mode: str, bone_name: str) -> str:
    """The data path of the head's rotation channels, from its object, in a rotation mode."""
    prefix = f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"].' if bone_name else ""
    return prefix + ROTATION_PATHS.get(mode, "rotation_euler")


def write_curve(bag, path: str, index: int, table: np.ndarray, group) -> int:
    """Writes keyframes (n_keys, 2) of frame and value as straight lines, replacing those in their range."""
    curve = bag.fcurves.find(path, index=index)
    if curve is None:
        curve = bag.fcurves.new(path, index=index)
        curve.group = group
    _remove_keys(curve, table[0, 0], table[-1, 0])
    points = curve.keyframe_points
    n_before = len(points)
    points.add(len(table))
    for name, width, values in (
        ("co", 2, table),
        ("handle_left", 2, table),
        ("handle_right", 2, table),
        ("interpolation", 1, LINEAR),
        ("handle_left_type", 1, AUTO_CLAMPED),
        ("handle_right_type", 1, AUTO_CLAMPED),
    ):
        column = np.empty((len(points), width), np.float32 if width == 2 else np.int32)
        points.foreach_get(name, column.reshape(-1))
        column[n_before:] = values
        points.foreach_set(name, column.reshape(-1))
    curve.update()
    return len(table)


def blender_rotation(quaternion) -> Quaternion:
    """A rotation w x y z in the curves' axes as one in Blender's."""
    w, x, y, z = (float(part) for part in quaternion)
    return Quaternion((w, x, -z, y))


def _remove_keys(curve, first: float, last: float) -> None:
    """Removes the keyframes in the frames first..last; those outside keep their handles."""
    points = curve.keyframe_points
    co = np.empty(2 * len(points), np.float32)
    points.foreach_get("co", co)
    inside = (co[::2] > first - 0.5) & (co[::2] < last + 0.5)
    if inside.all() and hasattr(points, "clear"):
        points.clear()
        return
    for index in np.flatnonzero(inside)[::-1]:
        points.remove(points[int(index)], fast=True)


def _rest_rotation(target) -> Quaternion:
    """The object's rotation before its first shot, remembered on the object while rotation curves move it."""
    bag = curve_bag(target)
    moved = bag is not None and any(curve.data_path.startswith("rotation_") for curve in bag.fcurves)
    if moved and REST_PROPERTY in target:
        return Quaternion(tuple(target[REST_PROPERTY]))
    rest = target.matrix_basis.to_quaternion()
    target[REST_PROPERTY] = tuple(rest)
    return rest


def _rotation_channels(mode: str, turns: list[Quaternion]) -> np.ndarray:
    """Channel values (n_frames, 3 or 4) of rotations in a rotation mode."""
    if mode == "QUATERNION":
        return np.array([tuple(turn) for turn in turns])
    if mode == "AXIS_ANGLE":
        pairs = [turn.to_axis_angle() for turn in turns]
        return np.array([(angle, *axis) for axis, angle in pairs])
    angles, before = [], Matrix.Identity(3).to_euler(mode)
    for turn in turns:
        before = turn.to_euler(mode, before)
        angles.append(tuple(before))
    return np.array(angles)
