"""The Basel Face Model 2009 (Paysan et al. 2009) as the papers use it, by way of Deep3DFaceRecon (Deng et al. 2019).

prepare_front reads the licensed 01_MorphableModel.mat, the FaceWarehouse expressions of Guo et al. 2018 (Exp_Pca.bin
with std_exp.txt) and the index files, and gives what BFM_model_front.mat holds. FrontModel evaluates shape, texture
and normals as Deep3DFaceRecon does; bfm.lighting and bfm.camera do the rest. Textures stay as scanned: 0–1, not linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bfm.coefficients import EXPRESSION_DIMS, IDENTITY_DIMS, TEXTURE_DIMS
from bfm.errors import FaceModelError
from bfm.model import FaceModel
from bfm.sources.assembling import assembled, numbered
from bfm.sources.correspondence import correspondence
from bfm.sources.reading import field, indices, read_mat

MODEL_FILE, EXPRESSION_FILE, DEVIATION_FILE = "01_MorphableModel.mat", "Exp_Pca.bin", "std_exp.txt"
TRIM_FILE, FRONT_INDEX_FILE, INFO_FILE = "BFM_exp_idx.mat", "BFM_front_idx.mat", "facemodel_info.mat"
UNITS_PER_DECIMETRE = 1e5  # the model is in micrometres
TEXTURE_RANGE = 255.0
N_NEIGHBOURS = 8  # triangles listed round each vertex; missing ones point behind the last triangle


@dataclass(frozen=True)
class FrontModel:
    """The front of the face as BFM_model_front.mat holds it, counting from 0.

    shape_mean (n_vertices, 3) dm, centred; identity_basis (80, n_vertices, 3), expression_basis (64, n_vertices, 3) dm
    per standard deviation; texture_mean (n_vertices, 3), texture_basis (80, n_vertices, 3) 0–255; triangles
    (n_triangles, 3); vertex_triangles (n_vertices, 8), n_triangles standing for none; keypoints (68,) vertices;
    skin_mask (n_vertices,) 0–1; front_triangles (n, 3), front_vertices (n,): the part that is compared with photos.
    """

    shape_mean: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    texture_mean: np.ndarray
    texture_basis: np.ndarray
    triangles: np.ndarray
    vertex_triangles: np.ndarray
    keypoints: np.ndarray
    skin_mask: np.ndarray
    front_triangles: np.ndarray
    front_vertices: np.ndarray

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Vertices (n_frames, n_vertices, 3) dm of identity (n_frames, 80) and expression (n_frames, 64), sd."""
        offset = np.tensordot(identity, self.identity_basis, 1) + np.tensordot(expression, self.expression_basis, 1)
        return self.shape_mean + offset

    def texture(self, coefficients: np.ndarray) -> np.ndarray:
        """Colours (n_frames, n_vertices, 3) of texture coefficients (n_frames, 80) sd: 0–1, not clipped."""
        return (self.texture_mean + np.tensordot(coefficients, self.texture_basis, 1)) / TEXTURE_RANGE

    def normals(self, shape: np.ndarray) -> np.ndarray:
        """Unit normals (n_frames, n_vertices, 3): each vertex sums the unit normals of the triangles listed for it."""
        a, b, c = (shape[:, self.triangles[:, corner]] for corner in range(3))
        faces = _unit(np.cross(a - b, b - c))
        faces = np.concatenate([faces, np.zeros_like(faces[:, :1])], axis=1)
        return _unit(faces[:, self.vertex_triangles].sum(2))

    def face_model(self, name: str = "bfm2009") -> FaceModel:
        """The FaceModel of this front, its 478 landmarks carried over from the embedded head through the 68 points."""
        marks = correspondence(self.shape_mean, self.triangles, self.keypoints)
        return assembled(
            name,
            self.shape_mean,
            self.triangles,
            marks,
            identity=self.identity_basis,
            expression=self.expression_basis,
            expression_names=numbered(len(self.expression_basis)),
            texture_mean=self.texture_mean / TEXTURE_RANGE,
            texture=self.texture_basis / TEXTURE_RANGE,
            regions=self.skin_mask > 0.5,
            region_names=("other", "skin"),
        )


