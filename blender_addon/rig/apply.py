"""AnimationCurves onto a character: what is to be written on the shape keys of its meshes, its bones and its head.

The curves' axes (+X the character's left, +Y up, +Z out of the face) become Blender's (+X left, +Z up, -Y out of the
face): (x, y, z) -> (x, -z, y).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..compat import curve_bag
from ..keyframes import keyframe_tables, unbroken_quaternions
from ..protocol.errors import InputError
from ..protocol.types import AnimationCurves
from .bones import to_blender_axes, turned_into
from .landing import Part
from .mapping import ShapeMatch

GROUP = "EmoRig"
REST_PROPERTY = "emorig_rest_rotation"
ROTATION_PATHS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}


@dataclass(frozen=True)
class MeshReport:
    """What a mesh takes: its object's name, the match, and the shape keys on which a driver hides the curve."""

    name: str
    match: ShapeMatch
    driven: tuple[str, ...] = ()


def shape_names(mesh_object) -> tuple[str, ...]:
    """The object's shape keys without its rest shape; empty where it has none."""
    keys = getattr(mesh_object.data, "shape_keys", None)
    if keys is None:
        return ()
    return tuple(block.name for block in keys.key_blocks if block != keys.reference_key)


def shape_path(shape: str) -> str:
    """The data path of a shape key's value, from the mesh's shape keys."""
    return f'key_blocks["{bpy.utils.escape_identifier(shape)}"].value'


def mesh_part(
    mesh_object, match: ShapeMatch, curves: AnimationCurves, frames: np.ndarray, *, tolerance: float | None
) -> tuple[Part, MeshReport]:
    """What is to be written on the shape keys of one mesh, and what to tell of it.

    frames (n_frames,): scene frames. tolerance: largest deviation of thinned keyframes, None for every frame.
    Raises InputError where no shape key answers to any curve, or the mesh belongs to another file.
    """
    name = mesh_object.name
    if not shape_names(mesh_object):
        raise InputError(f"'{name}' has no shape keys: choose the face's mesh or add the EmoRig head.")
    if not match.sources:
        raise InputError(
            f"'{name}' has no shape key named like ARKit's (jawOpen, eyeBlinkLeft, ...) or another known rig's: choose "
            "their curves in its mapping table, choose another mesh or add the EmoRig head."
        )
    shape_keys = mesh_object.data.shape_keys
    if shape_keys.library is not None:
        raise InputError(f"'{name}' is linked from another file: make a library override of it first.")

    def make() -> list:
        values = match.shape_weights(curves.names, curves.weights)
        tables = keyframe_tables(frames, np.stack(list(values.values()), axis=1), tolerance)
        return [(shape_path(shape), 0, GROUP, table) for shape, table in zip(values, tables)]

    drivers = shape_keys.animation_data.drivers if shape_keys.animation_data else ()
    paths = {driver.data_path for driver in drivers}
    driven = tuple(shape for shape in match.sources if shape_path(shape) in paths)
    return Part("shape_keys", shape_keys.name, make), MeshReport(name, match, driven)


def open_sliders(mesh_object, match: ShapeMatch) -> None:
    """Lets the shape keys show what their curves reach: no slider ends early, none is muted."""
    low, high = (-1.0, 2.0) if match.is_edited else (0.0, 1.0)
    for shape in match.sources:
        block = mesh_object.data.shape_keys.key_blocks.get(shape)
        if block is not None:
            block.slider_max, block.mute = max(block.slider_max, high), False
            block.slider_min = min(block.slider_min, low)


def turning_part(
    target,
    turns: Mapping[str, np.ndarray],
    frames: np.ndarray,
    *,
    tolerance: float | None,
    moves: Mapping[str, np.ndarray] | None = None,
) -> Part:
    """What is to be written for the rotations of an object and its bones, and for where control bones are moved.

    turns: bone -> rotation from rest (n_frames, 4) w x y z in the curves' axes; the empty name is the object itself,
    which turns about its own axes from the rotation that it had before its first shot. tolerance: largest deviation of
    a thinned channel (quaternion part or radians). moves: bone -> its way from rest (n_frames, 3) in the rig's axes,
    whose thinned channels stay within the same share of their own range. Raises InputError for an unknown bone or a
    linked object.
    """
    if target.library is not None:
        raise InputError(f"'{target.name}' is linked from another file: make a library override of it first.")
    jobs = []
    for bone, rotation in turns.items():
        owner = head_owner(target, bone)
        rest = owner.bone.matrix_local.to_quaternion() if bone else _rest_rotation(target)
        jobs.append((bone, owner.rotation_mode, tuple(rest), rotation))
    ways = []
    for bone, way in (moves or {}).items():
        ways.append((bone, np.array(head_owner(target, bone).bone.matrix_local.to_3x3()), way))

    def make() -> list:
        rows = []
        for bone, rest, way in ways:
            path = f'pose.bones["{bpy.utils.escape_identifier(bone)}"].location'
            bound = None if tolerance is None else max(tolerance * float(np.abs(way).max(initial=0.0)), 1e-6)
            rows += [(path, i, bone, table) for i, table in enumerate(keyframe_tables(frames, way @ rest, bound))]
        for bone, mode, rest, rotation in jobs:
            turned = unbroken_quaternions(turned_into(rest, to_blender_axes(rotation), local=bool(bone)))
            tables = keyframe_tables(frames, _rotation_channels(mode, turned), tolerance)
            rows += [(head_path(mode, bone), index, bone or GROUP, table) for index, table in enumerate(tables)]
        return rows

    return Part("objects", target.name, make)


def head_owner(target, bone_name: str):
    """The pose bone or object that turns. Raises InputError for an unknown bone."""
    if not bone_name:
        return target
    if target.type != "ARMATURE" or bone_name not in target.pose.bones:
        raise InputError(f"'{target.name}' has no bone named '{bone_name}': choose the bone again.")
    return target.pose.bones[bone_name]


def head_path(mode: str, bone_name: str) -> str:
    """The data path of rotation channels, from their object, in a rotation mode."""
    prefix = f'pose.bones["{bpy.utils.escape_identifier(bone_name)}"].' if bone_name else ""
    return prefix + ROTATION_PATHS.get(mode, "rotation_euler")


def _rest_rotation(target) -> Quaternion:
    """The object's rotation before its first shot, remembered on the object while rotation curves move it."""
    bag = curve_bag(target)
    moved = bag is not None and any(curve.data_path.startswith("rotation_") for curve in bag.fcurves)
    if moved and REST_PROPERTY in target:
        return Quaternion(tuple(target[REST_PROPERTY]))
    rest = target.matrix_basis.to_quaternion()
    target[REST_PROPERTY] = tuple(rest)
    return rest


def _rotation_channels(mode: str, turns: np.ndarray) -> np.ndarray:
    """Channel values (n_frames, 3 or 4) of rotations (n_frames, 4) w x y z in a rotation mode."""
    if mode == "QUATERNION":
        return turns
    if mode == "AXIS_ANGLE":
        pairs = [Quaternion(turn).to_axis_angle() for turn in turns]
        return np.array([(angle, *axis) for axis, angle in pairs])
    angles, before = [], Matrix.Identity(3).to_euler(mode)
    for turn in turns:
        before = Quaternion(turn).to_euler(mode, before)
        angles.append(tuple(before))
    return np.array(angles)
