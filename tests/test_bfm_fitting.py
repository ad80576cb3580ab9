"""Fitting: known coefficients come back, real portraits fit closely, bad landmarks are refused."""

from pathlib import Path

import numpy as np
import pytest

from bfm.camera import camera_for_image, project, rotation_matrix
from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.fitting import bounded_quadratic, fit_landmarks
from bfm.sources.correspondence import similarity
from bfm.sources.embedded import load_embedded_model

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="module")
def model():
    return load_embedded_model()


def synthetic(model, *, weights=None, rotation=(0.1, -0.3, 0.05), identity=None, noise=0.0):
    """Landmarks (478, 3) px of a known face in a 512² picture."""
    expression = np.zeros((1, 64))
    for name, weight in (weights or {}).items():
        expression[0, CHANNEL_INDEX[name]] = weight * FULL_ACTIVATION_SD
    identity = np.zeros(80) if identity is None else identity
    shape = model.landmark_positions(identity, expression)[0]
    camera = camera_for_image(512, 512)
    seen = project(shape, np.array(rotation), np.array([0.2, 0.3, -2.0]), camera)
    depth = (seen[:, 2] - seen[:, 2].mean()) * camera.focal / seen[:, 2].mean()
    pixels = np.stack([seen[:, 0], seen[:, 1], depth], axis=1)
    return pixels + np.random.default_rng(0).normal(size=pixels.shape) * noise


def weight(fit, name):
    return fit.expression[CHANNEL_INDEX[name]] / FULL_ACTIVATION_SD


@pytest.mark.parametrize("yaw", [-0.6, -0.2, 0.0, 0.4])
def test_recovers_the_pose(model, yaw):
    identity = np.random.default_rng(1).normal(size=80) * 0.7
    fit = fit_landmarks(
        model, synthetic(model, rotation=(0.1, yaw, -0.1), identity=identity), image_height=512, image_width=512
    )
    turn = rotation_matrix(fit.rotation) @ rotation_matrix(np.array([0.1, yaw, -0.1])).T
    assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 4.0
    assert fit.residual < 0.015


@pytest.mark.parametrize(
    ("name", "value"),
    [("jawOpen", 0.5), ("eyeBlinkLeft", 0.9), ("mouthSmileLeft", 0.8), ("browInnerUp", 0.8), ("mouthPucker", 0.8)],
)
def test_recovers_the_pictures_expression(model, name, value):
    fit = fit_landmarks(model, synthetic(model, weights={name: value}, noise=0.3), image_height=512, image_width=512)
    rest = fit_landmarks(model, synthetic(model, noise=0.3), image_height=512, image_width=512)
    assert weight(fit, name) > 0.6 * value
    assert weight(rest, name) < 0.2
    assert fit.expression.min() >= 0 and fit.expression.max() <= FULL_ACTIVATION_SD + 1e-6


def test_identity_does_not_take_the_expression(model):
    fit = fit_landmarks(
        model, synthetic(model, weights={"jawOpen": 0.5, "mouthSmileLeft": 0.7}), image_height=512, image_width=512
    )
    rest = model.landmark_mean.astype(np.float64)
    shape = rest + np.tensordot(fit.identity, model.landmark_identity, 1)
    # A picture does not show how large a face is, nor where in it the origin lies.
    scale, turn, moved = similarity(shape, rest)
    shift = scale * shape @ turn.T + moved - rest
    assert np.linalg.norm(shift, axis=1).mean() < 0.005  # decimetres; the expression itself moves the face 0.04


def test_known_identity_is_kept(model):
    identity = np.random.default_rng(2).normal(size=80).astype(np.float32)
    picture = synthetic(model, weights={"mouthSmileLeft": 0.8, "eyeBlinkRight": 0.7}, identity=identity)
    fit = fit_landmarks(model, picture, image_height=512, image_width=512, identity=identity)
    assert np.array_equal(fit.identity, identity)
    assert abs(weight(fit, "mouthSmileLeft") - 0.8) < 0.15 and abs(weight(fit, "eyeBlinkRight") - 0.7) < 0.15


def test_one_wild_landmark_does_not_spoil_the_fit(model):
    landmarks = synthetic(model)
    landmarks[100, :2] += 150.0
    fit = fit_landmarks(model, landmarks, image_height=512, image_width=512)
    assert np.abs(np.degrees(fit.rotation) - np.degrees([0.1, -0.3, 0.05])).max() < 3.0


def test_bounded_quadratic_is_optimal():
    rng = np.random.default_rng(3)
    for _ in range(20):
        root = rng.normal(size=(12, 12))
        normal, right = root @ root.T + 0.1 * np.eye(12), rng.normal(size=12)
        low, high = np.full(12, -0.2), np.full(12, 0.5)
        x = bounded_quadratic(normal, right, low, high)
        slope = normal @ x - right
        assert (x >= low).all() and (x <= high).all()
        inside = (x > low + 1e-7) & (x < high - 1e-7)
        assert np.abs(slope[inside]).max(initial=0.0) < 1e-6
        assert (slope[x <= low + 1e-7] > -1e-6).all() and (slope[x >= high - 1e-7] < 1e-6).all()


def test_bad_landmarks_are_refused(model):
    for landmarks, word in (
        (np.zeros((468, 3)), "478"),
        (np.full((478, 3), np.nan), "finite"),
        (np.ones((478, 3)), "4 pixels"),
    ):
        with pytest.raises(FaceModelError, match=word):
            fit_landmarks(model, landmarks, image_height=100, image_width=100)


def detected(image):
    """mediapipe landmarks (478, 3) px of the one face of an RGB picture."""
    import mediapipe as mp

    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        found = mesh.process(image).multi_face_landmarks
    height, width = image.shape[:2]
    return np.array([[p.x * width, p.y * height, p.z * width] for p in found[0].landmark])


def test_fits_a_public_portrait(model):
    import skimage.data

    image = skimage.data.astronaut()
    fit = fit_landmarks(model, detected(image), image_height=512, image_width=512)
    assert fit.residual < 0.025
    assert weight(fit, "mouthSmileLeft") > 0.3 and weight(fit, "mouthSmileRight") > 0.3
    assert np.abs(np.degrees(fit.rotation)).max() < 20


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "media/portraits").exists(), reason="needs ../shared/media/portraits")
def test_fits_real_portraits(model):
    import cv2

    for name in ("art_11", "art_14", "art_2", "art_7", "happy", "mona", "talking_man"):
        image = cv2.cvtColor(cv2.imread(str(SHARED / f"media/portraits/{name}.png")), cv2.COLOR_BGR2RGB)
        fit = fit_landmarks(model, detected(image), image_height=image.shape[0], image_width=image.shape[1])
        assert fit.residual < 0.025, name
