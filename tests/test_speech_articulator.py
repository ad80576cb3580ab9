"""Speech to lips with the shipped network: properties of the output, and closures where a synthesiser says them."""

import numpy as np
import pytest

from backend.audio.features import SAMPLE_RATE
from backend.inference import speech
from backend.inference.speech import SpeechArticulator
from backend.training.degrade import change_speed
from backend.weights import NETWORKS
from bfm.coefficients import CHANNEL_INDEX
from blender_addon.protocol.types import Waveform

JAW, CLOSE = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
SENTENCE = "Maybe both people moved, but we did not stop happily. Please put the map above my big brown box."


@pytest.fixture(scope="module")
def articulator():
    return SpeechArticulator()


def _utterance():
    """A sentence by flite with its phones; skips where flite is not installed."""
    from backend.training.engines import Delivery, speak_flite

    try:
        return speak_flite(SENTENCE, "slt", Delivery(1.1, 180.0, 1.0))
    except OSError:
        pytest.skip("flite is not installed")


@pytest.fixture(scope="module")
def spoken():
    utterance = _utterance()
    samples = change_speed(utterance.samples, utterance.sample_rate, 1.0)
    return Waveform(np.clip(samples, -1, 1), SAMPLE_RATE), utterance


def _babble(seconds, seed=0):
    """Speech-like noise: no language, but loud and soft with the rate of syllables."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = np.sin(2 * np.pi * 120 * time + 3 * np.sin(2 * np.pi * 5 * time)) * np.clip(
        np.sin(2 * np.pi * 3.1 * time), 0, 1
    )
    return Waveform((0.2 * voice + 0.02 * rng.standard_normal(len(time))).astype(np.float32), SAMPLE_RATE)


@pytest.mark.parametrize("frame_rate", [24.0, 25.0, 29.97, 60.0, 120.0])
def test_frames_cover_the_sound_at_any_rate(articulator, frame_rate):
    sound = _babble(1.7)
    got = articulator.articulate(sound, frame_rate)
    assert got.weights.shape == (round(1.7 * frame_rate), 64)
    assert got.weights.dtype == np.float32 and got.activity.shape == (len(got.weights),)
    assert got.weights.min() >= 0.0 and got.weights.max() <= 1.0
    assert got.activity.min() >= 0.0 and got.activity.max() <= 1.0
    assert got.phones[0].start == 0.0 and got.phones[-1].end == pytest.approx(sound.duration)
    assert got.frame_rate == frame_rate


def test_the_same_sound_gives_the_same_lips(articulator):
    sound = _babble(1.5)
    first, second = articulator.articulate(sound, 25.0), SpeechArticulator().articulate(sound, 25.0)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.phones == second.phones


def test_chunks_leave_no_seam(articulator, spoken, monkeypatch):
    sound = Waveform(np.tile(spoken[0].samples, 4)[: 24 * SAMPLE_RATE], SAMPLE_RATE)
    whole = articulator.articulate(sound, 25.0)
    monkeypatch.setattr(speech, "CHUNK", 600)
    pieces = articulator.articulate(sound, 25.0)
    assert np.abs(whole.weights - pieces.weights).max() < 1e-3


@pytest.mark.parametrize("kind", ["zeros", "hiss"])
def test_no_sound_keeps_the_lips_closed(articulator, kind):
    samples = np.zeros(32000, np.float32)
    if kind == "hiss":
        samples = (1e-4 * np.random.default_rng(0).standard_normal(32000)).astype(np.float32)
    got = articulator.articulate(Waveform(samples, SAMPLE_RATE), 25.0)
    assert got.weights.max() < 0.02 and got.activity.max() < 0.05 and len(got.accents) == 0
    assert [p.label for p in got.phones] == ["sil"]


def test_loudness_alone_does_not_open_the_jaw(articulator, spoken):
    sound, _ = spoken
    quiet = articulator.articulate(Waveform(0.1 * sound.samples, SAMPLE_RATE), 25.0)
    loud = articulator.articulate(sound, 25.0)
    assert np.abs(quiet.weights[:, JAW] - loud.weights[:, JAW]).mean() < 0.02
    noise = 0.3 * np.random.default_rng(1).standard_normal(48000).astype(np.float32)
    assert articulator.articulate(Waveform(np.clip(noise, -1, 1), SAMPLE_RATE), 25.0).weights[:, JAW].mean() < 0.08


def test_lips_close_at_the_bilabials_of_a_sentence(articulator, spoken):
    sound, utterance = spoken
    got = articulator.articulate(sound, 60.0)
    opening = got.weights[:, JAW] - got.weights[:, CLOSE] + 0.2 * got.weights[:, CHANNEL_INDEX["mouthLowerDownLeft"]]
    starts = np.concatenate([[0.0], utterance.ends[:-1]])
    spans = [(a, b) for a, b, p in zip(starts, utterance.ends, utterance.phones) if p in {"P", "B", "M"}]
    shut = [opening[int(a * 60) : int(b * 60) + 2].min() < 0.04 for a, b in spans]
    vowels = [(a, b) for a, b, p in zip(starts, utterance.ends, utterance.phones) if p in {"AA", "AE", "AO", "AW"}]
    wide = [opening[int(a * 60) : int(b * 60) + 1].max() > 0.15 for a, b in vowels]
    assert np.mean(shut) >= 0.75
    assert np.mean(wide) >= 0.7


def test_phones_of_a_sentence_are_mostly_heard(articulator, spoken):
    sound, utterance = spoken
    got = articulator.articulate(sound, 25.0)
    times = np.arange(0.0, utterance.ends[-1], 0.02)
    said = np.array(utterance.phones)[
        np.searchsorted(utterance.ends, times, side="right").clip(max=len(utterance.ends) - 1)
    ]
    ends = np.array([p.end for p in got.phones])
    heard = np.array([p.label for p in got.phones])[np.searchsorted(ends, times, side="right").clip(max=len(ends) - 1)]
    assert np.mean(said == heard) > 0.5
    assert 2 <= len(got.accents) <= 30


def test_another_sample_rate_is_understood(articulator, spoken):
    sound, _ = spoken
    doubled = Waveform(np.clip(np.repeat(sound.samples, 2), -1, 1), 2 * SAMPLE_RATE)
    same = articulator.articulate(doubled, 25.0).weights[:, JAW]
    assert np.corrcoef(same, articulator.articulate(sound, 25.0).weights[:, JAW])[0, 1] > 0.95


def test_the_weights_say_where_they_come_from():
    network = NETWORKS["speech"]
    metadata = network.metadata()
    assert network.path.stat().st_size < 16e6
    for key in ("config", "seed", "command", "corpus_sha256", "articulators", "phones"):
        assert metadata.get(key)
    assert len(metadata["corpus_sha256"]) == 64


def test_missing_weights_and_bad_rates_are_refused_in_words(tmp_path, articulator):
    with pytest.raises(ValueError, match="weights are missing"):
        SpeechArticulator(tmp_path / "none.safetensors").articulate(_babble(0.5), 25.0)
    with pytest.raises(ValueError, match="frame rate"):
        articulator.articulate(_babble(0.5), 0.0)
