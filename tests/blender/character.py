"""Run inside Blender: curves on characters, read back, edited; emotion keys; nothing needs a backend."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from addon import bpy, empty_scene, mesh_with_shapes, np, put_on, registered, rig_of, shape_values, simple_head, turn
from known_curves import known_curves

from blender_addon.compat import curve_bag
from blender_addon.protocol.errors import InputError


def check_curves_become_keyframes():
    from blender_addon.keyframes import scene_frames

    empty_scene()
    curves, head = known_curves(25.0), simple_head()
    frames = scene_frames(curves.n_frames, frame_rate=25.0, scene_rate=25.0, start_frame=11)
    report, n_keys = put_on(head, curves, frames, tolerance=None)
    assert report.match.n_matched_curves == 52 and n_keys == 52 * curves.n_frames
    for name in ("jawOpen", "mouthSmileLeft", "tongueOut"):
        shown = shape_values(head, name, frames)
        assert np.abs(shown - curves.column(name)).max() < 1e-5, name
    first = head.data.shape_keys.animation_data.action
    _, n_thinned = put_on(head, curves, frames, tolerance=0.01)
    assert n_thinned < 0.8 * n_keys
    assert head.data.shape_keys.animation_data.action != first and first.use_fake_user, "the former action is kept"
    for name in curves.names:
        assert np.abs(shape_values(head, name, frames) - curves.column(name)).max() < 0.0101, name


def check_limits_and_drivers_of_a_rig():
    """A slider that ends early is opened, and drivers that would hide a curve are told."""
    empty_scene()
    curves, face = known_curves(25.0), mesh_with_shapes("Face", ["jawOpen", "mouthFunnel"])
    face.data.shape_keys.key_blocks["jawOpen"].slider_max = 0.4
    face.data.shape_keys.key_blocks["mouthFunnel"].driver_add("value").driver.expression = "0.5"
    frames = np.arange(1, 25)
    report, _ = put_on(face, curves, frames, tolerance=None)
    assert report.driven == ("mouthFunnel",)
    assert np.abs(shape_values(face, "jawOpen", frames) - curves.column("jawOpen")).max() < 1e-5


def check_keys_outside_the_shot_stay():
    empty_scene()
    curves, head = known_curves(25.0), simple_head()
    block = head.data.shape_keys.key_blocks["jawOpen"]
    for frame in (1, 20, 200):
        block.value = 0.25
        block.keyframe_insert("value", frame=frame)
    frames = np.arange(10, 10 + curves.n_frames)
    put_on(head, curves, frames, tolerance=None)
    curve = curve_bag(head.data.shape_keys).fcurves.find('key_blocks["jawOpen"].value')
    times = [point.co[0] for point in curve.keyframe_points]
    assert times == [1.0, *frames.astype(float), 200.0], times
    assert abs(curve.evaluate(200) - 0.25) < 1e-6


def check_a_mesh_without_face_shapes_is_refused():
    empty_scene()
    thing = mesh_with_shapes("Chair", ["Bent"])
    try:
        put_on(thing, known_curves(25.0), np.arange(24), tolerance=None)
    except InputError as error:
        assert "Chair" in str(error)
    else:
        raise AssertionError("a chair was animated")
    assert thing.data.shape_keys.animation_data is None


def check_head_rotation():
    """The same turn to the character's left on an object, a turned object and a bone of any orientation."""
    from mathutils import Euler, Quaternion, Vector

    scene = empty_scene()
    curves, frames = known_curves(25.0), np.arange(1, 25)
    middle = int(frames[12])
    yaw = 2 * np.arccos(curves.head_rotation[12, 0])
    for mode in ("QUATERNION", "XYZ", "AXIS_ANGLE"):
        empty = bpy.data.objects.new("Turned", None)
        scene.collection.objects.link(empty)
        empty.rotation_mode = "QUATERNION"
        rest = Euler((0.3, 0.2, 1.0)).to_quaternion()
        empty.rotation_quaternion = rest
        empty.rotation_mode = mode
        if mode == "QUATERNION":
            empty.rotation_quaternion = rest
        else:
            empty.matrix_world = rest.to_matrix().to_4x4()
        for _again in range(2):
            turn(empty, "", curves, frames, tolerance=None)
        scene.frame_set(middle)
        bpy.context.view_layer.update()
        nose = empty.matrix_world.to_quaternion() @ Vector((0, -1, 0))
        wanted = rest @ Vector((np.sin(yaw), -np.cos(yaw), 0))
        assert (nose - wanted).length < 1e-3, (mode, nose, wanted)
    armature = rig_of(scene, {"head": ((0, 0, 0), (0.2, 0.1, 1.0), 0.7)})
    armature.pose.bones["head"].rotation_mode = "QUATERNION"
    turn(armature, "head", curves, frames, tolerance=None)
    scene.frame_set(middle)
    bpy.context.view_layer.update()
    pose = armature.pose.bones["head"]
    posed = (pose.matrix @ pose.bone.matrix_local.inverted()).to_quaternion()
    assert posed.rotation_difference(Quaternion((0, 0, 1), yaw)).angle < 1e-3


