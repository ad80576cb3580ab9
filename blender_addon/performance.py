"""The shot's curves on the character: as performed at the panel's strengths, as edited, and landed on the rig."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np

from . import compat, runtime
from .compat import curve_bag
from .curves_file import load_curves
from .head import RAW_PROPERTY
from .keyframes import scene_frames
from .protocol.errors import InputError
from .protocol.layers import FURTHER_NAMES, combined, raw_channels
from .protocol.options import LAYERS
from .protocol.types import ARKIT_NAMES, AnimationCurves, channel_subset
from .rig.apply import MeshReport, mesh_part, open_sliders, shape_names, shape_path, turning_part
from .rig.bones import jaw_rotation
from .rig.controls import control_moves
from .rig.edits import compared, finished, read_rig
from .rig.landing import Part, land
from .rig.mapping import ShapeMatch, match_rows, match_shapes

HEAD_TOLERANCE_SHARE = 0.25  # of the weights' tolerance: a head shows smaller errors
MOVING = 0.02
LISTED_NAMES = 6


def curve_names() -> tuple[str, ...]:
    """The names of the curves received last, ARKit's 52 before that."""
    return runtime.received.names if runtime.received is not None else ARKIT_NAMES


def is_raw(mesh) -> bool:
    """Whether a mesh is driven by the expression coefficients themselves."""
    return bool(mesh.get(RAW_PROPERTY))


def match_of(mesh, target=None) -> ShapeMatch:
    """How the curves drive a mesh: by the target's own table, else by the names of its shape keys."""
    shapes = shape_names(mesh)
    if is_raw(mesh):
        return match_shapes((*ARKIT_NAMES, *FURTHER_NAMES), shapes)
    if target is not None and target.uses_table:
        rows = tuple((row.shape, row.curve, round(row.gain, 6), round(row.offset, 6)) for row in target.rows)
        return match_rows(curve_names(), shapes, rows)
    return match_shapes(curve_names(), shapes)


def targets(shot, active=None) -> list[tuple[object, ShapeMatch]]:
    """The meshes that a shot drives, each with its match: those listed, else the active one where it has shape keys."""
    listed = {t.mesh: t for t in shot.targets if t.mesh is not None and t.mesh.users_scene}
    if listed:
        return [(mesh, match_of(mesh, target)) for mesh, target in listed.items()]
    return [(active, match_of(active))] if active is not None and active.type == "MESH" and shape_names(active) else []


def curve_frames(scene, curves: AnimationCurves) -> np.ndarray:
    """Scene frames (n_frames,) of the curves' samples."""
    rate = scene.render.fps / scene.render.fps_base
    return scene_frames(
        curves.n_frames, frame_rate=curves.frame_rate, scene_rate=rate, start_frame=scene.emorig.start_frame
    )


def tolerance_of(shot) -> float | None:
    """The bound of thinned keyframes, None where every frame is kept."""
    return shot.tolerance if shot.use_thinning else None


def bone_of(shot, part: str = "head") -> str:
    """The bone of a part of the face, empty where the head is no armature or none is chosen."""
    is_rig = shot.head is not None and shot.head.type == "ARMATURE"
    return getattr(shot, f"{part}_bone") if is_rig else ""


def stored_curves(shot) -> AnimationCurves:
    """The curves received last, from memory or from the shot's file. Raises InputError."""
    if not shot.curves_path:
        raise InputError("There are no curves yet: animate the shot first.")
    if runtime.received is None or runtime.received_path != shot.curves_path:
        runtime.received = load_curves(Path(bpy.path.abspath(shot.curves_path)))
        runtime.received_path = shot.curves_path
    return runtime.received


def performed(shot, strengths: dict[str, float] | None = None) -> AnimationCurves:
    """The stored curves at layer strengths, by default those that are applied. Raises InputError.

    A layer that was left out when the shot was asked for cannot come back without asking again.
    """
    curves, shares = stored_curves(shot), shares_of(shot, strengths)
    return combined(curves, shares) if shares else curves


