"""Run inside Blender: whole shots against a backend that the add-on starts from PATH, cancels, edits and stops."""

import os
import sys
import time
import wave
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from addon import bpy, empty_scene, np, registered, shape_values, simple_head, work_folder
from known_curves import N_FRAMES, known_curves

from blender_addon import compat
from blender_addon.protocol.discovery import endpoint_file, read_endpoint
from blender_addon.session import State

START = 11


def prepare():
    """A head, a tone of a second, a generated portrait, emotion from neutral to happy."""
    scene, folder = empty_scene(), work_folder()
    head, shot = simple_head(), scene.emorig
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes((8000 * np.sin(np.arange(16000) * 0.2)).astype("<i2").tobytes())
    (folder / "bad.wav").write_bytes(b"not sound at all")
    shot.portrait = bpy.data.images.new("Someone", 64, 64)
    shot.audio_path, shot.output_folder = str(folder / "tone.wav"), str(folder / "videos")
    shot.start_frame, shot.head = START, head
    shot.targets.add().mesh = head
    from blender_addon.emotions import set_mark

    set_mark(scene, START, "neutral", 0.0)
    set_mark(scene, START + N_FRAMES - 1, "happy", 1.0)
    return scene, head, folder


def finish(until=None, seconds: float = 60.0) -> None:
    """Polls as the timer would until the job has ended, or a condition holds."""
    from blender_addon import runtime

    end = time.monotonic() + seconds
    while (runtime.is_busy() or runtime.queue) and not (until and until()):
        assert time.monotonic() < end, (runtime.session.headline, runtime.session.detail, runtime.session.progress_text)
        runtime.poll()
        time.sleep(0.01)


def said() -> str:
    from blender_addon import runtime

    return " | ".join(item.text for item in runtime.news)


def check_shot(scene, head, folder):
    """Curves on the head, then frames, then the movie in the sequencer."""
    from blender_addon import pictures, runtime

    curves, frames = known_curves(25.0), np.arange(START, START + N_FRAMES)
    assert bpy.ops.emorig.animate_and_render() == {"FINISHED"}
    finish()
    assert runtime.session.state is State.READY and "cpu" in runtime.session.headline, said()
    for name in ("jawOpen", "eyeBlinkLeft"):
        error = np.abs(shape_values(head, name, frames) - curves.column(name)).max()
        assert error < scene.emorig.tolerance + 1e-4, (name, error, said())
    movie = compat.strips(scene)["EmoRig"]
    assert movie.type == "MOVIE" and compat.strip_span(movie)[:2] == (START, START + N_FRAMES)
    assert Path(bpy.path.abspath(movie.filepath)) == folder / "videos" / "tone_Someone_001.mp4"
    sound = compat.strips(scene).get("EmoRig Sound")
    if bpy.app.build_options.audaspace:
        assert sound.sound is not None and sound.channel < movie.channel
    else:
        assert sound is None and "cannot play its sound" in said()
    preview = bpy.data.images[pictures.PREVIEW_IMAGE]
    assert tuple(preview.size) == (96, 128)
    red, green, blue = np.array(preview.pixels[:3])
    assert green > 0.75 > red + blue, "the last frame is the happiest"
    assert "Done" in said() and "in the sequencer" in said(), said()


def check_a_sound_strip_gives_file_trim_and_start(scene, head, folder):
    """The active sound strip's file, trim and place become the shot's."""
    if not bpy.app.build_options.audaspace:
        return
    strips = compat.strips(scene)
    strip = strips.new_sound("Line", str(folder / "tone.wav"), 7, 40)
    strip.frame_offset_start, strip.frame_offset_end = 5, 10
    scene.sequence_editor.active_strip = strip
    assert bpy.ops.emorig.audio_from_strip() == {"FINISHED"}
    shot = scene.emorig
    assert (shot.start_frame, Path(shot.audio_path).name) == (45, "tone.wav")
    assert abs(shot.audio_start - 0.2) < 1e-6 and abs(shot.audio_end - 0.6) < 1e-6
    strips.remove(strip)
    shot.start_frame, shot.audio_start, shot.audio_end = START, 0.0, 0.0


