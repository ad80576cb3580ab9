"""The training path on a corpus of a minute: shards, examples, augmentation, and a run that is stopped and goes on."""

import numpy as np
import pytest

from backend.audio.features import log_mels, measure_level
from backend.audio.phones import PHONE_INDEX
from backend.errors import InputError
from backend.training.corpus import Clip, corpus_hash, read_shard, write_shard
from backend.training.degrade import change_speed, degrade
from backend.training.run import TrainingPlan
from backend.training.sounds import wordless
from backend.training.speech import train_speech
from backend.training.speech_data import CROP, augment, draw_example, load_examples
from backend.training.synthesise import VOICE_SHARES, WORDLESS, held_out_russian, plan_shards


def _clip(seed):
    """Three seconds of noise bursts labelled as if they were speech."""
    rng = np.random.default_rng(seed)
    ends = np.arange(1, 31) * 0.1
    labels = np.array([PHONE_INDEX[p] for p in ("sil", "M", "AA", "S", "IY", "P") * 5], np.int8)
    loud = np.where(labels == 0, 1e-4, 0.1)
    samples = np.repeat(loud, 1600) * rng.standard_normal(48000)
    return Clip(log_mels(samples), ends, labels, np.where(labels == PHONE_INDEX["AA"], 1, 0).astype(np.int8), "noise")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(2):
        write_shard(folder / f"shard_{number:05d}.npz", [_clip(10 * number + i) for i in range(4)])
    return folder


def test_shards_come_back_as_they_were(corpus):
    clips = read_shard(corpus / "shard_00000.npz")
    expected = _clip(2)
    assert len(clips) == 4 and not list(corpus.glob("*.part"))
    np.testing.assert_allclose(clips[2].mels, expected.mels, atol=0.01)
    np.testing.assert_array_equal(clips[2].labels, expected.labels)
    np.testing.assert_allclose(clips[2].ends, expected.ends, atol=1e-6)
    assert corpus_hash(corpus) == corpus_hash(corpus)


def test_voices_get_their_shares_and_test_recordings_stay_out():
    plans = plan_shards(10.0, 0)
    spoken = [p.voice for p in plans if p.voice != WORDLESS]
    for voice, share in VOICE_SHARES.items():
        assert abs(spoken.count(voice) / len(spoken) - share) < 0.02
    assert len(spoken) == 150 and len(plans) == 156
    assert [p.voice for p in plans[:20]] == [p.voice for p in plan_shards(4.0, 0)[:20]]
    assert len(held_out_russian()) in (0, 155)


def test_examples_are_aligned_crops(corpus):
    examples = load_examples(corpus)
    shares = np.full(len(examples), 1 / len(examples))
    for seed in range(6):
        drawn = draw_example(examples, shares, np.random.default_rng(seed))
        assert drawn.mels.shape == (CROP, 80) and drawn.articulators.shape == (CROP // 2, 13)
        assert drawn.phones.shape == drawn.stress.shape == (CROP // 2,)
        assert np.isfinite(drawn.mels).all()
        again = draw_example(examples, shares, np.random.default_rng(seed))
        np.testing.assert_array_equal(drawn.mels, again.mels)


def test_added_sounds_never_take_power_away_but_for_the_microphone():
    clip = _clip(0)
    rng = np.random.default_rng(4)
    noisy = augment(clip.mels.astype(np.float64), np.repeat(clip.labels == 0, 10), rng, clip.mels)
    assert noisy.shape == clip.mels.shape and np.isfinite(noisy).all()
    quiet = clip.mels.mean(1) < -10
    assert noisy[quiet].mean() > clip.mels[quiet].mean() - 1.5


def test_wordless_sounds_are_labelled_silence():
    for seed in range(4):
        sound = wordless(np.random.default_rng(seed))
        assert sound.phones == ("sil",) and np.isfinite(sound.samples).all()
        assert 0.01 < np.abs(sound.samples).max() <= 1.0 and len(sound.samples) == 8 * sound.sample_rate


def test_degraded_speech_keeps_its_length_and_timing():
    samples = np.zeros(16000, np.float32)
    samples[8000] = 1.0
    for seed in range(8):
        worse = degrade(samples, np.random.default_rng(seed))
        assert worse.shape == samples.shape and np.isfinite(worse).all()
        assert abs(int(np.abs(worse).argmax()) - 8000) <= 16
    assert len(change_speed(samples, 16000, 1.25)) == 12800
    assert len(change_speed(samples, 8000, 1.0)) == 32000


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(corpus, tmp_path):
    from safetensors.numpy import load_file

    def plan(steps):
        return TrainingPlan(steps=steps, batch=2, warm_up=1, learning_rate=1e-5, save_every=2)

    train_speech(corpus, tmp_path / "whole.safetensors", plan=plan(4))
    train_speech(corpus, tmp_path / "parts.safetensors", plan=plan(2))
    train_speech(corpus, tmp_path / "parts.safetensors", plan=plan(4))
    whole, parts = load_file(tmp_path / "whole.safetensors"), load_file(tmp_path / "parts.safetensors")
    assert whole.keys() == parts.keys()
    # dropout draws differ after the stop; the weights have hardly moved apart
    assert max(float(np.abs(whole[k].astype(float) - parts[k].astype(float)).max()) for k in whole) < 0.01
    assert measure_level([_clip(0).mels]).loudness < 0


def test_training_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="No speech corpus"):
        train_speech(tmp_path, tmp_path / "weights.safetensors", plan=TrainingPlan(steps=1))


def test_the_streaming_network_learns_from_the_other_and_its_weights_are_heard(corpus, tmp_path):
    from dataclasses import replace

    from safetensors import safe_open

    from backend.inference.streaming import StreamingArticulator
    from backend.training.streaming import STREAMING_PLAN, train_streaming
    from backend.weights import NETWORKS

    weights, losses = tmp_path / "streaming.safetensors", []
    plan = replace(STREAMING_PLAN, steps=3, batch=2, warm_up=1)
    train_streaming(
        corpus, weights, plan=plan, teacher=NETWORKS["speech"].path, progress=lambda _step, parts: losses.append(parts)
    )
    assert {"shape", "taught shape", "taught phone"} <= set(losses[-1])
    assert all(np.isfinite(value) for value in losses[-1].values())
    with safe_open(str(weights), framework="np") as file:
        assert "train streaming --steps 3" in file.metadata()["command"]
        spectrum = file.get_tensor("usual_spectrum")
    assert spectrum.shape == (80,) and -6.0 < spectrum.mean() < 0.0
    stream = StreamingArticulator(25.0, weights=weights)
    n_frames = len(stream.push(np.zeros(8000, np.float32)).weights) + len(stream.finish().weights)
    assert n_frames == round(0.5 * 25)
