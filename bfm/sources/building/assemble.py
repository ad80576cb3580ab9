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
from bfm.sources.building.anthropometry import N_MODES as N_ANTHROPOMETRIC
from bfm.sources.building.anthropometry import anthropometric_modes
from bfm.sources.building.areas import chart, skin_areas, skin_regions
from bfm.sources.building.cage import N_SKIN, Cage, build_cage
from bfm.sources.building.contacts import contact_weights
from bfm.sources.building.details import lid_creases, nostrils
from bfm.sources.building.ears import left_ear
from bfm.sources.building.identity import identity_modes
from bfm.sources.building.muscles import channel_displacements
from bfm.sources.building.parts import Part
from bfm.sources.building.statistics import LandmarkStatistics
from bfm.sources.building.subdivision import subdivide
from bfm.sources.building.texture import albedo_modes, mean_albedo

N_SUBDIVISIONS = 2
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
    ear = left_ear()
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
    identity = identity_modes(statistics, expressions, n_modes=IDENTITY_DIMS - N_ANTHROPOMETRIC)

    skin_points = skin.limit @ _each(cage.points[None], skin.at_cage)[0]
    skin_points = skin_points + nostrils(skin_points) + lid_creases(skin_points)
    points = np.concatenate([skin_points, *[part.points for part in others.values()]])
    offsets = np.cumsum([len(skin_points)] + [len(part.points) for part in others.values()])
    quads = np.concatenate([skin.quads] + [part.quads + at for part, at in zip(others.values(), offsets)])
    triangles, barycentric = _landmarks(anatomy, dict(zip(others, offsets)))
    arrays = {
        "mean": points / _MM_PER_DM,
        **_skin_bases(skin, cage, anatomy, identity, expressions),
        **_part_bases(others, anatomy, identity),
        "anthropometric": anthropometric_modes(points, _part_names(skin, cage, others), identity) / _MM_PER_DM,
        **_surface(skin, cage, others, points),
        "quads": quads,
        "twins": _twins(points),
        "landmark_triangles": triangles,
        "landmark_barycentric": barycentric,
        "eyeballs": anatomy.eyeballs / _MM_PER_DM,
        "pivot": HEAD_PIVOT / _MM_PER_DM,
    }
    return Head(arrays)


def _skin_bases(skin: _Skin, cage: Cage, anatomy: Anatomy, identity, expressions) -> dict[str, np.ndarray]:
    """What the skin's coarse mesh does, and the subdivision that spreads it."""
    on_identity = _each(extend.identity_on_cage(cage, anatomy, identity), skin.at_cage)
    on_expression = _each(extend.expression_on_cage(cage, expressions), skin.at_cage)
    contact = _each(extend.contact_on_cage(cage, contact_weights())[:, :, None], skin.at_cage)[:, :, 0]
    return {
        "limit_data": skin.limit.data,
        "limit_indices": skin.limit.indices,
        "limit_indptr": skin.limit.indptr,
        "cage_identity": on_identity / _MM_PER_DM,
        "cage_expression": on_expression / _MM_PER_DM / FULL_ACTIVATION_SD,
        "cage_contact": contact,
    }


def _part_bases(others: dict[str, Part], anatomy: Anatomy, identity: np.ndarray) -> dict[str, np.ndarray]:
    """What eyes, teeth, tongue and ears do, vertex by vertex."""
    on_identity = [extend.part_identity(part, name, identity) for name, part in others.items()]
    on_expression = [extend.part_expression(part, anatomy) for part in others.values()]
    return {
        "part_identity": np.concatenate(on_identity, axis=1) / _MM_PER_DM,
        "part_expression": np.concatenate(on_expression, axis=1) / _MM_PER_DM / FULL_ACTIVATION_SD,
    }


def _surface(skin: _Skin, cage: Cage, others: dict[str, Part], points: np.ndarray) -> dict[str, np.ndarray]:
    """Regions, chart and albedo of every vertex."""
    regions = np.concatenate([skin_regions(skin.limit, cage), *[part.region for part in others.values()]])
    areas = skin_areas(skin.limit, cage, points, regions)
    names, index = np.unique(regions, return_inverse=True)
    mean = mean_albedo(areas, regions)
    return {
        "texture_mean": mean,
        "texture_basis": albedo_modes(mean, areas, regions, points),
        "uv": chart(skin.limit, cage, others),
        "regions": index,
        "region_names": names,
    }


def _each(values: np.ndarray, at_cage: csr_matrix) -> np.ndarray:
    """Interpolating cage values for a stack (k, n, c) at once."""
    k, n, c = values.shape
    flat = np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(n, k * c).astype(np.float64)
    return extend.interpolating(flat, at_cage).reshape(n, k, c).transpose(1, 0, 2)


def _part_names(skin: _Skin, cage: Cage, others: dict[str, Part]) -> np.ndarray:
    """Name of the part of each vertex (n_vertices,): on the skin, the cage's part that weighs most there."""
    names = ("face", "skull", "lid", "mouth")
    shares = np.stack([skin.limit @ (cage.part == name) for name in names])
    on_skin = np.array(names)[shares.argmax(0)]
    return np.concatenate([on_skin, *[np.full(len(part.points), name) for name, part in others.items()]])


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
