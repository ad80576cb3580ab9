"""The coarse mesh of the head: the landmarks joined into quads, lids and lips turned inwards, skull and neck behind.

The face's connectivity is computed: Delaunay triangulation of the left half unrolled about a point inside the head, cut
open at eyes and mouth, merged into quads where that gives good ones, and mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from bfm.landmarks import (
    FACE_OVAL,
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    LOWER_LIP_RINGS,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
    UPPER_LIP_RINGS,
)
from bfm.sources.building import skull
from bfm.sources.building.anatomy import EYEBALL_RADIUS, Anatomy, smoothstep
from bfm.sources.building.fairing import fair

N_SKIN = 468
N_SKULL_RINGS = 15

JOIN_MM, JOIN_AT_CHIN_MM = 62.0, 18.0
"""Within this distance of the face's oval the skull's surface gives way to a smooth join; the chin's edge stays."""

# Landmarks between brow and upper lid whose measured depth is uneven; they are drawn to a smooth surface.
SOCKET = tuple(
    index
    for rings, brow in ((RIGHT_UPPER_LID_RINGS, (53, 52, 65, 55)), (LEFT_UPPER_LID_RINGS, (283, 282, 295, 285)))
    for index in (*rings[1][3:8], *rings[2][1:8], *brow)
)

BROW_BAND = (0.59, 0.69)
"""Height of the brows on the unrolled face, radians."""

_UNROLL_CENTER = np.array([0.0, -35.0, -55.0])


@dataclass(frozen=True)
class Cage:
    """points (n, 3) mm, the first 468 the landmarks; faces of three or four corners, counter-clockwise from outside.

    follows (n,): for a point beyond the face the landmark whose motion it takes over, share (n,) how much of it;
    travelled (n,) mm from the face's oval for skull points, 0 elsewhere; part (n,): "face", "skull", "lid", "mouth";
    opened (n, 3) mm: the points with the mouth open, where nothing lies on top of anything else.
    """

    points: np.ndarray
    faces: list[tuple[int, ...]]
    follows: np.ndarray
    share: np.ndarray
    travelled: np.ndarray
    part: np.ndarray
    opened: np.ndarray


def _loop(upper: tuple[int, ...], lower: tuple[int, ...]) -> tuple[int, ...]:
    """Closed loop from an upper and a lower ring that share their ends."""
    return tuple(upper) + tuple(lower[-2:0:-1])


# Closed edge loops round the eyes, from the lid's margin outwards, and round the mouth, from the rim outwards.
LEFT_LID_LOOPS = tuple(_loop(*rings) for rings in zip(LEFT_UPPER_LID_RINGS, LEFT_LOWER_LID_RINGS))
RIGHT_LID_LOOPS = tuple(_loop(*rings) for rings in zip(RIGHT_UPPER_LID_RINGS, RIGHT_LOWER_LID_RINGS))
LIP_LOOPS = tuple(_loop(*rings) for rings in zip(UPPER_LIP_RINGS, LOWER_LIP_RINGS))[::-1]


def unrolled(points: np.ndarray) -> np.ndarray:
    """Plane coordinates (n, 2) of points (n, 3) seen from inside the head (azimuthal equidistant)."""
    ray = points - _UNROLL_CENTER
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    angle = np.arccos(np.clip(ray[:, 2], -1.0, 1.0))
    across = ray[:, :2] / np.maximum(np.linalg.norm(ray[:, :2], axis=1, keepdims=True), 1e-9)
    return angle[:, None] * across


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Whether points (n, 2) lie inside a polygon (m, 2), by crossings."""
    result = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0)):
        crosses = (y0 > points[:, 1]) != (y1 > points[:, 1])
        at = x0 + (points[:, 1] - y0) / np.where(y1 == y0, 1e-12, y1 - y0) * (x1 - x0)
        result ^= crosses & (points[:, 0] < at)
    return result


def _without_overhang(points: np.ndarray) -> np.ndarray:
    """Points (468, 3) with the eyes' sockets laid flat: seen from within the head, brows would hide the lids below."""
    flat = points.copy()
    for sign in (-1.0, 1.0):
        socket = np.array([index for index in SOCKET if sign * points[index, 0] > 0])
        design = np.concatenate([points[socket, :2], np.ones((len(socket), 1))], axis=1)
        flat[socket, 2] = design @ np.linalg.lstsq(design, points[socket, 2], rcond=None)[0]
    return flat


def _spread_brows(plane: np.ndarray) -> np.ndarray:
    """Plane coordinates (n, 2) with the close rows of lids and brows as far apart as points within a row."""
    low, high = BROW_BAND
    return plane + np.stack([np.zeros(len(plane)), 1.6 * np.clip(plane[:, 1] - low, 0.0, high - low)], axis=1)


