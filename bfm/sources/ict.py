"""ICT-FaceKit's light model (Li et al. 2020, MIT licence), from its FaceXModel folder of OBJ files or from an npz.

All identity modes and all expressions are kept. The 64 named channels come first, made of ICT's shapes: halves such as
mouthSmile_L become mouthSmileLeft, browInnerUp and cheekPuff are the sum of their halves; what ICT lacks does nothing.
Its further shapes follow under names in the same style. Centimetres become decimetres.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bfm.camera import rotation_matrix
from bfm.coefficients import EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.model import FaceModel
from bfm.sources.assembling import PLAIN_SKIN, assembled
from bfm.sources.correspondence import correspondence, similarity
from bfm.sources.reading import field, indices, read_npz

CENTIMETRES_PER_DECIMETRE = 10.0
NEUTRAL_FILE, INDEX_FILE = "generic_neutral_mesh.obj", "vertex_indices.json"
N_VERTICES = 26719
# First vertex of each part, in the order of the published mesh, and its linear albedo.
_REGIONS = {
    "face": (0, PLAIN_SKIN), "head": (9409, PLAIN_SKIN), "mouth_socket": (11248, (0.25, 0.06, 0.06)),
    "eye_sockets": (13294, (0.3, 0.12, 0.1)), "gums_tongue": (14062, (0.45, 0.14, 0.13)),
    "teeth": (17039, (0.75, 0.7, 0.6)), "eyeballs": (21451, (0.75, 0.73, 0.7)), "wet": (24591, (0.75, 0.73, 0.7)),
    "lashes": (25351, (0.05, 0.03, 0.02)),
}  # fmt: skip
_LANDMARK_REGIONS = ((0, 1), (list(_REGIONS).index("eyeballs"),))
"""Numbers of the regions that bear landmarks: skin, and what bears the irises."""
_EYEBALLS = (slice(21451, 23021), slice(23021, 24591))
_IRIS_RINGS = ((0.059, (0.16, 0.09, 0.05)), (0.022, (0.005, 0.005, 0.005)))
"""Decimetres from the eye's axis, and the linear albedo within: iris, then pupil."""
GAZE_YAW, GAZE_PITCH = np.radians(30.0), np.radians(25.0)
"""What an eyeLook channel at 1 turns an eyeball by."""
TRANSPARENT = "wet"
"""The region of tear films and shadows, which a renderer without transparency leaves out."""


def load_ict(path: Path, name: str = "ict") -> FaceModel:
    """The FaceModel of a FaceXModel folder or an .npz. Raises FaceModelError naming the file and what is wrong in it.

    The npz holds neutral (n, 3), identity (k, n, 3), expression (m, n, 3) as differences, cm, expression_names (m,),
    polygons (p, 4) with -1 for triangles, landmarks_68 (68,) vertices, and where it has them uv and uv_polygons.
    """
    parts = _read_folder(path) if path.is_dir() else _read_stored(path)
    neutral = parts["neutral"] / np.float32(CENTIMETRES_PER_DECIMETRE)
    polygons = parts["polygons"]
    has_four = polygons[:, 3] >= 0
    triangles = np.concatenate([polygons[:, :3], polygons[has_four][:, [0, 2, 3]]])
    regions, colors = _regions(len(neutral))
    skin, eyes = (triangles[np.isin(regions[triangles], places).all(1)] for places in _LANDMARK_REGIONS)
    eyes = eyes if len(eyes) else skin
    marks = correspondence(neutral, skin, parts["landmarks_68"], eyeballs=eyes)
    shift = _to_embedded(neutral, marks)
    names, basis = channels(parts["expression_names"], parts["expression"] / np.float32(CENTIMETRES_PER_DECIMETRE))
    _turn_eyeballs(names, basis, neutral)
    _paint_irises(colors, neutral)
    return assembled(
        name,
        neutral + shift,
        triangles,
        correspondence(neutral + shift, skin, parts["landmarks_68"], eyeballs=eyes),
        identity=parts["identity"] / np.float32(CENTIMETRES_PER_DECIMETRE),
        expression=basis / np.float32(FULL_ACTIVATION_SD),
        expression_names=names,
        texture_mean=colors,
        quads=polygons[has_four],
        uv=parts.get("uv"),
        regions=regions,
        region_names=tuple(_REGIONS),
    )


