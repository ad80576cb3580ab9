"""What the scripts inside Blender share: the add-on registered for as long as a block lasts, and a character."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import bpy  # noqa: E402
import numpy as np  # noqa: E402
from simple_head import write_simple_head  # noqa: E402

import blender_addon  # noqa: E402


@contextlib.contextmanager
def registered():
    """The add-on registered; unregistered whatever happens, since a class left behind hangs some versions at exit."""
    blender_addon.register()
    try:
        yield
    finally:
        blender_addon.unregister()


def work_folder() -> Path:
    """A folder for this run's files."""
    return Path(os.environ.get("EMORIG_TEST_FOLDER") or tempfile.mkdtemp())


def empty_scene():
    """The scene without objects, at 25 frames per second."""
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 25, 1.0
    return scene


def simple_head():
    """A test head in the scene, active and selected."""
    from blender_addon.head import add_head

    path = work_folder() / "head.npz"
    write_simple_head(path)
    return add_head(bpy.context, path=path, name="Test Head")


def mesh_with_shapes(name: str, shapes):
    """A triangle with shape keys of these names."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(thing)
    thing.shape_key_add(name="Basis")
    for shape in shapes:
        thing.shape_key_add(name=shape)
    return thing


def rig_of(scene, bones: dict[str, tuple]):
    """An armature in the scene with bones by name: head, tail and, where given, roll."""
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (head, tail, *roll) in bones.items():
        bone = rig.data.edit_bones.new(name)
        bone.head, bone.tail, bone.roll = head, tail, roll[0] if roll else bone.roll
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def put_on(thing, curves, frames, *, tolerance):
    """Curves landed on a mesh at once; gives what was told of it and how many keyframes it took."""
    from blender_addon.rig.apply import mesh_part, open_sliders, shape_names
    from blender_addon.rig.landing import land_now
    from blender_addon.rig.mapping import match_shapes

    match = match_shapes(curves.names, shape_names(thing))
    part, report = mesh_part(thing, match, curves, np.asarray(frames), tolerance=tolerance)
    land_now([part], "Test")
    open_sliders(thing, match)
    return report, part.n_keys


def turn(thing, bone, curves, frames, *, tolerance=None):
    """The curves' head rotation landed on an object or its bone at once."""
    from blender_addon.rig.apply import turning_part
    from blender_addon.rig.landing import land_now

    land_now([turning_part(thing, {bone: curves.head_rotation}, np.asarray(frames), tolerance=tolerance)], "Test")


def shape_values(thing, name: str, frames) -> np.ndarray:
    """Values (n_frames,) that Blender shows for a shape key at whole frames."""
    values = []
    for frame in frames:
        bpy.context.scene.frame_set(int(frame))
        values.append(thing.data.shape_keys.key_blocks[name].value)
    return np.array(values)
