"""Log-mels, their level and the decoding of phones."""

import itertools

import numpy as np
import pytest

from backend.audio.decoding import best_path, find_accents, merge_phones
from backend.audio.features import count_frames, log_mels, measure_level, mel_filters, normalise
from backend.audio.phones import PHONE_INDEX, PHONES
from blender_addon.protocol.types import Phone


@pytest.fixture(scope="module")
def sound():
    """Three seconds of modulated noise with pauses, peak below full scale."""
    rng = np.random.default_rng(3)
    envelope = np.clip(np.sin(np.linspace(0, 20, 48000)), 0, 1)
    return (0.1 * envelope * rng.standard_normal(48000)).astype(np.float32)


def test_filters_cover_every_band_and_keep_white_noise_flat():
    filters = mel_filters()
    assert filters.shape == (257, 80)
    np.testing.assert_allclose(filters.sum(0), 1.0, rtol=1e-5)
    centres = (filters * np.arange(257)[:, None]).sum(0)
    assert (np.diff(centres) > 0).all()


def test_a_part_equals_the_same_rows_of_the_whole(sound):
    whole = log_mels(sound)
    assert whole.shape == (count_frames(len(sound)), 80)
    np.testing.assert_allclose(log_mels(sound, 40, 130), whole[40:130], atol=1e-5)
    np.testing.assert_allclose(log_mels(sound, 0, 5), whole[:5], atol=1e-5)
    np.testing.assert_allclose(log_mels(sound, 290), whole[290:], atol=1e-5)


def test_a_shift_by_a_hop_shifts_the_frames(sound):
    later = np.concatenate([np.zeros(160, np.float32), sound])
    np.testing.assert_allclose(log_mels(later)[11:200], log_mels(sound)[10:199], atol=1e-4)


def test_gain_does_not_change_what_the_network_sees(sound):
    seen = []
    for gain in (0.3, 1.0, 3.0):
        mels = log_mels(gain * sound)
        seen.append(normalise(mels, measure_level([mels])))
    active = log_mels(sound).mean(1) > -9
    assert np.abs(seen[0] - seen[1])[active].max() < 0.05
    assert np.abs(seen[2] - seen[1])[active].max() < 0.05


def test_the_level_does_not_depend_on_blocks_or_pauses(sound):
    mels = log_mels(sound)
    whole = measure_level([mels])
    blocks = measure_level(mels[i : i + 70] for i in range(0, len(mels), 70))
    np.testing.assert_allclose(whole.spectrum, blocks.spectrum, atol=1e-5)
    padded = log_mels(np.concatenate([sound, np.zeros(16000, np.float32)]))
    assert np.abs(measure_level([padded]).spectrum - whole.spectrum).max() < 0.15


def test_noise_takes_a_recordings_contrast(sound):
    rng = np.random.default_rng(8)
    clean = measure_level([log_mels(sound)])
    noisy = measure_level([log_mels(sound + 0.02 * rng.standard_normal(len(sound)).astype(np.float32))])
    assert clean.contrast > 8.0 and 1.5 < noisy.contrast < 3.5
    assert noisy.loudness == pytest.approx(clean.loudness, abs=0.2)


def test_silence_and_a_faint_hiss_are_silent():
    rng = np.random.default_rng(0)
    for samples in (np.zeros(8000, np.float32), 1e-5 * rng.standard_normal(8000).astype(np.float32)):
        assert measure_level([log_mels(samples)]).is_silent
    assert not measure_level([log_mels(0.01 * rng.standard_normal(8000).astype(np.float32))]).is_silent


def test_the_best_path_is_the_exhaustive_best():
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, (6, 3))
    from itertools import product

    from backend.audio.decoding import SWITCH_COST

    def value(path):
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return sum(scores[i, p] for i, p in enumerate(path)) - SWITCH_COST * changes

    assert value(best_path(scores)) == pytest.approx(max(value(p) for p in product(range(3), repeat=6)))


def test_phones_cover_the_sound_without_gaps():
    path = np.array([0] * 10 + [PHONE_INDEX["M"]] * 4 + [PHONE_INDEX["AA"]] * 8 + [0] * 5)
    phones = merge_phones(path, 50.0, 0.53)
    assert [p.label for p in phones] == ["sil", "M", "AA", "sil"]
    assert phones[0].start == 0.0 and phones[-1].end == 0.53
    assert all(a.end == b.start and a.start < a.end for a, b in itertools.pairwise(phones))


def test_accents_are_stressed_vowels_apart_from_one_another():
    phones = (Phone(0.0, 0.2, "AA"), Phone(0.2, 0.3, "T"), Phone(0.3, 0.5, "IY"), Phone(1.0, 1.2, "OW"))
    stress, loudness = np.ones(60), np.full(60, 0.5)
    loudness[:10] = 1.0
    accents = find_accents(phones, stress, loudness, 50.0)
    np.testing.assert_allclose(accents, [0.08, 0.38, 1.08], atol=1e-6)
    assert len(find_accents(phones, np.zeros(60), loudness, 50.0)) == 0


def test_the_alphabet_is_unique():
    assert len(set(PHONES)) == len(PHONES) == 42