def channels(names: tuple[str, ...], shapes: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The named channels, then ICT's further shapes, and their full motion (n_channels, n_vertices, 3).

    names, shapes: ICT's own, (m,) and (m, n_vertices, 3).
    """
    own = dict(zip((_channel_name(name) for name in names), shapes, strict=True))
    for stem in ("browInnerUp", "cheekPuff"):
        if stem not in own and f"{stem}Left" in own and f"{stem}Right" in own:
            own[stem] = own[f"{stem}Left"] + own[f"{stem}Right"]
    further = tuple(name for name in own if name not in EXPRESSION_CHANNELS)
    still = np.zeros_like(shapes[0])
    listed = (*EXPRESSION_CHANNELS, *further)
    return listed, np.stack([own.get(name, still) for name in listed])


def _turn_eyeballs(names: tuple[str, ...], basis: np.ndarray, neutral: np.ndarray) -> None:
    """Adds to the eyeLook channels, whose shapes move the lids only, what turns the published mesh's eyeballs."""
    if len(neutral) != N_VERTICES:
        return
    for ball in _EYEBALLS:
        points = neutral[ball] - neutral[ball].mean(0)
        side, outward = ("Left", 1.0) if neutral[ball, 0].mean() > 0 else ("Right", -1.0)
        turns = {
            "Out": (0.0, outward * GAZE_YAW, 0.0), "In": (0.0, -outward * GAZE_YAW, 0.0),
            "Up": (-GAZE_PITCH, 0.0, 0.0), "Down": (GAZE_PITCH, 0.0, 0.0),
        }  # fmt: skip
        for way, angles in turns.items():
            turned = points @ rotation_matrix(np.array(angles)).T
            basis[names.index(f"eyeLook{way}{side}"), ball] += (turned - points).astype(np.float32)


def _paint_irises(colors: np.ndarray, neutral: np.ndarray) -> None:
    """Colours (n_vertices, 3) of the published mesh's irises and pupils, which look along +Z."""
    if len(neutral) != N_VERTICES:
        return
    for ball in _EYEBALLS:
        points = neutral[ball] - neutral[ball].mean(0)
        from_axis = np.where(points[:, 2] > 0, np.hypot(points[:, 0], points[:, 1]), np.inf)
        for radius, color in _IRIS_RINGS:
            colors[ball][from_axis < radius] = color


def _channel_name(shape: str) -> str:
    """ICT's shape name in ARKit's style: mouthSmile_L becomes mouthSmileLeft."""
    stem, side = (shape[:-2], {"_L": "Left", "_R": "Right"}[shape[-2:]]) if shape[-2:] in ("_L", "_R") else (shape, "")
    return stem[0].lower() + stem[1:] + side


def _to_embedded(neutral: np.ndarray, marks) -> np.ndarray:
    """Shift (3,) dm that brings the face's origin to where the embedded head has it."""
    from bfm.sources.embedded import load_embedded_model

    own = np.einsum("nk,nkc->nc", marks.landmark_barycentric, neutral[marks.landmark_triangles].astype(np.float64))
    return similarity(own, load_embedded_model().landmark_mean.astype(np.float64))[2].astype(np.float32)


def _regions(n_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Region numbers (n_vertices,) and albedo (n_vertices, 3)."""
    if n_vertices != N_VERTICES:
        return np.zeros(n_vertices, np.uint8), np.tile(np.float32(PLAIN_SKIN), (n_vertices, 1))
    firsts = [first for first, _ in _REGIONS.values()]
    regions = np.searchsorted(firsts, np.arange(n_vertices), side="right") - 1
    return regions, np.array([color for _, color in _REGIONS.values()], np.float32)[regions]


def _read_stored(path: Path) -> dict[str, object]:
    arrays = read_npz(path)
    neutral = field(arrays, "neutral", (None, 3), path=path)
    n = len(neutral)
    names = arrays.get("expression_names", np.zeros(0))
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise FaceModelError(f"'{path}': field 'expression_names' should hold names, got {names.dtype} {names.shape}")
    parts = {
        "neutral": neutral,
        "identity": field(arrays, "identity", (None, n, 3), path=path),
        "expression": field(arrays, "expression", (len(names), n, 3), path=path),
        "expression_names": tuple(str(name) for name in names),
        "polygons": indices(arrays, "polygons", (None, 4), path=path, first=-1, last=n - 1) - 1,
        "landmarks_68": indices(arrays, "landmarks_68", (68,), path=path, first=0, last=n - 1),
    }
    if "uv" in arrays and "uv_polygons" in arrays:
        uv = field(arrays, "uv", (None, 2), path=path)
        shape = parts["polygons"].shape
        uv_polygons = indices(arrays, "uv_polygons", shape, path=path, first=-1, last=len(uv) - 1) - 1
        parts["uv"] = _vertex_uv(n, parts["polygons"], uv, uv_polygons)
    return parts


def _read_folder(folder: Path) -> dict[str, object]:
    neutral, polygons, uv, uv_polygons = read_obj(folder / NEUTRAL_FILE)
    try:
        listed = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        marks = np.array(listed["idx_to_landmark_verts"], np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FaceModelError(f"'{folder / INDEX_FILE}' should list 'idx_to_landmark_verts' ({error!r})") from error
    if marks.shape != (68,) or marks.min() < 0 or marks.max() >= len(neutral):
        raise FaceModelError(
            f"'{folder / INDEX_FILE}': 'idx_to_landmark_verts' should hold 68 vertices below {len(neutral)}, "
            f"got {marks.shape} up to {marks.max(initial=0)}"
        )
    others = sorted(path for path in folder.glob("*.obj") if path.name != NEUTRAL_FILE)
    identities = [path for path in others if path.stem.startswith("identity")]
    expressions = [path for path in others if path not in identities]
    if not identities or not expressions:
        found = f"{len(identities)} identities and {len(expressions)} expressions"
        raise FaceModelError(f"'{folder}' should hold identity*.obj and expression files, got {found}")
    return {
        "neutral": neutral,
        "identity": np.stack([_difference(path, neutral) for path in identities]),
        "expression": np.stack([_difference(path, neutral) for path in expressions]),
        "expression_names": tuple(path.stem for path in expressions),
        "polygons": polygons,
        "landmarks_68": marks,
        "uv": _vertex_uv(len(neutral), polygons, uv, uv_polygons),
    }


def _difference(path: Path, neutral: np.ndarray) -> np.ndarray:
    """What an OBJ's vertices add to the neutral mesh's (n, 3)."""
    points = read_obj(path, with_faces=False)[0]
    if points.shape != neutral.shape:
        raise FaceModelError(f"'{path}' should have {len(neutral)} vertices as the neutral mesh, got {len(points)}")
    return points - neutral


def _vertex_uv(n: int, polygons: np.ndarray, uv: np.ndarray, uv_polygons: np.ndarray) -> np.ndarray | None:
    """Texture coordinates (n, 2) per vertex: those of the last polygon that names it; None where a mesh has none."""
    if not len(uv):
        return None
    placed = np.zeros((n, 2), np.float32)
    used = polygons >= 0
    placed[polygons[used]] = uv[uv_polygons[used]]
    return placed


def read_obj(path: Path, *, with_faces: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (n, 3), polygons (p, 4), texture coordinates (m, 2) and the polygons' places in them (p, 4) of an OBJ.

    Triangles end in -1. Raises FaceModelError for a file that is missing, broken or has polygons of other sizes.
    """
    try:
        lines = path.read_text(encoding="ascii", errors="strict").splitlines()
        points = np.array(" ".join(line[2:] for line in lines if line.startswith("v ")).split(), np.float32)
        points = points.reshape(-1, 3)
        if not len(points) or not np.isfinite(points).all():
            raise ValueError(f"{len(points)} vertices, {int((~np.isfinite(points)).sum())} values not finite")
        empty = np.zeros((0, 4), np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 4), np.int64)
        if not with_faces:
            return points, *empty
        uv = np.array([line.split()[1:3] for line in lines if line.startswith("vt ")], np.float32).reshape(-1, 2)
        faces = [[corner.split("/") for corner in line.split()[1:]] for line in lines if line.startswith("f ")]
        polygons = np.array([_four([int(corner[0]) for corner in face]) for face in faces]) - 1
        mapped = [_four([int(corner[1]) if len(corner) > 1 and corner[1] else 1 for corner in face]) for face in faces]
    except OSError as error:
        raise FaceModelError(f"'{path}' is missing: expected an OBJ file there") from error
    except (ValueError, IndexError) as error:
        raise FaceModelError(
            f"'{path}' is not an OBJ file of triangles and quads that can be read ({error})"
        ) from error
    polygons[polygons < 0] = -1
    if polygons.max(initial=-1) >= len(points):
        raise FaceModelError(f"'{path}': polygons name vertex {polygons.max() + 1} of {len(points)}")
    return points, polygons, uv, np.maximum(np.array(mapped) - 1, -1)


def _four(corners: list[int]) -> list[int]:
    if len(corners) not in (3, 4):
        raise ValueError(f"a polygon of {len(corners)} corners")
    return corners if len(corners) == 4 else [*corners, 0]
