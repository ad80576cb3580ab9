"""Tracking: fitted sequences, closures, gaze, action units, real clips, emotion videos, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from backend.errors import InputError
from bfm.camera import camera_for_image, project
from bfm.closures import lid_openings, lip_opening, with_joint_gaze
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.facs import au_weights
from bfm.sequence import fit_sequence
from bfm.sources.embedded import load_embedded_model

HEIGHT, WIDTH, RATE = 480, 640, 25.0


@pytest.fixture(scope="module")
def model():
    return load_embedded_model()


def filmed(model, weights: np.ndarray, *, jitter: float = 0.0) -> np.ndarray:
    """Landmarks (n_frames, 478, 3) px that a camera sees of channel weights on somebody's turning head."""
    rng = np.random.default_rng(7)
    n_frames = len(weights)
    identity = np.clip(rng.normal(size=80), -1.5, 1.5)
    times = np.arange(n_frames) / RATE
    rotation = np.stack([0.08 * np.sin(times), 0.15 * np.sin(0.7 * times), 0.05 * np.cos(times)], axis=1)
    shift = np.tile([0.1, -0.1, 0.0], (n_frames, 1))
    points = model.landmark_positions(identity, weights * FULL_ACTIVATION_SD)
    seen = project(points, rotation, shift, camera_for_image(HEIGHT, WIDTH))
    scale = camera_for_image(HEIGHT, WIDTH).focal / 10.0
    seen[..., 2] = (seen[..., 2] - seen[..., 2].mean(1, keepdims=True)) * scale
    return seen + rng.normal(size=seen.shape) * jitter


def talking(n_frames: int) -> np.ndarray:
    """Weights (n_frames, 64): jaw and smile moving, two closures of an open jaw, one blink, a glance."""
    times = np.arange(n_frames) / RATE
    weights = np.zeros((n_frames, 64))

    def channel(name: str) -> np.ndarray:
        return weights[:, CHANNEL_INDEX[name]]

    channel("jawOpen")[:] = 0.2 + 0.12 * np.sin(2 * np.pi * 2.0 * times)
    channel("mouthLowerDownLeft")[:] = channel("mouthLowerDownRight")[:] = 0.15
    for at in (20, 45):
        channel("mouthClose")[at - 1 : at + 2] = channel("jawOpen")[at - 1 : at + 2]
    channel("mouthSmileLeft")[:] = channel("mouthSmileRight")[:] = 0.3 + 0.2 * np.sin(times)
    for side in ("Left", "Right"):
        channel(f"eyeBlink{side}")[30:34] = [0.5, 1.0, 1.0, 0.4]
    channel("eyeLookOutLeft")[36:] = channel("eyeLookInRight")[36:] = 0.5
    return weights


@pytest.fixture(scope="module")
def fitted(model):
    weights = talking(60)
    return weights, fit_sequence(model, filmed(model, weights, jitter=0.15), image_height=HEIGHT, image_width=WIDTH)


def test_a_filmed_face_is_found_again(model, fitted):
    weights, fit = fitted
    assert fit.residual.mean() < 0.012
    times = np.arange(60) / RATE
    turned = fit.rotation[:, 1] - fit.rotation[:, 1].mean()
    assert np.abs(turned - (0.15 * np.sin(0.7 * times) - (0.15 * np.sin(0.7 * times)).mean())).max() < 0.03
    found = model.landmark_positions(fit.identity, fit.expression)
    meant = lip_opening(model.landmark_positions(np.zeros(80), weights * FULL_ACTIVATION_SD))
    assert np.corrcoef(lip_opening(found), meant)[0, 1] > 0.98


def test_closures_and_blinks_are_kept(model, fitted):
    _, fit = fitted
    found = model.landmark_positions(fit.identity, fit.expression)
    opening = lip_opening(found)
    assert opening[[20, 45]].max() < 0.12 * np.median(opening)
    lids = lid_openings(found)
    assert lids[31:33].max() < 0.15 * np.median(lids)
    blinks = fit.expression[:, CHANNEL_INDEX["eyeBlinkLeft"]] / FULL_ACTIVATION_SD
    assert blinks[31:33].min() > 0.85
    assert np.delete(blinks, np.arange(29, 36)).max() < 0.3


