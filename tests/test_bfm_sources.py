"""Readers of BFM 2017/2019, ICT-FaceKit and FLAME, the stored form, and pickles that want to run code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from made_up_models import COLUMNS, face_sheet
from scipy.sparse import csc_matrix

from bfm.coefficients import EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.retarget import between_models
from bfm.sources.bfm2019 import load_bfm2019
from bfm.sources.correspondence import correspondence, registered
from bfm.sources.embedded import load_embedded_model
from bfm.sources.flame import load_flame
from bfm.sources.ict import load_ict
from bfm.sources.inert_pickle import read_pickled_arrays
from bfm.sources.stored import load_model, save_model


@pytest.fixture(scope="module")
def sheet():
    return face_sheet()


def assert_lies_on_the_face(model, offset: np.ndarray) -> None:
    """The 478 landmarks of a model made of the embedded face's sheet lie where the embedded head has them."""
    apart = np.linalg.norm(model.landmark_mean + offset - load_embedded_model().landmark_mean, axis=1)[:468]
    assert np.median(apart) < 0.04
    assert np.percentile(apart, 95) < 0.15


# BFM 2017 and 2019


def write_h5(path: Path, sheet, *, drop: str | None = None, cut: int = 0) -> None:
    h5py = pytest.importorskip("h5py")
    points, triangles, _ = sheet
    rng = np.random.default_rng(5)
    n = 3 * len(points)
    with h5py.File(path, "w") as file:
        means = {"shape": points.ravel() * 100, "color": rng.uniform(0.2, 0.8, n), "expression": np.zeros(n)}
        for kind, mean in means.items():
            file[f"{kind}/model/mean"] = np.float32(mean)
            file[f"{kind}/model/pcaBasis"] = rng.normal(size=(n - cut, 85)).astype(np.float32)
            file[f"{kind}/model/pcaVariance"] = rng.uniform(0.1, 2, 85)
        file["shape/representer/cells"] = triangles.T
        if drop:
            del file[drop]


def test_bfm2019_keeps_units_and_deviations(sheet, tmp_path):
    h5py = pytest.importorskip("h5py")
    write_h5(tmp_path / "model.h5", sheet)
    model = load_bfm2019(tmp_path / "model.h5")
    points = sheet[0]
    assert np.allclose(model.mean, points - points.mean(0), atol=1e-5)
    with h5py.File(tmp_path / "model.h5") as file:
        wanted = np.asarray(file["shape/model/pcaBasis"])[:, 3] * np.sqrt(file["shape/model/pcaVariance"][3]) / 100
    assert np.allclose(model.identity_basis[3].ravel(), wanted, atol=1e-6)
    assert (len(model.identity_basis), len(model.expression_basis), len(model.texture_basis)) == (80, 64, 80)
    assert_lies_on_the_face(model, points.mean(0))


