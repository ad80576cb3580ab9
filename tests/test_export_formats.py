"""Every format read back: the same channels, rate and rotations; a head that looks to its left; refusals."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace

import numpy as np
import pytest
from curve_samples import looking_left, performance_curves

from backend.errors import InputError
from backend.export.formats import FORMATS, detect, format_for, read_curves, write_curves
from backend.export.options import ExportOptions
from backend.export.validation import report_on
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

# Format → suffix, and how far a weight and a quaternion component may stray.
SUFFIXES = {"godot3": ".tres", "vrma-arkit": ".vrma", "a2f": ".json", "csv": ".csv", "coefficients": ".csv",
            "coefficients-npz": ".npz"}  # fmt: skip
EXACT, THINNED = (1e-6, 1e-5), (2e-3, 2e-3)
ROUND_TRIPS = {
    "emorig": EXACT, "live-link": EXACT, "glb": EXACT, "usd": EXACT, "fbx": (1e-6, 1e-4), "unity": THINNED,
    "godot": THINNED, "godot3": THINNED, "vrma-arkit": EXACT, "a2f": EXACT, "csv": EXACT, "parquet": EXACT,
    "npz": EXACT, "coefficients": (1e-5, 1e-4), "coefficients-npz": (1e-5, 1e-4),
}  # fmt: skip
NO_HEAD = {"a2f"}


@pytest.fixture(scope="module")
def curves():
    return performance_curves()


def written(curves, folder, name, **options):
    item = FORMATS[name]
    path = folder / f"Shot_1_Head{item.suffixes[0] if item.suffixes else SUFFIXES.get(name, '.csv')}"
    write_curves(curves, path, name=name, options=ExportOptions(**options))
    return path


def distance(ours, theirs):
    """Largest component difference of quaternions, whose sign does not matter."""
    return np.minimum(np.abs(ours - theirs).max(1), np.abs(ours + theirs).max(1)).max()


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_file_reads_back_as_what_was_written(curves, tmp_path, name):
    path = written(curves, tmp_path, name)
    back, found = read_curves(path, name="godot" if name == "godot3" else None)
    assert found in (name, name.removesuffix("-arkit"), name.removesuffix("3"))
    assert back.frame_rate == pytest.approx(30.0, rel=1e-6) and back.n_frames == curves.n_frames
    assert set(back.names) == set(ARKIT_NAMES)
    weight_error, turn_error = ROUND_TRIPS[name]
    order = [back.names.index(channel) for channel in curves.names]
    assert np.abs(back.weights[:, order] - curves.weights).max() <= weight_error
    if name not in NO_HEAD:
        assert distance(back.head_rotation, curves.head_rotation) <= turn_error
        # Coefficients and VRM know one gaze; here both eyes look the same way only roughly.
        if name != "vrma-arkit":
            assert distance(back.left_eye, curves.left_eye) <= turn_error
            assert distance(back.right_eye, curves.right_eye) <= turn_error


@pytest.mark.parametrize("rate", [24.0, 30000 / 1001, 60.0])
@pytest.mark.parametrize("name", ["live-link", "glb", "usd", "fbx", "unity", "godot", "csv", "vrma-arkit"])
def test_the_frame_rate_survives(tmp_path, name, rate):
    path = written(performance_curves(30, rate), tmp_path, name)
    back, _ = read_curves(path)
    assert back.frame_rate == pytest.approx(rate, rel=1e-4) and back.n_frames == 30


@pytest.mark.parametrize("name", ["unity", "godot", "godot3"])
def test_thinned_keys_stay_within_their_tolerance(curves, tmp_path, name):
    for tolerance in (0.0, 0.002, 0.02):
        path = written(curves, tmp_path, name, tolerance=tolerance)
        back, _ = read_curves(path)
        order = [back.names.index(channel) for channel in curves.names]
        assert np.abs(back.weights[:, order] - curves.weights).max() <= tolerance + 1e-5


# ---- signs: the head looks to its left and down, the eyes to their left ----


def test_live_link_yaw_is_positive_to_the_left_and_pitch_positive_down(tmp_path):
    path = written(looking_left(), tmp_path, "live-link")
    header, row = (line.split(",") for line in path.read_text().splitlines()[:2])
    value = dict(zip(header, row))
    # Yaw, then pitch, then roll: the angles that a rotator composes.
    from backend.curves.convert import quaternions
    from backend.export.angles import LIVE_LINK

    pitch, yaw, _ = LIVE_LINK.angles(quaternions(np.radians([[10.0, 20.0, 0.0]])))[0]
    assert float(value["HeadYaw"]) == pytest.approx(yaw, abs=1e-6) and yaw > 0.3
    assert float(value["HeadPitch"]) == pytest.approx(pitch, abs=1e-6) and pitch > 0.15
    assert float(value["LeftEyeYaw"]) == pytest.approx(np.radians(12), abs=1e-5)
    assert float(value["EyeLookOutLeft"]) > 0 and float(value["EyeLookInRight"]) > 0


def test_openface_yaw_is_negative_to_the_left_and_gaze_goes_right_in_the_picture(tmp_path):
    path = written(looking_left(), tmp_path, "openface")
    header, row = (line.split(",") for line in path.read_text().splitlines()[:2])
    value = {name: float(cell) for name, cell in zip(header, row)}
    assert value["pose_Ry"] < -0.3 and value["pose_Rx"] > 0.1
    assert value["gaze_0_x"] > 0.4 and value["gaze_angle_x"] > 0.4 and value["gaze_0_z"] < 0
    assert value["gaze_angle_y"] > 0.1


@pytest.mark.parametrize(("name", "sign"), [("glb", 1), ("vrma", 1), ("vrma-arkit", 1)])
def test_gltf_turns_about_plus_y_to_the_left(tmp_path, name, sign):
    data = written(looking_left(), tmp_path, name).read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    nodes = [node.get("name", "").lower() for node in document["nodes"]]
    channel = next(
        c for c in document["animations"][0]["channels"]
        if c["target"]["path"] == "rotation" and nodes[c["target"]["node"]] == "head"
    )  # fmt: skip
    accessor = document["accessors"][document["animations"][0]["samplers"][channel["sampler"]]["output"]]
    start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    x, y, _, w = struct.unpack_from("<4f", binary, start)
    assert sign * y * w > 0.1 and x * w > 0.05


def test_unity_turns_the_other_way_about_y(tmp_path):
    text = written(looking_left(), tmp_path, "unity").read_text()
    x, y, w = (
        float(re.search(rf"m_RotationCurves:.*?value: {{.*?{axis}: (\S+?)[,}}]", text, re.DOTALL)[1]) for axis in "xyw"
    )
    assert y * w < -0.1 and x * w > 0.05
    assert "attribute: blendShape.eyeLookOutLeft" in text and "path: Head/Face" in text


@pytest.mark.parametrize("name", ["godot", "godot3"])
def test_godot_turns_as_gltf_does(tmp_path, name):
    text = written(looking_left(), tmp_path, name).read_text()
    if name == "godot":
        keys = re.search(r'type = "rotation_3d".*?PackedFloat32Array\(([^)]*)\)', text, re.DOTALL)[1].split(",")
        assert float(keys[3]) * float(keys[5]) > 0.1
    else:
        angles = re.search(r'Head:rotation_degrees"\).*?Vector3\(([^)]*)\)', text, re.DOTALL)[1].split(",")
        assert float(angles[1]) == pytest.approx(20, abs=1.5) and float(angles[0]) > 8


def test_fbx_turns_about_plus_y_to_the_left(tmp_path):
    data = written(looking_left(), tmp_path, "fbx").read_bytes()
    # The head's curve node is the first that turns; its curves follow it in the order X, Y, Z.
    turned = data.index(b"AnimCurveNode", data.index(b"R\x00\x01AnimCurveNode"))
    defaults = []
    for _ in range(3):
        turned = data.index(b"\x07Default", turned) + 8
        assert data[turned : turned + 1] == b"D"
        defaults.append(struct.unpack_from("<d", data, turned + 1)[0])
    assert defaults[0] > 8 and defaults[1] == pytest.approx(20, abs=0.5)


def test_usd_turns_about_plus_y_to_the_left(tmp_path):
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.Open(str(written(looking_left(), tmp_path, "usd")))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/Head/Skeleton/Animation"))
    head = animation.GetRotationsAttr().Get(3)[0]
    assert head.GetReal() * head.GetImaginary()[1] > 0.1 and head.GetReal() * head.GetImaginary()[0] > 0.05


# ---- refusals ----


def test_unknown_suffixes_and_formats_are_refused(tmp_path):
    for call in (lambda: format_for(tmp_path / "a.xyz"), lambda: format_for(tmp_path / "a.json", "nothing")):
        with pytest.raises(InputError, match="use one of"):
            call()
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(InputError, match="Cannot tell"):
        detect(tmp_path / "a.xyz")
    with pytest.raises(InputError, match="no file"):
        read_curves(tmp_path / "missing.json")
    with pytest.raises(InputError, match="Cannot read"):
        read_curves(tmp_path / "a.xyz", name="nothing")


@pytest.mark.parametrize("name", [name for name, item in FORMATS.items() if item.writer])
def test_empty_curves_are_refused_by_every_format(tmp_path, name):
    none = np.zeros((0, 52), np.float32)
    empty = AnimationCurves(ARKIT_NAMES, none, 30.0, rest_rotations(0), rest_rotations(0), rest_rotations(0))
    with pytest.raises(InputError, match="empty"):
        write_curves(empty, tmp_path / "a", name=name, options=ExportOptions())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "channel"), [("unity", "a: b"), ("godot", "a/b"), ("csv", "a,b"), ("glb", 'a"b')])
def test_names_that_an_engine_forbids_are_refused(curves, tmp_path, name, channel):
    renamed = replace(curves, names=(channel, *curves.names[1:]), coefficients=None)
    with pytest.raises(InputError, match="rename it"):
        write_curves(renamed, tmp_path / "a", name=name, options=ExportOptions())


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("a.glb", b"glTF\x02\x00\x00\x00", "glTF"),
        ("a.gltf", b'{"asset": {"version": "2.0"}}', "animates no named targets"),
        ("a.usda", b"not usd", "USD"),
        ("a.usda", b"#usda 1.0\n", "no SkelAnimation"),
        ("a.fbx", b"; FBX 7.4.0 project file", "no binary FBX"),
        ("a.fbx", b"Kaydara FBX Binary  \x00\x1a\x00\xe8\x1c\x00\x00\xff\xff\x00\x00" + b"\x01" * 40, "damaged FBX"),
        ("a.anim", b"%YAML 1.1\n", "no Unity AnimationClip"),
        ("a.tres", b"[gd_scene]", "no Godot Animation"),
        ("a.vrma", b'{"asset": {"version": "2.0"}}', "no VRM animation"),
        ("a.json", b'{"weightMat": [[1, 2]], "facsNames": ["jawOpen"]}', "names 1 shapes"),
        ("a.json", b'{"weightMat": 3}', "Audio2Face"),
        ("a.npz", b"PK", "npz"),
        ("a.parquet", b"PAR1", "Parquet"),
        ("a.csv", b"time,jawOpen\n0,0.1\n0,0.2\n", "rise"),
        ("a.csv", b"time,jawOpen\n-1,0.1\n0,0.2\n", "start at 0"),
        ("a.csv", b"time,jawOpen\n0,nan\n", "not a finite number"),
        ("a.csv", b"time,jawOpen\n", "no frames"),
        ("a.csv", b"time,jawOpen\n0,x\n", "no number"),
        ("a.csv", b"time,jawOpen,jawOpen\n0,1,1\n", "differ"),
        ("a.csv", b"frame,timestamp,AU01_r\n1,0.0,1.0,7\n", "no numbers"),
        ("a.csv", b"frame,AU01_r\n1,1.0\n", "timestamp"),
    ],
)
def test_broken_files_are_refused_in_one_sentence(tmp_path, file, content, says):
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as refusal:
        read_curves(path)
    assert "\n" not in str(refusal.value)


def test_the_report_names_what_an_engine_would_trip_over(tmp_path):
    curves = looking_left()
    weights = np.zeros((8, 2), np.float32)
    weights[4:, 0] = 1.0
    weights[:, 1] = 0.3
    odd = replace(curves, names=("mouthClose", "jawOpen"), weights=weights)
    warnings = " ".join(report_on(written(odd, tmp_path, "npz")).warnings)
    assert "exceeds jawOpen" in warnings and "missing" in warnings and "jumps" in warnings
    facts = dict(report_on(written(curves, tmp_path, "live-link")).facts)
    assert facts["header"].startswith("byte for byte") and facts["timecode"].startswith("00:00:00:00.000")
    assert not report_on(written(performance_curves(), tmp_path, "live-link")).warnings


def test_the_report_says_what_each_format_leaves_to_know(curves, tmp_path):
    usd = dict(report_on(written(curves, tmp_path, "usd")).facts)
    assert usd["stage"] == "Y up, 1 m per unit" and usd["time codes"] == "0 to 59, 30 per second"
    assert usd["order"] == "ARKit's" and "finite" in usd["range"]
    assert dict(report_on(written(curves, tmp_path, "live-link")).facts)["order"].startswith(
        "another than ARKit's: jawR"
    )
    vrm = report_on(written(curves, tmp_path, "vrma"))
    assert not vrm.warnings and "VRM 1.0's presets" in dict(vrm.facts)["expressions"]
    assert "24 is assumed" in dict(report_on(written(curves, tmp_path, "moho")).facts)["rate"]


@pytest.mark.parametrize("tolerance", [0.0005, 0.02])
def test_smooth_keys_never_leave_the_range_of_a_shape(tmp_path, tolerance):
    """Lively channels that rest at 0 and at 1: a cubic that swings past either end is overdrive in an engine."""
    curves = performance_curves(120)
    lively = replace(curves, weights=np.clip(3 * curves.weights - 0.8, 0, 1), layers={}, coefficients=None)
    back, _ = read_curves(written(lively, tmp_path, "unity", tolerance=tolerance))
    assert back.weights.min() > -1e-4 and back.weights.max() < 1 + 1e-4
    assert not [w for w in report_on(tmp_path / "Shot_1_Head.anim").warnings if "leave" in w]


def test_every_format_is_documented():
    from pathlib import Path

    page = (Path(__file__).resolve().parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    for name, item in FORMATS.items():
        row = re.search(rf"^\| `{name}` \|(.*)$", page, re.MULTILINE)
        assert row, name
        assert all(f"`{suffix}`" in row.group(1) for suffix in item.suffixes), name
        assert row.group(1).split("|")[2].strip() == ("yes" if item.reader else "no"), name
