"""The camera convention: rotations round trip and point where the words say, projection is Deep3DFaceRecon's."""

import numpy as np
import pytest

from bfm.camera import CAMERA_DISTANCE, Camera, camera_for_image, project, rotation_angles, rotation_matrix, to_camera
from bfm.errors import FaceModelError


def test_rotation_round_trip():
    angles = np.random.default_rng(0).uniform(-1.4, 1.4, (200, 3))
    assert np.abs(rotation_angles(rotation_matrix(angles)) - angles).max() < 1e-9


def test_rotation_matrices_are_rotations():
    matrices = rotation_matrix(np.random.default_rng(1).uniform(-3, 3, (50, 3)))
    assert np.allclose(matrices @ np.swapaxes(matrices, -1, -2), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(matrices), 1.0)


@pytest.mark.parametrize(
    ("angles", "axis", "towards"),
    [((0.3, 0, 0), (0, 0, 1), (0, -1, 0)), ((0, 0.3, 0), (0, 0, 1), (1, 0, 0)), ((0, 0, 0.3), (0, 1, 0), (-1, 0, 0))],
    ids=["pitch looks down", "yaw turns to the character's left", "roll tilts to the character's right"],
)
def test_signs_of_the_angles(angles, axis, towards):
    turned = rotation_matrix(np.array(angles)) @ np.array(axis, float)
    assert turned @ np.array(towards) > 0.25


def test_rotation_is_deep3dfacerecons():
    pitch, yaw, roll = 0.2, -0.5, 0.3
    c, s = np.cos, np.sin
    x = np.array([[1, 0, 0], [0, c(pitch), -s(pitch)], [0, s(pitch), c(pitch)]])
    y = np.array([[c(yaw), 0, s(yaw)], [0, 1, 0], [-s(yaw), 0, c(yaw)]])
    z = np.array([[c(roll), -s(roll), 0], [s(roll), c(roll), 0], [0, 0, 1]])
    point = np.array([[0.3, 0.4, 0.5]])
    expected = point @ (z @ y @ x).T
    assert np.allclose(to_camera(point, np.array([pitch, yaw, roll]), np.zeros(3)), expected)


def test_projection_scales_with_distance_and_looks_the_right_way():
    camera = camera_for_image(480, 640)
    points = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    near = project(points, np.zeros(3), np.zeros(3), camera)
    far = project(points, np.zeros(3), np.array([0.0, 0.0, -CAMERA_DISTANCE]), camera)
    assert np.allclose(near[0], [320, 240, CAMERA_DISTANCE])
    assert near[1, 0] > near[0, 0] and near[2, 1] < near[0, 1]
    assert np.allclose((far[1:, :2] - far[0, :2]) * 2, near[1:, :2] - near[0, :2])


def test_scaled_camera_projects_scaled_pixels():
    camera, points = camera_for_image(300, 200), np.random.default_rng(2).normal(size=(20, 3))
    full = project(points, np.zeros(3), np.zeros(3), camera)[:, :2]
    half = project(points, np.zeros(3), np.zeros(3), camera.scaled(0.5))[:, :2]
    assert np.allclose(half, full / 2)


def test_refusals():
    with pytest.raises(FaceModelError, match="focal"):
        Camera(0.0, 1.0, 1.0)
    with pytest.raises(FaceModelError, match="behind"):
        project(np.array([[0.0, 0.0, 11.0]]), np.zeros(3), np.zeros(3), camera_for_image(100, 100))
