"""Parts that are not the skin's one surface: eyeballs, teeth and gums, tongue. Millimetres; quads face out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.sources.building.anatomy import EYEBALL_RADIUS, IRIS_RADIUS, Anatomy

PUPIL_RADIUS = 2.0
"""mm; pupil diameter about 4 mm in indoor light (Watson & Yellott 2012)."""

# Crown widths in mm along half an arch from the midline, and heights (Nelson, "Wheeler's Dental Anatomy").
UPPER_TEETH = ((8.5, 10.5), (6.5, 9.0), (7.5, 10.0), (7.0, 8.5), (7.0, 8.5), (10.0, 7.5), (9.0, 7.0))
LOWER_TEETH = ((5.0, 9.0), (5.5, 9.5), (7.0, 11.0), (7.0, 8.5), (7.0, 8.0), (11.0, 7.5), (10.5, 7.0))


EYE_COLUMNS = 28
IRIS_ROW = 7
"""The eyeball's ring of vertices at the iris's rim."""


@dataclass(frozen=True)
class Part:
    """points (n, 3) mm; quads (m, 4); region (n,) names; bone: "skull", "jaw", "left_eye", "right_eye" or "tongue"."""

    points: np.ndarray
    quads: np.ndarray
    region: np.ndarray
    bone: str


def grid_quads(n_rows: int, n_columns: int, *, closed: bool = False) -> np.ndarray:
    """Quads (m, 4) of a grid stored row by row; closed joins the last column to the first."""
    columns = np.arange(n_columns if closed else n_columns - 1)
    rows = np.arange(n_rows - 1)[:, None] * n_columns
    a, b = rows + columns, rows + (columns + 1) % n_columns
    return np.stack([a, b, b + n_columns, a + n_columns], axis=-1).reshape(-1, 4)


def eyeball(center: np.ndarray, *, bone: str) -> Part:
    """An eyeball looking along +Z: rings of vertices from the pupil's middle to the back."""
    n = EYE_COLUMNS
    iris = np.arcsin(IRIS_RADIUS / EYEBALL_RADIUS)
    pupil = np.arcsin(PUPIL_RADIUS / EYEBALL_RADIUS)
    angles = np.concatenate(
        [
            [5e-4, 0.6 * pupil, pupil, pupil + 0.03],
            np.linspace(pupil + 0.1, iris - 0.05, 3),
            [iris, iris + 0.05],
            np.linspace(iris + 0.16, 3.1411, 11),
        ]
    )
    around = np.arange(n) / n * 2.0 * np.pi
    ring = np.stack([np.cos(around), np.sin(around), np.zeros(n)], axis=1)
    rows, region = [], []
    for angle in angles:
        bulge = 0.35 * np.exp(-((angle / iris) ** 2) * 1.5)
        rows.append(ring * np.sin(angle) * EYEBALL_RADIUS + [0.0, 0.0, np.cos(angle) * EYEBALL_RADIUS + bulge])
        name = "pupil" if angle <= pupil + 1e-6 else "iris" if angle <= iris + 1e-6 else "sclera"
        region += [name] * n
    points = np.concatenate(rows) + center
    return outward(Part(points, grid_quads(len(angles), n, closed=True), np.array(region), bone))


