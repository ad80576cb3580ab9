"""Controls of a face made of bones, as Rigify names them: how far curves move lips, brows and lids. No bpy.

Moves are shares of what the rig itself measures: the mouth's half width, the opening between the lids. Axes are
Blender's: +X the character's left, +Z up, -Y out of the face.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ..protocol.types import AnimationCurves

CORNERS = ("lips.L", "lips.R")
UPPER, LOWER = "lip.T", "lip.B"
# Curve -> (to the character's left, up, out of the face), in half widths of the mouth; set by eye.
# {} stands for Left and Right; a corner's sideways move is away from the middle.
CORNER_MOVES = {
    "mouthSmile{}": (0.15, 0.30, -0.10), "mouthFrown{}": (0.0, -0.28, 0.0), "mouthStretch{}": (0.25, -0.05, -0.05),
    "mouthDimple{}": (0.10, 0.03, -0.12), "mouthPress{}": (0.02, 0.0, -0.03), "mouthUpperUp{}": (0.0, 0.06, 0.0),
    "mouthLowerDown{}": (0.0, -0.06, 0.0), "mouthPucker": (-0.38, 0.0, 0.10), "mouthFunnel": (-0.25, 0.0, 0.12),
}  # fmt: skip
MIDDLE_MOVES = {
    UPPER: {
        "mouthUpperUpLeft": (0.0, 0.14, 0.02), "mouthUpperUpRight": (0.0, 0.14, 0.02),
        "mouthShrugUpper": (0.0, 0.12, 0.05), "mouthRollUpper": (0.0, -0.12, -0.12), "mouthFunnel": (0.0, 0.12, 0.18),
        "mouthPucker": (0.0, 0.02, 0.15),
    },
    LOWER: {
        "mouthLowerDownLeft": (0.0, -0.16, 0.02), "mouthLowerDownRight": (0.0, -0.16, 0.02),
        "mouthShrugLower": (0.0, 0.14, 0.06), "mouthRollLower": (0.0, 0.12, -0.12), "mouthFunnel": (0.0, -0.10, 0.16),
        "mouthPucker": (0.0, 0.0, 0.13), "mouthPressLeft": (0.0, 0.02, -0.01), "mouthPressRight": (0.0, 0.02, -0.01),
    },
}  # fmt: skip
SIDEWAYS = 0.3  # half widths that mouthLeft and mouthRight take all of the mouth
BROW_UP, BROW_DOWN, BROW_IN = 0.45, 0.35, 0.08  # half widths of the mouth
BLINK_UPPER, BLINK_LOWER, WIDE, SQUINT = 0.85, 0.15, 0.15, 0.25  # of the opening between the lids
_BROW = re.compile(r"brow\.[TB]\.([LR])(\.\d+)?$")
_LID = re.compile(r"lid\.([TB])\.([LR])(\.\d+)?$")
SIDES = {"L": "Left", "R": "Right"}


def has_controls(names) -> bool:
    """Whether bones of these names are the controls of a mouth."""
    return {*CORNERS, UPPER, LOWER} <= set(names)


def control_moves(
    places: Mapping[str, np.ndarray], curves: AnimationCurves, *, jaw: str = "", jaw_angle: float = 0.0
) -> dict[str, np.ndarray]:
    """Control bone -> how far it is moved (n_frames, 3), in the rig's rest axes and lengths; empty without a mouth.

    places: bone -> its head (3,) at rest. jaw, jaw_angle: the bone that opens the mouth and its widest turn, radians,
    against which mouthClose holds the lips together.
    """
    if not has_controls(places):
        return {}
    column = {name: curves.weights[:, i].astype(np.float64)[:, None] for i, name in enumerate(curves.names)}
    left, right = (np.asarray(places[name], np.float64) for name in CORNERS)
    unit = 0.5 * float(np.linalg.norm(left - right))
    sideways = SIDEWAYS * unit * (_of(column, "mouthLeft") - _of(column, "mouthRight")) * _blender(1, 0, 0)
    moves = {}
    for name, sign in zip(CORNERS, (1.0, -1.0)):
        moves[name] = sideways + sum(
            unit * _of(column, curve.format(SIDES[name[-1]])) * _blender(sign * x, y, z)
            for curve, (x, y, z) in CORNER_MOVES.items()
        )
    drop = jaw_angle * float(np.linalg.norm(np.asarray(places[LOWER]) - places[jaw])) if jaw in places else 0.0
    sealed = 0.5 * drop * np.minimum(_of(column, "mouthClose"), _of(column, "jawOpen")) * _blender(0, 1, 0)
    for name, sign in ((UPPER, -1.0), (LOWER, 1.0)):
        parts = (unit * _of(column, curve) * _blender(*move) for curve, move in MIDDLE_MOVES[name].items())
        moves[name] = sideways + sign * sealed + sum(parts)
    return moves | _brows(places, column, unit) | _lids(places, column)


def _brows(places: Mapping[str, np.ndarray], column: dict[str, np.ndarray], unit: float) -> dict[str, np.ndarray]:
    """The brows' controls: from the innermost to the outermost the inner curves give way to the outer ones."""
    moves = {}
    for letter, side in SIDES.items():
        bones = [name for name in places if (found := _BROW.match(name)) and found[1] == letter]
        across = {name: abs(float(places[name][0])) for name in bones}
        low = min(across.values(), default=0.0)
        span = max(max(across.values(), default=0.0) - low, 1e-6)
        for name in bones:
            outer = (across[name] - low) / span
            up = (1.0 - outer) * _of(column, "browInnerUp") + outer * _of(column, f"browOuterUp{side}")
            down = _of(column, f"browDown{side}")
            inward = -BROW_IN * (1.0 - outer) * (1.0 if letter == "L" else -1.0)
            moves[name] = unit * (up * _blender(0, BROW_UP, 0) + down * _blender(inward, -BROW_DOWN, 0))
    return moves


def _lids(places: Mapping[str, np.ndarray], column: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The lids' controls: each is moved by shares of its own distance from the other lid."""
    moves = {}
    for letter, side in SIDES.items():
        lids = {part: [] for part in "TB"}
        for name in places:
            if (found := _LID.match(name)) and found[2] == letter:
                lids[found[1]].append(name)
        blink = _of(column, f"eyeBlink{side}")
        for part, other, share in (("T", "B", BLINK_UPPER), ("B", "T", BLINK_LOWER)):
            for name in lids[part] if lids[other] else ():
                place = np.asarray(places[name], np.float64)
                facing = min(lids[other], key=lambda one: abs(float(places[one][0]) - place[0]))
                gap = np.asarray(places[facing], np.float64) - place
                away = _of(column, f"eyeWide{side}") * WIDE if part == "T" else 0.0
                towards = _of(column, f"eyeSquint{side}") * SQUINT if part == "B" else 0.0
                moves[name] = (blink * share + (1.0 - blink) * (towards - away)) * gap
    return moves


def _of(column: dict[str, np.ndarray], name: str) -> np.ndarray:
    return column[name] if name in column else np.zeros((len(next(iter(column.values()))), 1))


def _blender(left: float, up: float, out: float) -> np.ndarray:
    """A move (3,) to the character's left, up and out of the face in Blender's axes."""
    return np.array([left, -out, up], np.float64)
