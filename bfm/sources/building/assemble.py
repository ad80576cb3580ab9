"""Puts the embedded head together: anatomy → muscles → cage → subdivided skin, plus eyes, teeth, tongue and ears."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD, IDENTITY_DIMS
from bfm.landmarks import LEFT_IRIS, N_LANDMARKS, RIGHT_IRIS
from bfm.sources.building import extend, parts
from bfm.sources.building.anatomy import Anatomy, neutral_anatomy
from bfm.sources.building.anthropometry import anthropometric_modes
from bfm.sources.building.areas import chart, nostrils, skin_areas, skin_regions
from bfm.sources.building.cage import N_SKIN, Cage, build_cage
from bfm.sources.building.contacts import contact_weights
from bfm.sources.building.identity import identity_modes
from bfm.sources.building.muscles import channel_displacements
from bfm.sources.building.parts import Part
from bfm.sources.building.statistics import LandmarkStatistics
from bfm.sources.building.subdivision import subdivide
from bfm.sources.building.texture import albedo_modes, mean_albedo

N_SUBDIVISIONS = 2
N_ANTHROPOMETRIC = 10
HEAD_PIVOT = np.array([0.0, -65.0, -85.0])
"""mm; between the occipital condyles, where the skull nods on the first vertebra."""

_MM_PER_DM = 100.0


@dataclass(frozen=True)
class Head:
    """Everything that embedded.npz stores, by name: see save and bfm.sources.embedded."""

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Skin:
    """The subdivided skin: limit (n_skin, n_cage) matrix, its square part at the cage's points, quads."""

    limit: csr_matrix
    at_cage: csr_matrix
    quads: np.ndarray


def _subdivided(cage: Cage) -> _Skin:
    faces, n_points, steps = cage.faces, len(cage.points), []
    for _ in range(N_SUBDIVISIONS):
        faces, step = subdivide(faces, n_points)
        n_points = step.shape[0]
        steps.append(step)
    limit = extend.power_of_subdivision(steps)
    return _Skin(limit, limit[: len(cage.points)].tocsr(), np.array(faces))


def _parts(anatomy: Anatomy) -> dict[str, Part]:
    ear = parts.left_ear()
    mirrored = Part(ear.points * [-1.0, 1.0, 1.0], ear.quads[:, ::-1], ear.region, ear.bone)
    return {
        "right_eye": parts.eyeball(anatomy.eyeballs[0], bone="right_eye"),
        "left_eye": parts.eyeball(anatomy.eyeballs[1], bone="left_eye"),
        "upper_teeth": parts.teeth(anatomy, upper=True),
        "lower_teeth": parts.teeth(anatomy, upper=False),
        "tongue": parts.tongue(anatomy),
        "right_ear": mirrored,
        "left_ear": ear,
    }


