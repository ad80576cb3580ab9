"""Teeth that a photo shows are told from tongue and dark, upper from lower."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from backend.portrait.analysis import analyse_portrait
from backend.portrait.lips import mouth_width
from backend.portrait.own_teeth import own_teeth
from backend.portrait.plate import make_plate
from backend.portrait.tones import face_tones
from bfm.landmarks import LOWER_LIP_RINGS, UPPER_LIP_RINGS

WIDTH, TOP, HEIGHT = 160, 400, 60  # pixels of the painted opening
ENAMEL, TONGUE, DARK, SHADED = (235, 215, 195), (150, 70, 65), (50, 25, 22), (195, 165, 150)


@pytest.fixture(scope="module")
def plate():
    return make_plate(analyse_portrait(skimage.data.astronaut()), 1024)


def opened(plate, *, upper, lower, shadow=0, speck=False):
    """The plate with a painted mouth: rows of teeth so many pixels high, the first of them in the lip's shadow, and a
    tongue, which shines in a speck; its rims; mm to pixels.
    """
    image, left = plate.image.copy(), 400
    image[TOP : TOP + HEIGHT, left : left + WIDTH] = DARK
    image[TOP + 40 : TOP + HEIGHT, left + 50 : left + 110] = TONGUE
    image[TOP : TOP + upper, left : left + WIDTH] = ENAMEL
    image[TOP : TOP + shadow, left : left + WIDTH] = SHADED
    image[TOP + HEIGHT - lower : TOP + HEIGHT, left : left + WIDTH] = ENAMEL
    if speck:
        image[TOP + 26 : TOP + 29, left + 75 : left + 90] = ENAMEL
    landmarks = plate.landmarks.copy()
    x = np.linspace(left, left + WIDTH - 1, len(UPPER_LIP_RINGS[3]))
    rims = [np.stack([x, np.full_like(x, y)], axis=1).astype(np.float32) for y in (TOP, TOP + HEIGHT - 1)]
    for ring, rim in ((UPPER_LIP_RINGS[3], rims[0]), (LOWER_LIP_RINGS[3], rims[1])):
        landmarks[list(ring)] = rim
    landmarks[[61, 291]] = rims[0][[0, -1]] + [[-10, 20], [10, 20]]
    scale = mouth_width(landmarks) / 50.0
    place = np.array([[scale, 0.0, left + WIDTH / 2.0], [0.0, scale, TOP]])
    return replace(plate, image=image, landmarks=landmarks), tuple(rims), place, scale


def teeth_of(plate, **rows):
    painted, rims, place, scale = opened(plate, **rows)
    # lips are as red as a tongue: what surrounds a painted opening is not
    tones = replace(face_tones(painted), lips=np.float32([165, 95, 85]))
    return own_teeth(painted, rims, (place, place), tones), scale


def test_rows_are_found_with_their_edges(plate):
    found, scale = teeth_of(plate, upper=22, lower=10)
    assert found.upper_edge * scale == pytest.approx(21, abs=2.0)
    assert found.lower_edge * scale == pytest.approx(HEIGHT - 10, abs=2.0)
    seen = found.upper.pixels[..., 3] > 0.99
    assert np.abs(found.upper.pixels[seen][:, :3].mean(axis=0) - ENAMEL).max() < 12
    rows = np.nonzero(seen.any(axis=1))[0]
    assert np.ptp(rows) < 30


def test_teeth_go_on_under_the_lip_as_bright_as_they_are_further_in(plate):
    found, _ = teeth_of(plate, upper=26, lower=0, shadow=8)
    covered = np.nonzero((found.upper.pixels[..., 3] > 0.99).any(axis=1))[0][0]
    under_lip = found.upper.pixels[covered, WIDTH // 4 : WIDTH, :3]
    assert np.abs(under_lip.mean(axis=0) - ENAMEL).max() < 15, "not the lip's shadow, carried on"


def test_what_shines_on_a_tongue_is_no_tooth_of_the_row(plate):
    found, _ = teeth_of(plate, upper=18, lower=0, speck=True)
    with_edge, _ = teeth_of(plate, upper=18, lower=0)
    assert found.upper_edge == pytest.approx(with_edge.upper_edge, abs=0.2)
    np.testing.assert_allclose(found.upper.pixels[..., 3], with_edge.upper.pixels[..., 3], atol=0.02)


def test_a_full_smile_is_one_upper_row(plate):
    found, _ = teeth_of(plate, upper=HEIGHT, lower=0)
    assert found.upper is not None and found.lower is None


def test_a_tongue_in_the_dark_is_no_tooth(plate):
    found, _ = teeth_of(plate, upper=0, lower=0)
    assert found.upper is None and found.lower is None
    assert found.whole.pixels[..., 3].max() == 1.0


def test_a_row_moves_with_its_place(plate):
    found, _ = teeth_of(plate, upper=22, lower=0)
    size = found.upper.pixels.shape[1::-1]
    back = cv2.invertAffineTransform(found.upper.into_mm)
    moved = back.copy()
    moved[1, 2] += 5.0
    there, lower = found.upper.placed(back, size), found.upper.placed(moved, size)
    assert np.abs(there - found.upper.pixels).max() < 1e-3
    assert np.abs(lower[5:] - there[:-5]).max() < 1e-2
