"""The seam between the lips: where it lies in the photo, how far it opens, and lips that close over a seen inside."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.portrait.easing import smoothstep
from backend.portrait.motion import FaceMotion, MovedFace
from backend.portrait.plate import Plate
from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD
from bfm.landmarks import LOWER_LIP_RINGS, UPPER_LIP_RINGS
from bfm.sources.embedded import load_embedded_model

CLOSED_GAP = 0.05  # of the mouth's width: lips nearer than this in the photo are taken to touch
SEAM_SEARCH = 0.05  # of the mouth's width, up and down
# No opening is wider at these nine places than this share of the opening's middle: measured on 1,350 frames of open
# mouths (medians 0.35 0.60 0.82 0.96 1), with a quarter to spare at the corners.
WIDEST = np.float32([0.44, 0.70, 0.90, 1.0, 1.0, 1.0, 0.90, 0.70, 0.44])
# Only these part lips (mouthClose takes the jaw's part back): a sneer or a shrug lifts lips that stay sealed.
PARTING = ("jawOpen", "mouthClose", "lipsPart", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft",
           "mouthLowerDownRight", "mouthFunnel", "lowerLipToTeeth", "tongueOut", "tongueToTeeth")  # fmt: skip
PRESSING = {"mouthPressLeft": 0.01, "mouthPressRight": 0.01, "lipTighten": 0.01}  # mouth widths of gap they hold shut
PARTED = (0.015, 0.04)  # of the mouth's width: a gap of these channels from which lips begin to part, and are parted
STILL = 0.08  # mouth channels nearer than this to the photo's own leave its lips as they are
MIXED_RIM = 0.02  # of the mouth's width
LINE_FADES = (0.01, 0.06)  # of the mouth's width: gaps in which the shadow between touching lips goes
RING_SHARES = (0.2, 0.5, 0.8, 1.0)  # how much of a correction of the rim each ring of the lip takes, outer to inner

MOUTH_CHANNELS = [i for name, i in CHANNEL_INDEX.items() if name.startswith(("mouth", "jaw", "lip", "lower"))]
UPPER = np.array([ring[1:-1] for ring in UPPER_LIP_RINGS])  # (4, 9), outer to inner
LOWER = np.array([ring[1:-1] for ring in LOWER_LIP_RINGS])


@dataclass(frozen=True)
class MouthRest:
    """landmarks (478, 2) of the photo with the lips' rims on the seam where they touch; whether they do."""

    landmarks: np.ndarray
    is_closed: bool


def mouth_width(landmarks: np.ndarray) -> float:
    """Corner to corner in pixels."""
    return float(np.linalg.norm(landmarks[291] - landmarks[61]))


def find_seam(plate: Plate) -> MouthRest:
    """Moves the rims of touching lips onto the dark line between them, so that they part exactly there."""
    landmarks = plate.landmarks.copy()
    upper, lower = landmarks[UPPER[3]], landmarks[LOWER[3]]
    width = mouth_width(landmarks)
    gaps = (lower - upper) @ plate.down
    if np.median(gaps[2:7]) > CLOSED_GAP * width:
        return MouthRest(landmarks, False)
    middle = (upper + lower) / 2.0
    seam = middle + _darkest_offsets(plate, middle, width)[:, None] * plate.down
    for rings, rims in ((UPPER, upper), (LOWER, lower)):
        shift = seam - rims
        for ring, share in zip(rings, RING_SHARES):
            landmarks[ring] += np.float32(share**2) * shift
    return MouthRest(landmarks, True)