def assemble(statistics: LandmarkStatistics) -> Head:
    """The embedded head from the statistics of landmarks."""
    anatomy = neutral_anatomy(statistics.mean, statistics.twins)
    expressions = channel_displacements(anatomy)
    opened = anatomy.points + 0.5 * expressions[CHANNEL_INDEX["jawOpen"]]
    cage = build_cage(anatomy, opened)
    skin, others = _subdivided(cage), _parts(anatomy)
    solve = lambda values: _each(values, skin.at_cage)  # noqa: E731
    smooth = solve(cage.points[None])[0]
    skin_points = skin.limit @ smooth
    skin_points = skin_points + nostrils(skin_points)

    identity = identity_modes(statistics, expressions, n_modes=IDENTITY_DIMS - N_ANTHROPOMETRIC)
    cage_identity = solve(extend.identity_on_cage(cage, anatomy, identity))
    cage_expression = solve(extend.expression_on_cage(cage, expressions))
    cage_contact = solve(extend.contact_on_cage(cage, contact_weights())[:, :, None])[:, :, 0]

    names = np.concatenate([np.full(len(skin_points), "skin"), *[np.full(len(p.points), n) for n, p in others.items()]])
    points = np.concatenate([skin_points, *[part.points for part in others.values()]])
    part_of = np.concatenate([_skin_parts(skin, cage), names[len(skin_points) :]])
    anthropometric = anthropometric_modes(points, part_of)
    extra_identity = np.concatenate([extend.part_identity(p, n, identity) for n, p in others.items()], axis=1)
    extra_expression = np.concatenate([extend.part_expression(p, anatomy) for p in others.values()], axis=1)
    offsets = np.cumsum([len(skin_points)] + [len(part.points) for part in others.values()])
    quads = np.concatenate([skin.quads] + [part.quads + at for part, at in zip(others.values(), offsets)])
    regions = np.concatenate([skin_regions(skin.limit, cage), *[part.region for part in others.values()]])
    uv = chart(skin.limit, cage, others)
    areas = skin_areas(skin.limit, cage, points, regions)
    triangles, barycentric = _landmarks(anatomy, dict(zip(others, offsets)))
    names_of_regions, region_index = np.unique(regions, return_inverse=True)
    mean = mean_albedo(areas, regions)
    arrays = {
        "mean": points / _MM_PER_DM,
        "limit_data": skin.limit.data,
        "limit_indices": skin.limit.indices,
        "limit_indptr": skin.limit.indptr,
        "cage_identity": cage_identity / _MM_PER_DM,
        "cage_expression": cage_expression / _MM_PER_DM / FULL_ACTIVATION_SD,
        "cage_contact": cage_contact,
        "part_identity": extra_identity / _MM_PER_DM,
        "part_expression": extra_expression / _MM_PER_DM / FULL_ACTIVATION_SD,
        "anthropometric": anthropometric / _MM_PER_DM,
        "texture_mean": mean,
        "texture_basis": albedo_modes(mean, areas, regions, points),
        "quads": quads,
        "uv": uv,
        "regions": region_index,
        "region_names": names_of_regions,
        "twins": _twins(points),
        "landmark_triangles": triangles,
        "landmark_barycentric": barycentric,
        "eyeballs": anatomy.eyeballs / _MM_PER_DM,
        "pivot": HEAD_PIVOT / _MM_PER_DM,
    }
    return Head(arrays)


def _each(values: np.ndarray, at_cage: csr_matrix) -> np.ndarray:
    """Interpolating cage values for a stack (k, n, c) at once."""
    k, n, c = values.shape
    flat = np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(n, k * c).astype(np.float64)
    return extend.interpolating(flat, at_cage).reshape(n, k, c).transpose(1, 0, 2)


def _skin_parts(skin: _Skin, cage: Cage) -> np.ndarray:
    """Name of the cage part that weighs most at each skin vertex (n_skin,)."""
    names = ("face", "skull", "lid", "mouth")
    shares = np.stack([skin.limit @ (cage.part == name) for name in names])
    return np.array(names)[shares.argmax(0)]


def _twins(points: np.ndarray) -> np.ndarray:
    """Mirror vertex of each vertex (n,): the nearest to its reflection."""
    from scipy.spatial import cKDTree

    return cKDTree(points).query(points * [-1.0, 1.0, 1.0])[1]


def _landmarks(anatomy: Anatomy, offsets: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Vertex triples (478, 3) and weights (478, 3): skin landmarks are vertices, irises lie on the eyeballs' rings."""
    triangles = np.repeat(np.arange(N_LANDMARKS)[:, None], 3, axis=1)
    barycentric = np.tile([1.0, 0.0, 0.0], (N_LANDMARKS, 1))
    for iris, bone in ((RIGHT_IRIS, "right_eye"), (LEFT_IRIS, "left_eye")):
        n = parts.EYE_COLUMNS
        first = offsets[bone]
        triangles[iris[0]] = first, first + n // 3, first + 2 * n // 3
        barycentric[iris[0]] = 1.0 / 3.0
        for index in iris[1:]:
            away = anatomy.points[index, :2] - anatomy.points[iris[0], :2]
            column = round(np.arctan2(away[1], away[0]) / (2.0 * np.pi) * n) % n
            triangles[index] = first + parts.IRIS_ROW * n + column
    assert (triangles[:N_SKIN] < N_SKIN).all()
    return triangles, barycentric


_HALF = {"cage_identity", "cage_expression", "part_identity", "part_expression", "anthropometric", "texture_basis"}
_INTEGERS = {"limit_indices", "limit_indptr", "quads", "twins", "landmark_triangles"}


def save(head: Head, path: Path) -> None:
    """Write a head as embedded.npz, replacing the file at once."""
    stored = {}
    for name, array in head.arrays.items():
        if name == "regions":
            stored[name] = array.astype(np.uint8)
        elif name == "region_names":
            stored[name] = array
        else:
            kind = np.float16 if name in _HALF else np.int32 if name in _INTEGERS else np.float32
            stored[name] = array.astype(kind)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **stored)
    temporary.replace(path)
