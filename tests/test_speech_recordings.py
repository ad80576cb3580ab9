"""Real recordings are heard: no loud stretch of speech is taken for silence."""

from __future__ import annotations

import numpy as np
import pytest

from backend.audio.waveform import SPEECH_SAMPLE_RATE, load_waveform
from backend.inference.speech import SpeechArticulator

pytestmark = pytest.mark.shared
HOP = SPEECH_SAMPLE_RATE // 50  # samples
LOUD_SHARE = 0.25  # of the 95th percentile of loudness


@pytest.mark.parametrize("name", ["jfk.flac", "RD_Radio31_000.wav", "english_interview.mp3", "chinese_news.wav"])
def test_loud_stretches_are_heard_as_speech(shared, name):
    waveform = load_waveform(shared / "media" / "speech" / name)
    n_frames = len(waveform.samples) // HOP
    power = np.square(waveform.samples[: n_frames * HOP]).reshape(n_frames, HOP).mean(1)
    loudness = np.sqrt(np.convolve(power, np.ones(5) / 5, mode="same"))
    loud = loudness > LOUD_SHARE * np.percentile(loudness, 95)
    activity = SpeechArticulator().articulate(waveform, 50.0).activity[:n_frames]
    assert (activity[loud[: len(activity)]] > 0.2).mean() > 0.95