def prepare_front(model_folder: Path, index_folder: Path | None = None) -> FrontModel:
    """Cuts the front model out of the licensed files in a folder, with the index files in the same or another folder.

    Raises FaceModelError naming the file and field that is missing, truncated or of the wrong size.
    """
    index_folder = index_folder or model_folder
    expressions, deviations = _read_expressions(model_folder)
    n_expression_vertices = len(expressions[0])
    whole = _read_whole(model_folder / MODEL_FILE)
    trim_path, front_path = index_folder / TRIM_FILE, index_folder / FRONT_INDEX_FILE
    trim = indices(
        read_mat(trim_path), "trimIndex", (n_expression_vertices, 1), path=trim_path, last=len(whole["shapeMU"])
    )
    front = indices(read_mat(front_path), "idx", (None, 1), path=front_path, last=n_expression_vertices)[:, 0]
    chosen = trim[front, 0]

    def basis(name: str, deviation: str, count: int) -> np.ndarray:
        scaled = whole[name][chosen, :, :count] * whole[deviation][:count, 0]
        return scaled.transpose(2, 0, 1)

    expression = expressions[:EXPRESSION_DIMS, front] * deviations[:EXPRESSION_DIMS, None, None]
    info_path = index_folder / INFO_FILE
    return FrontModel(
        shape_mean=_centred(whole["shapeMU"][chosen, :, 0] / UNITS_PER_DECIMETRE),
        identity_basis=np.float32(basis("shapePC", "shapeEV", IDENTITY_DIMS) / UNITS_PER_DECIMETRE),
        expression_basis=np.float32(expression / UNITS_PER_DECIMETRE),
        texture_mean=np.float32(whole["texMU"][chosen, :, 0]),
        texture_basis=np.float32(basis("texPC", "texEV", TEXTURE_DIMS)),
        **_read_topology(read_mat(info_path), n_vertices=len(front), path=info_path),
    )


def read_front(path: Path) -> FrontModel:
    """The front model of a BFM_model_front.mat. Raises FaceModelError naming what is wrong in it."""
    arrays = read_mat(path)
    mean = field(arrays, "meanshape", (1, None), path=path)
    n = mean.shape[1] // 3
    if n == 0 or mean.shape[1] % 3:
        raise FaceModelError(f"'{path}': field 'meanshape' should have shape (1, 3 × vertices), got {mean.shape}")

    def basis(name: str, count: int) -> np.ndarray:
        return np.ascontiguousarray(field(arrays, name, (3 * n, count), path=path).T.reshape(count, n, 3))

    return FrontModel(
        shape_mean=_centred(mean.reshape(n, 3)),
        identity_basis=basis("idBase", IDENTITY_DIMS),
        expression_basis=basis("exBase", EXPRESSION_DIMS),
        texture_mean=field(arrays, "meantex", (1, 3 * n), path=path).reshape(n, 3),
        texture_basis=basis("texBase", TEXTURE_DIMS),
        **_read_topology(arrays, n_vertices=n, path=path),
    )


def write_front(model: FrontModel, path: Path) -> None:
    """Writes BFM_model_front.mat, with the field names and the counting from 1 that Deep3DFaceRecon reads."""
    from scipy.io import savemat

    def rows(basis: np.ndarray) -> np.ndarray:
        return basis.reshape(len(basis), -1).T

    arrays = {
        "meanshape": model.shape_mean.reshape(1, -1).astype(np.float32),
        "meantex": model.texture_mean.reshape(1, -1),
        "idBase": rows(model.identity_basis),
        "exBase": rows(model.expression_basis),
        "texBase": rows(model.texture_basis),
        "tri": model.triangles + 1.0,
        "point_buf": model.vertex_triangles + 1.0,
        "tri_mask2": model.front_triangles + 1.0,
        "keypoints": model.keypoints[None] + 1.0,
        "frontmask2_idx": model.front_vertices[:, None] + 1.0,
        "skinmask": model.skin_mask[None],
    }
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        savemat(file, arrays)
    partial.replace(path)


