"""Difficult pictures give the right result, or one clear sentence that says what to do."""

import io

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from backend.errors import NoFaceError
from backend.portrait.analysis import analyse_portrait, load_image
from backend.portrait.motion import FaceMotion
from backend.portrait.plate import make_plate
from backend.portrait.renderer import WarpRenderer
from backend.training.refiner_scenes import MadeFace
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS, FULL_ACTIVATION_SD, FaceCoefficients
from bfm.sources.embedded import load_embedded_model


@pytest.fixture(scope="module")
def photo():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def portrait(photo):
    return analyse_portrait(photo)


def rendered(portrait, size=None, **weights):
    """One frame of a portrait with its own expression but for the channels that are named; none: at rest."""
    fit = portrait.fit
    expression = fit.expression.copy()
    for name, weight in weights.items():
        expression[CHANNEL_INDEX[name]] = weight * FULL_ACTIVATION_SD
    coefficients = FaceCoefficients(
        identity=fit.identity, texture=fit.texture, expression=expression[None], rotation=fit.rotation[None],
        translation=fit.translation[None], lighting=fit.lighting, frame_rate=25.0,
    )  # fmt: skip
    return WarpRenderer(portrait, size=size).render(coefficients, 0)


def refusal(image):
    with pytest.raises(NoFaceError) as error:
        analyse_portrait(np.ascontiguousarray(image))
    sentence = str(error.value)
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    return sentence


def test_sixteen_bit_colour_is_read_at_its_full_range(photo, tmp_path):
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257)
    assert np.abs(load_image(path).astype(int) - photo).max() <= 1


def test_a_turned_cmyk_photo_with_a_face_is_upright(photo, portrait):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(photo, -1))).convert("CMYK")
    turned.save(stream, "JPEG", quality=95, exif=exif)
    found = analyse_portrait(load_image(stream.getvalue()))
    assert np.linalg.norm(found.landmarks[1, :2] - portrait.landmarks[1, :2]) < 4.0


def test_the_smallest_and_a_half_hidden_face_are_refused(photo):
    small = cv2.resize(photo[40:230, 140:330], (64, 64), interpolation=cv2.INTER_AREA)
    assert "pixels tall" in refusal(small)
    hidden = photo.copy()
    hidden[60:260, 225:315] = (90, 80, 70)
    assert "hidden in part" in refusal(hidden)


def test_a_covered_mouth_is_refused(photo, portrait):
    nose = int(portrait.landmarks[2, 1])
    masked = photo.copy()
    masked[nose : nose + 70, 150:300] = (70, 90, 120)
    assert "mouth is covered" in refusal(masked)


def test_a_photo_of_108_megapixels_is_read(photo, tmp_path):
    path = tmp_path / "huge.jpg"
    Image.fromarray(cv2.resize(photo[:384], (12000, 9000), interpolation=cv2.INTER_LINEAR)).save(path, quality=70)
    found = analyse_portrait(load_image(path))
    assert found.image.shape == (9000, 12000, 3)
    assert found.fit.residual < 0.05
    frame = rendered(found, size=256)
    assert frame.shape == (256, 342, 3)


def test_closed_eyes_stay_closed_and_it_is_said(portrait):
    asleep = analyse_portrait(rendered(portrait, eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    assert any("closed" in notice for notice in asleep.notices)
    before = rendered(asleep)
    after = rendered(asleep, eyeWideLeft=1.0, eyeWideRight=1.0, eyeLookInLeft=1.0, eyeLookOutRight=1.0)
    for center in (asleep.landmarks[[33, 133], :2].mean(axis=0), asleep.landmarks[[263, 362], :2].mean(axis=0)):
        x, y = np.round(center).astype(int)
        eye = (slice(y - 3, y + 4), slice(x - 8, x + 9))
        assert np.abs(before[eye].astype(int) - after[eye]).max() <= 2


def test_sunglasses_are_animated_with_a_notice(photo, portrait):
    worn, points = photo.copy(), portrait.landmarks[:, :2]
    width = np.linalg.norm(points[263] - points[33])
    for iris in (468, 473):
        center = tuple(int(v) for v in points[iris])
        cv2.ellipse(worn, center, (int(0.3 * width), int(0.22 * width)), 0, 0, 360, (15, 15, 18), -1, cv2.LINE_AA)
    cv2.line(worn, *(tuple(int(v) for v in points[iris]) for iris in (468, 473)), (15, 15, 18), 3, cv2.LINE_AA)
    found = analyse_portrait(worn)
    assert any("glasses" in notice for notice in found.notices)
    blinked = rendered(found, eyeBlinkLeft=1.0, eyeBlinkRight=1.0).astype(int)
    x, y = np.round(points[468]).astype(int)
    assert np.abs(blinked[y - 4 : y + 5, x - 6 : x + 7] - worn[y - 4 : y + 5, x - 6 : x + 7]).max() <= 6


def test_an_ordinary_photo_needs_no_notice(portrait):
    assert portrait.notices == []


def test_at_rest_the_face_is_the_photos_within_a_pixel(portrait):
    from backend.portrait.detection import find_faces

    frame = rendered(portrait)
    found, photo = find_faces(frame)[0].landmarks[:, :2], find_faces(portrait.image)[0].landmarks[:, :2]
    assert np.linalg.norm(found - photo, axis=1).max() < 1.0
    outside = portrait.person_mask == 0.0
    assert (frame[outside] == portrait.image[outside]).all()


def turned(yaw):
    """A made-up person's picture, turned by so many degrees."""
    face = MadeFace(load_embedded_model(), np.random.default_rng(3))
    face.expression, face.rotation = np.zeros(EXPRESSION_DIMS, np.float32), np.float32([0.0, np.radians(yaw), 0.0])
    picture = face.portrait().image
    return cv2.resize(picture, (448, 448), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("yaw", [62.0, 90.0])
def test_a_side_view_is_refused(yaw):
    with pytest.raises(NoFaceError, match=r"whole face|from the front|turned"):
        analyse_portrait(turned(yaw))


def test_a_three_quarter_view_is_animated_with_a_notice():
    portrait = analyse_portrait(turned(38.0))
    assert any("turned 3" in notice and "hidden" in notice for notice in portrait.notices)


def test_turns_beyond_what_the_photo_allows_are_told(portrait):
    motion = FaceMotion(portrait, make_plate(portrait, 256))
    turn = np.tile(portrait.fit.rotation, (3, 1))
    assert not motion.holds_back(turn)
    turn[1, 1] += np.radians(20.0)
    assert motion.holds_back(turn)
