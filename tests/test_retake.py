"""Curves and sound are cut alike, or it is refused."""

import numpy as np
import pytest

from backend.audio.waveform import load_sound
from backend.errors import InputError
from backend.retake import cut_alike
from blender_addon.protocol.types import AnimationCurves, rest_rotations

RATE = 25.0


def curves_of(n_frames):
    weights = np.linspace(0.0, 1.0, n_frames, dtype=np.float32)[:, None]
    still = rest_rotations(n_frames)
    return AnimationCurves(("jawOpen",), weights, RATE, still, still, still)


@pytest.fixture(scope="module")
def seconds(sentence):
    return load_sound(sentence, sample_rate=48_000, layout="mono").shape[-1] / 48_000


def test_curves_of_the_whole_sound_are_cut_with_it(sentence, seconds):
    whole = curves_of(round(seconds * RATE))
    kept, start, end = cut_alike(whole, sentence, 2.03, 4.0)
    assert start == pytest.approx(51 / RATE) and end == pytest.approx(4.0)  # the first whole frame, and its time
    assert np.allclose(kept.weights, whole.weights[51:100])
    assert kept.n_frames == round((end - start) * RATE)


def test_curves_of_the_part_stay_whole(sentence):
    part = curves_of(50)
    kept, start, end = cut_alike(part, sentence, 2.0, 4.0)
    assert kept is part and (start, end) == (2.0, 4.0)


def test_nothing_is_cut_where_nothing_is_asked(sentence):
    part = curves_of(7)
    assert cut_alike(part, sentence, 0.0, None) == (part, 0.0, None)


def test_curves_of_another_length_are_refused(sentence):
    with pytest.raises(InputError, match=r"2\.80 s.*part 2\.00 s"):
        cut_alike(curves_of(70), sentence, 2.0, 4.0)
