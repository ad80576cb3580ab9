"""The embedded head: shapes, units, symmetry, contacts, and what every channel must and must not do."""

import cv2
import numpy as np
import pytest

from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.contact import LIP_PAIRS, gaps
from bfm.errors import FaceModelError
from bfm.landmarks import LEFT_IRIS, LOWER_LIP_RINGS, UPPER_LIP_RINGS
from bfm.rasterize import rasterize
from bfm.sources import embedded
from bfm.sources.building.anthropometry import FACE_SPREAD, HEAD_BREADTH, HEAD_LENGTH, N_MODES
from bfm.sources.embedded import load_embedded_model

MM = 100.0


@pytest.fixture(scope="module")
def model():
    return load_embedded_model()


def pose(**weights):
    """Expression (1, 64) sd of channel weights by name."""
    expression = np.zeros((1, 64), np.float32)
    for name, weight in weights.items():
        expression[0, CHANNEL_INDEX[name]] = weight * FULL_ACTIVATION_SD
    return expression


def landmarks(model, identity=None, **weights):
    return model.landmark_positions(np.zeros(80) if identity is None else identity, pose(**weights))[0] * MM


def random_faces(n, *, active=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n, 64)) * (rng.random((n, 64)) < active) * FULL_ACTIVATION_SD).astype(np.float32)


def width(points):
    return np.linalg.norm(points[61] - points[291])


def test_sizes_are_a_heads(model):
    points = landmarks(model)
    assert 60 < np.linalg.norm(points[468] - points[473]) < 66
    size = np.ptp(model.mean, axis=0) * MM
    assert 140 < size[0] < 185 and 240 < size[1] < 330 and 180 < size[2] < 240
    assert model.mean[:, 1].max() * MM > 90


