"""EAMM's networks, their smoothing and their sound windows give what the published code gives, with made-up weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published_reference import case, network

from backend.audio.mfcc import eamm_windows, mfcc
from backend.models.coordinates import coordinate_grid, gaussian_maps
from backend.models.eamm.emotion import positional_encoding
from backend.models.eamm.generator import warped
from backend.models.eamm.keypoints import Keypoints
from backend.models.relative_motion import hull_scale, relative_jacobians, relative_positions
from backend.neural.eamm_motion import eamm_poses, with_emotion
from backend.neural.one_euro import one_euro

pytestmark = pytest.mark.shared


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def test_mfcc_and_windows():
    given = case("eamm_mfcc")
    sound = given.inputs["speech_16k"]
    given.check("mfcc_13", mfcc(np.pad(sound, 1920)))
    given.check("windows_28x12", eamm_windows(sound))


@pytest.mark.parametrize(
    "name, file", [("single", "single_1x7"), ("long60", "long_60x7"), ("long20_pingpong", "long_60x7")]
)
def test_poses_are_stretched_and_smoothed(name, file):
    given = case("eamm_mfcc")
    rows = given.inputs[f"pose_{file}"]
    rows = rows[:20] if name.startswith("long20") else rows
    given.check(f"pose_fed_{name}", eamm_poses(rows, 49))


def test_key_point_maths():
    given = case("eamm_keypoint_math")
    value, jacobian = given["kp_value_sequence"], given["kp_jacobian_sequence"]
    given.check("oneeuro_kp_mincutoff0.05_beta8_x10", one_euro(value * 10, cutoff=0.05, beta=8.0) / 10)
    given.check("oneeuro_emo_mincutoff1_beta0.2_x100", one_euro(value * 100, cutoff=1.0, beta=0.2) / 100)
    source, its_jacobian = given["kp_source_value"], given["kp_source_jacobian"]
    given.check("normalize_absolute_value", value[7])
    given.check("normalize_absolute_jacobian", jacobian[7])
    given.check("normalize_relative_value", relative_positions(source, value[7], value[0]))
    given.check("normalize_relative_jacobian", relative_jacobians(its_jacobian, jacobian[7], jacobian[0]))
    scale = hull_scale(source[0], value[0, 0])
    given.check("normalize_relative_adapt_value", relative_positions(source, value[7], value[0], scale=scale))
    given.check("normalize_relative_adapt_jacobian", relative_jacobians(its_jacobian, jacobian[7], jacobian[0]))
    given.check("kp2gaussian_16x16", gaussian_maps(value[0], (16, 16)))
    given.check("coordinate_grid_3x4", coordinate_grid((3, 4), value))
    numbers = value.numpy().astype(np.float64)
    given.check("oneeuro_pose_numpy64", one_euro(torch.from_numpy(numbers), cutoff=0.004, beta=0.7))


def test_key_point_detector():
    given = case("eamm_kp_detector")
    net = network("eamm.keypoints")
    features = net.features(given["image"])
    given.check("heatmap_image1", net.reader.heatmaps(features)[1:])
    points = net.reader(features)
    given.check("value", points.value)
    given.check("jacobian", points.jacobian)


def test_key_points_off_a_feature_map():
    given = case("eamm_kp_detector_a")
    net = network("eamm.audio_keypoints")
    given.check("heatmap_item0", net.heatmaps(given["feature_map"])[:1])
    points = net(given["feature_map"])
    given.check("value", points.value)
    given.check("jacobian", points.jacobian)


def test_audio_features():
    given = case("eamm_at_net2")
    maps = network("eamm.audio_features")(given["example_image"], given["mfcc_windows"], given["pose"])
    flat = maps.flatten(2)
    given.check("deco_out_mean_std_per_frame", torch.stack([flat.mean(-1), flat.std(-1)], dim=-1))
    given.check("deco_out_frame7_stride2", maps[:, 7:8, :, ::2, ::2])
    given.check("deco_out_stride8", maps[..., ::8, ::8])


def test_emotion_displacement():
    given = case("eamm_emotion")
    net = network("eamm.emotion")
    feature = net.feature(given["frame"])
    given.check("feature", feature)
    given.check("emotion_logits", net.emotion_logits(feature))
    packed = torch.cat([given["value"], given["jacobian"].flatten(2)], dim=-1)
    given.check("positional_encoding", positional_encoding(packed))
    moved = net(feature, Keypoints(given["value"], given["jacobian"]))
    given.check("e_value", moved.value)
    given.check("e_jacobian", moved.jacobian)


def test_generator():
    given = case("eamm_generator")
    net = network("eamm.generator")
    source, driving = (Keypoints(given[f"kp_{w}_value"], given[f"kp_{w}_jacobian"]) for w in ("source", "driving"))
    features = net.encode(given["source_image"])
    motion = net.motion(features.small, source, driving)
    given.check("occlusion_map", motion.occlusion)
    given.check("mask_stride2", motion.mask[..., ::2, ::2])
    given.check("deformation_stride2", motion.deformation[:, ::2, ::2])
    given.check("sparse_deformed_image1_stride4", motion.moved[1:, ..., ::4, ::4])
    given.check("deformed_image1_stride2", warped(features.image, motion.deformation)[1:, :, ::2, ::2])
    image = net.decode(features, motion)
    given.check("prediction_image0_stride4", image[:1, :, ::4, ::4])
    given.check("prediction_image1", image[1:])


def test_animation():
    given = case("eamm_animation")
    names = ("keypoints", "audio_features", "audio_keypoints", "emotion", "generator")
    detector, sound, reader, emotion, generator = (network(f"eamm.{name}") for name in names)
    image = given["source_image"]
    source = detector(image)
    given.check("kp_source_value", source.value)
    given.check("kp_source_jacobian", source.jacobian)
    raw = reader(sound(image, given["mfcc_windows"], given["pose"])[0])
    given.check("audio_kp_raw_value", raw.value[:, None])
    given.check("audio_kp_raw_jacobian", raw.jacobian[:, None])
    feature = emotion.feature(given["transformed_frames_uint8_HWC"].permute(0, 3, 1, 2) / 255)
    given.check("emotion_features", feature[:, None])
    displacement = emotion(feature, raw)
    given.check("emotion_raw_value", displacement.value[:, None])
    given.check("emotion_raw_jacobian", displacement.jacobian[:, None])
    neutral, felt = with_emotion(raw, None), with_emotion(raw, displacement)
    for name, points in (("neutral_kp_smoothed", neutral), ("emotion_kp_combined", felt)):
        given.check(f"{name}_value", points.value[:, None])
        given.check(f"{name}_jacobian", points.jacobian[:, None])
    scale = hull_scale(source.value[0], raw.value[0])
    relative = Keypoints(
        relative_positions(source.value, felt.value, raw.value[:1], scale=scale),
        relative_jacobians(source.jacobian, felt.jacobian, raw.jacobian[:1]),
    )
    given.check("relative_adapt_kp_value", relative.value[:, None])
    given.check("relative_adapt_kp_jacobian", relative.jacobian[:, None])
    features = generator.encode(image)

    def rendered(points: Keypoints) -> np.ndarray:
        repeated = Keypoints(source.value.expand_as(points.value), source.jacobian.expand_as(points.jacobian))
        return generator(features, repeated, points).permute(0, 2, 3, 1).numpy()

    given.check("neutral_prediction_stride2", rendered(neutral)[:, ::2, ::2])
    images = rendered(felt)
    given.check("emotion_prediction_frame3", images[3])
    given.check("emotion_prediction_frames012_stride2", images[:3, ::2, ::2])
    given.check("relative_adapt_prediction_frame2_stride2", rendered(relative[2:3])[0, ::2, ::2])
