"""Keeps lips as full as they are in the photo, and the skin between nose and mouth as tall, within what muscles can do.

The face model moves every face's lips by the same distances: on full lips that reads as swelling, under a short nose as
a mouth that climbs into it, and a moustache between both would smear.
"""

from __future__ import annotations

import cv2
import numpy as np

from backend.portrait.easing import smoothstep
from backend.portrait.lips import LOWER, UPPER, MouthRest, mouth_width
from backend.portrait.plate import Plate
from bfm.landmarks import LOWER_LIP_RINGS, UPPER_LIP_RINGS

SWELLING, CLOSING_SWELLING = 0.22, 0.30  # of its own height, that a lip grows at most; lips that a smile had drawn thin
THINNING = 0.42  # that it loses at most, pressed or rolled in
WIDENING, NARROWING = 0.20, 0.55  # of the closed mouth's width, that it grows and shrinks at most
# That the skin above the upper lip loses at most, softly: in 13 clips of real faces its shortest is 0.61 to 0.92 of its
# median, in one of grimaces 0.34.
SQUEEZE, MOUSTACHE_SQUEEZE = 0.50, 0.10
# Of the mouth's width, that its corners rise at most over the upper lip's middle: a smile lifts the whole upper lip. In
# 71 frames of a real broad smile they stand at most 0.01 over it, in closed smiles up to 0.08.
BOW = 0.08
MIDDLE_SHARE = 0.4  # of what is beyond it, that the middle rises; the corners come down by the rest
PARTED = (0.005, 0.03)  # of the mouth's width: lips as far apart let the lower one stay
RING_SHARES = np.float32([1.0, 0.68, 0.3, 0.0])[:, None, None]  # of a change of the outer ring, outer to inner
MOUTH = sorted({index for ring in (*UPPER_LIP_RINGS, *LOWER_LIP_RINGS) for index in ring})
NOSE_BASE, LIP_TOP = [97, 2, 326], [37, 0, 267]
MIDDLE = np.sin(np.linspace(0.0, np.pi, UPPER.shape[1] + 2)[1:-1]).astype(np.float32)[:, None] ** 0.7
ABOVE_LIP = ((167, 165, 92, 40, 39, 37), (393, 391, 322, 270, 269, 267))  # beside the nose's shadow, right and left
CHEEKS = ((205, 50, 101, 36), (425, 280, 330, 266))
MOUSTACHE_LEVEL = 0.70  # of the cheeks' brightness: without, 0.91 at least on one side; with, 0.51