def check_edited_render(scene, head, folder):
    """The F-curve that was changed comes back changed, and the new video takes the old one's place."""
    from blender_addon import shots

    bag = compat.curve_bag(head.data.shape_keys)
    curve = bag.fcurves.find('key_blocks["jawOpen"].value')
    for point in curve.keyframe_points:
        point.co[1] = 0.5
    curve.update()
    sent, hand_in = [], shots.hand_in
    shots.hand_in = lambda context, request: (sent.append(request), hand_in(context, request))
    try:
        bpy.ops.emorig.render_edited()
        finish()
    finally:
        shots.hand_in = hand_in
    curves = sent[0].arguments["curves"]
    assert np.abs(curves.column("jawOpen") - 0.5).max() < 1e-3
    assert np.array_equal(curves.column("jawLeft"), known_curves(25.0).column("jawLeft"))
    strips = [strip for strip in compat.strips(scene) if strip.type == "MOVIE"]
    assert [Path(strip.filepath).name for strip in strips] == ["tone_Someone_002.mp4"], strips


def check_only_changed_frames_are_rendered_again(scene, head, folder):
    """A few changed frames come as a strip over the whole video, and nothing is rendered where nothing was changed."""
    try:
        bpy.ops.emorig.render_edited()
    except RuntimeError as error:
        assert "Nothing was changed" in str(error), error
    else:
        raise AssertionError("unchanged curves were rendered")
    curve = compat.curve_bag(head.data.shape_keys).fcurves.find('key_blocks["jawOpen"].value')
    inside = [point for point in curve.keyframe_points if START + 5 < point.co[0] < START + 12]
    for point in inside or [curve.keyframe_points.insert(START + 8, 0.5)]:
        point.co[1] = 0.9
    curve.update()
    bpy.ops.emorig.render_edited()
    finish()
    part = next(strip for strip in compat.strips(scene) if strip.name.startswith("EmoRig Frames"))
    first, last, _ = compat.strip_span(part)
    assert first >= START and last <= START + N_FRAMES and last - first < 0.8 * N_FRAMES, (first, last, said())
    assert compat.strips(scene)["EmoRig"].channel < part.channel and "were rendered again" in said()


def check_preview_of_a_frame(scene, head, folder):
    """One frame is rendered at the playhead; outside the shot a sentence says where it is."""
    from blender_addon import runtime

    scene.frame_set(START + 3)
    before = len(list(folder.joinpath("videos").iterdir()))
    bpy.ops.emorig.preview_frame()
    finish()
    assert f"Frame {START + 3} of the video" in said(), said()
    assert len(list(folder.joinpath("videos").iterdir())) == before
    scene.frame_set(1)
    try:
        bpy.ops.emorig.preview_frame()
    except RuntimeError as error:
        assert f"from {START} to {START + N_FRAMES - 1}" in str(error), error
    assert runtime.session.job is None


def check_strengths_change_without_the_backend(scene, head, folder):
    """A weaker layer halves its curves at once and keeps what was edited; a mute and back gives them again."""
    frames = np.arange(START, START + N_FRAMES)
    bpy.ops.emorig.animate()
    finish()
    curve = compat.curve_bag(head.data.shape_keys).fcurves.find('key_blocks["tongueOut"].value')
    for point in curve.keyframe_points:
        point.co[1] = min(point.co[1] + 0.25, 1.0)
    curve.update()
    before = {name: shape_values(head, name, frames) for name in ("jawOpen", "tongueOut")}
    scene.emorig.layers.lips = 0.5
    finish()
    after = {name: shape_values(head, name, frames) for name in before}
    assert np.abs(after["jawOpen"] - 0.5 * before["jawOpen"]).max() < 0.01, said()
    assert after["tongueOut"].max() > 0.25 and after["tongueOut"].min() > 0.2, "the edit stays"
    scene.emorig.layers.lips, scene.emorig.layers.mute_lips = 1.0, True
    finish()
    assert shape_values(head, "jawOpen", frames).max() < 1e-4
    scene.emorig.layers.mute_lips = False
    finish()
    assert np.abs(shape_values(head, "jawOpen", frames) - before["jawOpen"]).max() < 0.01


