"""From landmarks to the whole head: what the cage, the eyeballs, teeth, tongue and ears do when the landmarks move."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, identity

from bfm.camera import rotation_matrix
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS
from bfm.landmarks import INNER_LIP_PAIRS, LEFT_IRIS, RIGHT_IRIS
from bfm.sources.building.anatomy import Anatomy, smoothstep
from bfm.sources.building.cage import LEFT_LID_LOOPS, LIP_LOOPS, RIGHT_LID_LOOPS, Cage
from bfm.sources.building.muscles_eyes import GAZE_DEGREES
from bfm.sources.building.muscles_mouth import jaw_open_rigid
from bfm.sources.building.parts import Part

_SWEEPS, _STEP = 4, 0.6

# Landmarks before each ear, which the ear travels with.
_BESIDE_EAR = {"left_ear": (454, 323, 356), "right_ear": (234, 93, 127)}


def interpolating(cage_values: np.ndarray, limit: csr_matrix) -> np.ndarray:
    """Cage values (n, k) so that the subdivided surface passes close to the given ones, exactly at lids and lip rims.

    limit (n, n) takes cage values to the surface at the same points. A few relaxation sweeps: solving exactly would
    ripple.
    """
    wanted = cage_values
    values = wanted.copy()
    for _ in range(_SWEEPS):
        values += _STEP * (wanted - limit @ values)
    exact = sorted({*LEFT_LID_LOOPS[0], *RIGHT_LID_LOOPS[0], *LIP_LOOPS[0]})
    values[exact] += np.linalg.solve(limit[exact][:, exact].toarray(), (wanted - limit @ values)[exact])
    return values


def expression_on_cage(cage: Cage, displacements: np.ndarray) -> np.ndarray:
    """Landmark displacements (k, 478, 3) carried to the cage's points: (k, n, 3)."""
    return displacements[:, cage.follows] * cage.share[:, None]


def contact_on_cage(cage: Cage, weights: np.ndarray) -> np.ndarray:
    """Contact weights (23, 478) carried to the cage's points: (23, n)."""
    return weights[:, cage.follows] * cage.share


def _affine(points: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Affine maps (k, 4, 3) that explain modes (k, n, 3) over points (n, 3) best, damped towards translation."""
    design = np.concatenate([points / 100.0, np.ones((len(points), 1))], axis=1)
    normal = design.T @ design + np.diag([12.0, 12.0, 12.0, 0.0])
    return np.linalg.solve(normal, np.einsum("na,knc->akc", design, modes).reshape(4, -1)).reshape(4, -1, 3)


def identity_on_cage(cage: Cage, anatomy: Anatomy, modes: np.ndarray) -> np.ndarray:
    """Identity modes (k, 478, 3) carried to the cage's points: (k, n, 3).

    Skull and neck take the face's affine part; what is left at the face's oval fades over the join.
    """
    face = anatomy.points[:468]
    maps = _affine(face, modes[:, :468])
    at = lambda p: np.einsum("na,akc->knc", np.concatenate([p / 100.0, np.ones((len(p), 1))], axis=1), maps)  # noqa: E731
    carried = modes[:, cage.follows]
    skull = cage.part == "skull"
    start = anatomy.points[cage.follows[skull]]
    rest = carried[:, skull] - at(start)
    fade = np.exp(-((cage.travelled[skull] / 60.0) ** 2))[:, None]
    result = carried.copy()
    result[:, skull] = at(cage.points[skull]) + rest * fade
    return result


def part_expression(part: Part, anatomy: Anatomy) -> np.ndarray:
    """Displacements (64, n, 3) mm of a rigid part or the tongue at full activation."""
    field = np.zeros((EXPRESSION_DIMS, len(part.points), 3))
    if part.bone in ("jaw", "tongue"):
        field[CHANNEL_INDEX["jawOpen"]] = jaw_open_rigid(part.points)
        field[CHANNEL_INDEX["jawForward"]] = [0.0, -1.0, 8.5]
        field[CHANNEL_INDEX["jawLeft"]] = [8.4, 0.2, 0.0]
        field[CHANNEL_INDEX["jawRight"]] = [-8.4, 0.2, 0.0]
    if part.bone == "tongue":
        _tongue_expression(part.points, field)
    if part.bone in ("left_eye", "right_eye"):
        side, sign = ("Left", 1.0) if part.bone == "left_eye" else ("Right", -1.0)
        center = anatomy.eyeballs[1 if sign > 0 else 0]
        for name, (pitch, yaw) in GAZE_DEGREES.items():
            turn = rotation_matrix(np.radians([pitch, sign * yaw, 0.0]))
            field[CHANNEL_INDEX[name + side]] = (part.points - center) @ turn.T + center - part.points
    return field


def _tongue_expression(points: np.ndarray, field: np.ndarray) -> None:
    """The tongue's own channels: out of the mouth, tip to the ridge, tip between the teeth, back to the palate."""
    z = points[:, 2]
    along = (z - z.min()) / np.ptp(z)
    tip, blade = smoothstep(along, 0.45, 1.0)[:, None], smoothstep(along, 0.1, 0.9)[:, None]
    back = np.exp(-(((along - 0.35) / 0.25) ** 2))[:, None]
    narrow = -points[:, :1] * [0.25, 0.0, 0.0]
    field[CHANNEL_INDEX["tongueOut"]] = blade * [0.0, -1.5, 36.0] + tip * [0.0, -6.0, 6.0] + blade * narrow
    field[CHANNEL_INDEX["tongueUp"]] = tip * [0.0, 12.0, -1.0] + blade * [0.0, 2.0, 0.0]
    field[CHANNEL_INDEX["tongueToTeeth"]] = tip * [0.0, 5.5, 5.0] + blade * [0.0, 1.0, 7.0]
    field[CHANNEL_INDEX["tongueBack"]] = back * [0.0, 9.0, -3.0] + tip * [0.0, -2.0, -8.0]


def part_identity(part: Part, name: str, modes: np.ndarray) -> np.ndarray:
    """Identity modes (k, n, 3) of a part: it is carried along by the landmarks nearest to it."""
    if part.bone == "left_eye":
        leads = list(LEFT_IRIS)
    elif part.bone == "right_eye":
        leads = list(RIGHT_IRIS)
    elif name in _BESIDE_EAR:
        leads = list(_BESIDE_EAR[name])
    else:
        leads = [index for pair in INNER_LIP_PAIRS for index in pair]
    return np.repeat(modes[:, leads].mean(1, keepdims=True), len(part.points), axis=1)


def power_of_subdivision(steps: list[csr_matrix]) -> csr_matrix:
    """One matrix for several subdivision steps, coarse to fine."""
    total = identity(steps[0].shape[1], format="csr")
    for step in steps:
        total = (step @ total).tocsr()
    return total
