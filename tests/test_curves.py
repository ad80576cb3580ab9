"""Coefficients become a rig's curves and come back; files read back bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from backend.curves.convert import (
    arkit_weights,
    coefficients_from_curves,
    curves_from_performance,
    quaternions,
)
from backend.errors import InputError
from backend.export.emorig_json import curves_from_json, curves_to_json, load_curves
from backend.inference.performance import Performance
from backend.pipeline import make_coefficients
from bfm.camera import rotation_matrix
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS
from blender_addon.protocol.layers import EYE_YAW_RANGE, eye_rotations
from blender_addon.protocol.types import Phone


@pytest.fixture(scope="module")
def curves():
    random = np.random.default_rng(4)
    layers = {
        "lips": random.random((30, 64), np.float32) * 0.5,
        "emotion": random.random((30, 64), np.float32) * 0.3,
    }
    turn = random.normal(0, 0.1, (30, 3)).astype(np.float32)
    performance = Performance(layers, turn, np.zeros((30, 3), np.float32), 25.0)
    coefficients = make_coefficients(performance, None)
    return curves_from_performance(performance, coefficients, (Phone(0.0, 0.1, "p"),))


def test_a_curve_file_reads_back_bit_for_bit(curves, tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(curves_to_json(curves), encoding="utf-8")
    back = load_curves(path)
    assert back.names == curves.names and back.phones == curves.phones and back.frame_rate == curves.frame_rate
    for name in ("weights", "head_rotation", "left_eye", "right_eye"):
        assert np.allclose(getattr(back, name), getattr(curves, name), atol=1e-7)
    assert np.array_equal(back.weights, curves.weights)
    assert np.array_equal(back.coefficients["expression"], curves.coefficients["expression"])
    assert set(back.layers) == {"lips", "emotion"}


def test_unedited_curves_give_exactly_their_coefficients(curves):
    back = coefficients_from_curves(curves_from_json(curves_to_json(curves)))
    assert np.array_equal(back.expression, curves.coefficients["expression"])
    assert np.array_equal(back.rotation, curves.coefficients["rotation"])


def test_an_edit_changes_only_what_was_edited(curves):
    weights = curves.weights.copy()
    jaw = CHANNEL_INDEX["jawOpen"]
    weights[10:20, jaw] += 0.25
    before, after = coefficients_from_curves(curves), coefficients_from_curves(replace(curves, weights=weights))
    change = after.weights - before.weights
    assert np.allclose(change[10:20, jaw], 0.25, atol=1e-5)
    change[10:20, jaw] = 0
    assert np.abs(change).max() < 1e-6


def test_an_edited_head_turns_the_face(curves):
    angles = np.tile(np.array([0.05, 0.2, -0.1], np.float32), (30, 1))
    after = coefficients_from_curves(replace(curves, head_rotation=quaternions(angles)))
    base = curves.coefficients["rotation"] - curves.coefficients["head_rotation"]
    assert np.allclose(after.rotation - base, angles, atol=1e-4)


def test_curves_without_coefficients_or_of_another_length_are_refused(curves):
    with pytest.raises(InputError, match="carry no face coefficients"):
        coefficients_from_curves(replace(curves, coefficients=None))
    short = {**curves.coefficients, "expression": curves.coefficients["expression"][:5]}
    with pytest.raises(InputError):
        coefficients_from_curves(replace(curves, coefficients=short))


def test_arkit_weights_keep_arkit_and_show_the_further_channels():
    one = np.eye(64, dtype=np.float32)
    mixed = arkit_weights(one, clip=False)
    assert np.array_equal(mixed[:52], np.eye(52, dtype=np.float32))
    seen = {"lipTighten", "lipsPart", "lowerLipToTeeth", "browFurrow", "browInnerUpLeft", "browInnerUpRight"}
    for name in seen:
        assert mixed[EXPRESSION_CHANNELS.index(name)].max() > 0.1, name
    assert arkit_weights(one * 2).max() <= 1


def test_lips_close_no_further_than_the_jaw_opens():
    weights = np.zeros((1, 64), np.float32)
    weights[0, CHANNEL_INDEX["mouthClose"]], weights[0, CHANNEL_INDEX["jawOpen"]] = 0.6, 0.2
    assert arkit_weights(weights)[0, CHANNEL_INDEX["mouthClose"]] == pytest.approx(0.2)


def test_both_eyes_turn_to_the_characters_left():
    weights = np.zeros((1, 52), np.float32)
    weights[0, CHANNEL_INDEX["eyeLookOutLeft"]] = weights[0, CHANNEL_INDEX["eyeLookInRight"]] = 1.0
    left, right = eye_rotations(weights)
    wanted = [np.cos(EYE_YAW_RANGE / 2), 0, np.sin(EYE_YAW_RANGE / 2), 0]
    assert np.allclose(left, wanted, atol=1e-6) and np.allclose(right, wanted, atol=1e-6)


def test_quaternions_turn_as_the_face_model_does():
    from scipy.spatial.transform import Rotation

    angles = np.random.default_rng(0).normal(0, 0.4, (20, 3))
    turned = Rotation.from_quat(quaternions(angles)[:, [1, 2, 3, 0]]).as_matrix()
    assert np.allclose(turned, rotation_matrix(angles), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(format="other"), "format"),
        (lambda d: d.update(version=99), "version"),
        (lambda d: d.pop("weights"), "incomplete"),
        (lambda d: d.update(weights=[[1]]), "shape"),
        (lambda d: d.update(frame_rate=0), "frame rate"),
        (lambda d: d.update(phones=[1]), "misshapen"),
    ],
)
def test_broken_curve_files_are_refused_in_one_sentence(curves, change, says):
    document = json.loads(curves_to_json(curves))
    change(document)
    with pytest.raises(InputError, match=says):
        curves_from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{"])
def test_other_files_are_no_curves(text):
    with pytest.raises(InputError):
        curves_from_json(text)
