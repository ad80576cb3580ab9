"""What each skin vertex is: its region, its place on the texture chart, and soft areas for colour."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from bfm.landmarks import (
    LEFT_BROW,
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    RIGHT_BROW,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
)
from bfm.sources.building.anatomy import IRIS_RADIUS, smoothstep
from bfm.sources.building.cage import LIP_LOOPS, N_SKIN, N_SKULL_RINGS, Cage, unrolled
from bfm.sources.building.parts import Part
from bfm.sources.building.texture import Areas

# Corners of the unit square that the head's disc leaves free: (left, bottom) of islands 0.13 wide.
_ISLANDS = {
    "right_eye": (0.0, 0.87), "left_eye": (0.0, 0.73), "upper_teeth": (0.0, 0.0), "lower_teeth": (0.0, 0.14),
    "tongue": (0.87, 0.0), "right_ear": (0.87, 0.87), "left_ear": (0.87, 0.73),
}  # fmt: skip
_ISLAND, _FACE_DISC = 0.13, 0.30


def skin_regions(limit: csr_matrix, cage: Cage) -> np.ndarray:
    """Region name of each skin vertex (n_skin,): skin, lips, mouth, eyelid (its lining), scalp or neck."""
    regions = np.full(limit.shape[0], "skin", dtype="<U8")
    points = limit @ cage.points
    skull = limit @ (cage.part == "skull") > 0.5
    regions[skull & (_scalp(points) > 0.5)] = "scalp"
    regions[skull & (points[:, 1] < -100.0)] = "neck"
    regions[limit @ _lip_weight(cage) > 0.5] = "lips"
    regions[limit @ (cage.part == "mouth") > 0.62] = "mouth"
    regions[limit @ (cage.part == "lid") > 0.62] = "eyelid"
    return regions


def _lip_weight(cage: Cage) -> np.ndarray:
    """1 on the red of the lips, one half at its border, on the cage (n,)."""
    weight = np.zeros(len(cage.points))
    weight[list(LIP_LOOPS[3])] = 0.45
    for loop in LIP_LOOPS[:3]:
        weight[list(loop)] = 1.0
    weight[cage.part == "mouth"] = 1.0
    return weight


def _scalp(points: np.ndarray) -> np.ndarray:
    """Where hair grows, 0–1 (n,): behind a hairline over forehead, temples and ears, down to the nape."""
    x, y, z = points.T
    line = 58.0 - 0.55 * np.maximum(0.0, -z - 5.0) - 0.0022 * x**2
    line = np.where(z < -88.0, np.maximum(-62.0 + 0.35 * (z + 150.0), -72.0), np.maximum(line, -8.0))
    blend = smoothstep(z, -62.0, -92.0)
    line = (1.0 - blend) * (58.0 - 0.55 * np.maximum(0.0, -z - 5.0)) + blend * line
    # Short hair thins out over a few millimetres in front and over more at the nape.
    soft = 5.0 + 9.0 * smoothstep(z, -70.0, -110.0)
    return smoothstep((y - line) / soft, -1.0, 1.2)


def skin_areas(limit: csr_matrix, cage: Cage, points: np.ndarray, regions: np.ndarray) -> Areas:
    """Soft areas over all vertices; points (n, 3) mm with the skin's first."""
    n_skin = limit.shape[0]
    skin_points, zero = points[:n_skin], np.zeros(len(points))

    def all_vertices(weight: np.ndarray) -> np.ndarray:
        full = zero.copy()
        full[:n_skin] = weight
        return full

    brows = np.maximum(_brow(cage, skin_points, LEFT_BROW), _brow(cage, skin_points, RIGHT_BROW))
    x, y = skin_points[:, 0], skin_points[:, 1]
    flushed = 0.8 * np.exp(-(((np.abs(x) - 38.0) / 16.0) ** 2) - ((y + 32.0) / 15.0) ** 2)
    flushed += 0.6 * np.exp(-((x / 11.0) ** 2) - ((y + 36.0) / 9.0) ** 2) + 0.3 * np.exp(
        -((x / 20) ** 2) - ((y + 98) / 9) ** 2
    )
    scalp = _scalp(skin_points) * (limit @ (cage.part == "skull"))
    ears = (regions == "ear") * 0.8
    inside = np.where(regions == "mouth", smoothstep(points[:, 2], 8.0, -22.0), 0.0)
    colored = np.isin(regions, ("skin", "lips", "scalp", "neck", "ear")).astype(float)
    lips = np.clip((limit @ _lip_weight(cage) - 0.25) / 0.5, 0.0, 1.0)
    return Areas(
        lips=all_vertices(lips),
        brows=all_vertices(brows),
        flushed=all_vertices(flushed) + ears,
        scalp=all_vertices(scalp),
        skin=colored,
        throat=inside,
        lashes=all_vertices(_lashes(limit, cage)),
        rim=_rim(points, regions),
    )