def test_mesh_is_whole_and_faces_out(model):
    assert model.quads.min() >= 0 and model.quads.max() < model.n_vertices
    assert np.isfinite(model.mean).all() and (model.uv >= 0).all() and (model.uv <= 1).all()
    corners = model.mean[model.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    names = np.array(model.region_names)[model.regions[model.triangles[:, 0]]]
    outward = ((corners.mean(1) - model.mean.mean(0)) * normals).sum(1)
    assert (outward[names == "scalp"] > 0).all() and (normals[names == "iris", 2] > -1e-9).all()
    front = (names == "skin") & (np.abs(corners[:, 0, 0]) < 0.5) & (corners[:, :, 1].min(1) > 0.1)
    assert (normals[front & (corners[:, 0, 2] > 0), 2] > 0).mean() > 0.98


def test_has_every_part(model):
    assert {"skin", "lips", "sclera", "iris", "pupil", "teeth", "gums", "tongue", "ear", "mouth"} <= set(
        model.region_names
    )


def test_head_is_mirror_symmetric(model):
    mirrored = model.mean[model.twins] * [-1, 1, 1]
    assert np.abs(mirrored - model.mean).max() * MM < 0.5


def test_paired_channels_mirror_each_other(model):
    for name in EXPRESSION_CHANNELS:
        if name.endswith("Left"):
            left = model.landmark_expression[CHANNEL_INDEX[name]]
            right = model.landmark_expression[CHANNEL_INDEX[name[:-4] + "Right"]]
            points = model.landmark_mean
            twin = np.linalg.norm(points[None] * [-1, 1, 1] - points[:, None], axis=-1).argmin(1)
            difference = np.linalg.norm(left[twin] * [-1, 1, 1] - right, axis=1)
            assert np.median(difference) * MM < 0.02, name
            assert abs(np.linalg.norm(left) - np.linalg.norm(right)) < 0.02 * np.linalg.norm(left), name


def test_every_channel_moves_something(model):
    travel = np.linalg.norm(model.expression_basis, axis=2).max(1) * MM * FULL_ACTIVATION_SD
    assert all(travel[CHANNEL_INDEX[name]] > 0.8 for name in EXPRESSION_CHANNELS), travel.round(1)


def test_lids_meet_at_a_blink_whatever_else_happens(model):
    faces = random_faces(100)
    faces[:, [CHANNEL_INDEX["eyeBlinkLeft"], CHANNEL_INDEX["eyeBlinkRight"]]] = FULL_ACTIVATION_SD
    for identity in (np.zeros(80), np.random.default_rng(3).normal(size=80)):
        lids = gaps(model.landmark_positions(identity, faces))[:, :14]
        assert np.abs(lids).max() * MM < 0.05


def test_half_a_blink_closes_half_the_eye(model):
    identity = np.random.default_rng(4).normal(size=80)
    opened = gaps(landmarks(model, identity))[:14, 1]
    half = gaps(landmarks(model, identity, eyeBlinkLeft=0.5, eyeBlinkRight=0.5))[:14, 1]
    assert np.allclose(half / opened, 0.5, atol=0.02)


def test_closed_lids_lie_on_the_eyeball(model):
    points = landmarks(model, eyeBlinkLeft=1.0)
    distance = np.linalg.norm(points[[386, 374, 385, 380, 387, 373]] - model.eyeballs[1] * MM, axis=1)
    assert (distance > 12.0).all() and (distance < 14.5).all()


def test_lips_seal_where_mouth_close_reaches_jaw_open(model):
    faces = random_faces(100)
    jaw = np.maximum(faces[:, CHANNEL_INDEX["jawOpen"]], 0.1)
    faces[:, CHANNEL_INDEX["jawOpen"]] = faces[:, CHANNEL_INDEX["mouthClose"]] = jaw
    lips = gaps(model.landmark_positions(np.random.default_rng(5).normal(size=80), faces))[:, LIP_PAIRS]
    assert np.abs(lips).max() * MM < 0.05


def test_lips_never_cross(model):
    for identity in (np.zeros(80), np.random.default_rng(6).normal(size=80)):
        lips = gaps(model.landmark_positions(identity, random_faces(400, seed=1)))[:, LIP_PAIRS, 1]
        assert lips.min() * MM > -0.5


def test_the_skin_never_tears_or_turns_inside_out(model):
    names = np.array(model.region_names)[model.regions]
    quads = model.quads[np.isin(names[model.quads], ("skin", "scalp", "neck", "lips")).all(1)]
    edges = np.unique(np.sort(np.concatenate([quads[:, [i, (i + 1) % 4]] for i in range(4)]), axis=1), axis=0)
    rest, *posed = model.vertices(np.zeros(80), np.concatenate([np.zeros((1, 64), np.float32), random_faces(20)])) * MM
    corners = quads[:, :3]
    facing = np.cross(rest[corners[:, 1]] - rest[corners[:, 0]], rest[corners[:, 2]] - rest[corners[:, 0]])
    for points in posed:
        longer = np.linalg.norm(np.diff(points[edges], axis=1), axis=2) - np.linalg.norm(
            np.diff(rest[edges], axis=1), axis=2
        )
        assert longer.max() < 8.0
        turned = np.cross(points[corners[:, 1]] - points[corners[:, 0]], points[corners[:, 2]] - points[corners[:, 0]])
        # Deep folds at the corners of the mouth may roll over.
        assert ((facing * turned).sum(1) < 0).mean() < 0.03


def test_teeth_and_gums_stay_behind_the_lips(model):
    names = np.array(model.region_names)[model.regions[model.triangles[:, 0]]]
    inside = np.isin(names, ("teeth", "gums", "tongue"))
    side = 240  # pixels across 90 mm
    for name in EXPRESSION_CHANNELS:
        if name.startswith("tongue"):
            continue
        vertices = model.vertices(np.zeros(80), pose(**{name: 1.0}))[0] * MM
        points = model.landmark_positions(np.zeros(80), pose(**{name: 1.0}))[0] * MM

        def on_picture(places):
            return (places[..., :2] - (0.0, -75.0)) * [1.0, -1.0] * side / 90.0 + side / 2

        seen = np.column_stack([on_picture(vertices), -vertices[:, 2]])
        triangle = rasterize(seen, model.triangles, height=side, width=side).triangle
        shown = (triangle >= 0) & inside[triangle]
        rim = UPPER_LIP_RINGS[3] + LOWER_LIP_RINGS[3][::-1]
        mouth = np.zeros((side, side), np.uint8)
        outline = np.round(on_picture(points[list(rim)])).astype(np.int32)
        cv2.fillPoly(mouth, [outline], 1)
        cv2.polylines(mouth, [outline], True, 1, thickness=9)
        astray = shown & (mouth == 0)
        assert astray.sum() == 0, (name, int(astray.sum()))


def test_quads_do_not_degenerate(model):
    corners = model.mean[model.quads] * MM
    names = np.array(model.region_names)[model.regions[model.quads[:, 0]]]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
    face = (names == "skin") & (corners[:, :, 2].min(1) > -30.0)
    assert np.percentile(area[face], 1) > 0.03
    assert np.median(area[face]) < 6.0


def test_mouth_close_alone_does_nothing(model):
    assert np.abs(landmarks(model, mouthClose=1.0) - landmarks(model)).max() < 1e-4


def test_mouth_width(model):
    rest = width(landmarks(model))
    assert width(landmarks(model, mouthSmileLeft=1, mouthSmileRight=1)) > rest + 8
    assert width(landmarks(model, mouthStretchLeft=1, mouthStretchRight=1)) > rest + 8
    assert width(landmarks(model, mouthPucker=1)) < rest - 10
    assert width(landmarks(model, mouthFunnel=1)) < rest - 5
    assert rest - 4 < width(landmarks(model, jawOpen=1)) < rest + 4


def test_jaw_carries_chin_and_lower_lip(model):
    moved = landmarks(model, jawOpen=1) - landmarks(model)
    assert moved[14, 1] < -22 and moved[152, 1] < -15 and abs(moved[13, 1]) < 2
    assert np.abs(moved[[1, 4, 168, 10, 33, 263, 105, 334]]).max() < 0.5
    lower = np.linalg.norm(moved[[172, 397]], axis=1)
    assert (lower > 2).all()


def test_smile_lifts_corner_and_cheek(model):
    moved = landmarks(model, mouthSmileLeft=1) - landmarks(model)
    assert moved[291, 0] > 5 and moved[291, 1] > 5 and moved[280, 1] > 1.5
    assert np.linalg.norm(moved[61]) < 1.5


def test_brows(model):
    rest = landmarks(model)
    assert (landmarks(model, browInnerUp=1) - rest)[[107, 336], 1].min() > 4
    assert (landmarks(model, browOuterUpLeft=1) - rest)[300, 1] > 3
    assert (landmarks(model, browDownLeft=1) - rest)[334, 1] < -2.5
    together = landmarks(model, browFurrow=1)
    assert rest[285, 0] - rest[55, 0] - (together[285, 0] - together[55, 0]) > 3


def test_gaze_turns_the_iris_about_the_eyeball(model):
    center = model.eyeballs[1] * MM
    for name, axis, sign in (("Up", 1, 1), ("Down", 1, -1), ("In", 0, -1), ("Out", 0, 1)):
        rest, moved = landmarks(model), landmarks(model, **{f"eyeLook{name}Left": 1})
        assert sign * (moved - rest)[LEFT_IRIS[0], axis] > 3, name
        before, after = (np.linalg.norm(p[list(LEFT_IRIS)] - center, axis=1) for p in (rest, moved))
        assert np.abs(before - after).max() < 0.05


def test_landmarks_are_the_vertices(model):
    rng = np.random.default_rng(7)
    identity, faces = rng.normal(size=80), random_faces(3)
    corners = model.vertices(identity, faces)[:, model.landmark_triangles]
    sampled = np.einsum("fnkc,nk->fnc", corners, model.landmark_barycentric)
    assert np.abs(sampled - model.landmark_positions(identity, faces)).max() * MM < 0.02


def test_teeth_belong_to_their_bones(model):
    teeth = np.array(model.region_names)[model.regions] == "teeth"
    moved = (model.vertices(np.zeros(80), pose(jawOpen=1))[0] - model.mean)[teeth] * MM
    travel = np.linalg.norm(moved, axis=1)
    assert 0.3 < (travel < 0.01).mean() < 0.7 and travel.max() > 15


def test_identity_is_ordered_and_expression_free(model):
    identity = model.landmark_identity.reshape(80, -1)
    size = np.linalg.norm(identity, axis=1)
    assert size[:-N_MODES].argmax() == 0
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp", "mouthFunnel"):
        motion = model.landmark_expression[CHANNEL_INDEX[name]].ravel()
        alike = np.abs(identity @ motion / np.maximum(size, 1e-6) / np.linalg.norm(motion))
        # A long chin resembles an open jaw and a small mouth a rounded one, whatever is done about it.
        assert alike[:-N_MODES].max() < 0.5 and alike.max() < 0.7, name


def test_faces_differ_as_surveys_say(model):
    identity = np.random.default_rng(8).normal(size=(2000, 80))
    points = (model.landmark_mean + np.tensordot(identity, model.landmark_identity, 1)) * MM
    for name, ((first, second), published) in FACE_SPREAD.items():
        spread = np.linalg.norm(points[:, first] - points[:, second], axis=1).std()
        assert 0.88 * published < spread < 1.12 * published, name
    apart = np.linalg.norm(points[:, 468] - points[:, 473], axis=1)
    assert 2.6 < apart.std() < 4.2  # Dodgson 2004: 3.6 mm


def test_heads_differ_as_surveys_say(model):
    names = np.array(model.region_names)[model.regions]
    skull = np.flatnonzero(np.isin(names, ("skin", "scalp")))
    rest = model.mean[skull]
    ends = {"length": (9, skull[rest[:, 2].argmin()]), "breadth": skull[[rest[:, 0].argmin(), rest[:, 0].argmax()]]}
    for name, (_, published) in (("length", HEAD_LENGTH), ("breadth", HEAD_BREADTH)):
        first, second = ends[name]
        along = model.mean[first] - model.mean[second]
        slopes = (model.identity_basis[:, first] - model.identity_basis[:, second]) @ along / np.linalg.norm(along)
        assert 0.7 * published < np.linalg.norm(slopes) * MM < 1.4 * published, name


def test_strange_faces_still_shut_their_mouths(model):
    rng = np.random.default_rng(10)
    for _ in range(20):
        lips = gaps(model.landmark_positions(rng.normal(size=80) * 1.5, np.zeros((1, 64))))[:, LIP_PAIRS, 1]
        assert np.abs(lips).max() * MM < 0.3


def test_albedo_is_colour(model):
    for seed in range(3):
        albedo = model.albedo(np.random.default_rng(seed).normal(size=80))
        assert albedo.min() >= 0 and albedo.max() <= 1
    names = np.array(model.region_names)[model.regions]
    assert model.texture_mean[names == "sclera"].mean() > 3 * model.texture_mean[names == "pupil"].mean()


def test_bad_input_is_refused(model):
    with pytest.raises(FaceModelError, match=r"\(80,\)"):
        model.landmark_positions(np.zeros(79), np.zeros((1, 64)))
    with pytest.raises(FaceModelError, match="64"):
        model.vertices(np.zeros(80), np.zeros((1, 63)))
    with pytest.raises(FaceModelError, match=r"\(80,\)"):
        model.albedo(np.zeros(3))


def test_missing_file_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "EMBEDDED_FILE", tmp_path / "embedded.npz")
    with pytest.raises(FaceModelError, match=r"python -m bfm\.sources\.building"):
        embedded.load_embedded_model.__wrapped__()
