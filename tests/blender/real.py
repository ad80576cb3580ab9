"""Run inside Blender: a shot by the real backend, read back, saved, opened again, edited, rendered again and undone."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from addon import ROOT, blender_addon, bpy, empty_scene, np, registered, shape_values, work_folder

LIMIT = 200.0
START, N_FRAMES = 11, 50


def finish() -> str:
    """Polls until all has landed, and gives what the panel says."""
    from blender_addon import runtime

    end = time.monotonic() + LIMIT
    while runtime.is_busy() or runtime.queue:
        assert time.monotonic() < end, (runtime.session.headline, runtime.session.progress_text)
        runtime.poll()
        time.sleep(0.01)
    said = " | ".join(item.text for item in runtime.news)
    assert not any(item.kind == "ERROR" for item in runtime.news), said
    return said


def prepare():
    """The head of the add-on and two seconds of the sentence that the backend ships."""
    scene = empty_scene()
    bpy.ops.emorig.head_add()
    shot = scene.emorig
    shot.audio_path = str(ROOT / "backend" / "media" / "sentence.flac")
    shot.audio_end, shot.start_frame, shot.emotion = N_FRAMES / 25.0, START, "happy"
    shot.output_folder = str(work_folder() / "videos")
    return scene


def check_a_shot_by_the_real_backend_is_kept_through_save_and_undo():
    """What was received is what the shape keys show, in the file that is opened again too; undo takes edits back."""
    from blender_addon import compat, performance

    scene = prepare()
    bpy.ops.emorig.animate()
    said = finish()
    assert "52 curves" in said or "56 curves" in said, said
    frames = np.arange(START, START + N_FRAMES)
    curves = performance.performed(scene.emorig)
    assert curves.n_frames == N_FRAMES and curves.column("jawOpen").max() > 0.1
    head = scene.emorig.targets[0].mesh
    shown = shape_values(head, "jawOpen", frames)
    assert np.abs(shown - curves.column("jawOpen")).max() < scene.emorig.tolerance + 1e-4
    assert curves.column("mouthSmileLeft").mean() > 0.1, "it is a happy shot"

    bpy.ops.wm.save_as_mainfile(filepath=str(work_folder() / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(work_folder() / "shot.blend"))
    scene = bpy.context.scene
    head = scene.emorig.targets[0].mesh
    assert np.allclose(shape_values(head, "jawOpen", frames), shown, atol=1e-6)
    again = performance.as_edited(scene)
    assert np.array_equal(again.weights, curves.weights), "nothing was edited"

    bpy.ops.ed.undo_push(message="Opened")
    curve = compat.curve_bag(head.data.shape_keys).fcurves.find('key_blocks["jawOpen"].value')
    for point in curve.keyframe_points:
        point.co[1] = 0.5
    curve.update()
    bpy.ops.ed.undo_push(message="Edited")
    assert np.abs(performance.as_edited(scene).column("jawOpen") - 0.5).max() < 1e-3
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    head = scene.emorig.targets[0].mesh
    assert np.allclose(shape_values(head, "jawOpen", frames), shown, atol=1e-6)


if __name__ == "__main__":
    for _twice in range(2):
        blender_addon.register()
        blender_addon.unregister()
    with registered():
        check_a_shot_by_the_real_backend_is_kept_through_save_and_undo()
        print("passed: real")