def test_the_glance_is_seen_and_shared_by_both_eyes(fitted):
    _, fit = fitted
    weights = fit.expression / FULL_ACTIVATION_SD
    left, right = (weights[:, CHANNEL_INDEX[name]] for name in ("eyeLookOutLeft", "eyeLookInRight"))
    assert left[40:].mean() - left[:30].mean() > 0.25
    assert np.allclose(left, right, atol=1e-6)
    expression = np.zeros((1, 64))
    expression[0, CHANNEL_INDEX["eyeLookOutLeft"]] = 3.0
    expression[0, CHANNEL_INDEX["eyeLookOutRight"]] = 3.0
    assert not with_joint_gaze(expression).any()  # eyes that part look ahead


def test_action_units_are_measured_from_landmarks(model):
    from backend.tracking.action_units import measured_units

    units = (1, 4, 5, 9, 12, 15, 26)
    weights = np.zeros((len(units) * 8, 64))
    for i, unit in enumerate(units):
        weights[i * 8 + 4 : i * 8 + 8] = au_weights({unit: 0.8})
    fit = fit_sequence(model, filmed(model, weights), image_height=HEIGHT, image_width=WIDTH)
    names, intensities = measured_units(model, fit, fit.expression / FULL_ACTIVATION_SD)
    assert names[0] == "AU1"
    assert intensities.shape == (len(weights), 17)
    for i, unit in enumerate(units):
        shown = intensities[i * 8 + 5 : i * 8 + 8].mean(0)
        rest = intensities[i * 8 : i * 8 + 4].mean(0)
        rise = shown - rest
        assert rise[names.index(f"AU{unit}")] > 0.3, unit
        assert names[int(rise.argmax())] == f"AU{unit}", (unit, dict(zip(names, rise.round(2), strict=True)))


def test_landmarks_that_cannot_be_fitted_are_refused(model):
    with pytest.raises(FaceModelError, match=r"\(n_frames, 478, 3\)"):
        fit_sequence(model, np.zeros((4, 68, 3)), image_height=10, image_width=10)
    with pytest.raises(FaceModelError, match="finite"):
        fit_sequence(model, np.full((4, 478, 3), np.nan), image_height=10, image_width=10)


# Real clips


@pytest.fixture(scope="module")
def happy(shared: Path):
    from backend.tracking.tracker import track_video

    return track_video(shared / "media" / "clips" / "emotion_happy.mp4", end=3.2)


@pytest.mark.shared
def test_a_real_clip_gives_curves_that_open_and_close_as_its_lips_do(happy):
    assert happy.curves.n_frames == 80
    assert happy.curves.frame_rate == 25.0
    assert happy.fit.residual.mean() < 0.025
    model = load_embedded_model()
    found = lip_opening(model.landmark_positions(happy.fit.identity, happy.coefficients.expression))
    assert np.corrcoef(found, lip_opening(happy.fit.measured))[0, 1] > 0.98
    smile = happy.units[:, happy.unit_names.index("AU12")].mean()
    frown = happy.units[:, happy.unit_names.index("AU15")].mean()
    assert smile > frown + 0.2
    from backend.curves.convert import coefficients_from_curves

    assert np.array_equal(coefficients_from_curves(happy.curves).expression, happy.coefficients.expression)


@pytest.mark.shared
def test_the_command_writes_curves_coefficients_and_units(shared: Path, tmp_path):
    from backend.tracking.delivery import track_to_files

    clip = shared / "media" / "clips" / "emotion_contempt.mp4"
    out, npz, table = tmp_path / "c.json", tmp_path / "c.npz", tmp_path / "c.csv"
    track_to_files(clip, out, end=1.0, coefficients=npz, units=table)
    from backend.export.formats import read_curves

    curves = read_curves(out)[0]
    rows = list(csv.reader(table.read_text().splitlines()))
    assert rows[0][:4] == ["time", "found", "residual", "AU1"]
    assert len(rows) == curves.n_frames + 1 == 26
    assert np.load(npz)["expression"].shape == (25, 64)
    with pytest.raises(InputError, match=r"\.csv"):
        track_to_files(clip, out, units=tmp_path / "units.txt")


