"""EmoSpeaker's networks, losses and teachers: shapes, axioms, windows, and that training teaches what it should."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.evaluation.emotion import broken_cells
from backend.inference import fine_grained
from backend.inference.emospeaker import CoefficientNetworks, shipped_networks
from backend.inference.fine_grained import LEVELS, WINDOWS, FineGrainedPath, emotional_states, measure_matrix
from backend.inference.head_style import N_STYLE, head_style
from backend.models.emospeaker import EmoSpeaker, EmoSpeakerConfig
from backend.models.emospeaker_audio import contrastive_loss
from backend.training.emotion_teacher import LEVEL_SHARES, apex_states, apex_weights, felt_states
from backend.training.excerpts import ACTION_UNITS, unit_intensities
from backend.training.head_teacher import head_pose
from backend.weights import NETWORKS
from bfm.coefficients import CHANNEL_INDEX
from bfm.facs import EMOTION_AUS, au_weights
from blender_addon.protocol.types import EMOTIONS

SMALL = EmoSpeakerConfig(
    n_speech=10, n_style=N_STYLE, expressions_per_frame=2, content_width=16, expression_width=16, emotion_width=24,
    pose_width=16, encoder_blocks=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EmoSpeaker(SMALL).eval()


def _content(n_frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, n_frames, SMALL.content_width, generator=torch.Generator().manual_seed(seed))


def test_the_published_configuration_is_the_default():
    config = EmoSpeakerConfig()
    assert (config.contrast_window, config.emotion_window, config.pose_window) == (10, 5, 20)
    assert config.n_features == 28 * 12 and config.n_units == len(ACTION_UNITS) == 17
    EmoSpeaker(config)


def test_every_network_answers_for_every_frame(network):
    content, n_frames = _content(33), 33
    emotion, intensity = torch.zeros(2, n_frames, 7), torch.zeros(2, n_frames)
    with torch.no_grad():
        codes = network.codes(torch.randn(2, n_frames, SMALL.n_features))
        assert [tuple(code.shape) for code in codes] == [(2, n_frames, 16)] * 3
        assert network.express(content, torch.zeros(2, 64)).shape == (2, 2 * n_frames, 64)
        assert network.feel(content, torch.zeros(2, 224), emotion, intensity).shape == (2, n_frames, 224)
        style = torch.zeros(2, n_frames, N_STYLE)
        assert network.turn(content, torch.zeros(2, 6), emotion, intensity, style).shape == (2, n_frames, 6)


def test_the_audio_encoder_does_not_look_ahead_of_its_features(network):
    features = torch.randn(1, 30, SMALL.n_features)
    changed = features.clone()
    changed[:, 20:] += 1.0
    with torch.no_grad():
        before, after = network.codes(features)[-1], network.codes(changed)[-1]
    assert torch.equal(before[:, :20], after[:, :20]) and not torch.equal(before[:, 20:], after[:, 20:])


def test_windows_start_from_the_last_frame_of_the_one_before(network):
    content, emotion, intensity = _content(15), torch.zeros(2, 15, 7), torch.ones(2, 15)
    emotion[:, :, 3] = 1.0
    with torch.no_grad():
        whole = network.feel(content, torch.zeros(2, 224), emotion, intensity)
        first = network.feel(content[:, :5], torch.zeros(2, 224), emotion[:, :5], intensity[:, :5])
        rest = network.feel(content[:, 5:], first[:, -1], emotion[:, 5:], intensity[:, 5:])
    assert torch.allclose(whole, torch.cat([first, rest], 1), atol=1e-6)


def test_shorter_windows_apply_the_label_more_often(network):
    """Whatever the weights: where the impulse is the same, the state that windows settle at grows as they shorten."""
    content = _content(1).expand(-1, 240, -1)
    emotion, intensity = torch.zeros(2, 240, 7), torch.ones(2, 240)
    emotion[:, :, 0] = 1.0
    with torch.no_grad():
        settled = [
            network.feel(content, torch.zeros(2, 224), emotion, intensity, window)[:, -1].norm(dim=-1)
            for window in WINDOWS
        ]
    assert all((after > before).all() for before, after in pairwise(settled))


def test_the_contrastive_loss_is_least_for_the_own_low_level():
    torch.manual_seed(1)
    units, other = torch.randn(12, 20), torch.randn(12, 20)
    good = contrastive_loss(units, (units, other, other), 0.1)
    shuffled = contrastive_loss(units, (units.roll(1, 0), other, other), 0.1)
    leaking = contrastive_loss(units, (units, units, units), 0.1)
    assert good < 0.1 and good < leaking < shuffled
    naive = []
    for i in range(12):
        similar = [
            torch.cosine_similarity(units[i], level[k], dim=0) / 0.1 for level in (other, units) for k in range(12)
        ]
        naive.append(-(torch.cosine_similarity(units[i], other[i], dim=0) / 0.1 - torch.stack(similar).logsumexp(0)))
    assert torch.allclose(contrastive_loss(units, (other, units), 0.1), torch.stack(naive).mean(), atol=1e-5)


def test_apexes_hold_their_action_units_and_differ_from_one_another():
    apex = apex_weights()
    for row, label in zip(apex, EMOTIONS):
        for unit in EMOTION_AUS[label]:
            assert (row * au_weights({unit: 1.0})).max() > 0.05, (label, unit)
    unit = apex / np.linalg.norm(apex, axis=1, keepdims=True)
    assert (unit @ unit.T - np.eye(len(EMOTIONS))).max() < 0.85


def test_shape_and_skin_change_a_little_and_differ_between_emotions():
    states = apex_states()
    shape, skin = states[:, :80], states[:, 80:160]
    assert 0.05 < np.abs(shape).max() <= 0.36 and 0.05 < np.abs(skin).max() <= 0.61
    both = states[:, :160]
    apart = np.linalg.norm(both[:, None] - both[None], axis=2) + 9.0 * np.eye(7)
    assert apart.min() > 0.1


def test_a_felt_face_approaches_its_level_and_returns():
    emotion = np.zeros((100, 7), np.float32)
    emotion[:50, EMOTIONS.index("happy")] = 1.0
    level = np.where(np.arange(100) < 50, 3.0, 0.0)
    states = felt_states(emotion, level, np.full(100, 0.5), np.zeros(224, np.float32), frame_rate=25.0)
    smile = states[:, 160 + CHANNEL_INDEX["mouthSmileLeft"]]
    apex = apex_states()[EMOTIONS.index("happy"), 160 + CHANNEL_INDEX["mouthSmileLeft"]]
    assert (np.diff(smile[:50]) > 0).all() and (np.diff(smile[50:]) < 0).all()
    assert smile[49] == pytest.approx(LEVEL_SHARES[2] * apex, rel=0.01) and smile[99] < 0.01 * apex
    assert 0.85 < smile[13] / smile[49] < 0.95  # 90 % in about half a second


def test_heads_nod_on_accents_and_bow_in_sadness():
    still, none = np.zeros((50, 3)), np.zeros((50, 7))
    nods = np.exp(-0.5 * ((np.arange(50) - 25) / 4) ** 2)
    pose = head_pose(still, nods, np.ones(50), none, np.zeros(50))
    assert np.argmax(pose[:, 0]) == 25 and 1.5 < np.degrees(pose[25, 0]) < 3.0
    sad = none.copy()
    sad[:, EMOTIONS.index("sad")] = 1.0
    bowed = head_pose(still, 0 * nods, np.ones(50), sad, np.ones(50))
    assert np.degrees(bowed[0, 0]) > 3.0


def test_the_style_is_seeded_and_moves_at_its_speed():
    times = np.arange(0, 20, 0.01)
    one, again, other = (head_style(np.random.default_rng(seed), times) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    np.testing.assert_allclose(np.gradient(one[:, 0], times)[1:-1], 2.0 * one[1:-1, 3], atol=2e-2)


def test_the_path_through_the_matrix_is_monotone_and_visits_every_cell():
    matrix = np.outer((0.2, 0.4, 0.6), (0.6, 0.62, 0.7, 1.0, 2.0))
    path = FineGrainedPath.from_matrices(dict.fromkeys(EMOTIONS, matrix))
    assert FineGrainedPath.from_json(path.to_json()).cells == path.cells
    assert sorted(path.cells["happy"]) == sorted((level, window) for level in LEVELS for window in WINDOWS)
    wanted = np.linspace(0, 1, 101)
    values = {(level, window): matrix[i, j] for i, level in enumerate(LEVELS) for j, window in enumerate(WINDOWS)}
    strengths = path.shares("happy", wanted) @ np.array([values[cell] for cell in path.cells["happy"]])
    np.testing.assert_allclose(strengths, wanted * matrix.max(), atol=1e-6)
    assert path.shares("happy", np.zeros(1)).sum() == 0.0


def test_unit_intensities_find_the_units_that_are_there():
    for column, unit in enumerate(ACTION_UNITS):
        found = unit_intensities(au_weights({unit: 0.6})[None])[0]
        assert found[column] == found.max() > 0.35, unit


@pytest.fixture(scope="module")
def shipped():
    return shipped_networks()


def _utterances(networks, n_utterances: int = 3, n_frames: int = 90) -> list[np.ndarray]:
    """Content vectors of made-up speech: random phones at random loudness, a syllable every fifth of a second."""
    contents = []
    for seed in range(n_utterances):
        rng = np.random.default_rng(seed)
        said = np.zeros((2 * n_frames, 57), np.float32)
        spoken = np.repeat(rng.integers(0, 42, n_frames // 5 + 1), 10)[: 2 * n_frames]
        said[np.arange(2 * n_frames), 13 + spoken] = 1.0
        said[:, 0] = said[:, 56] = np.repeat(rng.random(n_frames // 5 + 1), 10)[: 2 * n_frames]
        contents.append(networks.encode(rng.normal(0, 1, (4 * n_frames, 12)).astype(np.float32), said, n_frames))
    return contents


@pytest.mark.parametrize("label", EMOTIONS)
def test_the_raw_matrix_grows_with_the_level_and_with_shorter_windows(shipped, label):
    matrix = measure_matrix(shipped, _utterances(shipped), label)
    assert matrix.shape == (len(LEVELS), len(WINDOWS), len(EMOTION_AUS[label]))
    assert (np.diff(matrix, axis=0) > 0).all() and (np.diff(matrix, axis=1) > 0).all()
    assert broken_cells(matrix.mean(-1)) == []


def test_cells_out_of_order_are_named():
    matrix = np.outer((1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0, 5.0))
    matrix[1, 2] = 2.5
    assert broken_cells(matrix) == [
        "level 2 at 10 frames is not above level 1", "level 2: 10 frames is not above 15",
    ]  # fmt: skip


def test_an_intensity_that_comes_and_goes_is_answered_as_by_the_whole_shot(shipped, monkeypatch):
    content = np.concatenate(_utterances(shipped, 4))
    emotion = np.zeros((len(content), 7), np.float32)
    emotion[100:190, EMOTIONS.index("angry")] = np.sin(np.linspace(0, np.pi, 90))
    emotion[150:333, EMOTIONS.index("sad")] = 0.3
    parts = emotional_states(shipped, content, emotion)
    monkeypatch.setattr(fine_grained, "_stretches", lambda wanted, _: [(0, len(wanted))] if wanted.any() else [])
    assert np.abs(parts - emotional_states(shipped, content, emotion)).max() < 1e-3
    assert not parts[:99].any()


def test_the_last_window_of_a_shot_is_no_stronger_than_the_others(shipped):
    content = np.repeat(_utterances(shipped, 1)[0][40:41], 83, axis=0)
    smile = shipped.states(content, "happy", (3,), 20)[0, :, 160 + CHANNEL_INDEX["mouthSmileLeft"]]
    assert np.ptp(smile) < 0.02 * smile.mean()


def test_missing_weights_are_refused_in_words(tmp_path):
    with pytest.raises(InputError, match="weights are missing"):
        _ = CoefficientNetworks(tmp_path / "none.safetensors").network


def test_the_shipped_weights_say_where_they_come_from():
    network = NETWORKS["emospeaker"]
    metadata = network.metadata()
    assert network.path.stat().st_size < 16e6 and len(metadata["corpus_sha256"]) == 64
    for key in ("config", "plan", "seed", "command", "loss_weights", "fine_grained"):
        assert metadata.get(key)
