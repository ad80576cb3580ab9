"""The perspective camera of Deep3DFaceRecon and the rotation convention of the whole project.

Model space: +X the character's left, +Y up, +Z out of the face, unit decimetre. The camera looks along -Z from
CAMERA_DISTANCE dm before the origin. A point p (column) becomes R p + t with R = Rz(roll) Ry(yaw) Rx(pitch), each a
right-handed rotation (Deep3DFaceRecon composes (Rz Ry Rx)^T and multiplies rows from the left: the same map). So
pitch > 0 looks down, yaw > 0 turns to the character's left, roll > 0 tilts the crown to the character's right.
Pixels: x right, y down. (Deng et al. 2019, "Accurate 3D Face Reconstruction with Weakly-Supervised Learning", §3.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.errors import FaceModelError

CAMERA_DISTANCE = 10.0
"""Decimetres from the camera to the model's origin when the translation is zero."""

# Deep3DFaceRecon's focal length, 1015 pixels at 224, as a multiple of the picture's larger side.
RELATIVE_FOCAL = 1015.0 / 224.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal length and principal point in pixels. Raises FaceModelError for a focal length ≤ 0."""

    focal: float
    center_x: float
    center_y: float

    def __post_init__(self) -> None:
        if not self.focal > 0:
            raise FaceModelError(f"camera: the focal length should be above 0 pixels, got {self.focal}")

    def scaled(self, factor: float) -> Camera:
        """The camera of the same picture resized by a factor."""
        return Camera(self.focal * factor, self.center_x * factor, self.center_y * factor)


def camera_for_image(image_height: int, image_width: int) -> Camera:
    """Deep3DFaceRecon's camera for a picture of this size in pixels."""
    return Camera(RELATIVE_FOCAL * max(image_height, image_width), image_width / 2.0, image_height / 2.0)


def rotation_matrix(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices (…, 3, 3) of angles (…, 3) in radians: pitch about x, yaw about y, roll about z."""
    angles = np.asarray(angles, np.float64)
    sine, cosine = np.sin(angles), np.cos(angles)
    (sx, sy, sz), (cx, cy, cz) = np.moveaxis(sine, -1, 0), np.moveaxis(cosine, -1, 0)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_angles(matrix: np.ndarray) -> np.ndarray:
    """Angles (…, 3) in radians of rotation matrices (…, 3, 3), yaw within ±π/2: the inverse of rotation_matrix."""
    matrix = np.asarray(matrix, np.float64)
    yaw = -np.arcsin(np.clip(matrix[..., 2, 0], -1.0, 1.0))
    pitch = np.arctan2(matrix[..., 2, 1], matrix[..., 2, 2])
    roll = np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return np.stack([pitch, yaw, roll], axis=-1)


def to_camera(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Points (…, n, 3) dm rotated by angles (…, 3) and moved by (…, 3) dm: model space seen from the camera's axes."""
    matrix = rotation_matrix(rotation)
    return np.asarray(points) @ np.swapaxes(matrix, -1, -2) + np.asarray(translation)[..., None, :]


def project(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels and depth (…, n, 3) of points (…, n, 3) dm: x right, y down, and the distance from the camera in dm.

    rotation (…, 3) radians, translation (…, 3) dm; leading dimensions broadcast. Raises FaceModelError for points at or
    behind the camera.
    """
    seen = to_camera(points, rotation, translation)
    depth = CAMERA_DISTANCE - seen[..., 2]
    if (depth <= 1e-3).any():
        raise FaceModelError("camera: points lie at or behind the camera; expected a face in front of it")
    x = camera.center_x + camera.focal * seen[..., 0] / depth
    y = camera.center_y - camera.focal * seen[..., 1] / depth
    return np.stack([x, y, depth], axis=-1)


def turn_about(pivot: np.ndarray, resting: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Translation (…, 3) dm that keeps a model point (3,) dm in place while angles (…, 3) turn from those at rest."""
    return (rotation_matrix(resting) - rotation_matrix(turned)) @ np.asarray(pivot, np.float64)
