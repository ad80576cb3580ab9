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

from blender_addon.keyframes import kept_samples, keyframe_table, keyframe_tables, unbroken_quaternions
from blender_addon.protocol.errors import InputError
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations
from blender_addon.rig.bones import find_bones, jaw_rotation, turned_into
from blender_addon.rig.mapping import match_rows, match_shapes, report, shape_key
from blender_addon.rig.mapping_files import load_preset, preset_names, save_preset

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


CHARACTER_CREATOR = (
    "Brow_Drop_L", "Brow_Raise_Inner_L", "Brow_Raise_Inner_R", "Brow_Raise_Outer_R", "Eye_Blink_L", "Eye_L_Look_L",
    "Eye_R_Look_L", "Eye_L_Look_Up", "Cheek_Raise_R", "Cheek_Puff_L", "Cheek_Puff_R", "Jaw_Open", "Jaw_L",
    "Mouth_Smile_R", "Mouth_Funnel_Up_L", "Mouth_Funnel_Down_R", "Mouth_Pucker_Up_L", "Mouth_Roll_In_Lower_L",
    "Mouth_Up_Upper_R", "Mouth_Down_Lower_L", "Nose_Sneer_L",
)  # fmt: skip


def test_character_creators_names():
    sources = match_shapes(ARKIT_NAMES, CHARACTER_CREATOR).sources
    assert not match_shapes(ARKIT_NAMES, CHARACTER_CREATOR).unmatched_shapes
    assert sources["Eye_L_Look_L"] == {"eyeLookOutLeft": 1.0} and sources["Eye_R_Look_L"] == {"eyeLookInRight": 1.0}
    assert sources["Mouth_Funnel_Up_L"] == sources["Mouth_Funnel_Down_R"] == {"mouthFunnel": 1.0}
    assert sources["Brow_Raise_Outer_R"] == {"browOuterUpRight": 1.0} and sources["Jaw_L"] == {"jawLeft": 1.0}


def test_metahumans_names():
    shapes = [f"CTRL_expressions_{name}" for name in ("jawOpen", "eyeBlinkL", "mouthCornerPullR", "mouthLipsPurseDR",
              "eyeLookLeftL", "eyeLookLeftR", "browRaiseInL", "noseWrinkleR", "jawFwd", "mouthStretchL")]  # fmt: skip
    match = match_shapes(ARKIT_NAMES, shapes)
    assert not match.unmatched_shapes
    curves = [next(iter(match.sources[shape])) for shape in shapes]
    assert curves == ["jawOpen", "eyeBlinkLeft", "mouthSmileRight", "mouthPucker", "eyeLookOutLeft", "eyeLookInRight",
                      "browInnerUp", "noseSneerRight", "jawForward", "mouthStretchLeft"]  # fmt: skip


def test_makehumans_names_and_ovr_visemes():
    match = match_shapes(
        ARKIT_NAMES, ["mouth_open", "brow_mid_up_left", "cheek_balloon_right", "mouth_corner_up_right"]
    )
    assert not match.unmatched_shapes and match.sources["mouth_corner_up_right"] == {"mouthSmileRight": 1.0}
    ovr = match_shapes(ARKIT_NAMES, ["viseme_sil", "viseme_PP", "viseme_FF", "viseme_aa", "viseme_O"])
    assert set(ovr.sources) == {"viseme_PP", "viseme_FF", "viseme_aa", "viseme_O"}


def test_an_own_name_comes_before_an_alias():
    match = match_shapes(ARKIT_NAMES, ["mouthSmileLeft", "mouthCornerPullL"])
    assert set(match.sources) == {"mouthSmileLeft"}, "nothing moves twice"


def test_a_table_gives_gain_and_offset():
    rows = [("Open", "jawOpen", 1.5, 0.1), ("Open", "mouthClose", -0.5, 0.0), ("Gone", "jawLeft", 1.0, 0.0)]
    rows += [("Free", "", 1.0, 0.0)]
    match = match_rows(ARKIT_NAMES, ["Open", "Free"], rows)
    weights = np.zeros((2, 52), np.float32)
    weights[1, ARKIT_NAMES.index("jawOpen")] = 1.0
    assert np.allclose(match.shape_weights(ARKIT_NAMES, weights)["Open"], [0.1, 1.6])
    assert match.n_matched_curves == 2 and match.unmatched_shapes == ("Free",) and match.is_edited


