"""What a picture shows of a face: eyes that are open, shut or behind dark glass, a mouth that is covered."""

from __future__ import annotations

import cv2
import numpy as np

from bfm.landmarks import (
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    LOWER_LIP_RINGS,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
    UPPER_LIP_RINGS,
)

LEAST_OPENING = 0.13  # of the eye's width: narrower, and its lids are shut; open eyes of ten portraits: 0.28 at least
DARK_GLASS = 0.34  # of the cheeks' brightness: the brightest tenth of an eye that is seen lies above
CHEEKS = (50, 101, 118, 117, 280, 330, 347, 346)
AROUND_LIPS = (164, 165, 391, 18, 83, 313, 200, 194, 418, 57, 287)
# In CIE L*a*b*: lips less different from what surrounds them are none that can be seen, where that is no skin either.
LIP_CONTRAST, SKIN_DISTANCE = 5.0, 12.0
EYES = ((RIGHT_UPPER_LID_RINGS[0], RIGHT_LOWER_LID_RINGS[0]), (LEFT_UPPER_LID_RINGS[0], LEFT_LOWER_LID_RINGS[0]))


def eye_opening(points: np.ndarray, eye: int) -> float:
    """Between the lids of an eye (0 right, 1 left) over its width, for landmarks (478, 2)."""
    upper, lower = (points[list(ring)] for ring in EYES[eye])
    gaps = np.linalg.norm(upper[1:-1] - lower[1:-1], axis=1)
    return float(np.sort(gaps)[-3:].mean() / max(np.linalg.norm(upper[0] - upper[-1]), 1e-6))


def is_shut(points: np.ndarray, eye: int) -> bool:
    """Whether the lids of an eye meet in the picture."""
    return eye_opening(points, eye) < LEAST_OPENING


def is_behind_dark_glass(image: np.ndarray, points: np.ndarray, eye: int) -> bool:
    """Whether an eye of image (height, width, 3) is open by its landmarks (478, 2) but nothing there is bright."""
    if is_shut(points, eye):
        return False
    upper, lower = EYES[eye]
    seen = _inside(image, points[[*upper, *reversed(lower)]]).mean(axis=1)
    cheeks = _around(image, points, CHEEKS).mean(axis=1)
    return bool(np.percentile(seen, 90) < DARK_GLASS * np.median(cheeks))


def is_mouth_covered(image: np.ndarray, points: np.ndarray) -> bool:
    """Whether neither lips nor skin can be seen where the mouth must be: a mask, a hand's glove, a microphone."""
    lips = np.concatenate(
        [_inside(image, points[[*rings[0], *reversed(rings[3])]]) for rings in (UPPER_LIP_RINGS, LOWER_LIP_RINGS)]
    )
    lips, near, skin = (
        _lab(pixels) for pixels in (lips, _around(image, points, AROUND_LIPS), _around(image, points, CHEEKS))
    )
    return bool(np.linalg.norm(lips - near) < LIP_CONTRAST and np.linalg.norm((near - skin)[1:]) > SKIN_DISTANCE)


def _lab(pixels: np.ndarray) -> np.ndarray:
    """The median colour of pixels (n, 3) as L* a* b* (3,)."""
    color = np.median(pixels, axis=0).astype(np.float32)[None, None] / 255.0
    return cv2.cvtColor(color, cv2.COLOR_RGB2LAB)[0, 0]


def _inside(image: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Pixels (n, 3) inside an outline (m, 2)."""
    left, top = np.clip(np.floor(outline.min(axis=0)).astype(int), 0, [image.shape[1] - 2, image.shape[0] - 2])
    right, bottom = np.maximum(np.ceil(outline.max(axis=0)).astype(int) + 1, [left + 1, top + 1])
    part = image[top:bottom, left:right]
    mask = np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline - [left, top]).astype(np.int32)], 1)
    return part[mask > 0] if mask.any() else part.reshape(-1, 3)


def _around(image: np.ndarray, points: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """Pixels (n, 3) in small squares around landmarks."""
    reach = max(round(0.015 * float(np.linalg.norm(points[152] - points[10]))), 1)
    height, width = image.shape[:2]
    squares = []
    for x, y in np.round(points[list(indices)]).astype(int):
        x, y = int(np.clip(x, reach, width - 1 - reach)), int(np.clip(y, reach, height - 1 - reach))
        squares.append(image[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3))
    return np.concatenate(squares)
