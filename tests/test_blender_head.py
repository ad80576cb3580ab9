"""The head that the add-on ships is the face model's own, as it is now."""

from __future__ import annotations

import numpy as np
import pytest

from backend.export.addon_head import ADDON_HEAD, addon_head
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