@pytest.mark.shared
def test_videos_without_a_face_or_picture_are_refused(shared: Path, sentence: Path, tmp_path):
    from backend.tracking.tracker import track_video

    with pytest.raises(InputError, match="no picture"):
        track_video(sentence)
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(InputError, match="cannot be read as a video"):
        track_video(tmp_path / "broken.mp4")
    from backend.video import VideoWriter

    with VideoWriter(tmp_path / "grey.mp4", width=96, height=96, frame_rate=25, audio=sentence, end=0.4) as writer:
        for _ in range(8):
            writer.write(np.full((96, 96, 3), 120, np.uint8))
    with pytest.raises(InputError, match="shows a face in 0 of 8 frames"):
        track_video(tmp_path / "grey.mp4")
    with pytest.raises(InputError, match="expected at least 3"):
        track_video(shared / "media" / "clips" / "emotion_happy.mp4", start=1.0, end=1.05)


def test_no_frame_leans_on_the_one_before(astronaut):
    from backend.tracking.frames import _Eyes

    eyes, moved = _Eyes(), np.roll(astronaut, (3, 4), axis=(0, 1))
    eyes.find(astronaut)
    first, again = eyes.find(moved), eyes.find(moved)
    assert np.array_equal(first, again)  # what smooths over time would still be on its way


def test_frames_are_turned_upright():
    from types import SimpleNamespace

    from backend.tracking.frames import _upright

    image = np.zeros((4, 6, 3), np.uint8)
    image[0] = 255  # white on top
    turned = _upright(SimpleNamespace(to_ndarray=lambda format: image, rotation=-90))  # shown a quarter clockwise
    assert turned.shape == (6, 4, 3)
    assert turned[:, -1].min() == 255
    assert not turned[:, 0].any()


# Emotion videos


def test_only_what_is_felt_is_kept():
    from backend.inference.emotion_video import felt_weights

    times = np.arange(150) / RATE
    weights = np.zeros((150, 64), np.float32)
    place = CHANNEL_INDEX
    weights[:, place["jawOpen"]] = 0.3
    weights[40:45, place["eyeBlinkLeft"]] = 1.0
    weights[:, place["eyeBlinkRight"]] = 0.4
    weights[60:64, place["eyeBlinkRight"]] = 1.0
    weights[:, place["browInnerUp"]] = 0.6
    weights[:, place["mouthSmileLeft"]] = 0.5 + 0.2 * np.sin(2 * np.pi * 5.0 * times)
    felt = felt_weights(weights, RATE)
    assert not felt[:, [place["jawOpen"], place["eyeBlinkLeft"]]].any()
    assert np.allclose(felt[:, place["eyeBlinkRight"]], 0.4, atol=1e-3)
    assert np.allclose(felt[:, place["browInnerUp"]], 0.6, atol=1e-3)
    corner = felt[20:-20, place["mouthSmileLeft"]]
    assert abs(corner.mean() - 0.5) < 0.05
    assert corner.std() < 0.03


