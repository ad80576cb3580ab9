"""The renderer's layers on their own: background, lips' seam, lids, folds, teeth, colours, mesh."""

import cv2
import numpy as np
import pytest
import skimage.data

from backend.portrait.analysis import analyse_portrait
from backend.portrait.background import fill_background
from backend.portrait.eyes import lid_state
from backend.portrait.glasses import wears_glasses
from backend.portrait.lip_shape import LipShape, has_moustache
from backend.portrait.lips import LOWER, UPPER, LipSeal, find_seam
from backend.portrait.mesh import WarpMesh
from backend.portrait.motion import FaceMotion
from backend.portrait.plate import make_plate
from backend.portrait.renderer import WarpRenderer
from backend.portrait.shading import SkinShading
from backend.portrait.teeth import LOWER_ROW, UPPER_ROW, draw_row
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS, FULL_ACTIVATION_SD, FaceCoefficients


@pytest.fixture(scope="module")
def portrait():
    return analyse_portrait(skimage.data.astronaut())


@pytest.fixture(scope="module")
def plate(portrait):
    return make_plate(portrait, None)


@pytest.fixture(scope="module")
def motion(portrait, plate):
    return FaceMotion(portrait, plate)


def weights(**channels):
    row = np.zeros(EXPRESSION_DIMS, np.float32)
    for name, value in channels.items():
        row[CHANNEL_INDEX[name]] = value
    return row


def test_background_is_the_photo_away_from_the_person_and_smooth_behind():
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:160, :200]
    picture = np.stack([60 + x * 0.5, 90 + y * 0.4, 120 + 0 * x], axis=-1) + rng.normal(0, 3, (160, 200, 1))
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    mask = ((x - 100) ** 2 + (y - 90) ** 2 < 40**2).astype(np.float32)
    seen = picture.copy()
    seen[mask > 0] = (250, 20, 20)
    filled = fill_background(seen, mask, 60.0)
    far = (x - 100) ** 2 + (y - 90) ** 2 > 52**2
    assert np.array_equal(filled[far].astype(np.uint8), picture[far])
    assert np.abs(filled - picture)[mask > 0].mean() < 14  # the red person is gone, the slope goes on


def test_rest_moves_nothing_and_pose_fades_to_the_border(plate, motion):
    mesh = WarpMesh(plate, motion)
    rest = motion.rest()
    still = mesh.move(rest, rest.landmarks)
    assert np.abs(still[:, :2] - mesh.rest).max() < 1e-2
    turned = motion.at(np.zeros(EXPRESSION_DIMS), *_turned(motion, yaw=9.0))
    moved = mesh.move(turned, turned.landmarks)
    assert np.abs(moved[:468, :2] - mesh.rest[:468]).max() > 4.0
    assert np.abs(moved[-36:, :2] - mesh.rest[-36:]).max() < 1e-2


def _turned(motion, yaw):
    from bfm.camera import rotation_angles

    angles = rotation_angles(motion.rest_pose.matrix)
    return angles + np.radians([0.0, yaw, 0.0]), motion.rest_pose.translation


def test_a_frown_shows_whatever_the_photo_brows_do(motion, plate):
    heights = []
    for weight in (0.0, 0.4, 0.7, 1.0):
        asked = weights(browDownLeft=weight, browDownRight=weight) * FULL_ACTIVATION_SD
        brows = motion.at(asked, *_turned(motion, yaw=0.0)).landmarks[[66, 105, 296, 334]]
        heights.append(-float(brows.mean(axis=0) @ plate.down))
    assert (np.diff(heights) < 0.0).all()
    assert heights[0] - heights[-1] > 0.03 * plate.face_height


def with_glasses(plate):
    image = plate.image.copy()
    right, left = plate.landmarks[468], plate.landmarks[473]
    apart = np.linalg.norm(left - right)
    for center in (right, left):
        axes = (round(0.38 * apart), round(0.28 * apart))
        cv2.ellipse(image, tuple(int(v) for v in center.round()), axes, 0, 0, 360, (30, 25, 25), 4, cv2.LINE_AA)
    ends = [right + 0.38 * (left - right), left - 0.38 * (left - right)]
    cv2.line(image, *(tuple(int(v) for v in end.round()) for end in ends), (30, 25, 25), 4, cv2.LINE_AA)
    return type(plate)(image, plate.landmarks, plate.mask, plate.scale)