def test_the_report_says_what_is_missing_and_why_nothing_matches():
    some = match_shapes(ARKIT_NAMES, [name for name in ARKIT_NAMES if name not in ("cheekPuff", "tongueOut")])
    assert report(some, 52) == "50 of 52 matched; missing: cheekPuff, tongueOut"
    assert "'Key 1', 'Bulge'" in report(match_shapes(ARKIT_NAMES, ["Key 1", "Bulge"]), 52)
    assert "no shape keys" in report(match_shapes(ARKIT_NAMES, []), 52)


def test_mapping_presets_come_back(tmp_path):
    rows = [("Öffnen", "jawOpen", 1.5, -0.1)]
    save_preset(tmp_path / "mappings", "My Rig / 2", rows)
    assert preset_names(tmp_path / "mappings") == ["My Rig _ 2"]
    assert load_preset(tmp_path / "mappings", "My Rig _ 2") == rows
    (tmp_path / "mappings" / "bad.json").write_text('{"format": "emorig-mapping", "rows": [{"shape": 1}]}')
    for name in ("bad", "nowhere"):
        with pytest.raises(InputError, match="save it again"):
            load_preset(tmp_path / "mappings", name)
    with pytest.raises(InputError, match="empty"):
        save_preset(tmp_path, "none", [])


@pytest.mark.parametrize(
    ("others", "head", "jaw", "left_eye", "right_eye"),
    [
        (("spine", "eye.L"), "head", "jaw_master", "master_eye.L", "master_eye.R"),
        ((), "CC_Base_Head", "CC_Base_JawRoot", "CC_Base_L_Eye", "CC_Base_R_Eye"),
        ((), "mixamorig:Head", "", "mixamorig:LeftEye", "mixamorig:RightEye"),
        (("J_Bip_C_Neck",), "J_Bip_C_Head", "", "J_Adj_L_FaceEye", "J_Adj_R_FaceEye"),
        (("Bone", "Bone.001"), "", "", "", ""),
    ],
)
def test_bones_of_rigs_are_found(others, head, jaw, left_eye, right_eye):
    wanted = {"head": head, "jaw": jaw, "left_eye": left_eye, "right_eye": right_eye}
    wanted = {part: bone for part, bone in wanted.items() if bone}
    assert find_bones((*others, *wanted.values())) == wanted


def test_the_jaw_opens_about_its_own_axis():
    weights = np.zeros((3, 52), np.float32)
    weights[1, ARKIT_NAMES.index("jawOpen")] = 1.0
    weights[2, ARKIT_NAMES.index("jawLeft")] = 1.0
    rest = rest_rotations(3)
    turns = jaw_rotation(AnimationCurves(ARKIT_NAMES, weights, 25.0, rest, rest, rest), 0.4)
    assert np.allclose(turns[0], [1, 0, 0, 0]) and np.allclose(turns[1], [np.cos(0.2), np.sin(0.2), 0, 0])
    assert turns[2, 2] > 0 and np.allclose(np.linalg.norm(turns, axis=1), 1)
    rest_bone = np.array([0.5, 0.5, 0.5, 0.5])
    back = turned_into(rest_bone * (1, -1, -1, -1), turned_into(rest_bone, turns, local=True), local=True)
    assert np.allclose(back, turns)


def test_long_curves_are_thinned_quickly_and_within_the_bound():
    time = np.arange(5000) / 25.0
    columns = np.stack([0.5 + 0.5 * np.sin(time * speed) for speed in (0.5, 3.0, 9.0)], axis=1).astype(np.float32)
    columns[2000:3000] = 0.0
    frames = np.arange(5000) + 1.0
    for table, column in zip(keyframe_tables(frames, columns, 0.004), columns.T, strict=True):
        assert np.abs(np.interp(frames, table[:, 0], table[:, 1]) - column).max() <= 0.004 + 1e-6
        assert len(table) < 4200 and table[-1, 0] == 5000
