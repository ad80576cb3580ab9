"""EmoSpeaker's training path on a corpus of half a minute: shards, excerpts, losses, and a run that goes on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backend.audio.features import log_mels
from backend.audio.frame_features import frame_features
from backend.audio.phones import PHONE_INDEX
from backend.errors import InputError
from backend.inference.speech import SpeechArticulator
from backend.models.emospeaker import EmoSpeaker
from backend.training.corpus import Clip
from backend.training.emospeaker import (
    LOSS_WEIGHTS,
    emospeaker_losses,
    excerpt_batch,
    shipped_config,
    train_emospeaker,
    train_on,
)
from backend.training.excerpts import Excerpt, SynthesisedFaces
from backend.training.prosody import CALM, Mood, draw_mood, spoken_with
from backend.training.run import TrainingPlan
from backend.training.talking_clips import listen_to_shard
from blender_addon.protocol.types import EMOTIONS

FRAMES = 20
PLAN = TrainingPlan(steps=3, batch=3, warm_up=1, learning_rate=1e-4, save_every=2)


def _clip(seed: int) -> Clip:
    """Five seconds of noise bursts labelled as if they were happy speech."""
    rng = np.random.default_rng(seed)
    labels = np.array([PHONE_INDEX[p] for p in ("sil", "M", "AA", "S", "IY") * 10], np.int8)
    loud = np.repeat(np.where(labels == 0, 1e-4, 0.1), 1600) * rng.standard_normal(80000)
    stress = np.where(labels == PHONE_INDEX["AA"], 1, 0).astype(np.int8)
    return Clip(log_mels(loud), np.arange(1, 51) * 0.1, labels, stress, "noise", EMOTIONS.index("happy"), 3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks train fastest by one; other tests get theirs back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shard():
    return listen_to_shard(SpeechArticulator(), [_clip(seed) for seed in range(4)], np.random.default_rng(0))


@pytest.fixture(scope="module")
def faces(shard):
    return SynthesisedFaces([shard], shipped_config(), FRAMES)


def test_a_shard_holds_what_is_heard_in_step(shard):
    n_rows = len(shard.speech)
    assert n_rows == 2 * shard.n_frames == 1000 and len(shard.mfcc) == 2 * n_rows
    for name in ("lips", "speaking", "effort", "accents", "mood"):
        assert len(getattr(shard, name)) == n_rows, name
    assert np.isfinite(shard.mfcc).all() and (shard.mood == [EMOTIONS.index("happy"), 3]).all()
    assert 0 <= shard.effort.min() <= shard.effort.max() <= 1


def test_excerpts_have_a_reference_before_their_first_frame(faces):
    config = shipped_config()
    excerpt = faces.draw(np.random.default_rng(3))
    assert excerpt.features.shape == (FRAMES, config.n_features)
    assert excerpt.expression.shape == (2 * FRAMES + 1, 64)
    assert excerpt.state.shape == (FRAMES + 1, 224) and excerpt.pose.shape == (FRAMES + 1, 6)
    assert excerpt.units.shape == (FRAMES, 17) and excerpt.style.shape == (FRAMES, config.n_style)
    felt = excerpt.emotion.sum(1)
    assert set(felt) <= {0.0, 1.0} and ((excerpt.intensity > 0) == (felt > 0)).all()
    again = faces.draw(np.random.default_rng(3))
    assert all(np.array_equal(getattr(excerpt, name), getattr(again, name)) for name in Excerpt.__dataclass_fields__)


def test_features_of_a_part_equal_those_of_the_whole(shard):
    mfcc, speech = shard.mfcc.astype(np.float32), shard.speech.astype(np.float32)
    whole = frame_features(mfcc, speech, frame_rate=25.0, per_frame=2, start=0, end=60)
    part = frame_features(mfcc, speech, frame_rate=25.0, per_frame=2, start=20, end=40)
    np.testing.assert_array_equal(whole[20:40], part)
    np.testing.assert_array_equal(part[5, -114:], speech[50:52].ravel())
    np.testing.assert_array_equal(part[5, : 28 * 12], mfcc[86:114].ravel())


def test_the_total_loss_has_the_papers_weights_and_reaches_every_network(faces):
    assert LOSS_WEIGHTS == {"contrastive": 5.0, "expression": 5.0, "emotion": 3.0, "classes": 1.0, "pose": 1.0}
    torch.manual_seed(0)
    network = EmoSpeaker(shipped_config())
    parts = emospeaker_losses(network, excerpt_batch(faces, PLAN, 0))
    assert set(parts) == set(LOSS_WEIGHTS) and all(float(part.detach()) > 0 for part in parts.values())
    sum(parts.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(faces, tmp_path):
    config, two = shipped_config(), TrainingPlan(**{**vars(PLAN), "steps": 2})
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_on(faces, config, whole, plan=PLAN, metadata={})
    train_on(faces, config, parts, plan=two, metadata={})
    train_on(faces, config, parts, plan=PLAN, metadata={})
    one, other = load_file(whole), load_file(parts)
    assert max(float((one[name].float() - other[name].float()).abs().max()) for name in one) < 2e-3
    rows = whole.with_suffix(".losses.csv").read_text().splitlines()
    assert rows[0] == "step,contrastive,expression,emotion,classes,pose" and rows[-1].startswith("3,")


def test_training_teaches(faces, tmp_path):
    """Some steps on one excerpt bring every loss of coefficients down."""
    plan = TrainingPlan(steps=40, batch=2, warm_up=1, learning_rate=3e-3, save_every=40)

    class One:
        def draw(self, _rng):
            return faces.draw(np.random.default_rng(5))

    torch.manual_seed(0)
    batch = excerpt_batch(One(), plan, 0)
    trained = train_on(One(), shipped_config(), tmp_path / "w.safetensors", plan=plan, metadata={})
    torch.manual_seed(0)
    with torch.no_grad():
        before = emospeaker_losses(EmoSpeaker(shipped_config()).eval(), batch)
        after = emospeaker_losses(trained, batch)
    for name in ("expression", "emotion", "pose"):
        assert after[name] < 0.5 * before[name], name


def test_training_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="No speech corpus"):
        train_emospeaker(tmp_path, tmp_path / "weights.safetensors", plan=PLAN)


def test_moods_are_heard_as_arousal():
    import random

    rng = random.Random(0)
    drawn = {draw_mood(rng) for _ in range(400)}
    assert CALM in drawn and len(drawn) == 1 + 3 * len(EMOTIONS)

    def pitch(label: str) -> float:
        mood = Mood(EMOTIONS.index(label), 3)
        return float(np.mean([spoken_with(mood, 100.0, random.Random(seed)).pitch for seed in range(200)]))

    assert pitch("fear") > pitch("happy") > pitch("sad")