def _half_triangles(anatomy: Anatomy, opened: np.ndarray) -> list[tuple[int, int, int]]:
    """Triangles of the left half of the face, counter-clockwise from outside, open within the outermost loops."""
    within = [i for loops in (LEFT_LID_LOOPS, LIP_LOOPS) for loop in loops[:-1] for i in loop]
    half = np.setdiff1d(np.flatnonzero(anatomy.points[:N_SKIN, 0] > -1e-6), within)
    plane = _spread_brows(unrolled(_without_overhang(opened[:N_SKIN])))
    plane[anatomy.twins[:N_SKIN] == np.arange(N_SKIN), 0] = 0.0
    flat = plane[half]
    triangles = half[Delaunay(flat).simplices]
    middle = plane[triangles].mean(1)
    keep = _inside(middle, plane[list(FACE_OVAL)])
    keep &= ~_inside(middle, plane[list(LEFT_LID_LOOPS[-1])]) & ~_inside(middle, plane[list(LIP_LOOPS[-1])])
    a, b, c = np.moveaxis(plane[triangles], 1, 0)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    keep &= np.abs(area) > 1e-7
    flipped = np.where((area > 0)[:, None], triangles, triangles[:, ::-1])
    return [tuple(int(i) for i in triangle) for triangle in flipped[keep]]


def _merge_quads(triangles: list[tuple[int, int, int]], points: np.ndarray) -> list[tuple[int, ...]]:
    """Pairs of triangles joined into quads, best-shaped first; what is left over stays a triangle."""
    by_edge: dict[tuple[int, int], list[int]] = {}
    for index, triangle in enumerate(triangles):
        for a, b in zip(triangle, triangle[1:] + triangle[:1]):
            by_edge.setdefault((min(a, b), max(a, b)), []).append(index)
    candidates = []
    for (a, b), pair in by_edge.items():
        if len(pair) == 2:
            first = triangles[pair[0]]
            second = triangles[pair[1]]
            c = next(i for i in first if i not in (a, b))
            d = next(i for i in second if i not in (a, b))
            start = first.index(c)
            quad = (c, first[(start + 1) % 3], d, first[(start + 2) % 3])
            candidates.append((_squareness(points[list(quad)]), pair, quad))
    used: set[int] = set()
    faces: list[tuple[int, ...]] = []
    for score, pair, quad in sorted(candidates, key=lambda item: -item[0]):
        if score > 0.25 and not used & set(pair):
            used |= set(pair)
            faces.append(quad)
    return faces + [triangle for index, triangle in enumerate(triangles) if index not in used]


def _squareness(corners: np.ndarray) -> float:
    """1 for a rectangle, falling to 0 and below for corners (4, 3) far from square."""
    ahead = np.roll(corners, -1, axis=0) - corners
    behind = np.roll(corners, 1, axis=0) - corners
    lengths = np.linalg.norm(ahead, axis=1) * np.linalg.norm(behind, axis=1)
    return float(1.0 - np.abs((ahead * behind).sum(1) / np.maximum(lengths, 1e-9)).max())


class _Builder:
    """Collects points and faces beyond the landmarks."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.points = [*anatomy.points[:N_SKIN]]
        self.follows = list(range(N_SKIN))
        self.share, self.travelled = [1.0] * N_SKIN, [0.0] * N_SKIN
        self.part = ["face"] * N_SKIN
        self.faces: list[tuple[int, ...]] = []

    def ring(self, points, follows, *, share, part, travelled=None) -> list[int]:
        """Add a ring of points; returns their indices."""
        start = len(self.points)
        self.points.extend(points)
        self.follows.extend(int(i) for i in follows)
        self.share.extend(np.broadcast_to(share, len(points)))
        self.travelled.extend(np.zeros(len(points)) if travelled is None else travelled)
        self.part.extend([part] * len(points))
        return list(range(start, len(self.points)))

    def strip(self, first: list[int], second: list[int]) -> None:
        """Quads between two closed loops of equal length, wound to fit the faces already at the first."""
        n = len(first)
        quads = [(first[i], first[(i + 1) % n], second[(i + 1) % n], second[i]) for i in range(n)]
        taken = {edge for face in self.faces for edge in zip(face, face[1:] + face[:1])}
        self.faces += [quad[::-1] for quad in quads] if (first[0], first[1]) in taken else quads


def build_cage(anatomy: Anatomy, opened: np.ndarray) -> Cage:
    """The head's coarse mesh; opened (478, 3) mm are the landmarks with the mouth open, which tells the lips apart."""
    build = _Builder(anatomy)
    half = _merge_quads(_half_triangles(anatomy, opened), anatomy.points)
    build.faces += half + [tuple(int(anatomy.twins[i]) for i in face[::-1]) for face in half]
    for loops in (RIGHT_LID_LOOPS, LEFT_LID_LOOPS, LIP_LOOPS):
        for outer, inner in zip(loops[:0:-1], loops[-2::-1]):
            build.strip(list(outer), list(inner))
    _add_lids(build, anatomy)
    _add_lips(build, anatomy)
    _add_skull(build, anatomy)
    points, travelled = np.array(build.points), np.array(build.travelled)
    at_chin = smoothstep(anatomy.points[np.array(build.follows), 1], -70.0, -100.0)
    join = (np.array(build.part) == "skull") & (travelled < JOIN_MM + at_chin * (JOIN_AT_CHIN_MM - JOIN_MM))
    share, follows = np.array(build.share), np.array(build.follows)
    shift = np.concatenate([opened[:N_SKIN] - anatomy.points[:N_SKIN], np.zeros((len(points) - N_SKIN, 3))])
    shift[N_SKIN:] = shift[follows[N_SKIN:]] * share[N_SKIN:, None]
    points = fair(points, build.faces, join)
    socket = np.isin(np.arange(len(points)), SOCKET)
    points[socket] = 0.3 * points[socket] + 0.7 * fair(points, build.faces, socket)[socket]
    return Cage(
        points, build.faces, follows, share, travelled,
        np.array(build.part), points + shift,
    )  # fmt: skip


