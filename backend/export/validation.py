"""What an engine would see in a curve file: channels, rate, range, missing names, timecode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.export.formats import read_curves
from backend.export.vrma import PRESETS
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves

REST_SHARE = 0.999  # a channel that is 0 in this share of frames counts as still
STEP_LIMIT = 0.45  # a weight that changes by more between two frames at 60 per second is a jump
JUMP_RATE = 60.0
DRAWN = ("ovr", "rhubarb", "moho", "papagayo")  # mouths by name rather than ARKit's channels


@dataclass(frozen=True)
class Report:
    """Facts about a file in reading order, and what should be looked at."""

    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def report_on(path: Path, *, name: str | None = None) -> Report:
    """Reads a file back as an engine would and reports on it. Raises InputError where it cannot be read."""
    curves, found = read_curves(path, name=name)
    if found in DRAWN:
        assumed = (("rate", "not in the file: Moho's own 24 is assumed"),) if found == "moho" else ()
        return Report((("format", found), *_drawn_facts(curves), *assumed), ())
    facts = [("format", found), *_facts(curves)]
    presets = found == "vrma" and set(curves.names) <= set(PRESETS)
    warnings = _warnings(curves, named_by_arkit=not presets)
    if presets:
        facts.append(("expressions", f"{len(curves.names)} of VRM 1.0's presets: {' '.join(curves.names)}"))
    if found == "usd":
        facts += _stage(path)
    if found == "live-link":
        more_facts, more_warnings = _live_link(path)
        facts += more_facts
        warnings += more_warnings
    return Report(tuple(facts), tuple(warnings))


def _facts(curves: AnimationCurves) -> list[tuple[str, str]]:
    weights = curves.weights
    moving = [name for i, name in enumerate(curves.names) if np.abs(weights[:, i]).max(initial=0.0) > 1e-4]
    angles = [np.degrees(2 * np.arccos(np.clip(np.abs(turn[:, 0]), 0, 1))).max() for turn in
              (curves.head_rotation, curves.left_eye, curves.right_eye)]  # fmt: skip
    arkit = sum(name in ARKIT_NAMES for name in curves.names)
    return [
        ("frames", f"{curves.n_frames} at {curves.frame_rate:g} per second"),
        ("duration", f"{curves.n_frames / curves.frame_rate:.3f} s"),
        ("channels", f"{len(curves.names)}, {arkit} of ARKit's 52, {len(moving)} moving"),
        ("order", _order(curves.names)),
        ("range", f"{round(float(weights.min()), 4) + 0.0:.4f} to {weights.max():.4f}, all finite"),
        ("largest turn", f"head {angles[0]:.1f}°, left eye {angles[1]:.1f}°, right eye {angles[2]:.1f}°"),
        ("carries", ", ".join(_carried(curves)) or "curves only"),
    ]


def _order(names: tuple[str, ...]) -> str:
    """Whether the channels stand in ARKit's order, or which is the first that does not."""
    known = [name for name in names if name in ARKIT_NAMES]
    for ours, theirs in zip(known, sorted(known, key=ARKIT_NAMES.index)):
        if ours != theirs:
            return f"another than ARKit's: {ours} stands where {theirs} would"
    return "ARKit's" if known else "the file's own"


def _stage(path: Path) -> list[tuple[str, str]]:
    """What concerns USD alone: axes, unit, time codes."""
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(path))
    codes = f"{stage.GetStartTimeCode():g} to {stage.GetEndTimeCode():g}, {stage.GetTimeCodesPerSecond():g} per second"
    return [
        ("stage", f"{UsdGeom.GetStageUpAxis(stage)} up, {UsdGeom.GetStageMetersPerUnit(stage):g} m per unit"),
        ("time codes", codes),
    ]


def _drawn_facts(curves: AnimationCurves) -> list[tuple[str, str]]:
    shown = [name for i, name in enumerate(curves.names) if curves.weights[:, i].max() > 0.01]
    changes = int((np.diff(curves.weights.argmax(1)) != 0).sum())
    return [
        ("frames", f"{curves.n_frames} at {curves.frame_rate:g} per second"),
        ("duration", f"{curves.n_frames / curves.frame_rate:.3f} s"),
        ("mouths", f"{len(shown)} shown: {' '.join(shown)}"),
        ("cues", str(changes + 1)),
    ]


def _carried(curves: AnimationCurves) -> list[str]:
    carried = [f"layers {' '.join(curves.layers)}"] if curves.layers else []
    carried += [f"{len(curves.phones)} phones"] if curves.phones else []
    return carried + (["face coefficients"] if curves.coefficients is not None else [])


def _warnings(curves: AnimationCurves, *, named_by_arkit: bool) -> list[str]:
    warnings, weights = [], curves.weights
    missing = [name for name in ARKIT_NAMES if name not in curves.names]
    if named_by_arkit and 0 < len(missing) < len(ARKIT_NAMES):
        warnings.append(f"{len(missing)} of ARKit's channels are missing: {', '.join(missing[:6])}.")
    if named_by_arkit and len(missing) == len(ARKIT_NAMES):
        warnings.append("No channel bears an ARKit name: an engine needs a map.")
    out = [name for i, name in enumerate(curves.names) if weights[:, i].min() < -1e-4 or weights[:, i].max() > 1.0001]
    if out:
        warnings.append(f"{len(out)} channels leave 0-1, among them {out[0]}: engines clip or overdrive them.")
    if {"mouthClose", "jawOpen"} <= set(curves.names):
        over = (curves.column("mouthClose") - curves.column("jawOpen")).max()
        if over > 0.01:
            warnings.append(f"mouthClose exceeds jawOpen by up to {over:.2f}: Unreal divides one by the other.")
    steps = np.abs(np.diff(weights, axis=0)) * min(curves.frame_rate / JUMP_RATE, 1.0)
    if steps.size and steps.max() > STEP_LIMIT:
        frame, column = np.unravel_index(np.argmax(steps), steps.shape)
        warnings.append(f"{curves.names[column]} jumps between frames {frame} and {frame + 1}.")
    if np.abs(weights).max(initial=0.0) <= 1e-4:
        warnings.append("Nothing moves: every channel is 0.")
    return warnings


def _live_link(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """What concerns Live Link Face CSV alone: order, timecode, header, file name."""
    from backend.export import live_link_csv as live_link

    names, codes, _ = live_link.read_rows(path)
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().rstrip("\r\n")
    expected = [live_link.canonical_name(name) for name in live_link.HEADER.split(",")[2:]]
    order = "the app's" if list(names) == expected else "another one: read by name"
    facts = [
        ("columns", f"{len(header.split(','))}, order {order}"),
        ("header", "byte for byte the app's" if header == live_link.HEADER else "spelled otherwise than the app's"),
        ("timecode", f"{codes[0]} to {codes[-1]}"),
    ]
    advice = live_link.advise(path)
    warnings = [advice] if advice else []
    if len(names) != live_link.N_VALUES:
        warnings.append(f"{len(names)} value columns instead of {live_link.N_VALUES}.")
    return facts, warnings
