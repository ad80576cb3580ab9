"""Action units and channels: the published table's units, and a round trip from units to channels and back."""

import numpy as np
import pytest

from bfm.coefficients import CHANNEL_INDEX
from bfm.facs import AU_CHANNELS, EMOTION_AUS, au_intensities, au_matrix, au_weights, emotion_weights

TABLE_II = {
    "angry": (4, 5, 7, 23), "contempt": (12, 14), "disappointed": (1, 15), "sad": (1, 4, 15), "calm": (),
    "surprised": (1, 2, 5, 26), "happy": (6, 12, 25),
}  # fmt: skip


@pytest.mark.parametrize(("emotion", "units"), TABLE_II.items())
def test_emotions_use_the_published_units(emotion, units):
    assert EMOTION_AUS[emotion] == units


def test_every_unit_names_channels_that_exist():
    for unit, channels in AU_CHANNELS.items():
        assert channels and all(name in CHANNEL_INDEX and 0 < w <= 1 for name, w in channels.items()), unit


def test_units_come_back_from_channels():
    units = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
    intensities = np.random.default_rng(0).random((5, len(units)))
    matrix = np.stack([au_weights({u: 1.0}) for u in units])
    back = au_intensities(intensities @ matrix, units)
    assert np.abs(back - intensities).max() < 0.05


def test_one_side_only():
    left = au_weights({12: 1.0}, side="left")
    assert left[CHANNEL_INDEX["mouthSmileLeft"]] == 1 and left[CHANNEL_INDEX["mouthSmileRight"]] == 0


def test_fear_is_not_surprise():
    fear, surprise = emotion_weights("fear"), emotion_weights("surprised")
    assert fear @ surprise / np.linalg.norm(fear) / np.linalg.norm(surprise) < 0.85


def test_matrix_rows_are_units():
    units, matrix = au_matrix()
    assert matrix.shape == (len(units), 64) and (matrix.max(1) > 0).all()


def test_unknown_emotion():
    with pytest.raises(KeyError):
        emotion_weights("sleepy")
