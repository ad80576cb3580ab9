"""Training on recorded clips: drawing from shards, the papers' losses, small runs, ablations, resume and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recorded_clips import N_FRAMES, made_clip
from safetensors import safe_open

from backend.datasets.access import DamagedClipError, PreparedData
from backend.datasets.shards import write_shard
from backend.errors import InputError
from backend.models.eamm.keypoints import Keypoints
from backend.models.facevid2vid.head_pose import rotation
from backend.training import eamm, emospeaker_recorded, facevid2vid, mapping
from backend.training.bundles import BUILDERS, Bundle, build, load_bundle
from backend.training.eamm_data import draw_excerpts
from backend.training.eamm_networks import ABLATIONS, displaced, emotion_networks, sound_networks
from backend.training.equivariance import RandomTransform, equivariance, jacobian_equivariance
from backend.training.facevid2vid import draw_pairs, keypoint_prior
from backend.training.perceptual import load_features, pixel_features
from backend.training.recorded import head_angles, open_recordings, rest_faces, silent_clips
from backend.training.recorded_faces import ImportedFeatures, RecordedFaces
from backend.training.recorded_run import RunSettings
from backend.training.run_options import TrainingPlan
from bfm.camera import rotation_matrix


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    write_shard(
        folder / "train-00000.tar",
        [made_clip("a_neutral", "a", "neutral", 0), made_clip("a_happy", "a", "happy", 3),
         made_clip("b_happy", "b", "happy", 1)],
    )  # fmt: skip
    write_shard(folder / "test-00000.tar", [made_clip("c_neutral", "c", "neutral", 0, "test")])
    card = {"layout": "mead", "split": "speakers", "seed": 0, "size": 64, "frame_rate": 25.0}
    (folder / "dataset.json").write_text(json.dumps(card))
    return folder


def test_any_clip_is_read_by_its_number(prepared):
    data = PreparedData(prepared, "train")
    assert [p.key for p in data.places] == ["a_neutral", "a_happy", "b_happy"]
    whole = made_clip("b_happy", "b", "happy", 1)
    clip = data.clip(2)
    assert clip.frames == whole.frames and clip.label == whole.label
    assert data.clip(2) is clip
    assert [label["emotion"] for label, _ in data.faces()] == ["neutral", "happy", "happy"]


def test_clips_in_memory_stay_below_the_limit(prepared):
    data = PreparedData(prepared, "train", memory=1)
    first = data.clip(0)
    data.clip(1)
    assert data.clip(0) is not first


def test_a_damaged_clip_is_passed_over_and_noted(prepared, tmp_path):
    content = bytearray((prepared / "train-00000.tar").read_bytes())
    place = PreparedData(prepared, "train").places[0]
    content[place.start + 512 : place.start + 560] = b"?" * 48
    (tmp_path / "train-00000.tar").write_bytes(content)
    data = PreparedData(tmp_path, "train")
    with pytest.raises(DamagedClipError, match="a_neutral"):
        data.clip(0)
    assert data.whole_clip(0).label.key == "a_happy" and "a_neutral" in data.damaged


def test_silent_clips_are_drawn_only_by_what_learns_from_pictures(tmp_path):
    silent = made_clip("d_neutral", "d", "neutral", 0)
    silent = replace(silent, label=replace(silent.label, has_sound=False), samples=np.zeros_like(silent.samples))
    write_shard(tmp_path / "train-00000.tar", [silent, made_clip("d_happy", "d", "happy", 3)])
    write_shard(tmp_path / "test-00000.tar", [silent])
    (tmp_path / "dataset.json").write_text(json.dumps({"frame_rate": 25.0, "without_sound": 2}))
    pictures, heard = open_recordings(tmp_path), open_recordings(tmp_path, needs_sound=True)
    assert [len(pictures.train), len(pictures.test), pictures.facts["data_silent_passed_over"]] == [2, 1, "0"]
    assert [p.key for p in heard.train.places] == ["d_happy"] and heard.test is None
    assert heard.facts["data_silent_passed_over"] == "1" and silent_clips(tmp_path) == 2
    # The speaker's own face is taken from the silent neutral clip all the same.
    rest = rest_faces(heard.train)["d"]
    assert rest.is_neutral
    np.testing.assert_allclose(rest.expression, silent.coefficients.expression.mean(0), rtol=1e-6)
    only_silent = tmp_path / "only"
    only_silent.mkdir()
    write_shard(only_silent / "train-00000.tar", [silent])
    with pytest.raises(InputError, match="has sound, which this network learns from"):
        PreparedData(only_silent, "train", needs_sound=True)


def test_a_speakers_own_face_is_that_of_the_neutral_clips(prepared):
    rests = rest_faces(PreparedData(prepared, "train"))
    assert rests["a"].is_neutral and not rests["b"].is_neutral
    np.testing.assert_allclose(rests["a"].identity, 0.2, atol=1e-6)


def test_excerpts_split_a_face_into_speech_and_emotion(prepared):
    config = emospeaker_recorded.recorded_config(small=True)
    data = PreparedData(prepared, "train")
    faces = RecordedFaces(data, config, 20)
    clip = data.clip(1)
    excerpt = faces.excerpt(clip, 5, 20, from_rest=True)
    assert excerpt.features.shape == (20, 336) and np.isfinite(excerpt.features).all()
    assert (excerpt.state[0] == 0).all() and (excerpt.intensity == 1.0).all()
    np.testing.assert_allclose(excerpt.state[3, :80], 0.1, atol=1e-5)
    np.testing.assert_allclose(excerpt.state[3, 80:160], 0.2, atol=1e-5)
    shown = clip.coefficients.expression[4:25]
    np.testing.assert_allclose(excerpt.expression + excerpt.state[1, 160:], shown, atol=1e-5)
    calm = faces.excerpt(data.clip(0), 5, 20, from_rest=False)
    assert not calm.state.any() and not calm.emotion.any()
    np.testing.assert_allclose(calm.expression, data.clip(0).coefficients.expression[4:25], atol=1e-5)


def test_half_frames_of_the_expression_lie_between(prepared):
    config = replace(emospeaker_recorded.recorded_config(small=True), expressions_per_frame=2)
    data = PreparedData(prepared, "train")
    excerpt = RecordedFaces(data, config, 10).excerpt(data.clip(0), 5, 10, from_rest=False)
    measured = data.clip(0).coefficients.expression
    assert excerpt.expression.shape == (21, 64)
    np.testing.assert_allclose(excerpt.expression[1], measured[5], atol=1e-5)
    np.testing.assert_allclose(excerpt.expression[0], (measured[4] + measured[5]) / 2, atol=1e-5)


def test_clips_that_are_too_short_are_refused(prepared):
    with pytest.raises(InputError, match="too short"):
        RecordedFaces(PreparedData(prepared, "train"), emospeaker_recorded.recorded_config(small=True), 100)


def test_head_angles_compose_as_facevid2vid_does():
    angles = np.float32([[0.2, -0.3, 0.1], [-0.4, 0.5, -0.2]])
    flip = np.diag([1.0, -1.0, -1.0])
    made = rotation(*torch.from_numpy(head_angles(angles) * np.float32(np.pi / 3.14)).T)
    np.testing.assert_allclose(made.numpy(), flip @ rotation_matrix(angles) @ flip, atol=1e-5)


def test_a_batch_is_the_same_whenever_it_is_drawn(prepared):
    data, plan = PreparedData(prepared, "train"), TrainingPlan(batch=2, seed=3)
    one, other, next_ = (draw_pairs(data, plan, number, 64) for number in (7, 7, 8))
    assert torch.equal(one.source, other.source) and not torch.equal(one.driving, next_.driving)
    felt, again = (draw_excerpts(data, plan, 5, 64) for _ in range(2))
    assert torch.equal(felt.emotion, again.emotion) and felt.mfcc.shape == (2, 8, 28, 12)
    plain = draw_excerpts(data, plan, 5, 64, augments=False)
    assert torch.equal(plain.emotion, plain.pictures) and torch.equal(plain.mfcc, felt.mfcc)


def test_key_points_that_follow_a_transform_lose_nothing():
    bend = RandomTransform(2, torch.Generator().manual_seed(0), torch.device("cpu"))
    moved = torch.rand(2, 6, 2) - 0.5
    own = bend.points(moved)
    assert float(equivariance(own, moved, bend)) == 0.0
    assert float(equivariance(own + 0.1, moved, bend)) == pytest.approx(0.1, abs=1e-6)
    step = 1e-3
    jacobian = bend.jacobians(moved)
    for axis in (0, 1):
        ahead = moved.clone()
        ahead[..., axis] += step
        difference = (bend.points(ahead) - bend.points(moved)) / step
        torch.testing.assert_close(jacobian[..., axis], difference, atol=2e-2, rtol=0.02)
    unit = torch.eye(2).expand(2, 6, 2, 2)
    assert float(jacobian_equivariance(jacobian.detach(), moved, unit, bend).detach()) < 1e-5


def test_transformed_pictures_show_what_lies_at_the_transformed_points():
    bend = RandomTransform(1, torch.Generator().manual_seed(1), torch.device("cpu"))
    ramp = torch.linspace(-1, 1, 65)
    picture = torch.stack([ramp.expand(65, 65), ramp[:, None].expand(65, 65)])[None]
    bent = bend.pictures(picture)
    at = torch.tensor([[[0.0, 0.0], [0.25, -0.5]]])
    expected = bend.points(at)
    np.testing.assert_allclose(bent[0, :, 32, 32], expected[0, 0], atol=1e-2)
    np.testing.assert_allclose(bent[0, :, 16, 40], expected[0, 1], atol=1e-2)


def test_the_key_point_prior_by_hand():
    apart = torch.tensor([[[0.0, 0.0, 0.33], [1.0, 0.0, 0.33]]])
    assert float(keypoint_prior(apart)) == pytest.approx(0.0, abs=1e-6)
    together = torch.tensor([[[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]])
    assert float(keypoint_prior(together)) == pytest.approx(2 * (0.1 - 0.01) + 0.33, abs=1e-6)


def test_adversarial_terms_reach_only_their_own_side():
    parts = facevid2vid.networks(small=True)
    judge = parts["facevid2vid.discriminator"]
    made, real = torch.rand(2, 3, 64, 64, requires_grad=True), torch.rand(2, 3, 64, 64)
    losses = facevid2vid._adversarial(judge, made, real)
    (losses["adversarial"] + losses["matching"]).backward()
    assert made.grad is not None and all(p.grad is None for p in judge.parameters())
    made.grad = None
    losses["discriminator"].backward()
    assert made.grad is None and all(p.grad is not None for p in judge.parameters())


def test_only_the_named_key_points_are_displaced():
    points = Keypoints(torch.zeros(2, 10, 2), torch.zeros(2, 10, 2, 2))
    moves = Keypoints(torch.ones(2, 4, 2), torch.ones(2, 4, 2, 2))
    value = displaced(points, moves, (1, 4, 6)).value
    assert value[:, [1, 4, 6]].eq(1).all() and value.sum() == 2 * 3 * 2


def test_imported_features_follow_the_clip(prepared, tmp_path):
    for key in ("a_neutral", "a_happy"):
        np.save(tmp_path / f"{key}.npy", np.arange(2 * N_FRAMES * 3, dtype=np.float32).reshape(-1, 3))
    features = ImportedFeatures(tmp_path)
    data = PreparedData(prepared, "train")
    rows = features(data.clip(0))
    assert rows.shape == (N_FRAMES, 3) and rows[10, 0] == 21 * 3
    with pytest.raises(InputError, match="b_happy"):
        features(data.clip(2))


def test_other_weights_than_vggs_are_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(InputError, match="VGG-19"):
        load_features(tmp_path / "vgg.pth", torch.device("cpu"))
    maps = pixel_features(torch.arange(12.0).reshape(1, 1, 3, 4))
    assert maps[1].eq(1).all() and maps[2].eq(4).all()


@pytest.mark.parametrize("name", BUILDERS)
def test_a_network_is_built_again_from_its_sizes(name):
    with torch.device("meta"):
        network = build(name)
        again = build(name, json.loads(Bundle({name: network}).sizes)[name])
    assert again.config == network.config


def _settings(prepared: Path, out: Path, **more) -> RunSettings:
    return RunSettings(
        prepared, out, **{"small": True, "steps": 2, "batch": 2, "save_every": 2, "device": "cpu"} | more
    )


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(str(path), framework="pt") as file:
        return file.metadata()


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> Path:
    """Every network after two small steps."""
    out = tmp_path_factory.mktemp("trained")
    settings = _settings(prepared, out)
    facevid2vid.train_facevid2vid(settings)
    mapping.train_mapping(settings)
    eamm.train_eamm(settings)
    emospeaker_recorded.train_emospeaker_recorded(settings)
    return out


def test_every_trained_file_names_its_command_seed_and_data(trained):
    files = sorted(path.name for path in trained.glob("*.safetensors"))
    assert files == [
        "eamm_emotion.safetensors", "eamm_motion.safetensors", "eamm_pictures.safetensors", "eamm_sound.safetensors",
        "emospeaker.safetensors", "facevid2vid.safetensors", "mapping.safetensors",
    ]  # fmt: skip
    for name in files:
        facts = _metadata(trained / name)
        assert facts["command"].startswith("emorig train ") and "--small" in facts["command"], name
        assert facts["seed"] == "0" and len(facts["data_sha256"]) == 64 and facts["data_clips"] == "3"
        assert facts["step"] == "2" and float(facts["held_out"]) > 0
    assert _metadata(trained / "facevid2vid.safetensors")["perceptual"] == "pixels and slopes"


def test_trained_bundles_are_read_back(trained):
    networks, facts = load_bundle(trained / "eamm_emotion.safetensors", "eamm.emotion")
    assert facts["size"] == "64" and set(networks) == {"eamm.audio_features", "eamm.audio_keypoints", "eamm.emotion"}
    assert len(networks["eamm.emotion"].config.displaced) == 3
    with pytest.raises(InputError, match=r"lacks the network 'eamm\.emotion'"):
        load_bundle(trained / "eamm_motion.safetensors", "eamm.emotion")
    with pytest.raises(InputError, match=r"no trained networks|is no \.safetensors"):
        load_bundle(trained / "facevid2vid.losses.csv")


def test_samples_are_kept(trained):
    picture = Image.open(trained / "facevid2vid.samples" / "0000002.png")
    assert picture.size == (3 * 64, 2 * 64)


@pytest.mark.parametrize(
    "ablation", [name if name == "feature-based" else pytest.param(name, marks=pytest.mark.soak) for name in ABLATIONS]
)
def test_every_ablation_of_eamm_trains(trained, prepared, tmp_path, ablation):
    for stage in ("motion", "pictures"):
        (tmp_path / f"eamm_{stage}.safetensors").write_bytes((trained / f"eamm_{stage}.safetensors").read_bytes())
    eamm.train_eamm(_settings(prepared, tmp_path, steps=1, batch=1), stages=("emotion",), ablation=ablation)
    facts = _metadata(tmp_path / f"eamm_emotion_{ablation}.safetensors")
    assert facts["ablation"] == ablation and f"--ablation {ablation}" in facts["command"]
    load_bundle(tmp_path / f"eamm_emotion_{ablation}.safetensors")


@pytest.mark.parametrize("small", [True, False])
def test_an_untrained_displacement_learns_from_emotion_and_speech(small):
    for seed in range(6):
        torch.manual_seed(seed)
        parts = emotion_networks(sound_networks(small=small), (0, 1, 4), ABLATIONS["all-points"], small=small)
        learner = parts["eamm.emotion"]
        n_points = learner.config.n_keypoints
        feature = torch.rand(4, 512, requires_grad=True)
        value = torch.rand(4, n_points, 2, requires_grad=True)
        moved = learner(feature, Keypoints(value, torch.eye(2).expand(4, n_points, 2, 2)))
        assert moved.value.abs().max() < 0.05  # nearly nothing yet
        moved.value.square().sum().backward()
        assert feature.grad.any() and value.grad.any()


def test_emospeakers_ablations_train(prepared, tmp_path):
    settings = _settings(prepared, tmp_path)
    emospeaker_recorded.train_emospeaker_recorded(settings, without_au=True)
    rows = (tmp_path / "emospeaker_without_au.losses.csv").read_text().splitlines()
    assert float(rows[-1].split(",")[1]) == 0.0
    for key in ("a_neutral", "a_happy", "b_happy", "c_neutral"):
        np.save(tmp_path / f"{key}.npy", np.random.default_rng(0).normal(size=(80, 5)))
    emospeaker_recorded.train_emospeaker_recorded(settings, features=tmp_path)
    assert json.loads(_metadata(tmp_path / "emospeaker_features.safetensors")["config"])["n_mfcc"] == 5


class _KilledError(Exception):
    pass


def test_a_killed_run_on_clips_goes_on_exactly(trained, prepared, tmp_path, monkeypatch):
    draw = eamm.draw_excerpts

    def train(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "eamm_motion.safetensors").write_bytes((trained / "eamm_motion.safetensors").read_bytes())
        eamm.train_eamm(_settings(prepared, folder, steps=3, save_every=1), stages=("sound",))
        return folder / "eamm_sound.checkpoint.pt"

    def killed(data, plan, number, *rest, **named):
        if number == 2:
            raise _KilledError
        return draw(data, plan, number, *rest, **named)

    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(_KilledError):
        patched.setattr(eamm, "draw_excerpts", killed)
        train(tmp_path / "parts")
    parts = train(tmp_path / "parts")
    one, other = (torch.load(path, weights_only=True)["network"] for path in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    curves = [path.with_name("eamm_sound.losses.csv").read_text() for path in (whole, parts)]
    assert curves[0] == curves[1]


def test_emospeaker_learns_a_clip_by_heart(prepared, tmp_path):
    settings = _settings(prepared, tmp_path, steps=60, batch=3, learning_rate=3e-3, save_every=60)
    emospeaker_recorded.train_emospeaker_recorded(settings)
    rows = np.loadtxt(tmp_path / "emospeaker.losses.csv", delimiter=",", skiprows=1)
    assert (rows[-1, [2, 3]] < 0.5 * rows[0, [2, 3]]).all()


def test_what_cannot_be_trained_on_is_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="No shards"):
        open_recordings(tmp_path)
    for wrong, words in (
        ({"steps": 0}, "steps"), ({"precision": "half"}, "precision"), ({"device": "tpu"}, "device"),
        ({"accumulation": 0}, "Accumulated"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            emospeaker_recorded.train_emospeaker_recorded(_settings(prepared, tmp_path, **wrong))
    with pytest.raises(InputError, match="Unknown ablation"):
        eamm.train_eamm(_settings(prepared, tmp_path), ablation="nothing")
    with pytest.raises(InputError, match=r"no trained networks|is no \.safetensors"):
        mapping.train_mapping(_settings(prepared, tmp_path / "empty"))
