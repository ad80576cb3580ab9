"""Unity's AnimationClip as YAML: blend shapes 0-100 on a SkinnedMeshRenderer, the head's and eyes' rotations.

Unity is left-handed: +X is the character's right there. Tangents are linear on both sides of every key.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled
from backend.errors import InputError
from backend.export.angles import from_unity, to_unity
from backend.export.decimals import filled_rows
from backend.export.keys import keyed_columns, keyed_rows, slopes
from backend.export.names import canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves

FULL = 100.0  # a blend shape at full weight
RENDERER, TRANSFORM = 137, 4  # Unity's class ids of SkinnedMeshRenderer and Transform
LINEAR_BOTH_SIDES = 69  # broken tangents, left linear, right linear
SHAPE = "blendShape."

_KEY = (
    "      - serializedVersion: 3\n        time: %s\n        value: %s\n        inSlope: %s\n"
    f"        outSlope: %s\n        tangentMode: {LINEAR_BOTH_SIDES}\n        weightedMode: 0\n"
    "        inWeight: 0.33333334\n        outWeight: 0.33333334\n"
)
_VECTOR = "{x: %s, y: %s, z: %s, w: %s}"
_THIRDS = "{x: 0.33333334, y: 0.33333334, z: 0.33333334, w: 0.33333334}"
_TURN_KEY = (
    f"      - serializedVersion: 3\n        time: %s\n        value: {_VECTOR}\n        inSlope: {_VECTOR}\n"
    f"        outSlope: {_VECTOR}\n        tangentMode: 0\n        weightedMode: 0\n        inWeight: {_THIRDS}\n"
    f"        outWeight: {_THIRDS}\n"
)
_OPEN = "  - serializedVersion: 2\n    curve:\n      serializedVersion: 2\n      m_Curve:\n"
_OPEN_TURN = "  - curve:\n      serializedVersion: 2\n      m_Curve:\n"
_CLOSE = "      m_PreInfinity: 2\n      m_PostInfinity: 2\n      m_RotationOrder: 4\n"
_TOP = """%YAML 1.1
%TAG !u! tag:unity3d.com,2011:
--- !u!74 &7400000
AnimationClip:
  m_ObjectHideFlags: 0
  m_CorrespondingSourceObject: {fileID: 0}
  m_PrefabInstance: {fileID: 0}
  m_PrefabAsset: {fileID: 0}
"""
_BOUNDS = "  m_Bounds:\n    m_Center: {x: 0, y: 0, z: 0}\n    m_Extent: {x: 0, y: 0, z: 0}\n"
_EVENTS = "  m_HasGenericRootTransform: 0\n  m_HasMotionFloatCurves: 0\n  m_Events: []\n"


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the clip; names are the mesh's blend shapes, options say where mesh and head lie."""
    for name in curves.names:
        if any(c in name for c in "#:{}[],&*!|>'\"%@`"):
            raise InputError(f"Unity's clip file takes no blend shape called '{name}': rename it with --map.")
    shapes = _shape_curves(curves, options)
    turns = {
        options.head: to_unity(curves.head_rotation),
        f"{options.head}/LeftEye": to_unity(curves.left_eye),
        f"{options.head}/RightEye": to_unity(curves.right_eye),
    }
    rotations = [_turn_curve(turn, curves.frame_rate, where, options.tolerance) for where, turn in turns.items()]
    editor = [_component_curves(turn, curves.frame_rate, where, options.tolerance) for where, turn in turns.items()]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_TOP)
        name = re.sub(r"[^\w .-]", "_", path.stem)
        file.write(f"  m_Name: {name}\n  serializedVersion: 6\n  m_Legacy: 0\n  m_Compressed: 0\n")
        file.write("  m_UseHighQualityCurve: 1\n  m_RotationCurves:\n")
        file.writelines(rotations)
        file.write("  m_CompressedRotationCurves: []\n  m_EulerCurves: []\n  m_PositionCurves: []\n")
        file.write("  m_ScaleCurves: []\n  m_FloatCurves:\n")
        file.writelines(shapes)
        file.write(f"  m_PPtrCurves: []\n  m_SampleRate: {curves.frame_rate:.9g}\n  m_WrapMode: 0\n{_BOUNDS}")
        file.write(_settings((curves.n_frames - 1) / curves.frame_rate))
        file.write("  m_EditorCurves:\n")
        file.writelines(shapes)
        file.writelines(editor)
        file.write(f"  m_EulerEditorCurves: []\n{_EVENTS}")


def _shape_curves(curves: AnimationCurves, options: ExportOptions) -> list[str]:
    """One YAML item per blend shape."""
    items = []
    for name, (frames, values) in zip(curves.names, keyed_columns(curves.weights, options.tolerance)):
        items.append(_float_curve(frames / curves.frame_rate, values * FULL, SHAPE + name, options.mesh, RENDERER))
    return items