@pytest.mark.shared
def test_a_real_emotion_video_gives_its_corners_without_its_speech(shared, happy):
    from scipy.ndimage import gaussian_filter1d

    from backend.inference.emotion_video import CORNERS, FELT, LIDS, felt_weights
    from backend.tracking.tracker import track_video

    def quick(values: np.ndarray, rate: float) -> np.ndarray:
        """What comes and goes with syllables."""
        return values - gaussian_filter1d(values, 0.2 * rate, axis=0)

    sad = track_video(shared / "media" / "clips" / "speech_sad_mead.mp4", end=2.0)
    kept = [i for i, name in enumerate(EXPRESSION_CHANNELS) if name.startswith((*FELT, *LIDS, *CORNERS))]
    corners = [i for i in kept if EXPRESSION_CHANNELS[i].startswith(CORNERS)]
    assert len(corners) == 8
    for tracked in (sad, happy):
        weights, rate = tracked.coefficients.weights, tracked.curves.frame_rate
        felt = felt_weights(weights, rate)
        assert not np.delete(felt, kept, axis=1).any()
        assert np.abs(felt[:, kept].mean(0) - weights[:, kept].mean(0)).max() < 0.08
        moving = [i for i in corners if weights[:, i].mean() > 0.1]
        assert (quick(felt[:, moving], rate).std(0) < 0.6 * quick(weights[:, moving], rate).std(0)).all()
    # Each clip's own mouth is still told by what is kept: corners down in one, up in the other.
    means = {name: felt_weights(t.coefficients.weights, t.curves.frame_rate).mean(0) for name, t in
             (("sad", sad), ("happy", happy))}  # fmt: skip
    place = CHANNEL_INDEX
    down, up = (
        np.array([place[f"{stem}{side}"] for side in ("Left", "Right")]) for stem in ("mouthFrown", "mouthSmile")
    )
    assert means["sad"][down].sum() > 2 * means["happy"][down].sum()
    assert means["happy"][up].sum() > 2 * means["sad"][up].sum()


def test_videos_are_stretched_cut_or_played_to_and_fro():
    from backend.inference.emotion_video import fitted_to_shot

    ramp = np.linspace(0.0, 1.0, 51)[:, None] * np.ones((1, 64))
    stretched = fitted_to_shot(ramp, 25.0, frame_rate=30.0, n_frames=67)
    assert stretched[-1, 0] == pytest.approx(1.0, abs=1e-3)
    cut = fitted_to_shot(ramp, 25.0, frame_rate=25.0, n_frames=20)
    assert np.allclose(cut, ramp[:20], atol=1e-6)
    longer = fitted_to_shot(ramp, 25.0, frame_rate=25.0, n_frames=160)
    assert np.abs(np.diff(longer[:, 0])).max() < 0.021
    assert longer[100, 0] == pytest.approx(0.0, abs=1e-5)


def test_the_emotion_option_takes_a_video(tmp_path):
    from backend.pipeline import read_emotion

    with pytest.raises(InputError, match="no emotion video"):
        read_emotion(f"video:{tmp_path / 'none.mp4'}")
    (tmp_path / "a.mp4").write_bytes(b"")
    emotion = read_emotion(f"video:{tmp_path / 'a.mp4'}")
    assert not emotion.sample(25.0, 4).any()
    assert "a.mp4" in emotion.to_json()


def test_an_emotion_video_yields_to_closed_lips():
    from backend.inference.emotion import giving_way

    displacement, lips = np.zeros((2, 64), np.float32), np.zeros((2, 64), np.float32)
    displacement[:, EXPRESSION_CHANNELS.index("mouthSmileLeft")] = 0.8
    lips[1, EXPRESSION_CHANNELS.index("mouthPucker")] = 1.0
    layer = giving_way(displacement, lips, np.ones(2))
    assert layer[1].max() < layer[0].max()


@pytest.mark.shared
def test_a_tracked_face_plays_on_another_from_its_own_rest(happy):
    from backend.curves.recast import belongs_to, recast

    assert belongs_to(happy.coefficients, happy.fit.identity)
    assert not belongs_to(happy.coefficients, np.zeros(80, np.float32))
    performance = recast(happy.coefficients, happy.curves)
    assert np.allclose(performance.weights, np.clip(happy.coefficients.weights, 0, 1), atol=1e-6)
    assert np.abs(np.median(performance.head_rotation, axis=0)).max() < 0.01
    assert np.allclose(
        np.ptp(performance.head_rotation, axis=0), np.ptp(happy.coefficients.rotation, axis=0), atol=0.02
    )
    assert np.abs(np.median(performance.head_translation, axis=0)).max() < 1e-6
    # The camera stands decimetres away; what is played is the head's own movement.
    assert np.abs(performance.head_translation).max() < 0.5