def check_edits_come_back():
    from blender_addon.rig.apply import shape_names
    from blender_addon.rig.edits import edited_curves
    from blender_addon.rig.mapping import match_shapes

    empty_scene()
    curves, head, frames = known_curves(25.0), simple_head(), np.arange(5, 29)
    put_on(head, curves, frames, tolerance=0.01)
    turn(head, "", curves, frames, tolerance=0.01)
    match = match_shapes(curves.names, shape_names(head))
    same = edited_curves(curves, frames, meshes=[(head, match)], head=head, tolerance=0.01)
    assert np.array_equal(same.weights, curves.weights)
    assert np.array_equal(same.head_rotation, curves.head_rotation)
    curve = curve_bag(head.data.shape_keys).fcurves.find('key_blocks["jawOpen"].value')
    for point in curve.keyframe_points:
        point.co[1] *= 0.5
    curve.update()
    edited = edited_curves(curves, frames, meshes=[(head, match)], head=head, tolerance=0.01)
    column = curves.names.index("jawOpen")
    assert np.abs(edited.weights[:, column] - 0.5 * curves.weights[:, column]).max() < 0.011
    others = np.delete(np.arange(52), column)
    assert np.array_equal(edited.weights[:, others], curves.weights[:, others])
    assert edited.coefficients is curves.coefficients


def check_emotion_keys():
    from blender_addon import emotions

    scene = empty_scene()
    shot = scene.emorig
    emotions.clear_marks(scene)
    shot.start_frame, shot.emotion, shot.intensity = 11, "sad", 0.5
    assert [(k.time, k.label) for k in emotions.emotion_track(scene).keys] == [(0.0, "sad")]
    for frame, label, intensity in ((11, "neutral", 0.0), (36, "happy", 0.8), (61, "happy", 0.2), (86, "angry", 1.0)):
        scene.frame_set(frame)
        shot.emotion, shot.intensity = label, intensity
        bpy.ops.emorig.emotion_key_add()
    scene.frame_set(36)
    assert (shot.emotion, round(shot.intensity, 3)) == ("happy", 0.8)
    shot.intensity = 0.6
    scene.frame_set(11), scene.frame_set(36)
    assert round(shot.intensity, 3) == 0.6, "changing a keyed value changes its key"
    track = emotions.emotion_track(scene)
    weights = track.sample(25.0, 76)
    happy, angry = weights[:, 4], weights[:, 0]
    _, levels = emotions.emotion_curves(scene)
    assert weights[0].sum() == 0 and abs(happy[25] - 0.6) < 1e-5 and abs(angry[75] - 1.0) < 1e-5
    shown = np.array([levels.evaluate(frame) for frame in range(36, 62)])
    assert np.abs(happy[25:51] - shown).max() < 0.0101, "the intensity curve's own shape counts"
    bpy.ops.emorig.emotion_key_remove(frame=61)
    assert [mark.frame for mark in emotions.emotion_marks(scene)] == [11, 36, 86]
    scene.emorig.audio_seconds = 4.0
    bpy.ops.emorig.emotion_preset(preset="Bad News")
    assert [mark.label for mark in emotions.emotion_marks(scene)] == ["neutral", "sad", "sad"]
    assert emotions.emotion_track(scene).keys[-1].time == 4.0


def check_missing_input_is_said_in_a_sentence():
    from blender_addon import runtime

    scene = empty_scene()
    for prepare, words in (
        (lambda: None, "No character is chosen"),
        (simple_head, "No audio is chosen"),
        (lambda: setattr(scene.emorig, "audio_path", "/nowhere/speech.wav"), "Cannot read the audio file"),
    ):
        prepare()
        try:
            bpy.ops.emorig.animate()
        except RuntimeError as error:
            assert words in str(error), error
        else:
            raise AssertionError(f"expected: {words}")
        assert words in runtime.news[-1].text and runtime.session.job is None