def check_export(scene, head, folder):
    """The curves as they are, in another program's format."""
    bpy.ops.emorig.export_curves(format="csv", filepath=str(folder / "line"))
    finish()
    lines = (folder / "line.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == N_FRAMES + 1 and "jawOpen" in lines[0], said()


def check_batch_of_two_lines(scene, head, folder):
    """Two strips, two characters, each with its curves where its strip lies."""
    if not bpy.app.build_options.audaspace:
        return
    from addon import mesh_with_shapes

    other = mesh_with_shapes("Other", ["jawOpen", "mouthSmileLeft"])
    strips = compat.strips(scene)
    for name, frame, character in (("Line A", 100, head), ("Line B", 200, other)):
        strips.new_sound(name, str(folder / "tone.wav"), 9, frame)
        line = scene.emorig_batch.lines.add()
        line.strip, line.character = name, character
    bpy.ops.emorig.batch_run()
    finish()
    assert [line.state for line in scene.emorig_batch.lines] == ["DONE", "DONE"], said()
    wanted = known_curves(25.0).column("jawOpen")
    for thing, frame in ((head, 100), (other, 200)):
        shown = shape_values(thing, "jawOpen", np.arange(frame, frame + N_FRAMES))
        assert np.abs(shown - wanted).max() < 0.01, thing.name
    for name in ("Line A", "Line B"):
        strips.remove(strips[name])
    scene.emorig_batch.lines.clear()
    scene.emorig.start_frame, scene.emorig.audio_start, scene.emorig.audio_end = START, 0.0, 0.0
    scene.emorig.audio_path = str(folder / "tone.wav")


def check_a_reopened_file_still_tells_edits(scene, head, folder):
    """The curves as performed come back from their file, and give the same edits."""
    from blender_addon import performance, runtime

    before = performance.stored_curves(scene.emorig)
    runtime.received = None
    after = performance.stored_curves(scene.emorig)
    assert np.array_equal(before.weights, after.weights) and after.coefficients["model"] == "test"


def check_cancel(scene, head, folder):
    """A job stops when told, and leaves neither file nor strip."""
    from blender_addon import runtime

    before = sorted(folder.joinpath("videos").glob("*.mp4"))
    scene.emorig.seed = 99
    bpy.ops.emorig.animate_and_render()
    finish(until=lambda: runtime.session.progress > 0.1)
    bpy.ops.emorig.cancel()
    assert runtime.session.progress_text == "Cancelling"
    finish()
    assert "Cancelled" in said(), said()
    assert sorted(folder.joinpath("videos").glob("*.mp4")) == before
    scene.emorig.seed = 0


def check_refused_audio(scene, head, folder):
    """What the backend finds wrong is a sentence in the panel."""
    scene.emorig.audio_path = str(folder / "bad.wav")
    bpy.ops.emorig.animate()
    finish()
    assert "The audio is not speech" in said(), said()
    scene.emorig.audio_path = str(folder / "tone.wav")


def check_backend_lost_and_back(scene, head, folder):
    """A backend that dies under a job is said to have stopped; the next job starts another."""
    from blender_addon import runtime

    scene.emorig.seed = 99
    bpy.ops.emorig.animate_and_render()
    finish(until=lambda: runtime.session.progress > 0.1)
    os.kill(read_endpoint().pid, 9)
    finish()
    assert runtime.session.state is State.OFFLINE and "stopped" in said(), said()
    scene.emorig.seed = 0
    bpy.ops.emorig.animate()
    finish()
    assert "Done" in said(), said()


def check_stop(scene, head, folder):
    """Stopping ends the program that was started here and takes its address away."""
    from blender_addon import runtime

    pid = read_endpoint().pid
    runtime.session.close()
    assert runtime.session.state is State.OFFLINE and not endpoint_file().exists()
    try:
        os.kill(pid, 0)
    except OSError:
        return
    raise AssertionError("the backend still runs")


if __name__ == "__main__":
    with registered():
        setting = prepare()
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                started = time.monotonic()
                check(*setting)
                print(f"passed: {name[6:].replace('_', ' ')} in {time.monotonic() - started:.1f} s")
