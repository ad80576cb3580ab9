"""FLAME (Li et al. 2017), from its .npz or from its .pkl, which is read without running it.

Shape modes become identities; jaw and eyeballs, which FLAME turns as joints, become named channels by the motion of a
full activation (linear blend skinning with pose correctives); the expression modes follow, numbered. Metres become
decimetres. The 68 points come from the published landmark embedding beside the model; without it the embedded face is
laid onto the mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bfm.camera import rotation_matrix
from bfm.coefficients import FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.model import FaceModel
from bfm.sources.assembling import assembled, numbered
from bfm.sources.correspondence import Correspondence, correspondence, registered
from bfm.sources.inert_pickle import read_pickled_arrays
from bfm.sources.reading import field, indices, read_npz

DECIMETRES_PER_METRE = 10.0
N_JOINTS = 5  # root, neck, jaw, left eye, right eye
_JAW, _LEFT_EYE, _RIGHT_EYE = 2, 3, 4
_LARGEST_SHAPE_SPACE = 300
"""In the published files the first 300 shape directions are identities and the rest are expressions."""
# Joint, and the turn at full activation in radians about x, y, z.
_TURNS = {
    "jawOpen": (_JAW, (0.40, 0.0, 0.0)), "jawLeft": (_JAW, (0.0, 0.15, 0.0)), "jawRight": (_JAW, (0.0, -0.15, 0.0)),
    "eyeLookDownLeft": (_LEFT_EYE, (0.44, 0.0, 0.0)), "eyeLookUpLeft": (_LEFT_EYE, (-0.44, 0.0, 0.0)),
    "eyeLookOutLeft": (_LEFT_EYE, (0.0, 0.52, 0.0)), "eyeLookInLeft": (_LEFT_EYE, (0.0, -0.52, 0.0)),
    "eyeLookDownRight": (_RIGHT_EYE, (0.44, 0.0, 0.0)), "eyeLookUpRight": (_RIGHT_EYE, (-0.44, 0.0, 0.0)),
    "eyeLookOutRight": (_RIGHT_EYE, (0.0, -0.52, 0.0)), "eyeLookInRight": (_RIGHT_EYE, (0.0, 0.52, 0.0)),
}  # fmt: skip
_EMBEDDINGS = (("full_lmk_faces_idx", "full_lmk_bary_coords"), ("lmk_face_idx", "lmk_b_coords"))


def load_flame(path: Path, *, landmarks: Path | None = None, name: str = "flame") -> FaceModel:
    """The FaceModel of a FLAME .pkl or .npz.

    landmarks: the landmark embedding (.npz or .pkl of 51 or 68 points); where not given, a file next to the model whose
    name holds "embedding". Raises FaceModelError naming what is wrong, and refuses pickles that want to run code.
    """
    arrays = _read(path)
    template = field(arrays, "v_template", (None, 3), path=path, dtype=np.float64)
    n = len(template)
    directions = field(arrays, "shapedirs", (n, 3, None), path=path)
    triangles = indices(arrays, "f", (None, 3), path=path, first=0, last=n - 1)
    n_shape = min(_LARGEST_SHAPE_SPACE, directions.shape[2] - 1)
    if n_shape < 1:
        raise FaceModelError(f"'{path}': field 'shapedirs' should hold at least 2 directions, got {directions.shape}")
    turns = _turned(arrays, template, path)
    mean = (template - template.mean(0)).astype(np.float32) * np.float32(DECIMETRES_PER_METRE)
    modes = np.moveaxis(directions, 2, 0) * np.float32(DECIMETRES_PER_METRE)
    expression = np.concatenate([turns * (DECIMETRES_PER_METRE / FULL_ACTIVATION_SD), modes[n_shape:]])
    return assembled(
        name,
        mean,
        triangles,
        _marks(path, landmarks, mean, triangles),
        identity=modes[:n_shape],
        expression=expression,
        expression_names=(*_TURNS, *numbered(len(modes) - n_shape)),
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path) if path.suffix.lower() == ".npz" else read_pickled_arrays(path)


def _turned(arrays: dict[str, np.ndarray], template: np.ndarray, path: Path) -> np.ndarray:
    """What each turn of _TURNS adds to the template (n_turns, n_vertices, 3) m."""
    n = len(template)
    weights = field(arrays, "weights", (n, N_JOINTS), path=path, dtype=np.float64)
    regressor = field(arrays, "J_regressor", (N_JOINTS, n), path=path, dtype=np.float64)
    correctives = field(arrays, "posedirs", (n, 3, 9 * (N_JOINTS - 1)), path=path, dtype=np.float64)
    joints = regressor @ template
    moved = []
    for joint, angles in _TURNS.values():
        change = rotation_matrix(np.array(angles)) - np.eye(3)
        # The correctives weigh the elements of every rotation but the root's, less the identity.
        first = 9 * (joint - 1)
        corrected = template + correctives[:, :, first : first + 9] @ change.ravel()
        turn = (corrected - joints[joint]) @ change.T
        moved.append(corrected - template + weights[:, joint, None] * turn)
    return np.stack(moved)


def _marks(path: Path, landmarks: Path | None, mean: np.ndarray, triangles: np.ndarray) -> Correspondence:
    if landmarks is None:
        beside = sorted(p for p in path.parent.glob("*embedding*") if p.suffix in (".npz", ".pkl"))
        landmarks = beside[0] if beside else None
    if landmarks is None:
        return registered(mean, triangles)
    arrays = _read(landmarks)
    for faces_name, weights_name in _EMBEDDINGS:
        if faces_name in arrays:
            faces = np.atleast_1d(np.squeeze(arrays[faces_name]))
            count = 68 if faces_name.startswith("full") else 51
            chosen = indices(
                {faces_name: faces}, faces_name, (count,), path=landmarks, first=0, last=len(triangles) - 1
            )
            named = {weights_name: np.squeeze(arrays.get(weights_name, np.zeros(0)))}
            weights = field(named, weights_name, (count, 3), path=landmarks)
            return correspondence(mean, triangles, triangles[chosen], weights, points=np.arange(68 - count, 68))
    raise FaceModelError(f"'{landmarks}' lacks the field 'lmk_face_idx': it has {', '.join(sorted(arrays)) or 'none'}")
