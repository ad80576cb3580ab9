"""Bones of a face: how rigs in circulation name them, and the turns that curves give them. No bpy."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from ..protocol.types import AnimationCurves

JAW_YAW_SHARE = 0.4  # of the angle at which the jaw is open: how far jawLeft and jawRight turn it
# Part -> names in the order of preference, compared without case, separators and namespaces. Rigify's controls come
# before the bones that they move; then Character Creator, MetaHuman, VRoid, Daz, MakeHuman and Mixamo.
NAMES = {
    "head": ("head", "cc_base_head", "j_bip_c_head", "def_spine.006", "spine.006"),
    "jaw": ("jaw_master", "cc_base_jawroot", "facial_c_jaw", "lowerjaw", "jaw", "j_bip_c_jaw"),
    "left_eye": (
        "master_eye.l", "cc_base_l_eye", "facial_l_eye", "j_adj_l_faceeye", "leye", "eye.l", "lefteye", "eyeleft",
    ),
    "right_eye": (
        "master_eye.r", "cc_base_r_eye", "facial_r_eye", "j_adj_r_faceeye", "reye", "eye.r", "righteye", "eyeright",
    ),
}  # fmt: skip


def find_bones(names: Iterable[str]) -> dict[str, str]:
    """Part (head, jaw, left_eye, right_eye) -> bone of an armature, for those that its bone names tell."""
    plain = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    return {
        part: plain[wanted]
        for part, spellings in NAMES.items()
        if (wanted := next((key for spelling in spellings if (key := _plain(spelling)) in plain), None))
    }


def jaw_rotation(curves: AnimationCurves, open_angle: float) -> np.ndarray:
    """Quaternions (n_frames, 4) w x y z of the jaw in the curves' axes; open_angle: radians at jawOpen 1."""
    column = {name: curves.weights[:, index].astype(np.float64) for index, name in enumerate(curves.names)}
    still = np.zeros(curves.n_frames)
    pitch = 0.5 * open_angle * column.get("jawOpen", still)
    sideways = column.get("jawLeft", still) - column.get("jawRight", still)
    yaw = 0.5 * open_angle * JAW_YAW_SHARE * sideways
    # The jaw turns sideways about the skull's axis after it has opened about its own.
    parts = (np.cos(yaw) * np.cos(pitch), np.cos(yaw) * np.sin(pitch), np.sin(yaw) * np.cos(pitch))
    return np.stack([*parts, -np.sin(yaw) * np.sin(pitch)], axis=1)


def turned_into(rest: np.ndarray, rotation: np.ndarray, *, local: bool) -> np.ndarray:
    """Rotations (n, 4) about a thing's own axes: rest^-1 q rest for a bone (local), rest q for an object."""
    rest = np.asarray(rest, np.float64)[None]
    if not local:
        return multiplied(rest, rotation)
    return multiplied(multiplied(rest * (1.0, -1.0, -1.0, -1.0), rotation), rest)


def multiplied(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton products (n, 4) of quaternions w x y z."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a, np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b, np.float64), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def to_blender_axes(rotation: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) in the curves' axes (+Y up, +Z ahead) as ones in Blender's (+Z up, -Y ahead)."""
    w, x, y, z = np.moveaxis(np.asarray(rotation, np.float64), -1, 0)
    return np.stack([w, x, -z, y], axis=-1)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.split(r"[:|]", name)[-1].lower())