def _arch(arc: np.ndarray, *, half_width: float, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and outward normals (n, 2) in x and z on a dental arch, at signed arc lengths (n,) mm from its middle."""
    angle = np.linspace(-1.57, 1.57, 400)
    curve = np.stack([half_width * np.sin(angle), depth * (np.cos(angle) - 1.0)], axis=1)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    length -= length[-1] / 2.0
    at = np.stack([np.interp(arc, length, curve[:, k]) for k in (0, 1)], axis=1)
    ahead = np.clip(arc, length[0] + 0.5, length[-1] - 0.5)
    step = np.stack([np.interp(ahead + 0.5, length, curve[:, k]) for k in (0, 1)], axis=1)
    step = step - np.stack([np.interp(ahead - 0.5, length, curve[:, k]) for k in (0, 1)], axis=1)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
    return at, normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _tooth(middle: float, width: float, height: float, index: int, arch: dict, *, up: float) -> tuple:
    """One crown as a closed grid of rows from gum to edge around its outline; (points, quads)."""
    n = 12
    around = np.arange(n) / n * 2.0 * np.pi
    thick = 2.6 + 0.9 * min(index, 5)
    square = lambda t: np.sign(t) * np.abs(t) ** 0.45  # noqa: E731
    rows = []
    for share, wide, deep in ((-0.12, 0.86, 0.8), (0.0, 0.90, 1.0), (0.35, 1.0, 1.0), (0.75, 1.02, 0.75),
                              (0.95, 0.98, 0.42), (1.0, 0.86, 0.25)):  # fmt: skip
        deep = deep if index < 3 else max(deep, 0.72)
        along = middle + square(np.cos(around)) * wide * width / 2.0
        at, normal = _arch(along, half_width=arch["half_width"], depth=arch["depth"])
        out = square(np.sin(around)) * deep * thick - thick * 0.9
        flat = at + normal * out[:, None]
        y = np.full(n, arch["edge"] + up * height * (1.0 - share))
        rows.append(np.stack([flat[:, 0], y, flat[:, 1] + arch["front"]], axis=1))
    rows.append(np.repeat(rows[-1].mean(0, keepdims=True), n, axis=0))
    return np.concatenate(rows), grid_quads(len(rows), n, closed=True)


def teeth(anatomy: Anatomy, *, upper: bool) -> Part:
    """One row of fourteen teeth with its gum, on the skull (upper) or the jaw (lower)."""
    front = anatomy.points[13, 2]
    seam = anatomy.mouth_height
    arch = (
        {"half_width": 27.0, "depth": 49.0, "front": front - 4.6, "edge": seam - 1.6}
        if upper
        else {"half_width": 25.0, "depth": 48.0, "front": front - 8.4, "edge": seam - 0.6}
    )
    up = 1.0 if upper else -1.0
    points, quads, region = [], [], []
    for side in (-1.0, 1.0):
        arc = 0.0
        for index, (width, height) in enumerate(UPPER_TEETH if upper else LOWER_TEETH):
            middle, arc = side * (arc + width / 2.0), arc + width
            crown, faces = _tooth(middle, width, height, index, arch, up=up)
            quads.append(faces + sum(map(len, points)))
            points.append(crown)
            region += ["teeth"] * len(crown)
    gum, faces = _gum(arch, up=up)
    quads.append(faces + sum(map(len, points)))
    points.append(gum)
    region += ["gums"] * len(gum)
    return outward(Part(np.concatenate(points), np.concatenate(quads), np.array(region), "skull" if upper else "jaw"))


def _gum(arch: dict, *, up: float) -> tuple[np.ndarray, np.ndarray]:
    """The gum above or below a row of teeth, arched over each and reaching down between them: (points, quads)."""
    arc = np.linspace(-54.0, 54.0, 145)
    at, normal = _arch(arc, half_width=arch["half_width"], depth=arch["depth"])
    margin = _gum_margin(np.abs(arc), UPPER_TEETH if up > 0 else LOWER_TEETH)
    rows = []
    for height, out in (
        (margin + 1.0, -3.5), (margin, -0.15), (margin + 0.5, 0.65), (margin + 1.8, 1.05), (11.9, 0.75),
        (13.2, -1.0), (14.0, -4.5), (14.0, -8.0), (9.0, -8.0),
    ):  # fmt: skip
        # The lower gum lies deeper: the hollow under the lower lip is close.
        deeper = 2.2 * np.clip((np.asarray(height) - 7.0) / 2.5, 0.0, 1.0) if up < 0 else 0.0
        flat = at + normal * np.broadcast_to(out - deeper, arc.shape)[:, None]
        y = np.broadcast_to(arch["edge"] + up * height, arc.shape)
        rows.append(np.stack([flat[:, 0], y, flat[:, 1] + arch["front"]], axis=1))
    return np.concatenate(rows), grid_quads(len(rows), len(arc))


def _gum_margin(arc: np.ndarray, row: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Height in mm over the teeth's edges at which the gum begins, at arc lengths (n,) mm from the midline."""
    ends = np.cumsum([width for width, _ in row])
    tooth = np.minimum(np.searchsorted(ends, arc), len(row) - 1)
    widths, heights = np.array(row).T
    across = np.clip((arc - (ends - widths)[tooth]) / widths[tooth], 0.0, 1.0)
    level = np.interp(arc, ends - widths / 2.0, heights)
    return np.minimum(level, 10.2) - 0.9 - 1.9 * (1.0 - np.sin(np.pi * across) ** 0.7)


def tongue(anatomy: Anatomy) -> Part:
    """A tongue at rest: sections from the root to the tip, its edge just behind the lower teeth."""
    n, n_rows = 28, 22
    around = np.arange(n) / n * 2.0 * np.pi
    tip = np.array([0.0, anatomy.mouth_height - 4.8, anatomy.points[13, 2] - 13.5])
    rows = []
    for share in np.linspace(0.0, 1.0, n_rows):
        width = 17.0 * (1.0 - share**3.2) ** 0.6 + 0.4
        high = 8.0 * (1.0 - share**2.2) ** 0.6 + 0.5
        center = tip + np.array([0.0, 3.0 * np.sin(share * np.pi) - 16.0 * (1.0 - share) ** 3, -56.0 * (1.0 - share)])
        groove = np.where(np.sin(around) > 0, -1.4 * np.exp(-((np.cos(around) / 0.25) ** 2)) * (1.0 - share), 0.0)
        rows.append(center + np.stack([width * np.cos(around), high * np.sin(around) + groove, np.zeros(n)], axis=1))
    rows.append(np.repeat(rows[-1].mean(0, keepdims=True) + np.array([0.0, 0.0, 0.4]), n, axis=0))
    points = np.concatenate(rows)
    return outward(Part(points, grid_quads(len(rows), n, closed=True), np.full(len(points), "tongue"), "tongue"))


def outward(part: Part) -> Part:
    """The part with quads wound so that its enclosed volume is positive."""
    corners = part.points[part.quads] - part.points.mean(0)
    volume = np.einsum("qc,qc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    volume += np.einsum("qc,qc->", corners[:, 0], np.cross(corners[:, 2], corners[:, 3]))
    return part if volume > 0 else Part(part.points, part.quads[:, ::-1], part.region, part.bone)