def _lashes(limit: csr_matrix, cage: Cage) -> np.ndarray:
    """The lids' margins where lashes grow, 0–1 (n_skin,): dense above, thin below."""
    margin = np.zeros(len(cage.points))
    for upper, lower in ((RIGHT_UPPER_LID_RINGS, RIGHT_LOWER_LID_RINGS), (LEFT_UPPER_LID_RINGS, LEFT_LOWER_LID_RINGS)):
        margin[list(lower[0])] = 0.5
        margin[list(upper[0][:-1])] = 1.0
    return 1.2 * smoothstep(limit @ margin, 0.46, 0.64)


def _rim(points: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Place on the irises (n,): 0 at the pupil's middle, 1 at the rim; 0 elsewhere."""
    rim = np.zeros(len(points))
    for sign in (-1.0, 1.0):
        eye = np.isin(regions, ("iris", "pupil")) & (sign * points[:, 0] > 0)
        rim[eye] = np.linalg.norm(points[eye, :2] - points[eye, :2].mean(0), axis=1) / IRIS_RADIUS
    return rim


def _brow(cage: Cage, points: np.ndarray, brow: tuple[int, ...]) -> np.ndarray:
    """Hair of one brow (n,): within its upper and lower landmark rows, thinning to the ends."""
    upper, lower = cage.points[list(brow[:5])], cage.points[list(brow[5:])]
    side = np.sign(upper[0, 0])
    order = np.argsort(upper[:, 0] * side)
    lower_order = np.argsort(lower[:, 0] * side)
    at = points[:, 0] * side
    top = np.interp(at, (upper[order, 0] * side), upper[order, 1])
    bottom = np.interp(at, (lower[lower_order, 0] * side), lower[lower_order, 1])
    middle, half = (top + bottom) / 2.0 - 0.3, np.maximum((top - bottom) / 2.0 * 0.62, 1.6)
    ends = smoothstep(at, 11.0, 16.5) * smoothstep(at, 58.0, 49.0)
    front = smoothstep(points[:, 2], -30.0, -18.0)
    return np.exp(-(np.abs((points[:, 1] - middle) / half) ** 3)) * ends * front


def chart(limit: csr_matrix, cage: Cage, others: dict[str, Part]) -> np.ndarray:
    """Texture coordinates (n_vertices, 2) 0–1: the head a disc around the face, its parts in the corners."""
    plane = unrolled(cage.opened)
    radius = np.linalg.norm(plane, axis=1, keepdims=True)
    face_reach = radius[:N_SKIN].max()
    uv = plane / face_reach * _FACE_DISC
    skull = np.flatnonzero(cage.part == "skull")
    ring = (np.arange(len(skull)) // (len(skull) // N_SKULL_RINGS) + 1) / N_SKULL_RINGS
    start = uv[cage.follows[skull]]
    direction = start / np.linalg.norm(start, axis=1, keepdims=True)
    uv[skull] = start + ring[:, None] * (direction * 0.495 - start)
    uv = (limit @ uv) + 0.5
    placed = [uv]
    for name, part in others.items():
        flat = _flattened(part)
        low, high = flat.min(0), flat.max(0)
        placed.append(np.array(_ISLANDS[name]) + 0.005 + (flat - low) / np.maximum(high - low, 1e-9) * (_ISLAND - 0.01))
    return np.clip(np.concatenate(placed), 0.0, 1.0)


def _flattened(part: Part) -> np.ndarray:
    """Plane coordinates (n, 2) of a part: eyes by angle, teeth and tongue from above, ears from the side."""
    p = part.points - part.points.mean(0)
    if part.bone.endswith("eye"):
        out = p / np.linalg.norm(p, axis=1, keepdims=True)
        angle = np.arccos(np.clip(out[:, 2], -1.0, 1.0))
        across = out[:, :2] / np.maximum(np.linalg.norm(out[:, :2], axis=1, keepdims=True), 1e-6)
        return angle[:, None] * across
    if (part.region == "ear").all():
        return p[:, [2, 1]] * (1.0 + 0.02 * np.abs(p[:, :1]))
    return p[:, [0, 2]] * (1.0 + 0.01 * p[:, 1:2])