def shares_of(shot, strengths: dict[str, float] | None = None) -> dict[str, float]:
    """Layer -> what it is multiplied by to have a strength, by default the one that is applied; Raises InputError."""
    curves, state = stored_curves(shot), json.loads(shot.applied or "{}")
    asked = state.get("asked", {})
    wanted = state.get("now", asked) if strengths is None else strengths
    shares = {}
    for layer in LAYERS:
        before, now = asked.get(layer, 1.0), wanted.get(layer, 1.0)
        if before == 0.0 and now > 0.0:
            raise InputError(f"The layer '{layer}' was left out when the shot was made: animate it again.")
        share = now / before if before else 1.0
        if share != 1.0 and (layer in curves.layers or layer == "head"):
            shares[layer] = share
    return shares


def note_strengths(shot, asked: dict[str, float], now: dict[str, float]) -> None:
    """Remembers the strengths that the stored curves have and those that are on the character."""
    shot.applied = json.dumps({"asked": asked, "now": now})


def as_edited(scene, active=None) -> AnimationCurves:
    """The performance with what was changed on the character, read and compared at once. Raises InputError."""
    return finished(reading_edits(scene, active))(performed(scene.emorig))


def reading_edits(scene, active=None) -> Generator[None, None, Callable[[AnimationCurves], AnimationCurves]]:
    """Steps that read the character, and return what makes its edited curves of those that were performed.

    That function needs no Blender. Raises InputError.
    """
    shot, meshes = scene.emorig, targets(scene.emorig, active)
    frames, tolerance = curve_frames(scene, stored_curves(shot)), tolerance_of(shot)
    plain, raw = ([pair for pair in meshes if is_raw(pair[0]) == wanted] for wanted in (False, True))
    raw_names = [(mesh.name, match) for mesh, match in raw]
    reading = yield from read_rig(frames, plain, shot.head, bone_of(shot))
    still_raw = [(bpy.data.objects[name], match) for name, match in raw_names if name in bpy.data.objects]
    raw_reading = yield from read_rig(frames, still_raw)

    def edited(curves: AnimationCurves) -> AnimationCurves:
        after = compared(curves, frames, reading, tolerance=tolerance)
        if not raw_reading.shapes:
            return after
        channels = raw_channels(curves)
        changed = compared(channels, frames, raw_reading, tolerance=tolerance)
        change = channel_subset(channels.names, changed.weights - channels.weights, after.names)
        return replace(after, weights=np.clip(after.weights + change, 0.0, 1.0))

    return edited


def with_edits(curves: AnimationCurves, before: AnimationCurves, after: AnimationCurves) -> AnimationCurves:
    """Curves with what was changed from one performance to its edited form."""
    weights = np.clip(curves.weights + (after.weights - before.weights), 0.0, 1.0)
    turned = (before.head_rotation != after.head_rotation).any(axis=1, keepdims=True)
    head = np.where(turned, after.head_rotation, curves.head_rotation)
    return replace(curves, weights=weights, head_rotation=head)


def has_landed(shot) -> bool:
    """Whether curves of this shot are on one of its meshes, so that edits can be read from them."""
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    for mesh, match in targets(shot, active):
        bag = curve_bag(mesh.data.shape_keys) if mesh.data.shape_keys else None
        if bag is not None and any(bag.fcurves.find(shape_path(shape)) for shape in match.sources):
            return True
    return False


def bones_of(shot) -> dict[str, str]:
    """Part of the face -> its bone, for those that are chosen."""
    return {part: bone for part in ("head", "jaw", "left_eye", "right_eye") if (bone := bone_of(shot, part))}