def test_glasses_are_noticed_and_do_not_bend(portrait):
    plate = make_plate(portrait, 1024)
    assert not wears_glasses(plate)
    worn = with_glasses(plate)
    assert wears_glasses(worn)
    motion = FaceMotion(portrait, worn)
    asked = weights(browInnerUp=1, browOuterUpLeft=1, browOuterUpRight=1, cheekSquintLeft=1) * FULL_ACTIVATION_SD
    moved = motion.at(asked, *_turned(motion, yaw=0.0))
    lids_and_bridge = [33, 133, 263, 362, 168, 6, 145, 374]
    for used, moves in ((plate, True), (worn, False)):
        mesh = WarpMesh(used, motion)
        shift = mesh.move(moved, moved.landmarks)[:468, :2] - mesh.rest[:468]
        assert np.abs(shift[[10, 151, 9]]).max() > 0.5
        assert (np.abs(shift[lids_and_bridge]).max() > 0.5) == moves


def test_rays_through_pixels_come_back(plate, motion):
    points = plate.landmarks[:50]
    there_and_back = motion.rigid(points, motion.rest_depth[:50], motion.rest_pose)
    assert np.abs(there_and_back - points).max() < 1e-2


def test_a_closed_mouth_parts_on_its_darkest_line(portrait):
    plate = make_plate(portrait, 1536)
    image, landmarks = plate.image.copy(), plate.landmarks.copy()
    corners = landmarks[[61, 291]].round()
    left, top = corners.min(axis=0).astype(int) - [10, 60]
    image[top : top + 120, left : left + 160] = (200, 150, 140)
    line = corners + np.array([0.0, 3.0])
    cv2.line(image, *(tuple(int(v) for v in end) for end in line), (60, 30, 30), 3)
    t = np.linspace(0.0, 1.0, 11)[1:-1, None]
    for rim in (UPPER[3], LOWER[3]):
        landmarks[rim] = corners[0] + t * (corners[1] - corners[0])
    found = find_seam(type(plate)(image, landmarks.astype(np.float32), plate.mask, plate.scale))
    assert found.is_closed
    expected = line[0] + t * (line[1] - line[0])
    assert np.abs(found.landmarks[UPPER[3]] - expected)[:, 1].max() < 1.0
    assert np.allclose(found.landmarks[UPPER[3]], found.landmarks[LOWER[3]], atol=1e-2)


def test_lips_are_sealed_where_the_model_seals_and_as_in_the_photo_at_rest(plate, motion):
    seal = LipSeal(motion, find_seam(plate), plate)
    rest = motion.rest()
    assert np.abs(seal.apply(rest, rest.landmarks) - plate.landmarks).max() < 0.05
    closed = seal.apply(motion.neutral(), motion.neutral().landmarks)
    assert np.linalg.norm(closed[UPPER[3]] - closed[LOWER[3]], axis=1).max() < 0.05


def test_lids_keep_the_photo_until_asked_for_more():
    rest = weights(eyeBlinkLeft=0.3, eyeSquintLeft=0.2)
    assert lid_state(rest, rest, "Left").change == 0.0
    assert lid_state(weights(), rest, "Left").change == 0.0
    shut = lid_state(weights(eyeBlinkLeft=1.0), rest, "Left")
    assert shut.upper + shut.lower == pytest.approx(1.0)
    assert lid_state(weights(eyeWideLeft=1.0), rest, "Left").upper < 0.0
    assert lid_state(weights(eyeLookOutLeft=1.0), rest, "Left").gaze[0] < 0.0  # towards the outer corner


