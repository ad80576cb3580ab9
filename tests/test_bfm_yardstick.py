"""An independent head as a yardstick: ICT-FaceKit's neutral face and shapes at the 68 landmarks."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bfm.coefficients import ARKIT_CHANNELS, CHANNEL_INDEX
from bfm.comparison import compare
from bfm.sources.embedded import load_embedded_model
from bfm.sources.ict import load_ict

ICT = Path(__file__).resolve().parents[2] / "shared/ict_facekit/ict_facekit.npz"
needs_ict = pytest.mark.skipif(not ICT.exists(), reason="needs ../shared/ict_facekit/ict_facekit.npz")


@pytest.fixture(scope="module")
def comparison():
    return compare(load_embedded_model(), load_ict(ICT))


@pytest.mark.shared
@needs_ict
def test_neutral_face_is_near(comparison):
    assert comparison.inner <= 4.0
    assert comparison.jaw <= 14.0


@pytest.mark.shared
@needs_ict
def test_shapes_point_the_same_way(comparison):
    compared = {channel.name for channel in comparison.channels}
    assert compared >= set(ARKIT_CHANNELS) - {"tongueOut"} - {name for name in ARKIT_CHANNELS if "eyeLook" in name}
    assert comparison.mean_cosine >= 0.8
    assert comparison.worst.cosine >= 0.5, comparison.worst


def test_a_model_equals_itself_and_not_a_turned_channel():
    model = load_embedded_model()
    same = compare(model, model)
    assert same.inner < 1e-4 and same.jaw < 1e-4
    assert min(channel.cosine for channel in same.channels) > 0.9999
    assert np.allclose([channel.size for channel in same.channels], 1.0, atol=1e-4)
    assert "tongueUp" not in {channel.name for channel in same.channels}
    assert {"jawOpen", "mouthSmileLeft", "browInnerUp"} <= {channel.name for channel in same.channels}


@pytest.mark.parametrize("name", ["jawOpen", "mouthPucker"])
def test_a_reversed_channel_has_cosine_minus_one(name):
    import dataclasses

    model = load_embedded_model()
    basis = model.expression_basis.copy()
    basis[CHANNEL_INDEX[name]] *= -0.5
    turned = dataclasses.replace(model, expression_basis=basis)
    found = {channel.name: channel for channel in compare(model, turned).channels}[name]
    assert found.cosine == pytest.approx(-1.0, abs=1e-4) and found.size == pytest.approx(0.5, abs=1e-4)


def test_the_command_prints_the_table():
    from backend.__main__ import app

    printed = CliRunner().invoke(app, ["model", "compare", "embedded"])
    assert printed.exit_code == 0
    assert "inner 51" in printed.output and "jawOpen" in printed.output and "mean cosine" in printed.output