def test_broken_h5_is_named(sheet, tmp_path):
    with pytest.raises(FaceModelError, match="missing"):
        load_bfm2019(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not a model")
    with pytest.raises(FaceModelError, match=r"text\.h5.*HDF5"):
        load_bfm2019(tmp_path / "text.h5")
    write_h5(tmp_path / "less.h5", sheet, drop="expression/model/pcaVariance")
    with pytest.raises(FaceModelError, match="expression/model/pcaVariance"):
        load_bfm2019(tmp_path / "less.h5")
    write_h5(tmp_path / "cut.h5", sheet, cut=30)
    with pytest.raises(FaceModelError, match=r"pcaBasis.*got"):
        load_bfm2019(tmp_path / "cut.h5")


# ICT-FaceKit


def write_obj(path: Path, points: np.ndarray, triangles: np.ndarray) -> None:
    lines = ["# comment", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points.tolist())]
    lines += [f"vt {x:.4f} {y:.4f}" for x, y, _ in points.tolist()]
    lines += ["f " + " ".join(f"{v + 1}/{v + 1}" for v in corners) for corners in triangles.tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


@pytest.fixture
def facekit(sheet, tmp_path) -> Path:
    """A FaceXModel folder of two identities and four expressions."""
    points, triangles, keypoints = sheet
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    rng = np.random.default_rng(2)
    write_obj(folder / "generic_neutral_mesh.obj", points * 10, triangles)
    for name in ("identity000", "identity001", "mouthSmile_L", "browInnerUp_L", "browInnerUp_R", "PupilDilate_L"):
        write_obj(
            folder / f"{name}.obj", points * 10 + rng.normal(size=(1, 3)) * np.exp(-((points / 0.4) ** 2)), triangles
        )
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": keypoints.tolist()}))
    return folder


def test_ict_folder_becomes_named_channels(facekit, sheet):
    model = load_ict(facekit)
    assert model.expression_names[:64] == EXPRESSION_CHANNELS
    assert model.expression_names[64:] == ("pupilDilateLeft",)
    assert len(model.identity_basis) == 2
    place = {name: i for i, name in enumerate(model.expression_names)}
    whole = model.expression_basis[place["browInnerUp"]]
    halves = model.expression_basis[place["browInnerUpLeft"]] + model.expression_basis[place["browInnerUpRight"]]
    assert np.abs(whole).max() > 0
    assert np.allclose(whole, halves, atol=1e-6)
    assert not model.expression_basis[place["tongueOut"]].any()
    assert_lies_on_the_face(model, np.zeros(3))


@pytest.mark.shared
def test_the_real_ict_model_is_whole_and_moves_like_the_embedded_head(shared: Path):
    model = load_ict(shared / "ict_facekit" / "ict_facekit.npz")
    assert model.identity_basis.shape == (100, 26719, 3)
    assert len(model.expression_names) == 64 + 6
    folder = load_ict(shared / "ict_facekit" / "FaceXModel")
    jaw = model.expression_names.index("jawOpen")
    assert np.abs(folder.expression_basis[jaw] - model.expression_basis[jaw]).max() < 1e-3
    weights = np.zeros((3, 64))
    for row, names in enumerate((("jawOpen",), ("mouthSmileLeft", "mouthSmileRight"), ("eyeBlinkLeft",))):
        weights[row, [EXPRESSION_CHANNELS.index(name) for name in names]] = FULL_ACTIVATION_SD
    carried = between_models(load_embedded_model(), weights, model)
    for row, name in enumerate(("jawOpen", "mouthSmileLeft", "eyeBlinkLeft")):
        assert carried.weights[row, model.expression_names.index(name)] > 0.4 * FULL_ACTIVATION_SD, name
    assert carried.error[:2].max() < 0.4
    assert carried.error[2] < 0.7  # lids are few points, and close along other paths


@pytest.mark.shared
def test_registering_without_points_finds_them(shared: Path):
    ict = np.load(shared / "ict_facekit" / "ict_facekit.npz")
    head = ict["neutral"][:11248] / np.float32(10)
    polygons = ict["polygons"][(ict["polygons"] < 11248).all(1)]
    triangles = np.concatenate([polygons[:, :3], polygons[polygons[:, 3] >= 0][:, [0, 2, 3]]])
    found = registered(head, triangles)
    model = load_embedded_model()
    places = np.einsum("nk,nkc->nc", found.landmark_barycentric, head[found.landmark_triangles])[model.landmarks_68]
    apart = np.linalg.norm(places - head[ict["landmarks_68"]], axis=1)[17:]
    assert apart.mean() < 0.045  # decimetres; brow points alone are defined 3-6 mm apart


def test_broken_ict_folders_are_named(facekit, sheet):
    with pytest.raises(FaceModelError, match="generic_neutral_mesh"):
        load_ict(facekit.parent)
    write_obj(facekit / "mouthSmile_L.obj", sheet[0][:-5] * 10, sheet[1][:3])
    with pytest.raises(FaceModelError, match=r"mouthSmile_L\.obj.*1440.*1435"):
        load_ict(facekit)
    (facekit / "mouthSmile_L.obj").write_text("v 1 2 nan\n")
    with pytest.raises(FaceModelError, match="not finite"):
        load_ict(facekit)
    (facekit / "vertex_indices.json").write_text("{}")
    with pytest.raises(FaceModelError, match="idx_to_landmark_verts"):
        load_ict(facekit)


# FLAME


def flame_arrays(sheet) -> dict[str, np.ndarray]:
    points, triangles, _ = sheet
    rng = np.random.default_rng(4)
    n = len(points)
    jaw = 1.0 / (1.0 + np.exp((points[:, 1] + 0.45) / 0.05))
    weights = np.zeros((n, 5))
    weights[:, 2], weights[:, 0] = jaw, 1 - jaw
    regressor = np.zeros((5, n))
    middle = n // 2
    regressor[:, [middle, middle + COLUMNS - 1]] = 0.5  # both edges, behind the face
    return {
        "v_template": points / 10.0, "shapedirs": rng.normal(size=(n, 3, 30)) * 1e-3, "f": triangles.astype(np.uint32),
        "weights": weights, "J_regressor": regressor, "posedirs": np.zeros((n, 3, 36)),
    }  # fmt: skip


def embedding(sheet) -> dict[str, np.ndarray]:
    _, triangles, keypoints = sheet
    faces = [int(np.flatnonzero((triangles == vertex).any(1))[0]) for vertex in keypoints[17:]]
    weights = [np.float64(triangles[face] == vertex) for face, vertex in zip(faces, keypoints[17:], strict=True)]
    return {"lmk_face_idx": np.array(faces), "lmk_b_coords": np.array(weights)}


def test_flame_npz_turns_joints_into_channels(sheet, tmp_path):
    arrays = flame_arrays(sheet)
    np.savez(tmp_path / "flame.npz", **arrays)
    np.savez(tmp_path / "landmark_embedding.npz", **embedding(sheet))
    model = load_flame(tmp_path / "flame.npz")
    jaw = model.expression_basis[model.expression_names.index("jawOpen")] * FULL_ACTIVATION_SD
    brow, chin = 0, len(sheet[0]) - COLUMNS // 2  # in the first row, and amid the last
    assert jaw[chin, 1] < -0.05
    assert np.abs(jaw[brow]).max() < 1e-6
    assert_lies_on_the_face(model, sheet[0].mean(0))


class Chumpy:
    """Stands for a class that pickles as chumpy's arrays do."""


Chumpy.__module__, Chumpy.__qualname__, Chumpy.__name__ = "chumpy.ch", "Ch", "Ch"


def pickled(mapping: object) -> bytes:
    """A pickle whose chumpy objects name a module that is not here."""
    import sys
    import types

    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = Chumpy
    sys.modules |= {"chumpy": package, "chumpy.ch": module}
    try:
        return pickle.dumps(mapping, protocol=2)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


def test_flame_pickle_with_chumpy_and_sparse_arrays_reads_the_same(sheet, tmp_path):
    arrays = flame_arrays(sheet)
    np.savez(tmp_path / "flame.npz", **arrays)
    wrapped = Chumpy()
    wrapped.__dict__["x"] = arrays["v_template"]
    content = arrays | {"v_template": wrapped, "J_regressor": csc_matrix(arrays["J_regressor"]), "bs_type": "lrotmin"}
    (tmp_path / "flame.pkl").write_bytes(pickled(content))
    read = read_pickled_arrays(tmp_path / "flame.pkl")
    for name, array in arrays.items():
        assert np.allclose(read[name], array), name
    one, other = load_flame(tmp_path / "flame.npz"), load_flame(tmp_path / "flame.pkl")
    assert np.array_equal(one.expression_basis, other.expression_basis)


class Malicious:
    """A pickle of this writes a file when it is loaded by the ordinary unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return (exec, (f"open({self.target!r}, 'w').write('ran')",))


@pytest.mark.parametrize("place", ["whole", "inside", "dtype"])
def test_a_pickle_that_wants_to_run_code_is_refused(sheet, tmp_path, place):
    target = tmp_path / "ran.txt"
    evil = Malicious(target)
    content = {"whole": evil, "inside": flame_arrays(sheet) | {"extra": evil}}.get(place)
    if place == "dtype":
        content = {"v_template": np.array([evil], object)}
    (tmp_path / "flame.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(FaceModelError, match="refused"):
        load_flame(tmp_path / "flame.pkl")
    assert not target.exists()


def test_broken_flame_files_are_named(sheet, tmp_path):
    arrays = flame_arrays(sheet)
    whole = pickled(arrays)
    (tmp_path / "cut.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FaceModelError, match=r"cut\.pkl"):
        load_flame(tmp_path / "cut.pkl")
    np.savez(tmp_path / "less.npz", **{k: v for k, v in arrays.items() if k != "posedirs"})
    with pytest.raises(FaceModelError, match="posedirs"):
        load_flame(tmp_path / "less.npz")
    np.savez(tmp_path / "wrong.npz", **(arrays | {"weights": arrays["weights"][:, :4]}))
    with pytest.raises(FaceModelError, match=r"weights.*\(1440, 5\).*\(1440, 4\)"):
        load_flame(tmp_path / "wrong.npz")


# The stored form


def test_a_model_is_stored_and_read_alike(sheet, tmp_path):
    np.savez(tmp_path / "flame.npz", **flame_arrays(sheet))
    model = load_flame(tmp_path / "flame.npz")
    save_model(model, tmp_path / "stored.npz")
    again = load_model(tmp_path / "stored.npz")
    assert again.expression_names == model.expression_names
    assert again.name == model.name
    for name in ("mean", "identity_basis", "expression_basis", "triangles", "landmark_mean", "pivot"):
        assert np.array_equal(getattr(again, name), getattr(model, name)), name
    assert not list(tmp_path.glob("*.part"))
    whole = (tmp_path / "stored.npz").read_bytes()
    (tmp_path / "stored.npz").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(FaceModelError, match=r"stored\.npz"):
        load_model(tmp_path / "stored.npz")


def test_points_that_form_no_face_are_refused(sheet):
    with pytest.raises(FaceModelError, match="one plane"):
        correspondence(sheet[0], sheet[1], np.zeros(68, int))
    with pytest.raises(FaceModelError, match="mm apart"):
        registered(sheet[0] * 8, sheet[1])
