"""Run inside Blender: characters of several meshes and bones."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from addon import bpy, mesh_with_shapes, np, registered, rig_of, shape_values
from known_curves import known_curves
from places import FRAMES, fresh_scene, landing_of, said

from blender_addon.compat import curve_bag
from blender_addon.rig.controls import control_moves


def check_several_meshes_and_the_bones_of_a_rig_at_once():
    """Head, teeth and brows take their shapes; the rig's bones turn; each has its own channels in the one shot."""
    scene = fresh_scene()
    names = ("head", "jaw", "eye.L", "eye.R")
    rig = rig_of(scene, dict.fromkeys(names, ((0, 0, 0), (0, -0.2, 0.0))))
    scene.emorig.head = rig
    scene.emorig.head_bone, scene.emorig.jaw_bone = "head", "jaw"
    scene.emorig.left_eye_bone, scene.emorig.right_eye_bone = "eye.L", "eye.R"
    shapes = {"Face": ["jawOpen", "mouthSmileLeft"], "Teeth": ["JawOpen"], "Brows": ["browInnerUp"]}
    meshes = [mesh_with_shapes(name, names) for name, names in shapes.items()]
    for _step in landing_of(scene, *meshes):
        pass
    curves = known_curves(25.0)
    for mesh, shape, name in zip(meshes, ("jawOpen", "JawOpen", "browInnerUp"), ("jawOpen", "jawOpen", "browInnerUp")):
        assert np.abs(shape_values(mesh, shape, FRAMES) - curves.column(name)).max() < 1e-4, mesh.name
    paths = {curve.data_path for curve in curve_bag(rig).fcurves}
    assert {path.split('"')[1] for path in paths} == {"head", "jaw", "eye.L", "eye.R"}, paths
    scene.frame_set(13)
    bpy.context.view_layer.update()
    turned = (
        rig.pose.bones["head"]
        .matrix.to_quaternion()
        .rotation_difference(rig.data.bones["head"].matrix_local.to_quaternion())
    )
    assert abs(2 * np.arccos(abs(turned.w)) - 0.2) < 0.01, turned


def check_the_controls_of_a_rigs_face():
    """Bones named as Rigify's, turned anyhow, go where the curves say; where a mesh takes the curves they stay."""
    from mathutils import Vector

    scene = fresh_scene()
    places = {"lips.L": (0.03, -0.1, 1), "lips.R": (-0.03, -0.1, 1), "lip.T": (0, -0.1, 1.01), "lip.B": (0, -0.1, 0.99)}
    tails = {name: Vector(place) + Vector((0.01, 0.005, 0.02)) for name, place in places.items()}
    rig = rig_of(scene, {name: (place, tails[name], 0.8) for name, place in places.items()})
    scene.emorig.head, scene.emorig.use_controls = rig, True
    for _step in landing_of(scene):
        pass
    wanted = control_moves({bone.name: np.array(bone.head_local) for bone in rig.data.bones}, known_curves(25.0))
    for frame in (1, 9, 14, 20):
        scene.frame_set(frame)
        bpy.context.view_layer.update()
        for bone in rig.pose.bones:
            moved = np.array(bone.head - bone.bone.head_local)
            assert np.abs(moved - wanted[bone.name][frame - 1]).max() < 1e-5, (bone.name, frame, said())
    assert max(np.abs(way).max() for way in wanted.values()) > 0.004
    face, bare = mesh_with_shapes("Face", ["jawOpen"]), rig.copy()
    bare.animation_data_clear()
    scene.collection.objects.link(bare)
    scene.emorig.head = bare
    for _step in landing_of(scene, face):
        pass
    bag = curve_bag(bare)
    assert bag is None or not any("lips" in curve.data_path for curve in bag.fcurves)


if __name__ == "__main__":
    with registered():
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                check()
                print("passed:", name[6:].replace("_", " "))
