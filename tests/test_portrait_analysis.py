"""Faces are found wherever they are, and animals, patterns and specks are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from backend.errors import NoFaceError
from backend.portrait.analysis import analyse_portrait, load_image
from backend.portrait.detection import find_faces
from backend.portrait.landmarks import mirrored, triangles

PORTRAITS = Path(__file__).resolve().parents[2] / "shared" / "media" / "portraits"


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def portrait(astronaut):
    return analyse_portrait(astronaut)


def eye_distance(landmarks):
    return np.linalg.norm(landmarks[468, :2] - landmarks[473, :2])


def test_portrait_of_a_person(astronaut, portrait):
    assert portrait.n_faces == 1
    assert portrait.landmarks.shape == (478, 3)
    assert portrait.person_mask.shape == astronaut.shape[:2]
    assert portrait.person_mask.min() >= 0.0
    assert portrait.person_mask.max() <= 1.0
    assert portrait.person_mask[110, 225] == 1.0  # cheek
    assert portrait.person_mask[40, 60] < 0.05  # wall
    assert portrait.fit.residual < 0.03


def test_mirror_partners_are_an_involution_that_keeps_the_mesh():
    partner = mirrored()
    assert (partner[partner] == np.arange(478)).all()
    assert partner[33] == 263
    assert partner[61] == 291
    assert partner[1] == 1
    edges = {frozenset(pair) for t in triangles() for pair in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    kept = sum(frozenset((partner[a], partner[b])) in edges for a, b in map(tuple, edges))
    assert kept / len(edges) > 0.98


def test_landmarks_follow_the_picture(astronaut, portrait):
    turn = cv2.getRotationMatrix2D((225, 120), 90, 1.0)
    face = find_faces(cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))[0]
    expected = portrait.landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    assert face.is_plausible
    assert np.linalg.norm(face.landmarks[:, :2] - expected, axis=1).mean() < 0.06 * eye_distance(portrait.landmarks)


def test_the_largest_of_several_faces_is_taken(astronaut):
    canvas = np.full((700, 1100, 3), 128, np.uint8)
    canvas[:512, :512] = cv2.resize(astronaut, (410, 410), interpolation=cv2.INTER_AREA)[0, 0]
    canvas[100:510, 20:430] = cv2.resize(astronaut, (410, 410), interpolation=cv2.INTER_AREA)
    canvas[60:572, 560:1072] = astronaut
    found = analyse_portrait(canvas)
    assert found.n_faces == 2
    assert found.landmarks[1, 0] > 560


def test_a_tiny_face_in_a_large_picture_is_found_and_one_too_tiny_refused(astronaut):
    canvas = np.full((1500, 2200, 3), 90, np.uint8)
    small = cv2.resize(astronaut, (260, 260), interpolation=cv2.INTER_AREA)
    canvas[900:1160, 1700:1960] = small
    face = find_faces(canvas)[0]
    assert face.is_plausible
    assert 48 < face.height < 62
    tiny = cv2.resize(astronaut, (170, 170), interpolation=cv2.INTER_AREA)
    with pytest.raises(NoFaceError, match=r"only \d+ pixels tall"):
        analyse_portrait(tiny)


@pytest.mark.parametrize("name", ["cat", "coffee", "rocket"])
def test_what_is_no_person_is_refused(name):
    with pytest.raises(NoFaceError) as refusal:
        analyse_portrait(getattr(skimage.data, name)())
    assert str(refusal.value).count(".") == 1


def test_an_upside_down_picture_says_so(astronaut):
    with pytest.raises(NoFaceError, match="upside down"):
        analyse_portrait(np.ascontiguousarray(astronaut[::-1, ::-1]))


def test_grey_and_dark_pictures_work(astronaut):
    grey = np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    for image in (grey, (astronaut * 0.25).astype(np.uint8)):
        assert find_faces(image)[0].is_plausible


@pytest.mark.shared
@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="the folder of real portraits is absent")
def test_real_portraits_are_accepted_and_the_dog_refused():
    for path in sorted(PORTRAITS.glob("*.png")):
        faces = find_faces(load_image(path))
        assert faces, path.name
        assert faces[0].is_plausible, path.name
    dog = load_image(PORTRAITS / "not_a_person.jpg")
    for image in (dog, np.ascontiguousarray(dog[:, ::-1]), cv2.GaussianBlur(dog, (0, 0), 2.0)):
        with pytest.raises(NoFaceError, match="person"):
            analyse_portrait(image)