def _read_whole(path: Path) -> dict[str, np.ndarray]:
    """Means (n_vertices, 3, 1), components (n_vertices, 3, k) and deviations (k, 1) of the licensed model, double."""
    arrays = read_mat(path)
    whole = {}
    for kind, least in (("shape", IDENTITY_DIMS), ("tex", TEXTURE_DIMS)):
        mean = field(arrays, f"{kind}MU", (None, 1), path=path, dtype=np.float64)
        components = field(arrays, f"{kind}PC", (len(mean), None), path=path, dtype=np.float64)
        count = components.shape[1]
        if count < least or len(mean) % 3:
            raise FaceModelError(
                f"'{path}': field '{kind}PC' should have shape (3 × vertices, at least {least}), got {components.shape}"
            )
        whole[f"{kind}MU"] = mean.reshape(-1, 3, 1)
        whole[f"{kind}PC"] = components.reshape(-1, 3, count)
        whole[f"{kind}EV"] = field(arrays, f"{kind}EV", (count, 1), path=path, dtype=np.float64)
    if len(whole["texMU"]) != len(whole["shapeMU"]):
        raise FaceModelError(
            f"'{path}': field 'texMU' should cover {len(whole['shapeMU'])} vertices, got {len(whole['texMU'])}"
        )
    return whole


def _read_expressions(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Expression components (k, n_vertices, 3) and their standard deviations (k,)."""
    path, deviation_path = folder / EXPRESSION_FILE, folder / DEVIATION_FILE
    for needed in (path, deviation_path):
        if not needed.is_file():
            raise FaceModelError(f"'{needed}' is missing: it comes with the expression basis of Guo et al.")
    raw = path.read_bytes()
    count = int(np.frombuffer(raw, "<i4", 1)[0]) if len(raw) >= 4 else 0
    numbers = (len(raw) - 4) // 4
    if count < EXPRESSION_DIMS or (len(raw) - 4) % 4 or numbers % (3 * (count + 1)):
        raise FaceModelError(
            f"'{path}' should hold a count k of at least {EXPRESSION_DIMS}, then 3 × vertices × (k + 1) floats; "
            f"got k = {count} and {max(len(raw) - 4, 0)} bytes: the file is truncated or another one"
        )
    values = np.frombuffer(raw, "<f4", offset=4).reshape(count + 1, -1, 3)
    try:
        deviations = np.array(deviation_path.read_text(encoding="ascii").split(), np.float64)
    except ValueError as error:
        raise FaceModelError(f"'{deviation_path}' should hold {count} numbers ({error})") from error
    if deviations.shape != (count,):
        raise FaceModelError(f"'{deviation_path}' should hold {count} numbers, got {deviations.size}")
    if not (np.isfinite(values).all() and np.isfinite(deviations).all()):
        raise FaceModelError(f"'{path}' or '{deviation_path.name}' holds values that are not finite numbers")
    return values[1:], deviations


def _read_topology(arrays: dict[str, np.ndarray], *, n_vertices: int, path: Path) -> dict[str, np.ndarray]:
    """Triangles, neighbours, keypoints and masks, counting from 0."""
    triangles = indices(arrays, "tri", (None, 3), path=path, last=n_vertices)
    shape = (n_vertices, N_NEIGHBOURS)
    return {
        "triangles": triangles,
        "vertex_triangles": indices(arrays, "point_buf", shape, path=path, last=len(triangles) + 1),
        "keypoints": indices(arrays, "keypoints", (1, 68), path=path, last=n_vertices)[0],
        "skin_mask": field(arrays, "skinmask", (1, n_vertices), path=path)[0],
        "front_triangles": indices(arrays, "tri_mask2", (None, 3), path=path, last=n_vertices),
        "front_vertices": indices(arrays, "frontmask2_idx", (None, 1), path=path, last=n_vertices)[:, 0],
    }


def _centred(mean: np.ndarray) -> np.ndarray:
    return (mean - mean.mean(0)).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
