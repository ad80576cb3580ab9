"""BFM 2009: the published functions reproduced, the licensed files cut to the front, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_models import write_bfm2009
from scipy.io import loadmat, savemat

from bfm.camera import CAMERA_DISTANCE, Camera, project, rotation_matrix
from bfm.errors import FaceModelError
from bfm.lighting import harmonics, lit_colors
from bfm.sources.bfm2009 import prepare_front, read_front, write_front

IDENTITY, EXPRESSION, TEXTURE = slice(0, 80), slice(80, 144), slice(144, 224)
ANGLES, LIGHTING, TRANSLATION = slice(224, 227), slice(227, 254), slice(254, 257)


@pytest.fixture(scope="module")
def reference(shared: Path):
    """Coefficients (3, 257), outputs and tolerances of the published functions on a made-up model, and our front."""
    case = shared / "reference" / "sadtalker_bfm"
    manifest = json.loads((case / "manifest.json").read_text(encoding="utf-8"))["outputs"]
    coefficients = np.load(case / "inputs.npz")["coeffs"].astype(np.float64)
    return coefficients, np.load(case / "outputs.npz"), manifest, read_front(case / "made_up_face_model.mat")


def assert_published(reference, name: str, ours: np.ndarray) -> None:
    _, outputs, manifest, _ = reference
    difference = np.abs(ours - outputs[name])
    assert difference.max() <= manifest[name]["suggested_atol"], name
    assert difference.mean() <= manifest[name]["suggested_mean_atol"], name


@pytest.mark.shared
def test_shape_texture_and_normals_equal_the_published_ones(reference):
    coefficients, _, _, front = reference
    assert_published(reference, "mean_shape_recentered", front.shape_mean)
    shape = front.shape(coefficients[:, IDENTITY], coefficients[:, EXPRESSION])
    assert_published(reference, "face_shape", shape)
    assert_published(reference, "face_texture", front.texture(coefficients[:, TEXTURE]))
    assert_published(reference, "face_norm", front.normals(shape))


@pytest.mark.shared
def test_pose_light_and_projection_equal_the_published_ones(reference):
    coefficients, _, _, front = reference
    rotation, shift = coefficients[:, ANGLES], coefficients[:, TRANSLATION]
    matrix = rotation_matrix(rotation).transpose(0, 2, 1)
    assert_published(reference, "rotation", matrix)
    shape = front.shape(coefficients[:, IDENTITY], coefficients[:, EXPRESSION])
    moved = shape @ matrix + shift[:, None]
    assert_published(reference, "face_shape_transformed", moved)
    normals = front.normals(shape) @ matrix
    assert_published(reference, "face_norm_rotated", normals)
    colors = lit_colors(front.texture(coefficients[:, TEXTURE]), normals, coefficients[:, LIGHTING])
    assert_published(reference, "face_color", colors)
    seen = project(shape, rotation, shift, Camera(1015.0, 112.0, 112.0))
    # Theirs has y upwards.
    upright = np.stack([seen[..., 0], 224.0 - seen[..., 1]], axis=-1)
    assert_published(reference, "face_proj", upright)
    assert_published(reference, "landmarks", upright[:, front.keypoints])
    assert_published(reference, "face_vertex_camera", np.concatenate([moved[..., :2], seen[..., 2:]], axis=-1))


@pytest.mark.shared
def test_the_render_without_rotation_equals_the_published_one(reference):
    coefficients, _, _, front = reference
    camera = Camera(1015.0, 112.0, 112.0)
    matrix = [[camera.focal, 0, 0], [0, camera.focal, 0], [camera.center_x, camera.center_y, 1]]
    assert_published(reference, "persc_proj", np.array(matrix))
    shape = front.shape(coefficients[:, IDENTITY], coefficients[:, EXPRESSION])
    # Theirs turns z towards the camera before it computes normals: they are mirrored.
    seen = shape * [1, 1, -1] + [0, 0, CAMERA_DISTANCE]
    assert_published(reference, "render_woRotation_vertex", seen)
    colors = lit_colors(front.texture(coefficients[:, TEXTURE]), front.normals(seen), coefficients[:, LIGHTING])
    assert_published(reference, "render_woRotation_color", colors)
    still = np.zeros((len(shape), 3))
    points = project(shape[:, front.keypoints], still, still, camera)
    upright = np.stack([points[..., 0], 224.0 - points[..., 1]], axis=-1)
    assert_published(reference, "render_woRotation_landmark", upright)


@pytest.mark.shared
def test_the_real_index_files_fit_together(shared: Path):
    folder = shared / "bfm09_index"
    trim, front = loadmat(folder / "BFM_exp_idx.mat")["trimIndex"], loadmat(folder / "BFM_front_idx.mat")["idx"]
    info = loadmat(folder / "facemodel_info.mat")
    assert front.max() <= len(trim)
    assert len(front) == len(info["point_buf"]) == info["tri"].max()


def test_harmonics_of_even_light_do_not_depend_on_the_normal():
    normals = np.random.default_rng(0).normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    lit = lit_colors(np.ones((50, 3)), normals, np.zeros(27))
    assert np.allclose(lit, 0.8 * harmonics(normals)[0, 0])
    from_above = np.zeros(27)
    from_above[[1, 10, 19]] = -0.3
    assert lit_colors(np.ones((2, 3)), np.array([[0, 1.0, 0], [0, -1.0, 0]]), from_above)[:, 0].argmax() == 0
    with pytest.raises(FaceModelError, match="27"):
        lit_colors(np.ones((2, 3)), normals[:2], np.zeros(9))


@pytest.fixture(scope="module")
def licensed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bfm2009")
    return folder, write_bfm2009(folder)


def test_the_front_is_cut_from_the_whole_model(licensed, tmp_path):
    folder, wanted = licensed
    front = prepare_front(folder)
    chosen = wanted["chosen"]
    points = wanted["points"] - wanted["points"].mean(0)
    assert np.allclose(front.shape_mean, points, atol=1e-6)
    components = wanted["shapePC"].reshape(-1, 3, 90)[chosen][:, :, 7] * wanted["shapeEV"][7] / 1e5
    assert np.allclose(front.identity_basis[7], components, atol=1e-7)
    assert np.allclose(front.expression_basis[9], wanted["expressions"][9] * wanted["deviations"][9] / 1e5, atol=1e-7)
    assert np.allclose(front.texture_mean, wanted["texMU"].reshape(-1, 3)[chosen], atol=1e-4)
    write_front(front, tmp_path / "BFM_model_front.mat")
    again = read_front(tmp_path / "BFM_model_front.mat")
    for name in ("shape_mean", "identity_basis", "expression_basis", "texture_basis", "triangles", "keypoints"):
        assert np.allclose(getattr(again, name), getattr(front, name), atol=1e-6), name
    assert not list(tmp_path.glob("*.part"))


def test_the_face_model_carries_the_478_landmarks_over(licensed):
    front = prepare_front(licensed[0])
    model = front.face_model()
    rest = model.landmark_positions(np.zeros(80), np.zeros((1, 64)))[0]
    assert np.allclose(rest[model.landmarks_68], front.shape_mean[front.keypoints], atol=1e-6)
    from bfm.sources.embedded import load_embedded_model

    # The sheet has the embedded head's own shape, so the landmarks should come back to within its mesh width.
    own = load_embedded_model().landmark_mean
    shift = licensed[1]["points"].mean(0)
    skin = np.linalg.norm((rest + shift - own)[:468], axis=1)
    assert np.median(skin) < 0.03
    assert skin.max() < 0.12
    assert model.vertices(np.zeros(80), np.zeros((2, 64))).shape == (2, len(front.shape_mean), 3)


def test_broken_files_are_named(licensed, tmp_path):
    folder, _ = licensed
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)

    def replaced(name: str, content: bytes) -> None:
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).write_bytes(content)

    whole = (folder / "Exp_Pca.bin").read_bytes()
    replaced("Exp_Pca.bin", whole[:-400])
    with pytest.raises(FaceModelError, match=r"Exp_Pca\.bin.*truncated"):
        prepare_front(tmp_path)
    replaced("Exp_Pca.bin", whole)
    index = (folder / "BFM_front_idx.mat").read_bytes()
    (tmp_path / "BFM_front_idx.mat").unlink()
    with pytest.raises(FaceModelError, match=r"BFM_front_idx\.mat.*missing"):
        prepare_front(tmp_path)
    replaced("BFM_front_idx.mat", index[:100])
    with pytest.raises(FaceModelError, match=r"BFM_front_idx\.mat"):
        prepare_front(tmp_path)
    replaced("BFM_front_idx.mat", index)
    info = {k: v for k, v in loadmat(folder / "facemodel_info.mat").items() if not k.startswith("__")}
    (tmp_path / "facemodel_info.mat").unlink()
    savemat(tmp_path / "facemodel_info.mat", info | {"keypoints": info["keypoints"][:, :60]})
    with pytest.raises(FaceModelError, match=r"keypoints.*\(1, 68\).*\(1, 60\)"):
        prepare_front(tmp_path)
    savemat(tmp_path / "facemodel_info.mat", info | {"tri": info["tri"] + 5})
    with pytest.raises(FaceModelError, match=r"tri.*indices from 1 to"):
        prepare_front(tmp_path)


def test_values_that_are_no_numbers_are_named(licensed, tmp_path):
    front = prepare_front(licensed[0])
    write_front(front, tmp_path / "front.mat")
    arrays = {k: v for k, v in loadmat(tmp_path / "front.mat").items() if not k.startswith("__")}
    arrays["idBase"][3, 3] = np.nan
    savemat(tmp_path / "front.mat", arrays)
    with pytest.raises(FaceModelError, match=r"idBase.*1 values"):
        read_front(tmp_path / "front.mat")
