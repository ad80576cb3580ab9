"""The yardsticks of speech: an oracle scores full marks, nothing scores none, and the order of methods is kept."""

from __future__ import annotations

import numpy as np
import pytest

from backend.audio.features import SAMPLE_RATE
from backend.evaluation import listeners, recordings
from backend.evaluation.lips import FRAME_RATE, best_lag, correlation, score_closures, third_difference
from backend.evaluation.listeners import Lips
from backend.evaluation.recordings import CONDITIONS, Recording, labelled, under
from backend.evaluation.speech import agreement, score, viseme_of
from blender_addon.protocol.types import Phone, Waveform

SAID = tuple(
    Phone(0.2 * i, 0.2 * (i + 1), label)
    for i, label in enumerate(("sil", "AH", "M", "AA", "T", "IY", "B", "AE", "F", "OW", "P", "AH", "sil"))
)
DURATION = SAID[-1].end


def _recording():
    rng = np.random.default_rng(0)
    return Recording(Waveform(0.1 * rng.standard_normal(int(DURATION * SAMPLE_RATE)).clip(-3, 3), SAMPLE_RATE), SAID)


def test_the_labels_themselves_score_full_marks():
    got = score([listeners.of_phones(SAID, DURATION)], [_recording()])
    assert got.closures.recall == got.closures.precision == got.visemes == got.phones == 1.0
    assert got.closures.idle < 0.02 and abs(got.closures.offset) < 0.04  # a closure ends before the burst


def test_a_mouth_that_hangs_open_or_shut_scores_nothing():
    n_frames = round(DURATION * FRAME_RATE)
    gaping = score_closures(np.ones(n_frames), FRAME_RATE, list(SAID))
    assert gaping.recall == 0.0 and gaping.idle == 0.0
    shut = score_closures(np.zeros(n_frames), FRAME_RATE, list(SAID))
    assert shut.recall == 0.0 and shut.idle > 0.95
    assert score([Lips(np.ones((n_frames, 1)), None)], [_recording()]).visemes is None


def test_late_lips_are_found_late():
    rng = np.random.default_rng(3)
    lips = np.convolve(rng.standard_normal(400), np.hanning(15), mode="same")
    times = np.arange(0.5, 5.5, 0.04)
    real = np.interp(times + 0.2, np.arange(400) / FRAME_RATE, lips)
    assert best_lag(times, real, lips) == pytest.approx(0.2)
    assert correlation(times, real, lips, 0.2) > 0.999


def test_unrest_grows_with_jitter_and_not_with_size():
    times = np.arange(0.0, 4.0, 1 / 25)
    smooth = np.sin(2 * np.pi * 2 * times)
    jittery = smooth + 0.05 * np.random.default_rng(0).standard_normal(len(times))
    assert third_difference(times, jittery) > 1.2 * third_difference(times, smooth)
    assert third_difference(times, 7 * smooth) == pytest.approx(third_difference(times, smooth))


def test_every_phone_has_a_viseme():
    from backend.audio.phones import PHONES

    assert viseme_of("P") == viseme_of("M") == "PP" and viseme_of("sil") == "sil"
    assert all(viseme_of(phone) != "sil" for phone in PHONES[1:])
    assert agreement(SAID, SAID) == 1.0
    voiced = tuple(Phone(p.start, p.end, "B" if p.label in {"P", "M"} else p.label) for p in SAID)
    assert agreement(voiced, SAID) < 0.9 and agreement(voiced, SAID, viseme_of) == 1.0


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_keep_length_and_are_the_same_again(condition):
    clean = _recording()
    worse, again = under(clean, condition), under(clean, condition)
    assert worse.waveform.samples.shape == clean.waveform.samples.shape and worse.phones == clean.phones
    np.testing.assert_array_equal(worse.waveform.samples, again.waveform.samples)
    assert np.abs(worse.waveform.samples - clean.waveform.samples).max() > 0.01


def test_noise_is_as_loud_as_it_says():
    clean = _recording()
    noise = recordings._noisy(clean.waveform.samples, np.random.default_rng(0)) - clean.waveform.samples
    ratio = 10 * np.log10(np.mean(clean.waveform.samples**2) / np.mean(noise**2))
    assert ratio == pytest.approx(recordings.NOISE_RATIO, abs=0.1)


def test_labelled_recordings_of_a_folder_are_read(tmp_path):
    import json
    import wave

    with wave.open(str(tmp_path / "one.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((3000 * np.sin(np.arange(SAMPLE_RATE))).astype("<i2").tobytes())
    (tmp_path / "one.json").write_text(json.dumps([[0.0, 0.4, "sil"], [0.4, 0.7, "m"]]))
    (tmp_path / "one.txt").write_text("hum")
    (tmp_path / "lonely.json").write_text("[]")
    (recording,) = labelled(tmp_path)
    assert [p.label for p in recording.phones] == ["sil", "M", "sil"] and recording.text == "hum"


def test_allphone_hears_phones_of_speech():
    from backend.training.degrade import change_speed
    from backend.training.engines import Delivery, speak_flite

    try:
        utterance = speak_flite("Please put the map above my box.", "rms", Delivery(1.0, 100.0, 1.0))
    except OSError:
        pytest.skip("flite is not installed")
    samples = change_speed(utterance.samples, utterance.sample_rate, 1.0).clip(-1, 1)
    heard = listeners.allphone(Waveform(samples, SAMPLE_RATE))
    starts = np.concatenate([[0.0], utterance.ends[:-1]])
    said = tuple(Phone(float(a), float(b), p) for a, b, p in zip(starts, utterance.ends, utterance.phones))
    assert agreement(heard.phones, said) > 0.3
    aligned = recordings.aligned_by_pocketsphinx(Waveform(samples, SAMPLE_RATE), "please put the map above my box")
    assert agreement(aligned, said) > 0.6
    assert len(heard.measures) == len(listeners.loudness(Waveform(samples, SAMPLE_RATE)).measures)


def test_closures_are_scored_as_the_tool_beside_the_recordings_scores_them(shared):
    import importlib.util
    import sys

    tools = shared / "tools"
    if not (tools / "lip_closures.py").is_file():
        pytest.skip("no tool to compare with")
    sys.path.insert(0, str(tools))
    try:
        spec = importlib.util.spec_from_file_location("lip_closures", tools / "lip_closures.py")
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
    finally:
        sys.path.remove(str(tools))
    rng = np.random.default_rng(2)
    for _ in range(20):
        opening = np.maximum(np.convolve(rng.standard_normal(200), np.hanning(9), mode="same"), 0.0)
        theirs = tool.score(opening, FRAME_RATE, [(p.start, p.end, p.label) for p in SAID])
        ours = score_closures(opening, FRAME_RATE, list(SAID))
        assert (ours.recall, ours.precision) == pytest.approx((theirs["recall"], theirs["precision"]))
        assert ours.idle == pytest.approx(theirs["idle"], abs=1e-9)
