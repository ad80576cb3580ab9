"""Rendered frames do what the coefficients say, measured by finding the face again."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data

from backend.portrait.analysis import analyse_portrait
from backend.portrait.detection import find_faces
from backend.portrait.renderer import WarpRenderer
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS, FULL_ACTIVATION_SD, FaceCoefficients


@pytest.fixture(scope="module")
def portrait():
    return analyse_portrait(skimage.data.astronaut())


@pytest.fixture(scope="module")
def renderer(portrait):
    return WarpRenderer(portrait)


def coefficients(portrait, *, weights=None, turn=(0.0, 0.0, 0.0), is_rest=False):
    """One frame: channel weights from rest, or the photo's own expression; turn in degrees from its pose."""
    fit = portrait.fit
    expression = np.zeros(EXPRESSION_DIMS, np.float32)
    for name, weight in (weights or {}).items():
        expression[CHANNEL_INDEX[name]] = weight * FULL_ACTIVATION_SD
    if is_rest:
        expression = fit.expression
    return FaceCoefficients(
        identity=fit.identity,
        texture=fit.texture,
        expression=expression[None],
        rotation=(fit.rotation + np.radians(turn))[None],
        translation=fit.translation[None],
        lighting=fit.lighting,
        frame_rate=25.0,
    )


def rendered(renderer, portrait, **asked):
    return renderer.render(coefficients(portrait, **asked), 0)


def found(frame):
    return find_faces(frame)[0].landmarks[:, :2]


def lip_gap(points):
    return np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[61] - points[291])


def eye_opening(points):
    return sum(
        np.linalg.norm(points[top] - points[bottom]) / np.linalg.norm(points[outer] - points[inner])
        for top, bottom, outer, inner in ((159, 145, 33, 133), (386, 374, 263, 362))
    )


def test_rest_is_the_photo(renderer, portrait):
    frame = rendered(renderer, portrait, is_rest=True)
    difference = np.abs(frame.astype(int) - portrait.image)
    assert difference.max() <= 12
    assert difference.mean() < 0.05
    rows, columns = renderer.region
    outside = np.ones(frame.shape[:2], bool)
    outside[rows, columns] = False
    assert outside.any()
    assert (difference[outside] == 0).all()


def test_rest_is_reached_again_after_other_frames(renderer, portrait):
    before = rendered(renderer, portrait, is_rest=True)
    rendered(renderer, portrait, weights={"eyeBlinkLeft": 1, "jawOpen": 1, "browDownLeft": 1}, turn=(5, 9, -4))
    assert np.array_equal(before, rendered(renderer, portrait, is_rest=True))


def test_what_lies_outside_the_region_never_changes(renderer, portrait):
    frame = rendered(renderer, portrait, weights={"jawOpen": 1.0}, turn=(6, 11, 5))
    rows, columns = renderer.region
    same = (frame == portrait.image).all(axis=2)
    same[rows, columns] = True
    assert same.all()


def test_lips_open_with_the_jaw(renderer, portrait):
    gaps = [lip_gap(found(rendered(renderer, portrait, weights={"jawOpen": w}))) for w in (0.0, 0.25, 0.5, 0.8)]
    assert gaps[0] < 0.10  # the photo smiles with open lips: they close
    assert np.all(np.diff(gaps) > 0.03)


def test_lips_seal_on_a_bilabial(renderer, portrait):
    sealed = {"jawOpen": 0.12, "mouthClose": 0.12, "mouthPressLeft": 0.4, "mouthPressRight": 0.4}
    assert lip_gap(found(rendered(renderer, portrait, weights=sealed))) < 0.10


def test_a_blink_closes_the_eyes_gradually(renderer, portrait):
    openings = [
        eye_opening(found(rendered(renderer, portrait, weights={"eyeBlinkLeft": w, "eyeBlinkRight": w})))
        for w in (0.0, 0.5, 1.0)
    ]
    assert openings[2] < openings[1] < openings[0]
    assert openings[2] < 0.62 * openings[0]


