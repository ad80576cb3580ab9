"""What the backend sends, laid into the scene: curves at once, then frames as they come, then the video."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from . import runtime
from .curves_file import SUFFIX, load_curves, save_curves
from .footage import add_movie, output_path, stored_path
from .keyframes import scene_frames
from .protocol.errors import InputError
from .protocol.messages import Cancelled, Curves, Failed, Finished, Frame, Notice
from .protocol.types import AnimationCurves
from .rig.apply import apply_head_rotation, apply_to_mesh, shape_names
from .transfer import Video

HEAD_TOLERANCE_SHARE = 0.25  # of the weights' tolerance: a head shows smaller errors
MOVING = 0.02
LISTED_NAMES = 6


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
    if isinstance(message, Curves):
        # Edits are told from the curves of the performance, so those of a second rendering do not replace them.
        if not runtime.memo.get("is_rerender"):
            runtime.received = message.curves
            bpy.ops.emorig.apply_curves("EXEC_DEFAULT", True)
    elif isinstance(message, Frame):
        runtime.show_frame(message.data)
    elif isinstance(message, Video):
        path = _write_video(message.data)
        bpy.ops.emorig.add_video("EXEC_DEFAULT", True, filepath=str(path))
    elif isinstance(message, Notice):
        runtime.tell("WARNING", message.text)
    elif isinstance(message, Failed):
        runtime.tell("ERROR", message.reason)
    elif isinstance(message, Cancelled):
        runtime.tell("INFO", "Cancelled.")
    elif isinstance(message, Finished):
        runtime.tell("INFO", f"Done in {message.seconds:.1f} s.")


def target_meshes(shot, active=None) -> list:
    """The meshes that a shot drives: those listed, else the active one where it has shape keys."""
    listed = [target.mesh for target in shot.targets if target.mesh is not None and target.mesh.users_scene]
    if listed:
        return list(dict.fromkeys(listed))
    return [active] if active is not None and active.type == "MESH" and shape_names(active) else []


def curve_frames(scene, curves: AnimationCurves):
    """Scene frames (n_frames,) of the curves' samples."""
    rate = scene.render.fps / scene.render.fps_base
    return scene_frames(
        curves.n_frames, frame_rate=curves.frame_rate, scene_rate=rate, start_frame=scene.emorig.start_frame
    )


def tolerance_of(shot) -> float | None:
    """The bound of thinned keyframes, None where every frame is kept."""
    return shot.tolerance if shot.use_thinning else None


def apply_received(scene, meshes: list) -> str:
    """Puts the received curves on meshes and head, keeps them for later edits, and says in a sentence what came."""
    curves, shot = runtime.received, scene.emorig
    if curves is None:
        raise InputError("There are no curves yet: animate the shot first.")
    _remember(shot, curves)
    if not meshes:
        runtime.tell("WARNING", "No character is chosen, so the curves were not applied.")
        return "No character to apply the curves to."
    frames, tolerance = curve_frames(scene, curves), tolerance_of(shot)
    reports = []
    for mesh in meshes:
        try:
            reports.append(apply_to_mesh(mesh, curves, frames, tolerance=tolerance))
        except InputError as error:
            runtime.tell("WARNING", str(error))
    if shot.head is not None:
        small = None if tolerance is None else tolerance * HEAD_TOLERANCE_SHARE
        apply_head_rotation(shot.head, bone_of(shot), curves, frames, tolerance=small)
    scene.frame_end = max(scene.frame_end, int(frames[-1]) + 1)
    _tell_unmatched(curves, reports)
    n_curves, n_keys = sum(r.n_curves for r in reports), sum(r.n_keys for r in reports)
    sentence = f"{n_curves} curves with {n_keys:,} keys, frames {int(frames[0])} to {round(frames[-1])}."
    if reports:
        runtime.tell("INFO", sentence)
    return sentence


def place_video(scene, path: str) -> str:
    """Lays a video into the sequencer and says so in a sentence."""
    memo = runtime.memo
    movie, has_sound = add_movie(
        scene, path, start_frame=memo.get("start_frame", scene.emorig.start_frame), with_sound=True
    )
    name = Path(path).name
    sentence = f"{name} is in the sequencer, channel {movie.channel}."
    if not has_sound:
        sentence += " This Blender cannot play its sound."
    runtime.tell("INFO", sentence)
    return sentence


def stored_curves(shot) -> AnimationCurves:
    """The curves received last, from memory or from the shot's file. Raises InputError."""
    if not shot.curves_path:
        raise InputError("There are no curves yet: animate the shot first.")
    if runtime.received is None or runtime.received_path != shot.curves_path:
        runtime.received = load_curves(Path(bpy.path.abspath(shot.curves_path)))
        runtime.received_path = shot.curves_path
    return runtime.received


def job_scene():
    """The scene that the job belongs to. Raises InputError where it is gone."""
    scene = bpy.data.scenes.get(runtime.memo.get("scene", ""))
    if scene is None:
        raise InputError("The scene of the shot is gone, so its results were not applied.")
    return scene


def bone_of(shot) -> str:
    """The head bone, empty where the head is an object."""
    return shot.head_bone if shot.head is not None and shot.head.type == "ARMATURE" else ""


def _remember(shot, curves: AnimationCurves) -> None:
    path = output_path(shot.output_folder, *runtime.memo.get("stems", ("shot",)), suffix=SUFFIX)
    save_curves(path, curves)
    runtime.memo["stem_path"] = path
    shot.curves_path = runtime.received_path = stored_path(path)


def _write_video(data: bytes) -> Path:
    """Writes the video beside its curves, complete or not at all. Raises InputError."""
    shot = job_scene().emorig
    stem_path = runtime.memo.get("stem_path")
    path = (
        stem_path.with_suffix(".mp4")
        if stem_path is not None
        else output_path(shot.output_folder, *runtime.memo["stems"], suffix=".mp4")
    )
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"Cannot write the video '{path}': choose another output folder.") from error
    return path


def _tell_unmatched(curves: AnimationCurves, reports: list) -> None:
    """Warns of curves that move and that none of the meshes takes, and of those that a driver hides."""
    if not reports:
        return
    for report in reports:
        if report.driven:
            names = ", ".join(report.driven[:LISTED_NAMES]) + (", ..." if len(report.driven) > LISTED_NAMES else "")
            runtime.tell(
                "WARNING", f"Drivers on '{report.name}' keep {len(report.driven)} curves from showing: {names}."
            )
    lost = set.intersection(*(set(report.match.unmatched_curves) for report in reports))
    moving = [n for i, n in enumerate(curves.names) if n in lost and curves.weights[:, i].max(initial=0.0) > MOVING]
    if moving:
        more = f" and {len(moving) - LISTED_NAMES} more" if len(moving) > LISTED_NAMES else ""
        names = ", ".join(moving[:LISTED_NAMES]) + more
        runtime.tell("WARNING", f"{len(moving)} moving curves find no shape key: {names}.")
