"""Evidence of phones from the acoustic model that pocketsphinx brings."""

import struct

import numpy as np
import pytest
from scipy.signal import lfilter

from backend.audio import sphinx_model as sphinx
from backend.audio.features import log_mels
from backend.audio.sphinx_features import CepstraReader, sphinx_cepstra, with_differences
from backend.errors import InputError
from backend.inference.phone_evidence import N_EVIDENCE, OFFSET, SCALE, phone_evidence
from backend.models.phone_mixtures import LEAST, STREAM_WEIGHT


@pytest.fixture(scope="module")
def voice():
    """Four seconds of pulses at a moving pitch through moving formants, with pauses and a little noise."""
    rng = np.random.default_rng(5)
    pitch = 110.0 + 30.0 * np.sin(np.arange(64000) / 9000.0)
    pulses = np.diff(np.floor(np.cumsum(pitch) / 16000.0), prepend=0.0)
    parts = []
    for index, part in enumerate(np.split(pulses, 16)):
        for formant, width in ((rng.uniform(300, 800), 80.0), (rng.uniform(900, 2300), 120.0), (2800.0, 200.0)):
            pole = np.exp(-np.pi * width / 16000.0)
            part = lfilter([1.0 - pole], [1.0, -2 * pole * np.cos(2 * np.pi * formant / 16000.0), pole**2], part)
        parts.append(part * (index % 5 != 4))
    sound = np.concatenate(parts)
    return (0.3 * sound / np.abs(sound).max() + 1e-3 * rng.standard_normal(len(sound))).astype(np.float32)


def test_cepstra_are_those_that_pocketsphinx_computes_itself(voice, tmp_path):
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(
        mfclogdir=str(tmp_path), lm=None, allphone=f"{pocketsphinx.get_model_path()}/en-us/en-us-phone.lm.bin",
        loglevel="FATAL",
    )  # fmt: skip
    decoder.start_utt()
    decoder.process_raw((voice * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    theirs = np.frombuffer(next(tmp_path.iterdir()).read_bytes(), ">f4", offset=4).reshape(-1, 13)
    ours = sphinx_cepstra(log_mels(voice))[
        1 : len(theirs) + 1
    ]  # its first window begins with the sound, ours half before
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs[: len(ours)].T)]
    assert min(agreement) > 0.88 and np.mean(agreement) > 0.95, agreement
    spread = ours.std(0) / theirs[: len(ours)].std(0)
    assert spread.min() > 0.8 and spread.max() < 1.25, spread


def test_blocks_make_no_difference(voice):
    mels = log_mels(voice)
    reader = CepstraReader()
    for start in range(0, len(mels), 70):
        assert reader.push(mels[start : start + 70]) is not None
    np.testing.assert_allclose(reader.cepstra(), sphinx_cepstra(mels), atol=1e-4)


def test_the_mixtures_are_the_models_formula(voice):
    model = sphinx.sphinx_model()
    cepstra = sphinx_cepstra(log_mels(voice))
    evidence = phone_evidence(cepstra)
    assert evidence.shape == (-(-len(cepstra) // 2), N_EVIDENCE) and len(model.phones) == N_EVIDENCE
    frame = 61
    streams = with_differences(cepstra, 2)[:, frame].astype(float)
    expected = []
    for phone in range(N_EVIDENCE):
        states = np.zeros(3)
        for stream in range(3):
            mean, variance = model.means[stream, phone].astype(float), model.variances[stream, phone].astype(float)
            distance = ((streams[stream] - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(-1)
            states += np.logaddexp.reduce(model.log_weights[stream, phone] - 0.5 * distance, axis=-1)
        expected.append(STREAM_WEIGHT * np.logaddexp.reduce(states))
    expected = np.maximum(np.array(expected) - np.logaddexp.reduce(expected), LEAST)
    np.testing.assert_allclose((evidence[frame] - OFFSET) / SCALE, expected, atol=0.02)


def test_differences_are_taken_over_held_ends():
    ramp = np.arange(20.0)[:, None] * np.ones(13)
    here, first, second = with_differences(ramp)
    np.testing.assert_array_equal(here, ramp)
    assert (first[3:-3] == 4.0).all() and (second[3:-3] == 0.0).all()
    assert first[0, 0] == 2.0 and with_differences(ramp, 2).shape == (3, 10, 13)


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_a_broken_model_is_named(damage, tmp_path, monkeypatch):
    import shutil

    import pocketsphinx

    folder = tmp_path / "en-us" / "en-us"
    shutil.copytree(f"{pocketsphinx.get_model_path()}/en-us/en-us", folder)
    if damage == "missing":
        (folder / "means").unlink()
    elif damage == "cut":
        (folder / "sendump").write_bytes((folder / "sendump").read_bytes()[:4000])
    else:
        (folder / "variances").write_bytes(b"endhdr\n" + struct.pack("<I7i", 0x11223344, 42, 1, 128, 39, 0, 0, 0))
    monkeypatch.setattr(pocketsphinx, "get_model_path", lambda: str(tmp_path))
    sphinx.sphinx_model.cache_clear()
    with pytest.raises(InputError, match=r"acoustic model cannot be read .* install pocketsphinx"):
        sphinx.sphinx_model()
    sphinx.sphinx_model.cache_clear()