def test_brows_rise(renderer, portrait):
    def brow_height(weight):
        raised = {"browInnerUp": weight, "browOuterUpLeft": weight, "browOuterUpRight": weight}
        points = found(rendered(renderer, portrait, weights=raised))
        return np.linalg.norm(points[[105, 334]].mean(0) - points[[33, 263]].mean(0))

    assert brow_height(1.0) > 1.06 * brow_height(0.0)


@pytest.mark.parametrize("yaw", [-9.0, 9.0])
def test_the_head_turns(renderer, portrait, yaw):
    points = found(rendered(renderer, portrait, turn=(0.0, yaw, 0.0)))
    rest = portrait.landmarks[:, :2]
    nose = points[1, 0] - points[[234, 454], 0].mean() - (rest[1, 0] - rest[[234, 454], 0].mean())
    assert np.sign(nose) == np.sign(yaw)
    assert abs(nose) > 3.0


def test_pose_is_limited_softly(renderer, portrait):
    far = rendered(renderer, portrait, turn=(0.0, 25.0, 0.0)).astype(int)
    farther = rendered(renderer, portrait, turn=(0.0, 60.0, 0.0)).astype(int)
    assert np.abs(far - farther).mean() < 0.3 * np.abs(far - portrait.image).mean()


@pytest.mark.parametrize("size", [256, 301, 640])
def test_sizes_are_even_and_follow_the_shorter_side(portrait, size):
    image = np.ascontiguousarray(portrait.image[:, 100:401])  # 301 wide
    renderer = WarpRenderer(analyse_portrait(image), size=size)
    width, height = renderer.frame_size
    assert width % 2 == 0
    assert height % 2 == 0
    assert abs(width - size) <= 1
    frame = renderer.render(coefficients(portrait), 0)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize(
    "held_shut",
    [
        {"lipTighten": 0.8, "mouthPressLeft": 0.4, "mouthPressRight": 0.4, "noseSneerLeft": 0.5, "noseSneerRight": 0.5},
        {"mouthFrownLeft": 0.8, "mouthFrownRight": 0.8, "mouthShrugLower": 0.3, "mouthShrugUpper": 0.1},
    ],
)
def test_a_smiling_photo_closes_its_lips_over_its_teeth(renderer, portrait, held_shut):
    frame = rendered(renderer, portrait, weights=held_shut)
    points = found(frame)
    grey = frame.astype(np.float32).mean(axis=2)

    for seam, above, below in ((13, 12, 15), (82, 38, 86), (312, 268, 316)):
        column, middle = np.round(points[seam]).astype(int)
        reach = 2 + round(0.05 * np.linalg.norm(points[61] - points[291]))
        line = grey[middle - reach : middle + reach + 1, column]
        lips = [grey[tuple(np.round(points[i]).astype(int)[::-1])] for i in (above, below)]
        darkest = line.argmin()
        assert 0 < darkest < len(line) - 1  # a dark line, with lip on both sides
        assert line.max() - 8 < max(max(lips), line[0], line[-1])  # and nothing as pale as teeth between them


def test_the_photo_teeth_stay_as_bright_while_the_mouth_hardly_changes(renderer, portrait):
    def brightness(change):
        shot = coefficients(portrait, is_rest=True)
        expression = shot.expression.copy()
        expression[0, CHANNEL_INDEX["jawOpen"]] += change * FULL_ACTIVATION_SD
        shot = replace(shot, expression=expression)
        frame, _, points = renderer.render_parts(shot, 0)
        left, right = np.sort(points[[78, 308], 0].astype(int))
        inside = frame[int(points[13, 1]) : int(points[14, 1]) + 1, left:right].mean(axis=2)
        return np.percentile(inside, 90)

    photo = brightness(0.0)
    assert [brightness(change) for change in (0.02, 0.05, 0.15)] == pytest.approx([photo] * 3, rel=0.03)
