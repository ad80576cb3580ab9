"""Unity's AnimationClip as YAML: blend shapes 0-100 on a SkinnedMeshRenderer, the head's and eyes' rotations.

Unity is left-handed: +X is the character's right there. Keys have free smooth tangents, cubics between them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled
from backend.errors import InputError
from backend.export.angles import from_unity, to_unity
from backend.export.decimals import filled_rows
from backend.export.keys import on_keys, smooth_keys
from backend.export.names import canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves

FULL = 100.0  # a blend shape at full weight
RENDERER, TRANSFORM = 137, 4  # Unity's class ids of SkinnedMeshRenderer and Transform
FREE_SMOOTH = 0  # Unity's tangent mode that takes the slopes as they are
SHAPE = "blendShape."

_KEY = (
    "      - serializedVersion: 3\n        time: %s\n        value: %s\n        inSlope: %s\n"
    f"        outSlope: %s\n        tangentMode: {FREE_SMOOTH}\n        weightedMode: 0\n"
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
    keys = {where: _turn_rows(turn, curves, options.tolerance) for where, turn in turns.items()}
    rotations = [_turn_curve(rows, where) for where, rows in keys.items()]
    editor = [_component_curves(rows, where) for where, rows in keys.items()]
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
    kept, slopes = smooth_keys(curves.weights[:, :, None], options.tolerance, bounds=(0.0, 1.0))
    items = []
    for column, name in enumerate(curves.names):
        frames = np.flatnonzero(kept[:, column])
        rows = _key_rows(frames, curves.weights[frames, column] * FULL, slopes[frames, column, 0] * FULL, curves)
        items.append(_float_curve(rows, SHAPE + name, options.mesh, RENDERER))
    return items


def _key_rows(frames: np.ndarray, values: np.ndarray, slopes: np.ndarray, curves: AnimationCurves) -> np.ndarray:
    """Rows time s, value, incoming and outgoing slope per second, each as wide as the values."""
    per_second = slopes.reshape(len(frames), -1) * curves.frame_rate
    times = (frames / curves.frame_rate)[:, None]
    return np.concatenate([times, values.reshape(len(frames), -1), per_second, per_second], axis=1)


def _float_curve(rows: np.ndarray, attribute: str, where: str, class_id: int) -> str:
    target = f"    attribute: {attribute}\n    path: {where}\n    classID: {class_id}\n"
    return f"{_OPEN}{filled_rows(_KEY, rows)}{_CLOSE}{target}    script: {{fileID: 0}}\n    flags: 0\n"


def _turn_rows(turn: np.ndarray, curves: AnimationCurves, tolerance: float) -> np.ndarray:
    """Key rows of a rotation (n_frames, 4) x y z w."""
    kept, slopes = smooth_keys(turn[:, None, :], tolerance)
    frames = np.flatnonzero(kept[:, 0])
    return _key_rows(frames, turn[frames], slopes[frames, 0], curves)


def _turn_curve(rows: np.ndarray, where: str) -> str:
    return f"{_OPEN_TURN}{filled_rows(_TURN_KEY, rows)}{_CLOSE}    path: {where}\n"


def _component_curves(rows: np.ndarray, where: str) -> str:
    """The same rotation as Unity's animation window keeps it: one float curve per quaternion component."""
    return "".join(
        _float_curve(rows[:, [0, 1 + i, 5 + i, 9 + i]], f"m_LocalRotation.{axis}", where, TRANSFORM)
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
    weights = np.concatenate([on_keys(times, keys, grid) for times, keys in shapes.values()], axis=1) / FULL
    turns = {}
    for item in _section(text, "m_RotationCurves").split("  - curve:")[1:]:
        times, keys = _keys(item, r"\{x: (\S+), y: (\S+), z: (\S+), w: (\S+)\}")
        where = re.search(r"^    path: (.*)$", item, re.MULTILINE).group(1)
        turns[where.rpartition("/")[2]] = from_unity(on_keys(times, keys, grid))
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
    """Times (k,) s of an item's keys, and their values, incoming and outgoing slopes (k, 3, width)."""
    lines = "\n        ".join(["time: (\\S+)", f"value: {value}", f"inSlope: {value}", f"outSlope: {value}"])
    found = re.findall(rf"^        {lines}$", item, re.MULTILINE)
    if not found:
        raise InputError("A curve of this clip has no keys.")
    rows = np.array(found, np.float64)
    return rows[:, 0], rows[:, 1:].reshape(len(rows), 3, -1)
