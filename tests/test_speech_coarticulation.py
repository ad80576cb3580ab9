"""The coarticulation model: what phones do to the mouth, and what the articulators do to the channels."""

import numpy as np
import pytest

from backend.audio.articulation import ARTICULATOR_INDEX, to_channels
from backend.audio.phones import PHONES, SILENCE
from backend.training import coarticulation
from backend.training.coarticulation import articulate_phones
from backend.training.phone_names import RUSSIAN, from_ipa, from_radio
from bfm.coefficients import CHANNEL_INDEX

RATE = 100.0


def _say(phones, *, length=0.1, stress=-1):
    """Articulators at 100 Hz of phones of one length between half-second pauses."""
    names = [SILENCE, *phones, SILENCE]
    ends = np.cumsum([0.5, *([length] * len(phones)), 0.5])
    marks = np.full(len(names), stress)
    n_frames = int(ends[-1] * RATE)
    return articulate_phones(ends, names, marks, frame_rate=RATE, n_frames=n_frames), ends


def _column(moves, name):
    return moves[:, ARTICULATOR_INDEX[name]]


@pytest.mark.parametrize("length", [0.04, 0.06, 0.1, 0.2])
@pytest.mark.parametrize("phone", ["P", "B", "M"])
def test_bilabials_close_fully_at_every_rate(phone, length):
    moves, ends = _say(["AA", phone, "AA"], length=length)
    during = slice(int(np.ceil(ends[1] * RATE)), int(np.ceil(ends[1] * RATE)) + 3)
    assert _column(moves, "closure")[during].max() > 0.999
    assert _column(moves, "closure")[int(ends[1] * RATE) - 15] < 0.05 or length < 0.1


def test_closures_form_more_slowly_than_they_part():
    moves, _ = _say(["AA", "B", "AA"], length=0.3)
    closure = _column(moves, "closure")
    shut = np.flatnonzero(closure > 0.99)
    rising = np.flatnonzero((closure > 0.01) & (closure < 0.99) & (np.arange(len(closure)) < shut[0]))
    falling = np.flatnonzero((closure > 0.01) & (closure < 0.99) & (np.arange(len(closure)) > shut[-1]))
    assert len(rising) > len(falling) > 0


@pytest.mark.parametrize("phone", ["F", "V"])
def test_labiodentals_bring_the_lip_to_the_teeth_without_sealing(phone):
    moves, _ = _say(["AA", phone, "AA"])
    assert _column(moves, "labiodental").max() > 0.999
    assert _column(moves, "closure").max() == 0.0


def test_open_vowels_undershoot_in_fast_speech():
    peaks = [
        _column(_say(["T", "AA", "T", "AA", "T"], length=length)[0], "jaw").max() for length in (0.05, 0.08, 0.12, 0.2)
    ]
    assert peaks == sorted(peaks)
    assert peaks[0] < 0.8 * peaks[-1]


def test_stress_opens_the_jaw():
    peak = {mark: _column(_say(["D", "AA", "D"], stress=mark)[0], "jaw").max() for mark in (0, -1, 1)}
    assert peak[0] < peak[-1] < peak[1]


def test_rounding_looks_ahead_through_neutral_consonants_and_not_through_spread_vowels():
    rounded, ends = _say(["T", "S", "T", "UW"])
    spread, _ = _say(["T", "S", "IY", "UW"])
    at = int((ends[2] + 0.05) * RATE)
    assert _column(rounded, "pucker")[at] > 1.5 * _column(spread, "pucker")[at]
    assert _column(rounded, "pucker")[at] > 0.1


def test_silence_is_a_relaxed_closed_mouth():
    moves, ends = _say(["AA", "T"])
    assert np.abs(moves[:10]).max() < 0.03
    assert np.abs(moves[int((ends[-2] + 0.4) * RATE) :]).max() < 0.03


def test_every_phone_has_targets_and_unknown_ones_are_refused():
    for phone in PHONES:
        moves, _ = _say([phone])
        assert np.isfinite(moves).all() and moves.min() >= 0.0 and moves.max() <= 1.0
    with pytest.raises(KeyError):
        _say(["XX"])


def test_movements_have_no_jumps():
    moves, _ = _say(["AA", "S", "IY", "UW", "SH", "AE", "L", "OW"], length=0.08)
    assert np.abs(np.diff(moves[:, : ARTICULATOR_INDEX["closure"]], axis=0)).max() < 0.12


def test_a_closure_takes_up_the_jaw_and_parts_nothing():
    moves = np.zeros((2, len(ARTICULATOR_INDEX)), np.float32)
    for name in ("jaw", "lower_lip", "upper_lip", "funnel"):
        moves[:, ARTICULATOR_INDEX[name]] = 0.4
    moves[1, ARTICULATOR_INDEX["closure"]] = 1.0
    weights = to_channels(moves)
    shut = {name: weights[1, index] for name, index in CHANNEL_INDEX.items()}
    assert 0.9 * shut["jawOpen"] <= shut["mouthClose"] <= shut["jawOpen"]
    assert shut["mouthLowerDownLeft"] == shut["mouthUpperUpRight"] == shut["mouthFunnel"] == shut["lipsPart"] == 0.0
    assert shut["mouthPressLeft"] > 0.1
    assert weights[0, CHANNEL_INDEX["mouthClose"]] == 0.0


def test_channels_stay_in_range_for_any_articulators():
    moves = np.random.default_rng(0).normal(0.5, 1.0, (200, len(ARTICULATOR_INDEX)))
    weights = to_channels(moves)
    assert weights.shape == (200, 64) and weights.min() >= 0.0 and weights.max() <= 1.0


def test_names_of_other_phone_sets_are_translated():
    assert from_radio("ax") == "AH" and from_radio("pau") == SILENCE and from_radio("aa") == "AA"
    assert (
        from_ipa("əl") == ("AH", "L")
        and from_ipa("tʃ") == ("CH",)
        and from_ipa("iː") == ("IY",)
        and from_ipa("ʲ") == ()
    )
    assert set(RUSSIAN.values()) <= set(PHONES)
    with pytest.raises(KeyError):
        from_radio("xyz")


def test_blending_in_blocks_is_blending_as_a_whole():
    """Against every segment's dominance at every moment, with a pause that is longer than any reach."""
    rng = np.random.default_rng(0)
    names = [PHONES[index] for index in rng.integers(0, len(PHONES), 120)]
    ends = np.cumsum(rng.uniform(0.03, 0.12, len(names)))
    ends[60:] += 6.0
    score = coarticulation._segments(ends, names, np.full(len(names), -1))
    time = np.arange(int(ends[-1] * coarticulation.MODEL_RATE)) / coarticulation.MODEL_RATE
    length = score.ends - score.starts
    for group, (columns, forward, backward, *_rest) in enumerate(coarticulation.GROUPS.values()):
        ahead = np.maximum(score.starts + 0.25 * length - time[:, None], 0.0) / forward
        behind = np.maximum(time[:, None] - (score.ends - 0.35 * length), 0.0) / backward
        dominance = score.dominances[:, group] * np.exp(-(ahead + behind)) + coarticulation.LEAST_DOMINANCE
        targets = score.targets[:, [coarticulation.ARTICULATOR_INDEX[name] for name in columns]]
        wanted = dominance @ targets / (dominance.sum(1, keepdims=True) + coarticulation.REST_PULL[group])
        got = coarticulation._blend(score, time, group, (forward, backward))
        assert np.abs(got - wanted).max() < 1e-8
