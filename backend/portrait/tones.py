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
FULL_COLOR = 0.12  # saturation of skin from which a photo counts as fully coloured
TEETH_OVER_SKIN, TEETH_OVER_WHITE = 0.97, 1.55  # how bright teeth are beside them; six real people
CHIN = (83, 18, 313, 421, 199, 201)


@dataclass(frozen=True)
class MouthColors:
    """enamel, gum, tongue, dark: (3,) float32 RGB 0–255 in full light."""

    enamel: np.ndarray
    gum: np.ndarray
    tongue: np.ndarray
    dark: np.ndarray


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

    @property
    def colorfulness(self) -> float:
        """0 in a grey photo, 1 from ordinary colours on."""
        return float(np.clip(np.ptp(self.skin) / max(float(self.skin.max()), 1.0) / FULL_COLOR, 0.0, 1.0))

    def in_key(self, color: np.ndarray) -> np.ndarray:
        """A colour (…, 3) as grey as the photo."""
        grey = color.mean(axis=-1, keepdims=True)
        return (grey + self.colorfulness * (color - grey)).astype(np.float32)

    def mouth_colors(self, *, is_inside_seen: bool) -> MouthColors:
        """Colours for the mouth's inside; is_inside_seen: the photo's own teeth show, and are a guide."""
        tint = self.white / max(float(self.white.mean()), 1.0)
        tint = 1.0 + 0.35 * (tint - 1.0)
        # enamel reflects about as much as bright skin in the open, and stands in shade as the whites of the eyes do
        skin, white = float(self.skin_bright.mean()), float(self.white.mean())
        shaded = np.clip(TEETH_OVER_WHITE * white, 0.6 * skin, 1.5 * skin)
        level = max(float(np.sqrt(TEETH_OVER_SKIN * skin * shaded)), white)
        enamel = level * tint * np.float32([1.08, 0.985, 0.90])
        # teeth are never bluer or greener than this, whatever light the skin stands in
        enamel = np.minimum(enamel, enamel[0] * np.float32([1.0, 0.955, 0.885]))
        if is_inside_seen and self.inside_bright is not None:
            enamel = np.maximum(0.9 * enamel, np.minimum(self.inside_bright, 1.15 * enamel))
        flesh = 0.6 * self.lips + 0.4 * self.skin * np.float32([0.95, 0.62, 0.60])
        gum = 0.72 * flesh
        # what lies deep is lit by what has come past teeth and flesh alike: dark, and little redder than skin
        tongue = 0.84 * flesh * np.float32([1.0, 0.94, 0.94])
        dark = 0.36 * (0.5 * self.skin + 0.5 * self.lips) * np.float32([1.0, 0.84, 0.82]) + 2.0
        return MouthColors(*(self.in_key(color) for color in (np.clip(enamel, 0, 232), gum, tongue, dark)))


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
        _enamel(inside) if len(inside) > 30 else None,
    )  # fmt: skip


def _enamel(inside: np.ndarray) -> np.ndarray:
    """Colour (3,) of what is bluest but for highlights among pixels (n, 3): teeth, not lips within the outline."""
    first, last = np.percentile(inside[:, 2], [88, 98])
    return inside[(inside[:, 2] >= first) & (inside[:, 2] <= last)].mean(axis=0)


def _pixels(image: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Pixels (n, 3) float32 inside an outline (m, 2)."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return image[mask > 0].astype(np.float32)


def _between(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Mean colour of the pixels whose brightness lies between two percentiles; mid-grey where there are none."""
    if not len(pixels):
        return np.full(3, 128.0, np.float32)
    brightness = pixels.mean(axis=1)
    first, last = np.percentile(brightness, [low, high])
    return pixels[(brightness >= first) & (brightness <= last)].mean(axis=0)