class LipShape:
    """Limits of one plate's lips; at rest they change nothing. neutral (478, 2): the photo's face without expression.

    A photo that pouts or gapes has further to go than a face at rest: the way to the neutral face is not counted.
    """

    def __init__(self, plate: Plate, rest: MouthRest, neutral: np.ndarray) -> None:
        points = rest.landmarks
        self._heights = [np.linalg.norm(_across(points, rings), axis=1) for rings in (UPPER, LOWER)]
        self._philtrum = float(np.linalg.norm(_philtrum(points)))
        self._width = mouth_width(points)
        self._down = plate.down
        self._bow = self._bowed(points)
        self._widening = WIDENING if rest.is_closed else np.inf
        self._swelling = SWELLING if rest.is_closed else CLOSING_SWELLING
        least = 1.0 - (MOUSTACHE_SQUEEZE if has_moustache(plate) else SQUEEZE)
        self._squeeze = 1.0 - least * min(float(np.linalg.norm(_philtrum(neutral))) / self._philtrum, 1.0)
        self._bow_limit = BOW + max(self._bowed(neutral) - self._bow, 0.0)

    def apply(self, landmarks: np.ndarray) -> np.ndarray:
        """landmarks (478, 2) with lips no fuller, thinner or nearer to the nose than the limits."""
        out = self._unbowed(self._narrowed(self._off_the_nose(landmarks)))
        for rings, height in zip((UPPER, LOWER), self._heights):
            across = _across(out, rings)
            length = np.linalg.norm(across, axis=1)
            # very thin lips of small pictures are all noise
            ratio = length / np.maximum(height, 1.0)
            rest = height / np.maximum(height, 1.0)
            wanted = rest + _limited(ratio - rest, self._swelling, THINNING)
            scale = np.where(length > 1e-3, wanted / np.maximum(ratio, 1e-3), 1.0)
            out[rings] += RING_SHARES * ((scale - 1.0)[:, None] * across)[None].astype(np.float32)
        return out

    def _bowed(self, points: np.ndarray) -> float:
        """How far the corners lie above the upper lip's middle, of the mouth's width."""
        return float((points[13] - points[[61, 291]].mean(axis=0)) @ self._down) / mouth_width(points)

    def _unbowed(self, landmarks: np.ndarray) -> np.ndarray:
        """landmarks with the mouth's bow no deeper than the limit."""
        change = self._bowed(landmarks) - self._bow
        width = mouth_width(landmarks)
        excess = (change - float(_limited(np.float32(change), self._bow_limit, np.inf))) * width
        if excess <= 0.0:
            return landmarks
        out = landmarks.copy()
        axis = (landmarks[291] - landmarks[61]) / width
        along = (landmarks[MOUTH] - landmarks[[61, 291]].mean(axis=0)) @ axis / (0.5 * width)
        bell = np.clip(1.0 - along**2, 0.0, 1.0)
        gap = float(np.linalg.norm(landmarks[13] - landmarks[14])) / width
        stays = np.where(np.isin(MOUTH, LOWER), float(smoothstep(gap, *PARTED)), 0.0)
        rise = MIDDLE_SHARE * bell * (1.0 - stays) - (1.0 - MIDDLE_SHARE) * (1.0 - bell)
        out[MOUTH] -= (excess * rise)[:, None].astype(np.float32) * self._down
        return out

    def _narrowed(self, landmarks: np.ndarray) -> np.ndarray:
        """landmarks with the mouth no wider than the limit, drawn in towards its middle."""
        width = mouth_width(landmarks)
        change = width / self._width - 1.0
        scale = (1.0 + float(_limited(np.float32(change), self._widening, NARROWING))) * self._width / width
        axis = (landmarks[291] - landmarks[61]) / width
        out = landmarks.copy()
        away = (landmarks[MOUTH] - landmarks[[61, 291]].mean(axis=0)) @ axis
        out[MOUTH] += ((scale - 1.0) * away)[:, None] * axis
        return out

    def _off_the_nose(self, landmarks: np.ndarray) -> np.ndarray:
        """landmarks with the mouth pushed down where it came too near to the nose; an open one closes a little."""
        out = landmarks.copy()
        apart = _philtrum(landmarks)
        length = float(np.linalg.norm(apart))
        change = length / self._philtrum - 1.0
        push = (float(_limited(np.float32(change), np.inf, self._squeeze)) - change) * self._philtrum
        if push <= 0.0 or length < 1e-3:
            return out
        down = apart / length
        upper = push * MIDDLE
        gap = np.maximum((landmarks[LOWER[3]] - landmarks[UPPER[3]]) @ down, 0.0)[:, None]
        out[UPPER] += upper * down
        out[LOWER] += np.maximum(upper - gap, 0.0) * down
        return out


def has_moustache(plate: Plate) -> bool:
    """Whether above the upper lip it is much darker than on the cheek, on both sides of the nose's shadow."""
    grey = cv2.cvtColor(plate.image, cv2.COLOR_RGB2GRAY)
    shares = []
    for above, cheek in zip(ABOVE_LIP, CHEEKS):
        seen = [grey[_inside(plate, part, grey.shape)] for part in (above, cheek)]
        if min(len(part) for part in seen) < 8:
            return False
        shares.append(float(np.median(seen[0])) / max(float(np.median(seen[1])), 1.0))
    return max(shares) < MOUSTACHE_LEVEL


def _inside(plate: Plate, outline: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(plate.landmarks[list(outline)]).astype(np.int32)], 1)
    return mask > 0


def _across(points: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """From the inner to the outer rim (9, 2)."""
    return points[rings[0]] - points[rings[3]]


def _philtrum(points: np.ndarray) -> np.ndarray:
    """From the nose's base to the upper lip (2,)."""
    return points[LIP_TOP].mean(axis=0) - points[NOSE_BASE].mean(axis=0)


def _limited(change: np.ndarray, above: float, below: float) -> np.ndarray:
    """change, softly held under above and over −below."""
    up = change if np.isinf(above) else above * np.tanh(change / above)
    down = change if np.isinf(below) else below * np.tanh(change / below)
    return np.where(change > 0.0, up, down)
