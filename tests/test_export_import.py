"""Performances from elsewhere as curves, a user's own model, names by a map, and the verbs of the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from curve_samples import looking_left, performance_curves

from backend.curves.convert import coefficients_from_curves
from backend.errors import InputError
from backend.export.formats import read_curves, write_curves
from backend.export.gltf_document import GltfDocument, accessor_values, read_document
from backend.export.mouths import PRESTON_BLAIR, RHUBARB, mouth_cues
from backend.export.names import canonical_name, read_name_map
from backend.export.options import ExportOptions
from backend.export.verbs import CurveEdits, edit_file, export_file, import_file, validate_file
from backend.export.visemes import POSES, VISEMES, viseme_weights
from backend.export.vrma import preset_weights
from blender_addon.protocol.types import ARKIT_NAMES


@pytest.fixture(scope="module")
def curves():
    return performance_curves()


@pytest.fixture
def file(curves, tmp_path):
    path = tmp_path / "curves.json"
    write_curves(curves, path, name="emorig", options=ExportOptions())
    return path


@pytest.mark.parametrize(
    "spelling",
    ["eyeBlinkLeft", "EyeBlinkLeft", "eyeBlink_L", "blendShape1.eyeBlink_L", "Face|eye_blink_left", "eyeBlink.L"],
)  # fmt: skip
def test_spellings_of_other_programs_are_understood(spelling):
    assert canonical_name(spelling) == "eyeBlinkLeft"
    assert canonical_name("jawSlide") == "jawSlide"


def test_a_capture_becomes_curves_that_carry_no_coefficients(curves, file, tmp_path):
    export_file(file, tmp_path / "Shot_1_Ann.csv", options=ExportOptions())
    import_file(tmp_path / "Shot_1_Ann.csv", tmp_path / "back.json")
    back, _ = read_curves(tmp_path / "back.json")
    order = [back.names.index(name) for name in curves.names]
    assert np.abs(back.weights[:, order] - curves.weights).max() < 1e-6 and back.coefficients is None


def test_audio2face_of_another_rate_and_spelling_is_imported(tmp_path):
    document = {"exportFps": 24, "numPoses": 2, "numFrames": 3, "facsNames": ["JawOpen", "mouthSmile_L"],
                "weightMat": [[0, 0.5], [0.5, 0.5], [1, 0.5]]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(document))
    import_file(tmp_path / "a.json", tmp_path / "b.json", frame_rate=48.0)
    back, _ = read_curves(tmp_path / "b.json")
    assert back.names == ("jawOpen", "mouthSmileLeft") and back.frame_rate == 48.0
    assert back.column("jawOpen") == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


def test_openface_units_head_and_gaze_become_channels(tmp_path):
    header = ("frame, face_id, timestamp, confidence, success, gaze_0_x, gaze_0_y, gaze_0_z, gaze_1_x, gaze_1_y, "
              "gaze_1_z, pose_Rx, pose_Ry, pose_Rz, AU12_r, AU45_r, AU01_c")  # fmt: skip
    look = [np.sin(0.2), 0.0, -np.cos(0.2)] * 2  # to the right in the picture: the character's left
    rows = [[i + 1, 0, i / 30, 0.98, int(i != 2), *look, 0.1, 0.0, 0.0, 4.0, 5.0 * (i == 3), 1] for i in range(6)]
    rows[2][14] = 0.0  # a lost frame says nothing
    path = tmp_path / "video.csv"
    path.write_text(header + "\n" + "\n".join(", ".join(map(str, row)) for row in rows))
    back, found = read_curves(path)
    assert found == "openface" and back.n_frames == 6 and back.frame_rate == 30.0
    assert back.column("mouthSmileLeft") == pytest.approx([0.8] * 6, abs=1e-3)
    assert back.column("eyeBlinkRight")[3] == pytest.approx(1.0)
    # Pitch down, and eyes that look to their left and, against the lowered head, up.
    assert back.head_rotation[0, 1] > 0.04 and back.left_eye[0, 2] > 0.08
    assert back.column("eyeLookOutLeft")[0] > 0.3 and back.column("eyeLookInRight")[0] > 0.3
    assert back.column("eyeLookUpLeft")[0] > 0.1


def test_several_faces_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("frame,face_id,timestamp,success,AU01_r\n1,0,0.0,1,1\n1,1,0.0,1,2\n")
    with pytest.raises(InputError, match="several faces"):
        read_curves(tmp_path / "a.csv")


def test_action_units_survive_there_and_back(tmp_path):
    curves = looking_left()
    weights = curves.weights.copy()
    for name in ("mouthSmileLeft", "mouthSmileRight", "browInnerUp"):
        weights[:, ARKIT_NAMES.index(name)] = 0.6
    write_curves(replace(curves, weights=weights), tmp_path / "a.csv", name="openface", options=ExportOptions())
    back, _ = read_curves(tmp_path / "a.csv")
    for name in ("mouthSmileLeft", "browInnerUp"):
        assert back.column(name)[0] == pytest.approx(0.6, abs=0.06), name
    assert np.abs(np.abs((back.head_rotation * curves.head_rotation).sum(1)) - 1).max() < 1e-4
    assert np.abs(np.abs((back.left_eye * curves.left_eye).sum(1)) - 1).max() < 1e-4


def users_model(path, names, head_rotation):
    """A tiny model: a triangle with targets of given names and a turned head bone under a turned root."""
    document = GltfDocument()
    corner = document.accessor(np.eye(3, dtype=np.float32), bounds=True)
    target = {"POSITION": document.accessor(np.ones((3, 3), np.float32), bounds=True)}
    primitive = {"attributes": {"POSITION": corner}, "targets": [target] * len(names)}
    document.add(
        "meshes", {"primitives": [primitive], "extras": {"targetNames": names}, "weights": [0.25] * len(names)}
    )
    document.add("nodes", {"name": "Body", "mesh": 0})
    document.add("nodes", {"name": "mixamorig:Head", "rotation": head_rotation})
    document.add("nodes", {"name": "Root", "rotation": [0.5, 0.5, 0.5, 0.5], "children": [0, 1]})
    document.json["scene"] = document.add("scenes", {"nodes": [2]})
    document.write(path)


def test_a_users_own_model_takes_the_animation(tmp_path):
    from scipy.spatial.transform import Rotation

    curves = looking_left()
    rest = Rotation.from_euler("xyz", [0.3, -0.2, 0.5])
    model = tmp_path / "me.glb"
    users_model(model, ["Jaw_Open", "eyeLookOut_L", "hat"], rest.as_quat().tolist())
    write_curves(curves, tmp_path / "out.glb", name="glb", options=ExportOptions(onto=model))
    document, binary = read_document(tmp_path / "out.glb")
    animation = document["animations"][0]
    values = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        values[channel["target"]["path"]] = accessor_values(document, binary, sampler["output"])
    weights = values["weights"].reshape(-1, 3)
    assert weights[0] == pytest.approx([0.0, 0.4, 0.25], abs=1e-6)
    # Turned by the animation, the bone stands in the world as the head's rotation after its rest.
    root = Rotation.from_quat([0.5, 0.5, 0.5, 0.5])
    world = root * Rotation.from_quat(values["rotation"][0])
    expected = Rotation.from_quat(curves.head_rotation[0, [1, 2, 3, 0]]) * root * rest
    assert (world * expected.inv()).magnitude() < 1e-5


@pytest.mark.parametrize(("names", "says"), [([], "no named targets"), (["hat"], "none named as these curves")])
def test_models_that_cannot_take_it_are_refused(tmp_path, names, says):
    users_model(tmp_path / "me.glb", names, [0, 0, 0, 1])
    with pytest.raises(InputError, match=says):
        write_curves(looking_left(), tmp_path / "a.glb", name="glb", options=ExportOptions(onto=tmp_path / "me.glb"))


def test_a_map_renames_and_mixes(curves, file, tmp_path):
    (tmp_path / "map.json").write_text('{"Open": "jawOpen", "Grin": {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}}')
    export_file(file, tmp_path / "a.npz", options=ExportOptions(), name_map=tmp_path / "map.json")
    back, _ = read_curves(tmp_path / "a.npz")
    assert back.names == ("Open", "Grin")
    grin = 0.5 * (curves.column("mouthSmileLeft") + curves.column("mouthSmileRight"))
    assert np.abs(back.column("Grin") - grin).max() < 1e-6
    for text, says in (('{"a": "jawOpen", "a": "jawLeft"}', "'a' twice"), ('{"a": {"jawOpen": NaN}}', "by nan")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=says):
            read_name_map(tmp_path / "bad.json")
    for text in ("[]", "{}", '{"a": 3}', "x"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError):
            read_name_map(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text('{"a": "nose"}')
    with pytest.raises(InputError, match="nose"):
        read_name_map(tmp_path / "bad.json").apply(curves)


def test_an_edit_file_still_carries_what_renders(curves, file, tmp_path):
    edit_file(file, tmp_path / "b.json", edits=CurveEdits(gains={"mouthSmileLeft": 0.5}))
    edited, _ = read_curves(tmp_path / "b.json")
    before, after = coefficients_from_curves(curves), coefficients_from_curves(edited)
    change = after.weights - before.weights
    smile = ARKIT_NAMES.index("mouthSmileLeft")
    assert change[:, smile].min() < -0.1
    change[:, smile] = 0
    assert np.abs(change).max() < 1e-5
    edit_file(file, tmp_path / "c.json", edits=CurveEdits())
    assert (tmp_path / "c.json").read_bytes() == file.read_bytes()


def test_layers_are_taken_from_another_performance_and_moments_pinned(curves, file, tmp_path):
    other = performance_curves(30, 15.0, seed=3)
    write_curves(other, tmp_path / "other.npz", name="npz", options=ExportOptions())
    edits = CurveEdits(taken={"emotion": tmp_path / "other.npz", "head": tmp_path / "other.npz"}, pins=((1.0, 1.2),))
    mixed = edits.apply(curves)
    assert np.abs(mixed.head_rotation[0] - other.head_rotation[0]).max() < 1e-6
    assert np.abs(mixed.layers["emotion"][36] - other.layers["emotion"][15]).max() < 1e-4
    assert np.abs(mixed.layers["lips"][36] - curves.layers["lips"][30]).max() < 1e-4
    with pytest.raises(InputError, match="no layer 'nose'"):
        CurveEdits(taken={"nose": tmp_path / "other.npz"}).apply(curves)


def test_channels_are_held_between_limits(curves, file, tmp_path):
    held = CurveEdits(limits={"all": (0.1, 0.9), "jawOpen": (0.2, 0.3)}).apply(curves)
    assert held.column("jawOpen").min() >= 0.2 - 1e-6 and held.column("jawOpen").max() <= 0.3 + 1e-6
    assert held.weights.min() >= 0.1 - 1e-6 and held.weights.max() <= 0.9 + 1e-6
    with pytest.raises(InputError, match="low <= high"):
        CurveEdits(limits={"jawOpen": (0.5, 0.2)}).apply(curves)


def test_vrm_mouths_open_as_far_as_the_lips_do(curves):
    full = preset_weights(curves)
    quiet = preset_weights(CurveEdits(strengths={"lips": 0.25}).apply(curves))
    assert set(full) >= {"aa", "ih", "ou", "ee", "oh", "blinkLeft", "blinkRight", "happy"}
    loud = full["aa"] > 0.2
    assert loud.any() and (quiet["aa"][loud] < 0.8 * full["aa"][loud]).all()
    assert full["aa"][14] > max(full[other][14] for other in ("ou", "oh", "ee"))


def test_validation_says_whether_something_needs_a_look(file, tmp_path, capsys):
    assert validate_file(file) == 0
    assert "52 of ARKit's 52" in capsys.readouterr().out
    still = replace(looking_left(), weights=np.zeros((8, 52), np.float32))
    write_curves(still, tmp_path / "Shot_1_A.csv", name="live-link", options=ExportOptions())
    assert validate_file(tmp_path / "Shot_1_A.csv") == 1
    assert "Nothing moves" in capsys.readouterr().out


def test_a_failed_export_leaves_nothing(file, tmp_path):
    out = tmp_path / "new" / "a.csv"
    with pytest.raises(InputError):
        export_file(file, out, options=ExportOptions(), name="ovr", strengths={"nose": 1.0})
    with pytest.raises(InputError, match="Papagayo"):
        export_file(file, tmp_path / "new" / "a.pgo", options=ExportOptions(), frame_rate=29.97)
    assert not out.parent.exists()


# ---- mouths ----


def test_visemes_sum_to_one_and_follow_the_phones(curves):
    weights = viseme_weights(curves)
    assert np.abs(weights.sum(1) - 1).max() < 1e-5 and weights.min() >= 0
    for time, viseme in ((0.1, "sil"), (0.3, "PP"), (0.8, "FF"), (1.05, "ou"), (1.3, "nn"), (1.8, "sil")):
        assert VISEMES[weights[round(time * 30)].argmax()] == viseme
    assert VISEMES[weights[14].argmax()] == "aa" and VISEMES[weights[19].argmax()] == "ih"


def test_visemes_are_seen_in_the_mouth_without_phones():
    curves = looking_left(14)
    weights = np.zeros((14, 52), np.float32)
    for row, pose in enumerate(POSES.values()):
        for name, value in pose.items():
            weights[row, ARKIT_NAMES.index(name)] = value
    found = viseme_weights(replace(curves, weights=weights))
    named = [VISEMES[row.argmax()] for row in found]
    assert sum(name == wanted for name, wanted in zip(named, POSES)) >= 12, named
    assert viseme_weights(replace(curves, weights=np.zeros((14, 52), np.float32)))[:, 0].min() > 0.99


def test_mouth_cues_cover_the_time_without_flicker(curves):
    for plain in (curves, replace(curves, phones=())):
        cues = mouth_cues(plain, RHUBARB, tongue="H", glide="F")
        assert cues[0][0] == 0 and cues[-1][1] == pytest.approx(2.0)
        assert all(a[1] == pytest.approx(b[0]) and a[2] != b[2] for a, b in pairwise(cues))
        assert all(end - start > 0.03 for start, end, _ in cues)
    assert [mouth for _, _, mouth in mouth_cues(curves, PRESTON_BLAIR, tongue="L", glide="WQ")] == [
        "rest", "MBP", "AI", "E", "FV", "U", "L", "rest"
    ]  # fmt: skip


def test_switch_files_keep_their_formats(curves, tmp_path):
    for name, file in (("rhubarb", "a.tsv"), ("rhubarb", "a.json"), ("moho", "a.dat"), ("papagayo", "a.pgo")):
        write_curves(curves, tmp_path / file, name=name, options=ExportOptions())
    rows = [line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines()]
    assert rows[0] == ["0.00", "X"] and rows[1] == ["0.20", "A"] and rows[-1] == ["2.00", "X"]
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["metadata"]["duration"] == 2.0 and document["mouthCues"][1]["value"] == "A"
    moho = (tmp_path / "a.dat").read_text().splitlines()
    assert moho[0] == "MohoSwitch1" and moho[1] == "1 rest" and moho[2] == "7 MBP"
    papagayo = (tmp_path / "a.pgo").read_text().splitlines()
    assert papagayo[0] == "lipsync version 1" and papagayo[2:5] == ["30", "60", "1"] and "\t\t\t\t7 MBP" in papagayo
    phrase = next(line for line in papagayo if line.startswith("\t\t\tspeech1"))
    assert int(phrase.split()[-1]) == sum(line.startswith("\t\t\t\t") for line in papagayo)


@pytest.mark.parametrize(
    ("name", "file"),
    [("rhubarb", "a.tsv"), ("rhubarb", "a.json"), ("moho", "a.dat"), ("papagayo", "a.pgo"), ("ovr", "a.csv")],
)
def test_switch_files_read_back(curves, tmp_path, name, file):
    write_curves(curves, tmp_path / file, name=name, options=ExportOptions())
    back, found = read_curves(tmp_path / file)
    assert found == name
    rate = {"rhubarb": 100.0, "moho": 24.0}.get(name, 30.0)
    assert back.frame_rate == rate and np.abs(back.weights.sum(1) - 1).max() < 1e-5
    m = {"rhubarb": "A", "ovr": "PP"}.get(name, "MBP")
    assert back.column(m)[round(0.3 * (30.0 if name == "moho" else rate))] > 0.9
    assert validate_file(tmp_path / file) == 0


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("a.tsv", "0.0 X", "no Rhubarb"),
        ("a.tsv", "0.0\tX\n1.0\tQ\n", "mouth 'Q'"),
        ("a.tsv", "1.0\tX\n0.0\tA\n", "time order"),
        ("a.json", '{"mouthCues": [{}]}', "no Rhubarb"),
        ("a.dat", "1 rest\n", "MohoSwitch1"),
        ("a.dat", "MohoSwitch1\n1 rest\nx E\n", "a frame and a mouth"),
        ("a.pgo", "lipsync\n", "Papagayo"),
        ("a.csv", "time,sil,PP\n0,1,0\n", "lacks visemes"),
    ],
)
def test_broken_switch_files_are_refused(tmp_path, file, text, says):
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=says):
        read_curves(tmp_path / file)