def parts_of(
    scene, curves: AnimationCurves, meshes: list, turner: tuple[object, dict] | None = None
) -> tuple[list[Part], list[MeshReport]]:
    """All that the curves write, and what to tell of the meshes; one that cannot take them is told and left out.

    turner: the object that turns and its bones by part, by default the shot's.
    """
    shot, frames, tolerance = scene.emorig, curve_frames(scene, curves), tolerance_of(scene.emorig)
    parts, reports = {}, []
    for mesh, match in meshes:
        try:
            given = raw_channels(curves) if is_raw(mesh) else curves
            part, report = mesh_part(mesh, match, given, frames, tolerance=tolerance)
        except InputError as error:
            runtime.tell("WARNING", str(error))
            continue
        parts[part.name] = part  # meshes that share their shape keys are written once
        reports.append(report)
    made = list(parts.values())
    head, bones = (shot.head, bones_of(shot)) if turner is None else turner
    turns = _turns(head, bones, shot.jaw_angle, curves)
    moves = {} if any(report.match.sources for report in reports) else controls_of(shot, head, bones, curves)
    if turns or moves:
        small = None if tolerance is None else tolerance * HEAD_TOLERANCE_SHARE
        try:
            made.append(turning_part(head, turns, frames, tolerance=small, moves=moves))
        except InputError as error:
            runtime.tell("WARNING", str(error))
    return made, reports


def controls_of(shot, head, bones: dict[str, str], curves: AnimationCurves) -> dict[str, np.ndarray]:
    """The ways of a rig's lip, brow and lid controls, where it has them and they are wanted."""
    if head is None or head.type != "ARMATURE" or not shot.use_controls:
        return {}
    places = {bone.name: np.array(bone.head_local) for bone in head.data.bones}
    return control_moves(places, curves, jaw=bones.get("jaw", ""), jaw_angle=shot.jaw_angle)


def _turns(head, bones: dict[str, str], jaw_angle: float, curves: AnimationCurves) -> dict[str, np.ndarray]:
    """Bone, or the empty name for the object itself, -> its rotation from rest."""
    if head is None:
        return {}
    if head.type != "ARMATURE":
        return {"": curves.head_rotation}
    rotations = {
        "head": curves.head_rotation,
        "jaw": jaw_rotation(curves, jaw_angle),
        "left_eye": curves.left_eye,
        "right_eye": curves.right_eye,
    }
    return {bone: rotations[part] for part, bone in bones.items()}


def landing(
    scene, curves: AnimationCurves, meshes: list, *, title: str, keeps_former: bool = True, turner=None
) -> Iterator:
    """Steps that put curves on the character, with one step of undo and a sentence for the panel at the end."""
    scene_name, names = scene.name, [mesh.name for mesh, _match in meshes]
    parts, reports = parts_of(scene, curves, meshes, turner)
    if not parts:
        if not meshes:
            runtime.tell("WARNING", "No character is chosen, so the curves were not applied.")
        return
    yield from land(parts, title, keeps_former=keeps_former)
    yield None
    scene = bpy.data.scenes.get(scene_name)
    if scene is None:
        raise InputError("The scene of the shot is gone, so its results were not applied.")
    for name, (_mesh, match) in zip(names, meshes):
        mesh = bpy.data.objects.get(name)
        if mesh is None:
            runtime.tell("WARNING", f"'{name}' was deleted or renamed meanwhile, so its curves were not applied.")
        elif mesh.data.shape_keys is not None:
            open_sliders(mesh, match)
    frames = curve_frames(scene, curves)
    scene.frame_end = max(scene.frame_end, int(frames[-1]) + 1)
    compat.evaluate(scene)
    yield None
    compat.undo_step(title)
    n_curves, n_keys = sum(len(part.rows) for part in parts), sum(part.n_keys for part in parts)
    tell_unmatched(curves, reports)
    runtime.tell("INFO", f"{n_curves} curves with {n_keys:,} keys, frames {int(frames[0])} to {round(frames[-1])}.")


def tell_unmatched(curves: AnimationCurves, reports: list[MeshReport]) -> None:
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