def check_targets():
    scene = empty_scene()
    first, second = mesh_with_shapes("Face", ["jawOpen"]), mesh_with_shapes("Teeth", ["JawOpen"])
    for thing in (first, second):
        thing.select_set(True)
    bpy.ops.emorig.target_add()
    assert {target.mesh.name for target in scene.emorig.targets} == {"Face", "Teeth"}
    bpy.ops.emorig.target_remove()
    assert len(scene.emorig.targets) == 1
    scene.emorig.targets.clear()


def check_a_mapping_table_drives_and_reads_back():
    """The table of a mesh that no name matches: gain and offset drive it, and an edit comes back through them."""
    from blender_addon.performance import match_of
    from blender_addon.rig.edits import edited_curves

    scene = empty_scene()
    thing = mesh_with_shapes("Robot", ["Open", "Grin"])
    target = scene.emorig.targets.add()
    target.mesh = thing
    assert not match_of(thing, target).sources
    assert bpy.ops.emorig.mapping_edit() == {"FINISHED"} and [row.shape for row in target.rows] == ["Open", "Grin"]
    target.rows[0].curve, target.rows[0].gain, target.rows[0].offset = "jawOpen", 1.5, 0.1
    match, curves, frames = match_of(thing, target), known_curves(25.0), np.arange(1, 25)
    from blender_addon.rig.apply import mesh_part, open_sliders
    from blender_addon.rig.landing import land_now

    land_now([mesh_part(thing, match, curves, frames, tolerance=None)[0]], "Test")
    open_sliders(thing, match)
    assert np.abs(shape_values(thing, "Open", frames) - (1.5 * curves.column("jawOpen") + 0.1)).max() < 1e-4
    curve = curve_bag(thing.data.shape_keys).fcurves.find('key_blocks["Open"].value')
    for point in curve.keyframe_points:
        point.co[1] = 0.1 + 1.5 * 0.2
    curve.update()
    edited = edited_curves(curves, frames, meshes=[(thing, match)], tolerance=None)
    assert np.abs(edited.column("jawOpen") - 0.2).max() < 1e-3
    assert bpy.ops.emorig.mapping_save(name="Robots") == {"FINISHED"}
    assert bpy.ops.emorig.mapping_automatic() == {"FINISHED"} and not match_of(thing, target).sources
    assert bpy.ops.emorig.mapping_load(preset="Robots") == {"FINISHED"}
    assert match_of(thing, target).sources == {"Open": {"jawOpen": 1.5}}
    scene.emorig.targets.clear()


def check_jaw_and_eyes_of_a_rig():
    """Bones are found by name; the jaw opens downwards and the eyes turn as the curves say."""
    from mathutils import Vector

    from blender_addon.performance import parts_of
    from blender_addon.rig.landing import land_now

    scene = empty_scene()
    names = ("head", "jaw_master", "master_eye.L", "master_eye.R")
    rig = rig_of(scene, dict.fromkeys(names, ((0, 0, 0), (0, -0.2, -0.05))))
    shot = scene.emorig
    shot.start_frame, shot.use_thinning, shot.head = 1, False, rig
    assert (shot.head_bone, shot.jaw_bone, shot.left_eye_bone) == ("head", "jaw_master", "master_eye.L")
    curves = known_curves(25.0)
    parts, _reports = parts_of(scene, curves, [])
    land_now(parts, "Test")
    widest = int(np.argmax(curves.column("jawOpen")))
    scene.frame_set(1 + widest)
    bpy.context.view_layer.update()
    pose = rig.pose.bones["jaw_master"]
    turned = (pose.matrix @ pose.bone.matrix_local.inverted()).to_quaternion()
    angle = shot.jaw_angle * curves.column("jawOpen")[widest]
    chin = turned @ Vector((0, -1, 0))
    assert abs(chin.z + np.sin(angle)) < 0.02 and chin.y < 0, (chin, angle)
    shot.head, shot.use_thinning = None, True


