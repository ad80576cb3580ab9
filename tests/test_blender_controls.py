"""A face made of bones: what the curves do to Rigify's controls. Without Blender."""

from __future__ import annotations

import numpy as np
import pytest

from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations
from blender_addon.rig.controls import control_moves, has_controls

# Heads of bones, metres: +X left, +Z up, -Y out of the face.
PLACES = {
    "lips.L": (0.025, -0.09, 1.50), "lips.R": (-0.025, -0.09, 1.50), "lip.T": (0.0, -0.10, 1.51),
    "lip.B": (0.0, -0.10, 1.49), "jaw_master": (0.0, -0.01, 1.52), "brow.T.L": (0.05, -0.08, 1.60),
    "brow.T.L.003": (0.01, -0.09, 1.60), "brow.T.R": (-0.05, -0.08, 1.60), "brow.T.R.003": (-0.01, -0.09, 1.60),
    "lid.T.L.002": (0.03, -0.08, 1.575), "lid.B.L.002": (0.03, -0.08, 1.560), "lid.T.R.002": (-0.03, -0.08, 1.575),
    "lid.B.R.002": (-0.03, -0.08, 1.560), "spine": (0.0, 0.0, 1.0),
}  # fmt: skip
LEFT, OUT, UP = 0, 1, 2


def moves(**weights: float) -> dict[str, np.ndarray]:
    """The moves (3,) of the controls for weights of curves."""
    table = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    for name, weight in weights.items():
        table[0, ARKIT_NAMES.index(name)] = weight
    rest = rest_rotations(1)
    curves = AnimationCurves(ARKIT_NAMES, table, 25.0, rest, rest, rest)
    return {bone: way[0] for bone, way in control_moves(PLACES, curves, jaw="jaw_master", jaw_angle=0.35).items()}


def test_only_controls_are_moved_and_nothing_at_rest():
    still = moves()
    assert set(still) == set(PLACES) - {"jaw_master", "spine"}
    assert all(np.abs(way).max() == 0.0 for way in still.values())


def test_a_rig_without_a_mouth_of_bones_is_left_alone():
    rest = rest_rotations(1)
    curves = AnimationCurves(ARKIT_NAMES, np.ones((1, 52), np.float32), 25.0, rest, rest, rest)
    without = {name: place for name, place in PLACES.items() if name != "lip.T"}
    assert control_moves(without, curves) == {} and not has_controls(without)


def test_a_smile_raises_and_widens_its_own_side():
    way = moves(mouthSmileLeft=1.0)
    assert way["lips.L"][UP] > 0.004 and way["lips.L"][LEFT] > 0.002 and np.abs(way["lips.R"]).max() == 0.0
    assert moves(mouthFrownRight=1.0)["lips.R"][UP] < -0.004


def test_rounding_narrows_and_pushes_out():
    for name in ("mouthPucker", "mouthFunnel"):
        way = moves(**{name: 1.0})
        assert way["lips.L"][LEFT] < -0.004 < 0.004 < way["lips.R"][LEFT]
        assert way["lip.T"][OUT] < 0 > way["lip.B"][OUT]
    funnel = moves(mouthFunnel=1.0)
    assert funnel["lip.T"][UP] > 0 > funnel["lip.B"][UP]


def test_lips_closed_over_an_open_jaw_meet():
    """The lower lip rises and the upper falls by what the jaw takes between them."""
    way = moves(jawOpen=1.0, mouthClose=1.0)
    drop = 0.35 * np.linalg.norm(np.subtract(PLACES["lip.B"], PLACES["jaw_master"]))
    assert way["lip.B"][UP] - way["lip.T"][UP] == pytest.approx(drop, rel=1e-6)
    assert np.abs(moves(mouthClose=1.0)["lip.B"]).max() == 0.0


def test_a_blink_brings_the_lids_together():
    way = moves(eyeBlinkLeft=1.0, eyeWideLeft=1.0)
    upper, lower = (np.add(PLACES[name], way[name]) for name in ("lid.T.L.002", "lid.B.L.002"))
    assert np.allclose(upper, lower, atol=1e-9) and np.abs(way["lid.T.R.002"]).max() == 0.0
    assert moves(eyeWideRight=1.0)["lid.T.R.002"][UP] > 0 < moves(eyeSquintRight=1.0)["lid.B.R.002"][UP]


def test_brows_rise_inside_outside_and_fall():
    inner, outer = moves(browInnerUp=1.0), moves(browOuterUpLeft=1.0)
    assert inner["brow.T.L.003"][UP] > 0.005 and inner["brow.T.L"][UP] == 0.0 and inner["brow.T.R.003"][UP] > 0.005
    assert outer["brow.T.L"][UP] > 0.005 and outer["brow.T.L.003"][UP] == 0.0 and outer["brow.T.R"][UP] == 0.0
    down = moves(browDownLeft=1.0)
    assert down["brow.T.L.003"][UP] < 0 and down["brow.T.L.003"][LEFT] < 0


def test_the_mouth_goes_sideways_as_a_whole():
    way = moves(mouthLeft=1.0)
    assert len({round(float(way[name][LEFT]), 6) for name in ("lips.L", "lips.R", "lip.T", "lip.B")}) == 1
    assert way["lip.T"][LEFT] > 0 and np.allclose(moves(mouthRight=1.0)["lip.T"], -way["lip.T"])
