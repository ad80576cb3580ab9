"""The crop of 224 pixels that Deep3DFaceRecon reads (Deng et al. 2019): five points laid onto a standard face.

Landmarks here have y upwards, as the published code counts them: y = image height - 1 - row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CROP = 224  # pixels
STANDARD_SCALE = 102.0
"""Pixels that the standard face's fitted scale becomes in the crop."""
# Of 68 landmarks: the nose's tip, the corners of both eyes and of the mouth.
NOSE, EYES, MOUTH = 30, ((36, 39), (42, 45)), (48, 54)


@dataclass(frozen=True)
class Alignment:
    """How a photo (width, height) becomes the crop: resized by scale, then cut round the point (x, y), y upwards."""

    width: int
    height: int
    scale: float
    x: float
    y: float

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height of the resized photo, pixels."""
        return int(self.width * self.scale), int(self.height * self.scale)

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top of the crop in the resized photo, pixels; it may lie outside."""
        width, height = self.resized
        left = int(width / 2 - CROP / 2 + float((self.x - self.width / 2) * self.scale))
        top = int(height / 2 - CROP / 2 + float((self.height / 2 - self.y) * self.scale))
        return left, top

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The crop (224, 224, 3) uint8 of a photo (H, W, 3) uint8; what lies outside is black."""
        from PIL import Image

        left, top = self.corner
        resized = Image.fromarray(image).resize(self.resized, resample=Image.BICUBIC)
        return np.asarray(resized.crop((left, top, left + CROP, top + CROP)))

    def landmarks(self, landmarks: np.ndarray) -> np.ndarray:
        """Landmarks (n, 2) of the photo in the crop, y upwards in both."""
        moved = landmarks - np.array([self.x, self.y]) + np.array([self.width / 2, self.height / 2])
        return moved * self.scale - (np.array(self.resized) / 2 - CROP / 2)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Left eye, right eye, nose, left and right corner of the mouth (5, 2) of 68 landmarks (68, 2)."""
    eyes = [landmarks[list(corners)].mean(0) for corners in EYES]
    return np.stack([*eyes, landmarks[NOSE], landmarks[MOUTH[0]], landmarks[MOUTH[1]]])


def fit_position(points: np.ndarray, standard: np.ndarray) -> tuple[np.ndarray, float]:
    """Translation (2,) and scale that lay a standard face (n, 3) onto points (n, 2), by least squares over the rows of
    an affine map.
    """
    n = len(points)
    rows = np.zeros((2 * n, 8))
    rows[0::2, :3], rows[0::2, 3] = standard, 1.0
    rows[1::2, 4:7], rows[1::2, 7] = standard, 1.0
    solution = np.linalg.lstsq(rows, points.reshape(-1), rcond=None)[0]
    scale = (np.linalg.norm(solution[:3]) + np.linalg.norm(solution[4:7])) / 2.0
    return np.array([solution[3], solution[7]]), float(scale)


def align(width: int, height: int, landmarks: np.ndarray, standard: np.ndarray) -> Alignment:
    """The alignment of a photo by its 68 landmarks (68, 2), y upwards, to a standard face's five points (5, 3)."""
    translation, scale = fit_position(five_points(landmarks), standard)
    return Alignment(width, height, STANDARD_SCALE / scale, float(translation[0]), float(translation[1]))
