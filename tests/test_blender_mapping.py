"""Shape names of rigs in circulation find their curves, and thinned keyframes keep their bound. Without Blender."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender_addon.keyframes import kept_samples, keyframe_table, unbroken_quaternions
from blender_addon.protocol.types import ARKIT_NAMES
from blender_addon.rig.mapping import match_shapes, shape_key

ADDON = Path(__file__).resolve().parents[1] / "blender_addon"


def underscored(name: str) -> str:
    return re.sub(r"Left$", "_L", re.sub(r"Right$", "_R", name))


SPELLINGS = {
    "arkit": lambda name: name,
    "apple": underscored,
    "pascal": lambda name: name[0].upper() + name[1:],
    "lower": str.lower,
    "maya": lambda name: f"blendShape1.{underscored(name)}",
    "namespace": lambda name: f"Character:face|blendShape.{name}",
    "snake": lambda name: re.sub(r"([A-Z])", r"_\1", name).lower(),
    "dotted sides": lambda name: re.sub(r"Left$", ".L", re.sub(r"Right$", ".R", name)),
    "duplicate": lambda name: f"{name}.001",
    "prefixed": lambda name: f"ARKit_{name}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_matches_every_curve(spelling):
    shapes = [SPELLINGS[spelling](name) for name in ARKIT_NAMES]
    match = match_shapes(ARKIT_NAMES, shapes)
    assert match.sources == {shape: {name: 1.0} for shape, name in zip(shapes, ARKIT_NAMES, strict=True)}
    assert not match.unmatched_curves and not match.unmatched_shapes


def test_keys_of_different_curves_differ():
    assert len({shape_key(name) for name in ARKIT_NAMES}) == len(ARKIT_NAMES)


def test_what_does_not_match_is_reported():
    match = match_shapes(ARKIT_NAMES, ["jawOpen", "hairWind", "mouth_pucker"])
    assert match.unmatched_shapes == ("hairWind",)
    assert set(match.unmatched_curves) == set(ARKIT_NAMES) - {"jawOpen", "mouthPucker"}
    assert match_shapes(ARKIT_NAMES, ["Key 1", "Bulge"]).sources == {}


def test_split_and_joined_shapes():
    split = match_shapes(ARKIT_NAMES, ["browInnerUp_L", "browInnerUp_R", "mouthSmile"])
    assert split.sources["browInnerUp_L"] == split.sources["browInnerUp_R"] == {"browInnerUp": 1.0}
    assert split.sources["mouthSmile"] == {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
    whole = match_shapes(ARKIT_NAMES, ["browInnerUp", "browInnerUpLeft", "mouthSmile", "mouthSmileLeft"])
    assert set(whole.sources) == {"browInnerUp", "mouthSmileLeft"}, "nothing moves twice"


def test_vrm_expressions_stand_in_only_where_nothing_else_matches():
    names = ["Fcl_MTH_A", "Fcl_EYE_Close_L", "Fcl_HA_Hide"]
    match = match_shapes(ARKIT_NAMES, names)
    assert set(match.sources) == {"Fcl_MTH_A", "Fcl_EYE_Close_L"} and match.unmatched_shapes == ("Fcl_HA_Hide",)
    assert set(match_shapes(ARKIT_NAMES, [*names, "jawOpen"]).sources) == {"jawOpen"}
    weights = np.zeros((3, 52), np.float32)
    weights[1, ARKIT_NAMES.index("jawOpen")] = 1.0
    weights[2, ARKIT_NAMES.index("eyeBlinkLeft")] = 0.5
    driven = match.shape_weights(ARKIT_NAMES, weights)
    assert driven["Fcl_MTH_A"].tolist() == [0.0, 1.0, 0.0] and driven["Fcl_EYE_Close_L"].tolist() == [0.0, 0.0, 0.5]


@pytest.mark.shared
def test_a_head_of_another_maker_matches(shared):
    names = [str(name) for name in np.load(shared / "ict_facekit" / "ict_facekit.npz")["expression_names"]]
    assert match_shapes(ARKIT_NAMES, names).unmatched_curves == ("tongueOut",)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=80), st.floats(0.001, 0.3))
def test_thinned_keyframes_keep_the_bound(values, tolerance):
    values = np.array(values, np.float32)
    frames = np.arange(len(values)) + 7.0
    table = keyframe_table(frames, values, tolerance)
    drawn = np.interp(frames, table[:, 0], table[:, 1])
    assert np.abs(drawn - values).max() <= tolerance + 1e-6
    assert table[0, 0] == frames[0] and table[-1, 0] == frames[-1]


def test_a_straight_line_needs_two_keyframes():
    assert kept_samples(np.linspace(0, 1, 100), 1e-6).tolist() == [0, 99]


def test_quaternions_do_not_jump():
    turn = np.linspace(0, 4 * np.pi, 50)
    rotation = np.stack([np.cos(turn / 2), np.sin(turn / 2), 0 * turn, 0 * turn], axis=1)
    rotation[::3] *= -1
    unbroken = unbroken_quaternions(rotation)
    assert np.abs(np.diff(unbroken, axis=0)).max() < 0.2
    assert np.allclose(np.abs((unbroken * rotation).sum(1)), 1)


def test_the_addon_imports_without_blender():
    code = "import blender_addon, blender_addon.session, blender_addon.curves_file, blender_addon.rig.mapping"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ADDON.parent)


def test_the_addon_uses_relative_imports_alone():
    for path in ADDON.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            assert not any(name.split(".")[0] == "blender_addon" for name in names), path
