"""Measures of generated videos: known answers for formulas, equal and changed videos, SyncNet on made-up embeddings."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.evaluation import video as videos
from backend.evaluation.emotion_units import emotion_accuracy, named_emotions
from backend.evaluation.frechet import Gaussian, InceptionFeatures, frechet_distance
from backend.evaluation.sound_sync import SoundSync, face_crops
from backend.evaluation.video import SeenVideo, compare_videos, identity_similarity, paired_videos
from backend.evaluation.video_report import markdown, measure_folders
from backend.models.inception import InceptionV3
from bfm.facs import EMOTION_AUS
from blender_addon.protocol.types import EMOTIONS, Waveform

NAMES = tuple(f"AU{u}" for u in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))


def _gaussian(rows: np.ndarray) -> Gaussian:
    gaussian = Gaussian(rows.shape[1])
    for part in np.array_split(rows, 3):
        gaussian.add(part)
    return gaussian


def test_the_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))
    assert frechet_distance(_gaussian(rows), _gaussian(rows)) == pytest.approx(0.0, abs=1e-8)
    moved = rows + np.float64([3.0, 0.0, 4.0, 0.0])
    assert frechet_distance(_gaussian(rows), _gaussian(moved)) == pytest.approx(25.0, abs=1e-8)
    # Of diagonal covariances the trace term is the sum of the squared differences of the deviations.
    unit = rng.normal(size=(500, 3))
    unit = (unit - unit.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(unit.T))).T
    scaled = unit * [1.0, 2.0, 5.0]
    assert frechet_distance(_gaussian(unit), _gaussian(scaled)) == pytest.approx(0.0 + 1.0 + 16.0, abs=1e-8)


def test_the_frechet_distance_follows_the_formula_with_scipys_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(60, 5)), rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 1.0
    first, second = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert frechet_distance(_gaussian(a), _gaussian(b)) == pytest.approx(expected, rel=1e-6)


def test_inception_has_the_published_names_and_features(tmp_path):
    with torch.device("meta"):
        state = InceptionV3().state_dict()
    # 23,834,568 parameters as published, less the classifier and the norms.
    n_convolution = sum(v.numel() for k, v in state.items() if k.endswith("conv.weight"))
    assert n_convolution == 23_834_568 - 2_049_000 - 2 * 17_216
    assert state["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    with torch.device("meta"):
        assert InceptionV3()(torch.empty(2, 3, 64, 64)).shape == (2, 2048)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="pt_inception"):
        InceptionFeatures(tmp_path / "other.pth")


def test_imported_inception_weights_see_what_the_network_sees(tmp_path):
    torch.manual_seed(0)
    network = InceptionV3().eval()
    torch.save(network.state_dict(), tmp_path / "pt_inception.pth")
    frames = np.random.default_rng(0).integers(0, 255, (3, 80, 80, 3), dtype=np.uint8)
    features = InceptionFeatures(tmp_path / "pt_inception.pth")
    with torch.inference_mode():
        wanted = network(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255.0).numpy()
    np.testing.assert_allclose(features(frames), wanted, rtol=1e-4, atol=1e-6)
    assert wanted.shape == (3, features.n_features)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_units_of_an_emotion_name_it(emotion):
    units = np.zeros((4, len(NAMES)), np.float32)
    for unit in EMOTION_AUS[emotion]:
        units[:3, NAMES.index(f"AU{unit}")] = 0.6
    assert named_emotions(units, NAMES) == [emotion] * 3 + ["neutral"]
    assert emotion_accuracy(units, NAMES, emotion) == 0.75


def test_faces_between_the_seven_emotions_are_named_too():
    units = np.zeros((2, len(NAMES)), np.float32)
    for unit in EMOTION_AUS["disappointed"]:
        units[0, NAMES.index(f"AU{unit}")] = 0.6
    assert named_emotions(units, NAMES) == ["sad", "neutral"]
    assert emotion_accuracy(units, NAMES, "neutral") == 0.5


def test_identities_are_alike_by_their_angle():
    one = np.random.default_rng(0).normal(size=80)
    assert identity_similarity(one, 2 * one) == pytest.approx(1.0)
    assert identity_similarity(one, -one) == pytest.approx(-1.0)
    assert identity_similarity(np.zeros(80), one) == 1.0


def _seen(frames: np.ndarray, *, shift: float = 0.0, waveform: Waveform | None = None) -> SeenVideo:
    rng = np.random.default_rng(3)
    landmarks = rng.uniform(20, 100, (1, 478, 3)).repeat(len(frames), 0).astype(np.float32)
    landmarks[..., 0] += shift
    units = np.full((len(frames), 17), 0.3, np.float32)
    return SeenVideo("a", frames, landmarks, units, NAMES, rng.normal(size=80), waveform)


def _moving(n: int = 6) -> np.ndarray:
    from skimage import data

    face = data.astronaut()[:160, 130:290]
    return np.stack([np.roll(face, i, axis=1) for i in range(n)])


def test_a_video_beside_itself_is_perfect():
    frames = _moving()
    scores = compare_videos(_seen(frames), _seen(frames), emotion="happy")
    assert scores.psnr == 100.0 and scores.ssim == 1.0 and scores.cpbd == scores.real_cpbd
    assert scores.mouth_lmd == scores.face_lmd == scores.unit_error == scores.jitter == 0.0
    assert scores.identity == pytest.approx(1.0) and scores.lip_offset is None


def test_measures_of_whole_frames_equal_scikit_images():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    frames = _moving()
    noisy = np.clip(frames + np.random.default_rng(0).normal(0, 12, frames.shape), 0, 255).astype(np.uint8)
    scores = compare_videos(_seen(frames), _seen(noisy, shift=3.0))
    assert scores.psnr == pytest.approx(np.mean([peak_signal_noise_ratio(a, b) for a, b in zip(frames, noisy)]))
    alike = [
        structural_similarity(a, b, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in zip(frames, noisy)
    ]
    assert scores.ssim == pytest.approx(np.mean(alike))
    assert (scores.mouth_lmd, scores.face_lmd) == pytest.approx((3.0, 3.0), abs=1e-5)


def test_blurring_lowers_sharpness_step_by_step():
    from skimage import data

    frames = np.stack([data.astronaut()[:320, 80:400]])
    sharpness = [
        compare_videos(_seen(frames), _seen(np.stack([cv2.GaussianBlur(f, (0, 0), s) for f in frames]))).cpbd
        for s in (0.3, 0.8, 1.6, 3.2)
    ]
    assert all(a > b for a, b in itertools.pairwise(sharpness))


class _Embedding(torch.nn.Module):
    """Sees how bright five pictures are, and hears how loud: the same number where they belong together."""

    def embed_lips(self, images):
        level = images.mean((1, 2, 3, 4)) / 255.0
        return torch.stack([level, 1.0 - level], dim=1) * 10.0

    def embed_sound(self, mfcc):
        level = mfcc[:, 0, 0].mean(1)
        level = (level - 10.0) / 13.0
        return torch.stack([level, 1.0 - level], dim=1) * 10.0


@pytest.mark.parametrize("late", [-4, 0, 6])
def test_sound_that_is_shifted_gives_its_offset(late):
    rng = np.random.default_rng(0)
    n = 120
    smooth = rng.uniform(0.05, 1.0, n + 40)
    shown, heard = smooth[20 : 20 + n], smooth[20 - late : 20 - late + n]
    frames = np.tile((255 * shown).astype(np.uint8)[:, None, None, None], (1, 60, 60, 3))
    landmarks = np.zeros((n, 478, 3), np.float32)
    landmarks[:, :, :2] = [20, 30]
    landmarks[:, 0, :2], landmarks[:, 1, :2] = [10, 20], [50, 50]
    tone = np.sin(2 * np.pi * 440 * np.arange(n * 640) / 16000)
    loud = np.exp(6.5 * np.repeat(heard, 640)) / np.exp(6.5)
    found = SoundSync(_Embedding()).measure(frames, landmarks, Waveform((0.9 * tone * loud).astype(np.float32), 16000))
    assert found.offset == -late and found.confidence > 0.2


def test_faces_are_cut_as_syncnets_pipeline_cuts_them():
    frames = np.zeros((15, 200, 300, 3), np.uint8)
    frames[:, 60:140, 110:190] = [255, 0, 0]
    landmarks = np.zeros((15, 478, 3), np.float32)
    landmarks[:, :, :2] = [150, 100]
    landmarks[:, 0, :2], landmarks[:, 1, :2] = [110, 76], [190, 140]  # a forehead of 16 px makes the box 80 x 80
    crop = next(iter(face_crops(frames, landmarks)))
    red = crop[:, :, 2] > 128
    assert crop.shape == (224, 224, 3) and crop[..., 0].max() <= 110
    assert red[80, 112] and red[2, 112] and not red[170, 112]  # the box begins at the top; 0.4 of it lie below
    assert red.any(0).sum() == pytest.approx(224 / 1.4, abs=2)


def test_too_little_sound_is_not_judged():
    frames = np.zeros((10, 60, 60, 3), np.uint8)
    landmarks = np.random.default_rng(0).uniform(10, 50, (10, 478, 3)).astype(np.float32)
    assert SoundSync(_Embedding()).measure(frames, landmarks, Waveform(np.zeros(6400, np.float32), 16000)) is None


def test_pairs_go_by_name(tmp_path):
    for name in ("real/a.mp4", "real/b.mp4", "fake/a.mkv", "fake/b/video.mp4", "fake/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    pairs = paired_videos(tmp_path / "real", tmp_path / "fake")
    assert [(a.name, str(b.relative_to(tmp_path))) for a, b in pairs] == [
        ("a.mp4", "fake/a.mkv"), ("b.mp4", "fake/b/video.mp4"),
    ]  # fmt: skip
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="name them alike"):
        paired_videos(tmp_path / "real", tmp_path / "none")


def test_a_report_says_what_was_passed_over_and_what_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("EMORIG_WEIGHTS", str(tmp_path / "no weights"))
    for folder in ("real", "fake"):
        (tmp_path / folder).mkdir()
        for name in ("M030_sad_3_001.mp4", "broken.mp4"):
            (tmp_path / folder / name).write_bytes(b"")
    frames = _moving(4)

    def see(path: Path, **_named) -> SeenVideo:
        if path.stem == "broken":
            raise InputError("It shows no face.")
        return _seen(frames)

    monkeypatch.setattr("backend.evaluation.video_report.see_video", see)
    document = measure_folders(tmp_path / "real", tmp_path / "fake", size=128)
    assert document["passed_over"] == {"broken.mp4": "It shows no face."}
    assert document["fid"] is None and any("SyncNet" in note for note in document["notes"])
    assert document["rows"]["M030_sad_3_001"]["emotion_accuracy"] is not None
    text = markdown(document)
    assert "FID was not measured" in text and "| mean | 100.00 | 1.000 |" in text and "broken.mp4" in text


def test_a_real_file_is_read_tracked_and_compared(tmp_path, sentence):
    from skimage import data

    from backend.video import VideoWriter

    for name, shift in (("real", 0), ("fake", 4)):
        (tmp_path / name).mkdir()
        face = np.ascontiguousarray(data.astronaut()[:256, 96 + shift : 352 + shift])
        with VideoWriter(
            tmp_path / name / "a.mp4", width=256, height=256, frame_rate=25.0, audio=sentence, start=0.5, end=1.1
        ) as writer:
            for _ in range(15):
                writer.write(face)
    seen = videos.see_video(tmp_path / "real" / "a.mp4", size=128)
    assert seen.frames.shape == (15, 128, 128, 3) and seen.waveform is not None
    other = videos.see_video(tmp_path / "fake" / "a.mp4", size=128, shape=(128, 128))
    scores = compare_videos(seen, other)
    assert scores.face_lmd == pytest.approx(2.0, abs=0.6) and scores.identity > 0.9
    with pytest.raises(InputError, match="render alike"):
        videos.see_video(tmp_path / "fake" / "a.mp4", size=128, shape=(128, 200))
