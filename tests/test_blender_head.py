"""The head that the add-on ships is the face model's own, as it is now."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_models import write_bfm2009

from backend.export.addon_head import ADDON_HEAD, addon_head, model_head, write_head
from backend.faces.models import import_model
from bfm.sources.embedded import load_embedded_model
from blender_addon.protocol.discovery import heads_folder
from blender_addon.protocol.types import ARKIT_NAMES


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(ADDON_HEAD, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_the_shipped_head_is_the_current_model(stored):
    fresh = addon_head()
    assert set(stored) == set(fresh)
    for name, array in fresh.items():
        same = np.array_equal if array.dtype.kind in "Ui" else lambda a, b: np.allclose(a, b, atol=1e-4)
        assert same(stored[name], array), f"{name} is out of date: run python -m backend.export.addon_head"


def test_the_shipped_head_is_a_head_in_metres(stored):
    width, height, depth = np.ptp(stored["vertices"], axis=0)
    assert 0.1 < width < 0.25 and 0.14 < height < 0.4 and 0.05 < depth < 0.3
    assert stored["faces"].min() >= 0 and stored["faces"].max() < len(stored["vertices"])
    assert tuple(stored["shape_names"]) == ARKIT_NAMES
    reach = np.abs(stored["shape_deltas"].astype(np.float32)).max(axis=(1, 2))
    moving = [name for name, most in zip(ARKIT_NAMES, reach, strict=True) if most < 5e-4]
    assert set(moving) <= {"tongueOut"}, moving
    assert reach.max() < 0.06


def test_left_shapes_move_the_characters_left(stored):
    for index, name in enumerate(ARKIT_NAMES):
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            strength = np.linalg.norm(stored["shape_deltas"][index].astype(np.float32), axis=1)
            centre = (strength * stored["vertices"][:, 0]).sum() / strength.sum()
            assert centre > 0.002, name


def test_the_head_of_a_model_is_made_as_the_projects_own(stored):
    """Of the embedded model it is the shipped head, in another order of its vertices where some are unused."""
    head = model_head(load_embedded_model())
    assert np.array_equal(head["shape_names"], stored["shape_names"]) and len(head["vertices"]) == len(
        stored["vertices"]
    )
    assert np.allclose(head["vertices"], stored["vertices"], atol=1e-5)
    assert np.allclose(head["shape_deltas"].astype(float), stored["shape_deltas"].astype(float), atol=2e-4)
    assert np.array_equal(head["faces"][head["faces"][:, 3] >= 0], stored["faces"])


def test_an_imported_model_brings_its_head(tmp_path, monkeypatch):
    """Also where its expressions have no names: the jaw's curve lowers the chin as far as the model can."""
    monkeypatch.setenv("EMORIG_MODELS", str(tmp_path / "models"))
    write_bfm2009(tmp_path)
    import_model(tmp_path, name="mine")
    (path,) = heads_folder().glob("*.npz")
    with np.load(path, allow_pickle=False) as head:
        assert path.stem == "mine" and tuple(head["shape_names"]) == ARKIT_NAMES
        faces, n_vertices = head["faces"], len(head["vertices"])
        assert np.array_equal(np.unique(faces[faces >= 0]), np.arange(n_vertices))
        assert np.isfinite(head["shape_deltas"]).all() and "further_names" not in head


def test_the_head_of_ict_has_eyes_and_teeth_and_moves(shared, tmp_path):
    from backend.faces.models import read_model

    path = write_head(read_model(shared / "ict_facekit" / "ict_facekit.npz", kind="ict"), tmp_path / "ict.npz")
    with np.load(path, allow_pickle=False) as head:
        names = np.array([str(name) for name in head["region_names"]])
        there = set(names[np.unique(head["regions"])])
        assert {"eyeballs", "teeth", "mouth_socket"} <= there and not there & {"wet", "lashes"}
        deltas = dict(zip(ARKIT_NAMES, head["shape_deltas"].astype(float)))
        assert deltas["jawOpen"][:, 1].min() < -0.008, "the chin falls by a centimetre"
        assert np.abs(deltas["eyeLookUpLeft"]).max() > 0.001