def test_folds_darken_on_their_own_side_only(plate):
    shading = SkinShading(plate, weights())
    rows, columns = shading.region
    flat = np.full((rows.stop - rows.start, columns.stop - columns.start, 4), 100.0, np.float32)
    shading.apply(flat, weights(noseSneerLeft=1.0))
    middle = int(plate.landmarks[168, 0]) - columns.start
    right_half, left_half = flat[:, : middle - 8, 0], flat[:, middle:, 0]
    assert left_half.min() < 95.0
    assert right_half.min() > 99.0
    assert (flat[..., 3] == 100.0).all()


def test_rest_weights_press_no_folds(plate):
    known = weights(mouthSmileLeft=0.7, browInnerUp=0.4)
    shading = SkinShading(plate, known)
    rows, columns = shading.region
    flat = np.full((rows.stop - rows.start, columns.stop - columns.start, 4), 100.0, np.float32)
    shading.apply(flat, known)
    assert (flat == 100.0).all()


@pytest.mark.parametrize(("row", "is_upper"), [(UPPER_ROW, True), (LOWER_ROW, False)])
def test_teeth_are_nearly_mirrored_and_never_brighter_than_their_enamel(row, is_upper):
    enamel, gum = np.float32([200, 190, 170]), np.float32([150, 80, 80])
    picture = draw_row(row, enamel, gum, per_mm=4.0, is_upper=is_upper)
    uneven = np.abs(picture.pixels - picture.pixels[:, ::-1])
    assert uneven.max() > 1.0  # no mouth is symmetric
    assert uneven[..., 3].mean() < 0.02
    assert (picture.pixels[..., :3].max(axis=(0, 1)) <= enamel + 1e-3).all()
    assert picture.pixels[..., 3].max() == pytest.approx(1.0)


def test_a_grey_photo_stays_grey():
    grey = np.repeat(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    portrait = analyse_portrait(grey)
    fit = portrait.fit
    asked = weights(jawOpen=0.6, mouthSmileLeft=0.8, mouthSmileRight=0.8, eyeBlinkLeft=0.6) * FULL_ACTIVATION_SD
    coefficients = FaceCoefficients(
        fit.identity, fit.texture, asked[None], fit.rotation[None], fit.translation[None], fit.lighting, 25.0
    )
    frame = WarpRenderer(portrait).render(coefficients, 0)
    assert np.ptp(frame.astype(int), axis=2).max() <= 2


def test_lips_swell_no_further_and_keep_off_the_nose(plate):
    rest = find_seam(plate)
    shape = LipShape(plate, rest, rest.landmarks)
    still = rest.landmarks
    assert np.abs(shape.apply(still) - still).max() < 1e-3
    swollen, climbing = still.copy(), still.copy()
    swollen[LOWER[0]] += 2.0 * (still[LOWER[0]] - still[LOWER[3]])
    climbing[UPPER] -= 0.9 * (still[0] - still[2])
    height = np.linalg.norm(still[LOWER[0]] - still[LOWER[3]], axis=1)
    limited = shape.apply(swollen)
    assert (np.linalg.norm(limited[LOWER[0]] - limited[LOWER[3]], axis=1) < 1.35 * np.maximum(height, 1.0)).all()
    limited = shape.apply(climbing)
    assert np.linalg.norm(limited[0] - limited[2]) > 0.5 * np.linalg.norm(still[0] - still[2])
    gaping = rest.landmarks.copy()
    gaping[UPPER] -= 0.3 * (still[0] - still[2])  # whose neutral face has less skin there may lose more
    limited = LipShape(plate, rest, gaping).apply(climbing)
    assert np.linalg.norm(limited[0] - limited[2]) < 0.45 * np.linalg.norm(still[0] - still[2])


def test_a_moustache_is_hair_on_both_sides(plate):
    assert not has_moustache(plate)
    image = plate.image.copy()
    outline = plate.landmarks[[167, 165, 92, 40, 39, 37, 0, 267, 269, 270, 322, 391, 393, 164]]
    cv2.fillPoly(image, [np.round(outline).astype(np.int32)], (60, 45, 35))
    assert has_moustache(type(plate)(image, plate.landmarks, plate.mask, plate.scale))
