"""Sound as it comes from the world: the same lips from any rate, layout, offset or clipped copy, or one sentence."""

from __future__ import annotations

import io
import resource

import av
import numpy as np
import pytest

from backend.audio.waveform import load_waveform
from backend.commands.demo import SENTENCE
from backend.errors import AudioError
from backend.inference.streaming import articulate_streaming
from backend.pipeline import articulate
from bfm.coefficients import CHANNEL_INDEX

RATE, SECONDS = 25.0, 3.0
JAW = CHANNEL_INDEX["jawOpen"]


def encoded(samples, rate, layout="mono", codec="pcm_f32le"):
    """samples (n_channels, n_samples) as the bytes of a wav file."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = layout
        packed = np.ascontiguousarray(samples.T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
        for piece in resampler.resample(frame):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def at_rate(samples, rate):
    from scipy.signal import resample_poly

    common = np.gcd(rate, 16000)
    return resample_poly(samples, rate // common, 16000 // common)


@pytest.fixture(scope="module")
def spoken():
    return load_waveform(SENTENCE, end=SECONDS).samples


@pytest.fixture(scope="module")
def lips(spoken):
    return articulate(load_waveform(encoded(spoken[None], 16000)), RATE).weights


def _surround(samples):
    quiet = 0.02 * np.random.default_rng(0).standard_normal((5, len(samples)))
    return np.concatenate([quiet[:2], samples[None], quiet[2:]])  # the centre speaks


@pytest.mark.parametrize(
    ("what", "make", "alike"),
    [
        ("8 kHz", lambda s: encoded(at_rate(s, 8000)[None], 8000), 0.85),
        ("96 kHz", lambda s: encoded(at_rate(s, 96000)[None], 96000), 0.99),
        ("six channels", lambda s: encoded(_surround(s), 48000 // 3, "5.1"), 0.85),
        ("clipped", lambda s: encoded(np.clip(6 * s, -1, 1)[None], 16000), 0.85),
        ("beyond full scale", lambda s: encoded(30 * s[None], 16000), 0.99),
        ("constant offset", lambda s: encoded(0.3 * s[None] + 0.6, 16000), 0.98),
        ("not-a-number here and there", lambda s: encoded(_holes(s)[None], 16000), 0.90),
        ("cut off in the file", lambda s: encoded(s[None], 16000)[: -16000 * 2], 0.97),
    ],
)
def test_the_lips_are_the_same_in_all_but_name(spoken, lips, what, make, alike):
    got = articulate(load_waveform(make(spoken)), RATE).weights
    n_frames = min(len(got), len(lips)) - 8
    assert np.isfinite(got).all() and got.min() >= 0.0 and got.max() <= 1.0
    assert n_frames > 50
    assert np.corrcoef(got[:n_frames, JAW], lips[:n_frames, JAW])[0, 1] > alike, what


def _holes(samples):
    holed = samples.copy()
    holed[::4001] = np.nan
    holed[7000:7010] = np.inf
    return holed


@pytest.mark.parametrize("hear", [articulate, articulate_streaming])
def test_silence_gives_a_listening_face(hear):
    got = hear(load_waveform(encoded(np.zeros((1, 32000)), 16000)), RATE)
    assert len(got.weights) == 50 and got.weights.max() < 0.03
    assert got.activity.max() < 0.05 and [p.label for p in got.phones] == ["sil"]


def test_what_is_no_sound_is_refused_in_one_sentence(spoken):
    for bad, says in (
        (encoded(np.full((1, 16000), np.nan), 16000), "not-a-number"),
        (encoded(spoken[None, :1000], 16000), "at least"),
        (b"RIFF", "Cannot read"),
        (encoded(spoken[None], 16000)[:60], "at least|Cannot read|corrupt"),
    ):
        with pytest.raises(AudioError, match=says) as caught:
            load_waveform(bad)
        assert str(caught.value).count("\n") == 0


@pytest.mark.soak
def test_two_hours_pass_in_bounded_memory(spoken):
    hours = np.resize(spoken, 2 * 3600 * 16000)
    got = articulate(load_waveform(encoded(hours[None], 16000, codec="pcm_s16le")), RATE)
    assert len(got.weights) == 2 * 3600 * RATE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6e6  # kB
