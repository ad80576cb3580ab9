"""The portrait's colours that drawn parts are matched to: skin, lips, eye whites, the mouth's inside if it shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.portrait.plate import Plate
from bfm.landmarks import (
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    LOWER_LIP_RINGS,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
    UPPER_LIP_RINGS,
)

CHEEKS = ((50, 101, 118, 117, 123, 187, 205), (280, 330, 347, 346, 352, 411, 425))
CHIN = (83, 18, 313, 421, 199, 201)


@dataclass(frozen=True)
class FaceTones:
    """Colours (3,) float32 RGB 0–255: skin's median and bright part, lips' median, eye whites; inside_bright: the
    bright part of an open mouth, None where it is closed.
    """

    skin: np.ndarray
    skin_bright: np.ndarray
    lips: np.ndarray
    white: np.ndarray
    inside_bright: np.ndarray | None


def face_tones(plate: Plate) -> FaceTones:
    """Reads the colours off the plate."""
    points = plate.landmarks
    skin = np.concatenate([_pixels(plate.image, points[list(part)]) for part in (*CHEEKS, CHIN)])
    lips = np.concatenate(
        [_pixels(plate.image, points[[*rings[0], *reversed(rings[3])]]) for rings in (UPPER_LIP_RINGS, LOWER_LIP_RINGS)]
    )
    eyes = np.concatenate(
        [
            _pixels(plate.image, points[[*upper[0], *reversed(lower[0])]])
            for upper, lower in (
                (RIGHT_UPPER_LID_RINGS, RIGHT_LOWER_LID_RINGS),
                (LEFT_UPPER_LID_RINGS, LEFT_LOWER_LID_RINGS),
            )
        ]
    )
    inside = _pixels(plate.image, points[[*UPPER_LIP_RINGS[3], *reversed(LOWER_LIP_RINGS[3])]])
    return FaceTones(
        _between(skin, 30, 70), _between(skin, 75, 95), _between(lips, 30, 75), _between(eyes, 78, 95),
        _between(inside, 70, 92) if len(inside) > 30 else None,
    )  # fmt: skip


def _pixels(image: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Pixels (n, 3) float32 inside an outline (m, 2)."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return image[mask > 0].astype(np.float32)


def _between(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Mean colour of the pixels whose brightness lies between two percentiles."""
    brightness = pixels.mean(axis=1)
    first, last = np.percentile(brightness, [low, high])
    return pixels[(brightness >= first) & (brightness <= last)].mean(axis=0)
