"""The portrait at the size of the video: what every part of the renderer works on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.portrait.analysis import Portrait

LARGEST_DEFAULT_SIDE = 1080  # pixels, shorter side


@dataclass(frozen=True)
class Plate:
    """image (height, width, 3) uint8 RGB, landmarks (478, 2) float32 pixels, mask (height, width) float32 0–1, all at
    the video's size; scale (2,): video pixels per photo pixel along x and y.
    """

    image: np.ndarray
    landmarks: np.ndarray
    mask: np.ndarray
    scale: np.ndarray

    @property
    def down(self) -> np.ndarray:
        """Unit vector (2,) from forehead to chin."""
        axis = self.landmarks[152] - self.landmarks[10]
        return axis / np.linalg.norm(axis)

    @property
    def across(self) -> np.ndarray:
        """Unit vector (2,) towards the character's left, perpendicular to down."""
        down = self.down
        return np.array([down[1], -down[0]], np.float32)

    @property
    def face_height(self) -> float:
        """Forehead to chin in pixels."""
        return float(np.linalg.norm(self.landmarks[152] - self.landmarks[10]))

    @property
    def magnification(self) -> float:
        """Video pixels per photo pixel: above 1 the photo was enlarged."""
        return float(self.scale.mean())


def make_plate(portrait: Portrait, size: int | None) -> Plate:
    """The portrait resized so that its shorter side is size pixels (None: as it is, up to 1080), sides even."""
    height, width = portrait.image.shape[:2]
    target = min(height, width, LARGEST_DEFAULT_SIDE) if size is None else size
    factor = target / min(height, width)
    new_width, new_height = (max(2, 2 * round(side * factor / 2)) for side in (width, height))
    scale = np.float32([new_width / width, new_height / height])
    if (new_width, new_height) == (width, height):
        image, mask = portrait.image, portrait.person_mask
    else:
        method = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_LANCZOS4
        image = cv2.resize(portrait.image, (new_width, new_height), interpolation=method)
        mask_method = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_LINEAR
        mask = cv2.resize(portrait.person_mask, (new_width, new_height), interpolation=mask_method)
    landmarks = (portrait.landmarks[:, :2] + 0.5) * scale - 0.5
    return Plate(np.ascontiguousarray(image), landmarks.astype(np.float32), mask.astype(np.float32), scale)