def _darkest_offsets(plate: Plate, points: np.ndarray, width: float) -> np.ndarray:
    """How far down (n,) pixels from each point (n, 2) the darkest line lies, smooth along the mouth."""
    grey = cv2.cvtColor(plate.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), max(0.008 * width, 0.6))
    offsets = np.linspace(-SEAM_SEARCH, SEAM_SEARCH, 41) * width
    where = points[:, None] + offsets[None, :, None] * plate.down
    profile = cv2.remap(
        grey, where[..., 0].astype(np.float32), where[..., 1].astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    spread = profile.std(axis=1, keepdims=True) + 2.0
    cost = (profile - profile.min(axis=1, keepdims=True)) / spread + 1.2 * (offsets / (SEAM_SEARCH * width)) ** 2
    found = offsets[cost.argmin(axis=1)]
    padded = np.pad(found, 2, mode="edge")
    median = np.median(np.stack([padded[i : i + len(found)] for i in range(5)]), axis=0)
    return np.convolve(np.pad(median, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid").astype(np.float32)


class LipSeal:
    """Keeps the lips' opening true: sealed where the model's lips touch, the photo's own opening at rest."""

    def __init__(self, motion: FaceMotion, rest: MouthRest, plate: Plate) -> None:
        self._rest, self._down = rest, plate.down
        self._photo_gaps = self._gaps(rest.landmarks)
        self._model_gaps = self._gaps(motion.rest().model)
        self._rest_weights, self._parting = motion.rest_weights, _parting_gaps()

    def apply(self, moved: MovedFace, landmarks: np.ndarray) -> np.ndarray:
        """landmarks (478, 2) with the lips parted as far as the model parts them, sealed where it seals them."""
        wanted = self._wanted_gaps(self._gaps(moved.model)) * self._partedness(moved.weights)
        if self._rest.is_closed:
            wanted = np.minimum(wanted, WIDEST * wanted[3:6].max())
        upper, lower = landmarks[UPPER[3]], landmarks[LOWER[3]]
        apart = lower - upper
        along = apart @ self._down
        sideways = apart - along[:, None] * self._down
        keep = np.clip(wanted / (np.abs(along) + 1e-3), 0.0, 1.0)[:, None]
        difference = wanted[:, None] * self._down + keep * sideways
        change = (difference - apart) / 2.0
        out = landmarks.copy()
        for rings, sign in ((UPPER, -1.0), (LOWER, 1.0)):
            for ring, share in zip(rings, RING_SHARES):
                out[ring] += np.float32(share * sign) * change
        return out

    def _partedness(self, weights: np.ndarray) -> float:
        """How far weights (64,) let the lips part, 0 sealed to 1; near the photo's own they are left as they are."""
        parted = smoothstep(float((np.clip(weights, 0.0, 1.0) @ self._parting).max()), *PARTED)
        change = float(np.abs(weights - self._rest_weights)[MOUTH_CHANNELS].max())
        return max(float(parted), 1.0 - float(smoothstep(change, 0.25 * STILL, STILL)))

    def _gaps(self, points: np.ndarray) -> np.ndarray:
        return (points[LOWER[3]] - points[UPPER[3]]) @ self._down

    def _wanted_gaps(self, model: np.ndarray) -> np.ndarray:
        model, rest = np.maximum(model, 0.0), np.maximum(self._model_gaps, 0.0)
        if self._rest.is_closed:
            return np.maximum(model - rest, 0.0)
        unexplained = self._photo_gaps - rest
        nearness = np.clip(model / np.maximum(rest, 0.25 * np.maximum(self._photo_gaps, 1.0)), 0.0, 1.0)
        return np.maximum(model + nearness * unexplained, 0.0)


def _parting_gaps() -> np.ndarray:
    """How far each channel at full weight parts the lips (64, 9) mouth widths; below 0 it holds them shut."""
    model = load_embedded_model()
    width = np.linalg.norm(np.subtract(*model.landmark_positions(np.zeros(80), np.zeros((1, 64)))[0, [291, 61]]))
    moves = FULL_ACTIVATION_SD * model.landmark_expression[..., 1] / width
    gaps = np.zeros((len(CHANNEL_INDEX), UPPER.shape[1]), np.float32)
    for name in PARTING:
        row = CHANNEL_INDEX[name]
        gaps[row] = moves[row, UPPER[3]] - moves[row, LOWER[3]]
    for name, gap in PRESSING.items():
        gaps[CHANNEL_INDEX[name]] = -gap
    return gaps


class LipFill:
    """Lips without what shows between them in the photo: an inside, so that they can close over it, or the dark line
    where they touch, which is gone once they part.
    """

    def __init__(self, plate: Plate, rest: MouthRest) -> None:
        points = plate.landmarks
        self._is_closed = rest.is_closed
        outline = np.concatenate([points[list(UPPER_LIP_RINGS[3])], points[list(LOWER_LIP_RINGS[3])][::-1]])
        lips = np.concatenate([points[list(UPPER_LIP_RINGS[0])], points[list(LOWER_LIP_RINGS[0])][::-1]])
        left, top = np.maximum(np.floor(lips.min(axis=0)).astype(int) - 2, 0)
        right, bottom = np.minimum(np.ceil(lips.max(axis=0)).astype(int) + 3, plate.image.shape[1::-1])
        self.box = slice(int(top), int(bottom)), slice(int(left), int(right))
        image = np.ascontiguousarray(plate.image[self.box])
        inside = np.zeros(image.shape[:2], np.uint8)
        fixed = np.round((outline - [left, top]) * 16.0).astype(np.int32)
        if rest.is_closed:
            cv2.polylines(inside, [fixed[: len(fixed) // 2]], False, 255, 1, cv2.LINE_8, 4)
        else:
            cv2.fillPoly(inside, [fixed], 255, cv2.LINE_8, 4)
        # the rims' pixels are mixed with what lies between them
        reach = max(round(MIXED_RIM * mouth_width(points)), 1)
        hole = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        red = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(red, [np.round((lips - [left, top]) * 16.0).astype(np.int32)], 255, cv2.LINE_8, 4)
        filled = _spread(image.astype(np.float32), ((red > 0) & (hole == 0)).astype(np.float32), mouth_width(points))
        soft = cv2.GaussianBlur(hole, (0, 0), 0.6 * max(plate.magnification, 1.0)).astype(np.float32) / 255.0
        self._difference = np.maximum(soft, hole / np.float32(255.0))[..., None] * (filled - image)

    def strength(self, landmarks: np.ndarray, change: float) -> float:
        """How much of it shows: with lips that differ from the photo's by change, 0 to 1; a line, as they part."""
        if not self._is_closed:
            return max(2.0 * change - 1.0, 0.0)  # only once the inside is drawn whole, or lips would shine through it
        gap = np.linalg.norm(landmarks[LOWER[3][3:6]] - landmarks[UPPER[3][3:6]], axis=1).mean()
        return change * float(smoothstep(np.float32(gap / mouth_width(landmarks)), *LINE_FADES))

    def draw(self, pixels: np.ndarray, change: float) -> None:
        """Draws over pixels (h, w, ≥3) float32 of the box; change: 0 the photo's own lips, 1 others."""
        pixels[..., :3] += np.float32(change) * self._difference


def _spread(image: np.ndarray, known: np.ndarray, width: float) -> np.ndarray:
    """image (h, w, 3) with what is not known (h, w) 0/1 in the colours of what is, the nearest most; width: mouth's."""
    total, weight = np.zeros_like(image), np.zeros(known.shape, np.float32)
    for sigma, share in ((0.02, 1.0), (0.05, 0.05), (0.15, 0.002), (0.6, 1e-5)):
        total += share * cv2.GaussianBlur(image * known[..., None], (0, 0), sigma * width)
        weight += share * cv2.GaussianBlur(known, (0, 0), sigma * width)
    return total / np.maximum(weight, 1e-9)[..., None]


def with_rest(plate: Plate, rest: MouthRest) -> Plate:
    """The plate with the seam's landmarks."""
    return replace(plate, landmarks=rest.landmarks)