def check_the_raw_head_takes_the_coefficients():
    from dataclasses import replace

    from blender_addon.head import add_head
    from blender_addon.performance import parts_of, targets
    from blender_addon.rig.landing import land_now

    scene = empty_scene()
    head = add_head(bpy.context, raw=True)
    assert len(head.data.shape_keys.key_blocks) == 65 and len(head.data.materials) == 5
    scene.emorig.targets.clear()
    scene.emorig.targets.add().mesh = head
    curves = known_curves(25.0)
    expression = np.zeros((curves.n_frames, 64), np.float32)
    expression[:, 53] = np.linspace(0.0, 3.0, curves.n_frames)  # lipsPart, in standard deviations
    curves = replace(curves, coefficients={"model": "test", "expression": expression})
    scene.emorig.start_frame = 1
    land_now(parts_of(scene, curves, targets(scene.emorig))[0], "Test")
    assert np.abs(shape_values(head, "lipsPart", [1, 24]) - [0.0, 1.0]).max() < 0.01
    scene.emorig.targets.clear()


def check_panels_draw_on_paper():
    """Every panel and list in every state, held against this Blender's own layout functions, icons and properties."""
    from types import SimpleNamespace

    from paper_layout import PaperLayout

    from blender_addon import character_panels, emotions, panels, runtime
    from blender_addon.session import Job, Request, State

    scene = empty_scene()
    scene.emorig.targets.add().mesh = mesh_with_shapes("Face", ["jawOpen", "Bulge"])
    scene.emorig.targets.add()
    scene.emorig.head = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.emorig.curves_path = "//line.emorig"
    emotions.apply_preset(scene, "Good News", first_frame=1, last_frame=50)
    session, before = runtime.session, runtime.session._state
    runtime.tell("ERROR", "A sentence that is long enough to take more than one line of a narrow sidebar.")
    labels, _ = emotions.emotion_curves(scene)
    lines = []
    for state in State:
        session._state, session.detail = state, "Why."
        for job in (None, Job(Request({}), "a" * 32, "rendering", 3, 10)):
            session.job = job
            paper = PaperLayout(lines)
            for cls in (*panels.CLASSES, *character_panels.CLASSES):
                if issubclass(cls, bpy.types.Panel):
                    cls.draw(SimpleNamespace(layout=paper), bpy.context)
            for point in labels.keyframe_points:
                panels.EMORIG_UL_emotion_keys.draw_item(None, bpy.context, paper, labels, point, 0, scene.emorig, "")
            for target in scene.emorig.targets:
                draw_target = character_panels.EMORIG_UL_targets.draw_item
                draw_target(None, bpy.context, paper, scene.emorig, target, 0, None, "")
    session.job, session._state, session.detail = None, before, ""
    runtime.news.clear()
    said = " ".join(lines)
    for words in ("Key at Frame", "1 of 52 matched; missing: eyeBlinkLeft", "1 of its shape keys", "Surprised", "90%"):
        assert words in said, words
    scene.emorig.targets.clear()


def check_every_tooltip_has_its_translation():
    """Of properties, of the choices of lists and of buttons, in every language; formats keep their own names."""
    from blender_addon import batch, preferences, properties
    from blender_addon.translations import LOCALES, translations

    groups = (*properties.CLASSES, *preferences.CLASSES, batch.EmoRigLine, batch.EmoRigBatch)
    operators = [getattr(bpy.ops.emorig, name).get_rna_type() for name in dir(bpy.ops.emorig)]
    inner = {"curves_path", "rendered_path", "applied", "active", "active_row", "active_target", "active_key"}
    inner |= {"lines", "rows", "audio_seconds", "name", "rna_type"}
    told = {operator.description: operator.identifier for operator in operators}
    for kind in (*(cls.bl_rna for cls in groups), *operators):
        for prop in kind.properties:
            if prop.identifier in inner or prop.identifier.startswith("bl_"):
                continue
            told[prop.description] = f"{kind.identifier}.{prop.identifier}"
            if prop.type == "ENUM" and kind.identifier != "EMORIG_OT_export_curves":
                told |= {item.description: f"{prop.identifier} {item.identifier}" for item in prop.enum_items}
    assert len(told) > 90, told
    for names in LOCALES.values():
        texts = translations()[names[0]]
        missing = {text: where for text, where in told.items() if ("*", text) not in texts}
        assert not missing, (names[0], missing)


if __name__ == "__main__":
    with registered():
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                check()
                print("passed:", name[6:].replace("_", " "))
