"""What the backend sends, laid into the scene: curves at once, then frames as they come, then the video."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import bpy

from . import compat, pictures, runtime
from .curves_file import SUFFIX, load_curves, save_curves
from .footage import output_path, stored_path
from .performance import (
    has_landed,
    landing,
    note_strengths,
    performed,
    reading_edits,
    shares_of,
    stored_curves,
    targets,
    with_edits,
)
from .placing import place
from .protocol.errors import InputError
from .protocol.layers import combined
from .protocol.messages import Cancelled, Curves, Failed, Finished, Frame, Notice
from .protocol.types import AnimationCurves
from .rig.landing import on_thread
from .transfer import Video


def deliver(messages: list[object]) -> None:
    """Takes a batch of the job's messages; of its frames only the newest is shown."""
    frames = [message for message in messages if isinstance(message, Frame)]
    for message in messages:
        if isinstance(message, Frame) and message is not frames[-1]:
            continue
        try:
            _take(message)
        except InputError as error:
            runtime.tell("ERROR", str(error))


def _take(message: object) -> None:
    kind = runtime.memo.get("kind", "shot")
    if isinstance(message, Curves):
        # Edits are told from the curves of the performance, so those of a second rendering do not replace them.
        if kind in ("shot", "predict"):
            _take_curves(message.curves, lands=kind == "shot")
    elif isinstance(message, Frame):
        pictures.show_frame(message.data)
    elif isinstance(message, Video) and kind == "export":
        _write(runtime.memo["path"], message.data)
        runtime.tell("INFO", f"{runtime.memo['label']}: '{runtime.memo['path']}'.")
    elif isinstance(message, Video) and kind != "preview":
        runtime.begin_work(_video_steps(message.data, dict(runtime.memo)))
    elif isinstance(message, Notice) and kind != "preview":
        runtime.tell("WARNING", message.text)
    elif isinstance(message, Failed):
        runtime.queue.clear()
        runtime.tell("ERROR", message.reason)
    elif isinstance(message, Cancelled):
        runtime.queue.clear()
        runtime.tell("INFO", "Cancelled.")
    elif isinstance(message, Finished):
        _finish(kind, message.seconds)


def _finish(kind: str, seconds: float) -> None:
    if kind == "predict":
        runtime.queue.insert(0, lambda: bpy.ops.emorig.preview_frame("EXEC_DEFAULT"))
    elif kind == "preview":
        runtime.tell("INFO", f"Frame {runtime.memo['frame']} of the video, {seconds:.1f} s.")
    else:
        runtime.tell("INFO", f"Done in {seconds:.1f} s.")


def _take_curves(curves: AnimationCurves, *, lands: bool) -> None:
    """Keeps new curves with the shot and, where they are to be seen, lets them land on the character."""
    scene, memo = job_scene(runtime.memo), runtime.memo
    shot = scene.emorig
    keeps_edits = bool(memo.get("keeps_edits") and shot.curves_path and has_landed(shot))
    former = (stored_curves(shot), shares_of(shot)) if keeps_edits else None
    path = output_path(shot.output_folder, *memo.get("stems", ("shot",)), suffix=SUFFIX)
    memo["stem_path"] = path
    runtime.begin_work(_curves_steps(curves, path, dict(memo), former if lands else None, lands=lands))


def _curves_steps(curves: AnimationCurves, path: Path, memo: dict, former: tuple | None, *, lands: bool) -> Iterator:
    """Saves new curves, lays the edits of the former ones over them, and lands them on the character."""
    yield from on_thread(lambda: save_curves(path, curves))
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    edited = None
    if former is not None:
        edited = yield from reading_edits(job_scene(memo), active)
    scene = job_scene(memo)
    shot = scene.emorig
    runtime.received = curves
    shot.curves_path = runtime.received_path = stored_path(path)
    note_strengths(shot, memo.get("asked", {}), shot.layers.strengths())
    if not lands:
        return
    shares = shares_of(shot)

    def wanted() -> AnimationCurves:
        now = combined(curves, shares) if shares else curves
        if edited is None or former[0].weights.shape != now.weights.shape:
            return now
        before = combined(*former) if former[1] else former[0]
        return with_edits(now, before, edited(before))

    landed = yield from on_thread(wanted)
    scene, meshes = job_scene(memo), memo.get("meshes")
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    found, turner = (targets(scene.emorig, active), None) if meshes is None else meshes()
    yield from landing(scene, landed, found, title=f"EmoRig {memo['stems'][0]}", turner=turner)


def last_video(shot) -> Path | None:
    """The last whole video of the shot, where it is still there."""
    if not shot.rendered_path:
        return None
    path = Path(bpy.path.abspath(shot.rendered_path)).with_suffix("").with_suffix(".mp4")
    return path if path.is_file() else None


def rendered_curves(shot) -> AnimationCurves | None:
    """The curves that the last video shows, or None where they are not kept."""
    if not shot.rendered_path:
        return None
    with contextlib.suppress(InputError):
        return load_curves(Path(bpy.path.abspath(shot.rendered_path)))
    return None


def job_scene(memo: dict):
    """The scene that a job belongs to. Raises InputError where it is gone."""
    scene = bpy.data.scenes.get(memo.get("scene", ""))
    if scene is None:
        raise InputError("The scene of the shot is gone, so its results were not applied.")
    return scene


def _video_steps(data: bytes, memo: dict) -> Iterator[None]:
    """Writes a video and puts it where it belongs, after the curves that came before it have landed."""
    scene = job_scene(memo)
    stem_path, folder = memo.get("stem_path"), scene.emorig.output_folder
    path = stem_path.with_suffix(".mp4") if stem_path else output_path(folder, *memo["stems"], suffix=".mp4")
    yield from on_thread(lambda: _write(path, data))
    scene = job_scene(memo)
    shot = scene.emorig
    shown = memo.get("curves") or performed(shot)
    if memo.get("part") is None:
        shown_path = path.with_name(f"{path.stem}.shown{SUFFIX}")
    else:
        shown_path = Path(bpy.path.abspath(shot.rendered_path))
    yield from on_thread(lambda: save_curves(shown_path, shown))
    scene = job_scene(memo)
    shot = scene.emorig
    shot.rendered_path = stored_path(shown_path)
    runtime.tell("INFO", place(scene, path, start_frame=memo["start_frame"], part=memo.get("part")))
    compat.undo_step("EmoRig Video")


def _write(path: Path, data: bytes) -> None:
    """Writes a file complete or not at all. Raises InputError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"Cannot write '{path}': choose another output folder.") from error