def _add_lids(build: _Builder, anatomy: Anatomy) -> None:
    """Each lid margin turned inwards: the lid's edge, then the conjunctiva that closes the way to the eyeball."""
    p = anatomy.points
    for loop, center in zip((RIGHT_LID_LOOPS[0], LEFT_LID_LOOPS[0]), anatomy.eyeballs):
        previous = list(loop)
        away = p[list(loop)] - center
        across = np.linalg.norm(away[:, :2], axis=1, keepdims=True)
        # Where the margin reaches beyond the ball's front (the corners), the lining comes back in to the ball.
        reach = np.minimum(across, 0.90 * EYEBALL_RADIUS)
        flat = away[:, :2] / across * reach
        on_ball = np.concatenate([flat, np.sqrt(EYEBALL_RADIUS**2 - reach**2)], axis=1)
        for toward, depth in ((0.35, 1.02), (0.85, 1.0), (1.0, 0.93)):
            points = center + away * (1.0 - toward) + on_ball * toward * depth
            ring = build.ring(points, loop, share=1.0, part="lid")
            build.strip(previous, ring)
            previous = ring


def _add_lips(build: _Builder, anatomy: Anatomy) -> None:
    """The lips' rim turned inwards: the wet lining, then a bag behind the teeth."""
    p = anatomy.points
    loop = list(LIP_LOOPS[0])
    edge = p[loop]
    is_upper = np.array([i in UPPER_LIP_RINGS[3][1:-1] for i in loop])
    is_lower = np.array([i in LOWER_LIP_RINGS[3][1:-1] for i in loop])
    side = is_upper.astype(float) - is_lower
    previous = loop
    # Below, the lining keeps clear of the hollow between lip and chin.
    deeper = np.where(side < 0, 1.0, 0.0)
    for back, below, spread, height, share in (
        (-2.2, -0.6, 1.0, 0.9, 1.0), (-4.5, -4.0, 1.03, 4.6, 0.92), (-7.0, -8.0, 1.10, 9.0, 0.85),
        (-26.0, -4.0, 1.0, 14.0, 0.5), (-52.0, 0.0, 0.55, 9.0, 0.35),
    ):  # fmt: skip
        inwards = back + below * deeper
        points = edge * [spread, 1.0, 1.0] + np.stack([np.zeros(len(loop)), side * height, inwards], axis=1)
        ring = build.ring(points, loop, share=share, part="mouth")
        build.strip(previous, ring)
        previous = ring
    # The bag's end is closed by a fan of quads across, upper against lower.
    n = len(previous) // 2
    for i in range(n):
        corners = (previous[i], previous[i + 1], previous[-i - 1], previous[-i])
        corners = tuple(dict.fromkeys(corners))
        taken = {edge for face in build.faces for edge in zip(face, face[1:] + face[:1])}
        build.faces.append(corners[::-1] if (previous[i], previous[i + 1]) in taken else corners)


def _add_skull(build: _Builder, anatomy: Anatomy) -> None:
    """Rings from the face's oval over cranium and jaw to the end of the neck."""
    oval = list(FACE_OVAL)
    rings = skull.rings(anatomy.points[oval], n_rings=N_SKULL_RINGS)
    previous, travelled = oval, np.zeros(len(oval))
    for ring_points in rings:
        travelled = travelled + np.linalg.norm(ring_points - np.array([build.points[i] for i in previous]), axis=1)
        ring = build.ring(
            ring_points, oval, share=np.exp(-((travelled / 38.0) ** 2)), part="skull", travelled=travelled
        )
        build.strip(previous, ring)
        previous = ring