def _float_curve(times: np.ndarray, values: np.ndarray, attribute: str, where: str, class_id: int) -> str:
    keys = filled_rows(_KEY, np.stack([times, values, *slopes(times, values)], axis=1))
    target = f"    attribute: {attribute}\n    path: {where}\n    classID: {class_id}\n"
    return f"{_OPEN}{keys}{_CLOSE}{target}    script: {{fileID: 0}}\n    flags: 0\n"


def _turn_curve(turn: np.ndarray, frame_rate: float, where: str, tolerance: float) -> str:
    frames, values = keyed_rows(turn, tolerance)
    times = frames / frame_rate
    keys = filled_rows(_TURN_KEY, np.concatenate([times[:, None], values, *slopes(times, values)], axis=1))
    return f"{_OPEN_TURN}{keys}{_CLOSE}    path: {where}\n"


def _component_curves(turn: np.ndarray, frame_rate: float, where: str, tolerance: float) -> str:
    """The same rotation as Unity's animation window keeps it: one float curve per quaternion component."""
    frames, values = keyed_rows(turn, tolerance)
    return "".join(
        _float_curve(frames / frame_rate, values[:, i], f"m_LocalRotation.{axis}", where, TRANSFORM)
        for i, axis in enumerate("xyzw")
    )


def _settings(stop: float) -> str:
    switches = "".join(
        f"    {name}: 0\n"
        for name in ("m_OrientationOffsetY", "m_Level", "m_CycleOffset", "m_HasAdditiveReferencePose", "m_LoopTime",
                     "m_LoopBlend", "m_LoopBlendOrientation", "m_LoopBlendPositionY", "m_LoopBlendPositionXZ",
                     "m_KeepOriginalOrientation", "m_KeepOriginalPositionY", "m_KeepOriginalPositionXZ",
                     "m_HeightFromFeet", "m_Mirror")
    )  # fmt: skip
    return (
        "  m_AnimationClipSettings:\n    serializedVersion: 2\n"
        "    m_AdditiveReferencePoseClip: {fileID: 0}\n    m_AdditiveReferencePoseTime: 0\n"
        f"    m_StartTime: 0\n    m_StopTime: {stop:.9g}\n{switches}"
    )


def read(path: Path) -> AnimationCurves:
    """Curves of a clip's blend shapes, and of the head and eyes by their names. Raises InputError."""
    text = path.read_text(encoding="utf-8")
    rate = re.search(r"^  m_SampleRate: (\S+)$", text, re.MULTILINE)
    if "AnimationClip:" not in text or rate is None:
        raise InputError(f"'{path.name}' is no Unity AnimationClip in text form.")
    frame_rate = float(rate.group(1))
    section = _section(text, "m_FloatCurves")
    shapes = {}
    for item in section.split("  - serializedVersion: 2\n    curve:")[1:]:
        attribute = re.search(r"^    attribute: (.+)$", item, re.MULTILINE)
        if attribute and attribute.group(1).startswith(SHAPE):
            shapes[attribute.group(1).removeprefix(SHAPE)] = _keys(item, r"(\S+)")
    if not shapes:
        raise InputError(f"'{path.name}' animates no blend shapes.")
    stop = max(times[-1] for times, _ in shapes.values())
    grid = np.arange(round(stop * frame_rate) + 1) / frame_rate
    weights = np.stack([np.interp(grid, times, values[:, 0]) for times, values in shapes.values()], axis=1) / FULL
    turns = {}
    for item in _section(text, "m_RotationCurves").split("  - curve:")[1:]:
        times, values = _keys(item, r"\{x: (\S+), y: (\S+), z: (\S+), w: (\S+)\}")
        where = re.search(r"^    path: (.*)$", item, re.MULTILINE).group(1)
        rows = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
        turns[where.rpartition("/")[2]] = from_unity(rows)
    return assembled(
        canonical_names(tuple(shapes)),
        weights,
        frame_rate,
        head=turns.get("Head"),
        left_eye=turns.get("LeftEye"),
        right_eye=turns.get("RightEye"),
    )


def _section(text: str, name: str) -> str:
    """The lines of one of the clip's lists."""
    found = re.search(rf"^  {name}:\n(.*?)(?=^  m_\w+:)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def _keys(item: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (k,) s and values (k, width) of an item's keys."""
    found = re.findall(rf"^        time: (\S+)\n        value: {value}$", item, re.MULTILINE)
    if not found:
        raise InputError("A curve of this clip has no keys.")
    rows = np.array(found, np.float64)
    return rows[:, 0], rows[:, 1:]
