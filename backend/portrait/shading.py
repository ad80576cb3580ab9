"""Folds and shadows that expressions press into the skin, as soft maps of darker and lighter laid on the photo.

Each feature is a line or a patch anchored on landmarks and driven by channels relative to the photo's own, so that a
smiling photo loses some of its fold when it turns serious. A fold is no line but a step in the skin's slope: shade that
is deepest at the crease, soon gives way to light where the skin bulges, and fades slowly over the other side. How much
of a fold shows goes by the texture of the photo's own skin there: smooth and young skin bends without creasing.
Which channels press which folds follows the facial action coding system (Ekman & Friesen 1978): AU 1, 2, 4, 6, 9, 10,
12, 15, 17.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from backend.portrait.easing import smoothstep
from backend.portrait.landmarks import mirrored
from backend.portrait.plate import Plate
from backend.portrait.tones import CHEEKS, face_tones
from bfm.coefficients import CHANNEL_INDEX

MAP_FACE_HEIGHT = 200.0  # pixels from forehead to chin in the maps: folds are soft, the video may be larger
LEAST_SHOWN = 0.01  # of full activation
RELAXING = 0.2  # how much a photo's own fold fades when its expression is taken away
USUAL_TEXTURE = 0.013  # median relative contrast of the texture of photographed skin; drawn skin has about half
CREASING = (
    0.35,
    1.35,
)  # of the usual texture: skin as smooth as this shows least of a fold, as rough as this all of it
LEAST_CREASING = 0.22
BULGE_WIDTH, SLOPE_WIDTH = (
    1.1,
    2.6,
)  # of a fold's width: how far its shade reaches towards the lit side and away from it
RIDGE_AT, RIDGE_WIDTH = 3.0, 2.2
LIGHT_TINT = np.float32([0.8, 0.85, 0.8])
WARMTH = np.float32([0.64, 1.03, 1.12])  # shadows on skin lose more blue than red


@dataclass(frozen=True)
class Fold:
    """A crease on the character's right side, and its mirror image on the left where it is paired.

    line: knots, each a mix of landmarks {index: share}; width: of the shade, in face heights; depth: darkening at
    full drive; ridge: brightening beside the line, on the side of landmark lit; drive: channel → share, where a paired
    fold's channels end in Right.
    """

    line: tuple[dict[int, float], ...]
    width: float
    depth: float
    ridge: float
    lit: int
    drive: dict[str, float]
    is_paired: bool = True


@dataclass(frozen=True)
class Patch:
    """A soft spot on the character's right side, and its mirror image: lighter where amount > 0, darker below."""

    center: dict[int, float]
    radii: tuple[float, float]
    amount: float
    drive: dict[str, float]
    is_paired: bool = True


FOLDS = (
    Fold(  # nasolabial
        ({129: 0.45, 64: 0.55}, {203: 0.6, 165: 0.4}, {206: 0.6, 92: 0.4}, {216: 0.55, 57: 0.45}, {212: 0.8, 57: 0.2},
         {212: 0.3, 210: 0.4, 214: 0.3}),
        0.019, 0.17, 0.055, 205, {"mouthSmileRight": 0.8, "noseSneerRight": 0.7, "mouthUpperUpRight": 0.4,
                                 "cheekSquintRight": 0.25, "mouthDimpleRight": 0.3},
    ),
    Fold(  # beside the corner of a wide smile
        ({216: 0.3, 212: 0.7}, {57: 0.4, 212: 0.6}, {43: 0.45, 212: 0.55}),
        0.018, 0.14, 0.04, 207, {"mouthSmileRight": 0.6, "mouthDimpleRight": 0.8},
    ),
    Fold(  # frown line between the brows
        ({107: 0.55, 9: 0.45}, {55: 0.45, 107: 0.15, 9: 0.4}, {55: 0.55, 8: 0.45}),
        0.011, 0.30, 0.08, 107, {"browDownRight": 0.55, "browFurrow": 0.65},
    ),
    Fold(  # forehead, lower line
        ({63: 0.55, 104: 0.45}, {105: 0.55, 69: 0.45}, {66: 0.5, 108: 0.5}, {107: 0.3, 9: 0.15, 108: 0.55},
         {151: 0.75, 9: 0.25}),
        0.011, 0.15, 0.07, 9, {"browInnerUp": 0.6, "browInnerUpRight": 0.4, "browOuterUpRight": 0.6},
    ),
    Fold(  # forehead, middle line
        ({104: 0.9, 63: 0.1}, {69: 0.85, 67: 0.15}, {108: 0.85, 109: 0.15}, {151: 0.85, 10: 0.15}),
        0.011, 0.17, 0.07, 9, {"browInnerUp": 0.65, "browInnerUpRight": 0.4, "browOuterUpRight": 0.5},
    ),
    Fold(  # forehead, upper line
        ({103: 0.35, 104: 0.65}, {67: 0.5, 69: 0.5}, {109: 0.5, 108: 0.5}, {10: 0.5, 151: 0.5}),
        0.011, 0.12, 0.05, 9, {"browInnerUp": 0.55, "browInnerUpRight": 0.3, "browOuterUpRight": 0.5},
    ),
    Fold(  # under the eye, pushed up by the cheek
        ({226: 0.2, 31: 0.8}, {228: 0.8, 110: 0.2}, {229: 0.8, 24: 0.2}, {230: 0.8, 23: 0.2}, {231: 0.8, 22: 0.2}),
        0.013, 0.17, 0.06, 118, {"cheekSquintRight": 0.7, "eyeSquintRight": 0.35, "mouthSmileRight": 0.25},
    ),
    Fold(({33: 0.3, 130: 0.2, 35: 0.5}, {35: 0.6, 143: 0.4}, {143: 1.0}), 0.007, 0.15, 0.04, 226,
         {"cheekSquintRight": 0.8, "mouthSmileRight": 0.2}),  # crow's foot, lower
    Fold(({33: 0.4, 226: 0.6}, {226: 0.5, 124: 0.1, 35: 0.4}, {35: 0.4, 156: 0.3, 143: 0.3}), 0.007, 0.12, 0.03, 35,
         {"cheekSquintRight": 0.8, "mouthSmileRight": 0.2}),  # crow's foot, upper
    Fold(({193: 0.6, 168: 0.4}, {122: 0.5, 6: 0.5}, {188: 0.65, 6: 0.35}), 0.009, 0.22, 0.02, 168,
         {"noseSneerRight": 0.9}),  # the nose's root
    Fold(({193: 0.55, 55: 0.45}, {244: 0.4, 193: 0.6}, {122: 0.6, 193: 0.4}), 0.009, 0.16, 0.01, 6,
         {"noseSneerRight": 0.8, "browDownRight": 0.25}),
    Fold(  # the corner's shadow when the mouth turns down
        ({61: 0.9, 57: 0.1}, {61: 0.2, 43: 0.7, 202: 0.1}, {202: 0.7, 204: 0.2, 43: 0.1}, {202: 0.55, 210: 0.45}),
        0.016, 0.24, 0.06, 212, {"mouthFrownRight": 0.9, "mouthStretchRight": 0.25},
    ),
    Fold(  # under the lower lip
        ({204: 0.7, 106: 0.3}, {182: 0.6, 83: 0.4}, {83: 0.6, 18: 0.4}, {18: 0.8, 200: 0.2}),
        0.016, 0.16, 0.05, 200, {"mouthShrugLower": 0.7, "mouthPressRight": 0.25, "lipTighten": 0.3,
                                 "mouthFrownRight": 0.25},
    ),
)  # fmt: skip
PATCHES = (
    Patch({50: 0.4, 205: 0.3, 101: 0.3}, (0.085, 0.065), 0.10, {"cheekSquintRight": 0.5, "mouthSmileRight": 0.5}),
    Patch({207: 0.6, 187: 0.4}, (0.06, 0.09), -0.09, {"mouthSmileRight": 0.6, "mouthDimpleRight": 0.4}),
    Patch({55: 0.35, 221: 0.3, 222: 0.2, 193: 0.15}, (0.075, 0.035), -0.17, {"browDownRight": 0.8, "browFurrow": 0.2}),
    Patch({66: 0.4, 107: 0.4, 108: 0.2}, (0.05, 0.03), 0.09, {"browDownRight": 0.5, "browFurrow": 0.5}),
    Patch({105: 0.5, 66: 0.3, 69: 0.2}, (0.09, 0.04), 0.06, {"browOuterUpRight": 0.5, "browInnerUp": 0.4}),
    Patch({207: 0.4, 192: 0.3, 187: 0.3}, (0.06, 0.11), -0.10, {"jawOpen": 0.8, "cheekSuck": 1.0}),
    Patch({207: 0.5, 187: 0.5}, (0.09, 0.09), 0.08, {"cheekPuff": 1.0}),
    Patch({199: 0.7, 200: 0.3}, (0.06, 0.05), 0.06, {"mouthShrugLower": 0.9}, is_paired=False),
)


@njit(cache=True, nogil=True, fastmath=True)
def _shade(pixels, field, shadow, light):
    """pixels (h, w, ≥3) times 1 + field (h, w) · shadow (3,) where field < 0, · light (3,) elsewhere, in place."""
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            amount = field[y, x]
            for c in range(3):
                pixels[y, x, c] *= 1.0 + amount * (shadow[c] if amount < 0.0 else light[c])


class SkinShading:
    """The maps of one plate: where (rows, columns of the plate) they lie, and how channels drive them."""

    def __init__(self, plate: Plate, rest_weights: np.ndarray) -> None:
        self._rest = rest_weights
        self._shadow_tint = face_tones(plate).in_key(WARMTH)
        points = plate.landmarks[:468]
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, plate.image.shape[1::-1])
        self.region = slice(int(top), int(bottom)), slice(int(left), int(right))
        self._size = (int(right - left), int(bottom - top))
        scale = min(1.0, MAP_FACE_HEIGHT / plate.face_height)
        self._canvas = _Canvas((points - [left, top]) * scale, plate, scale, self._size)
        roughness = self._canvas.roughness(plate.image[self.region])
        maps, drives = [], []
        for fold in FOLDS:
            for side in _sides(fold.is_paired):
                maps.append(self._canvas.fold(fold, side, roughness))
                drives.append(_drive(fold.drive, side))
        for patch in PATCHES:
            for side in _sides(patch.is_paired):
                maps.append(self._canvas.patch(patch, side))
                drives.append(_drive(patch.drive, side))
        self._maps, self._drives = np.stack(maps), np.stack(drives)

    def apply(self, pixels: np.ndarray, weights: np.ndarray) -> None:
        """Darkens and brightens pixels (h, w, ≥3) float32 of the region in place for channel weights (64,)."""
        rest = np.clip(self._rest, 0.0, 1.0)
        change = np.clip(weights, 0.0, 1.0) - rest
        change = np.maximum(change, 0.85 * change / np.maximum(1.0 - rest, 0.4))  # the same reach from any photo
        drive = self._drives @ np.where(change < 0.0, RELAXING * change, change)
        drive = np.clip(drive, -0.2, 1.15)
        active = np.abs(drive) > LEAST_SHOWN
        if not active.any():
            return
        field = np.tensordot(drive[active].astype(np.float32), self._maps[active], 1)
        field = cv2.resize(field, self._size, interpolation=cv2.INTER_LINEAR)
        _shade(pixels, field, self._shadow_tint, LIGHT_TINT)


class _Canvas:
    """Draws features over landmarks points (468, 2) in map pixels."""

    def __init__(self, points: np.ndarray, plate: Plate, scale: float, size: tuple[int, int]) -> None:
        self._points = points
        self._face = plate.face_height * scale
        width, height = max(round(size[0] * scale), 2), max(round(size[1] * scale), 2)
        self._x, self._y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._axes = plate.across, plate.down
        hull = np.zeros((height, width), np.float32)
        cv2.fillConvexPoly(hull, cv2.convexHull(np.round(points).astype(np.int32)), 1.0)
        edge = cv2.distanceTransform((hull > 0).astype(np.uint8), cv2.DIST_L2, 3) / self._face
        self._inside = np.clip(edge / 0.05, 0.0, 1.0).astype(np.float32)

    def roughness(self, image: np.ndarray) -> np.ndarray:
        """Relative contrast of the texture of image's skin (h, w), 1 where usual, less where smooth or burnt out.

        Lashes, brows and hair are no skin: nothing counts as much rougher than the cheeks.
        """
        size = self._x.shape[::-1]
        grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        grey = grey.astype(np.float32)
        fine = cv2.GaussianBlur(grey, (0, 0), 1.2) - cv2.GaussianBlur(grey, (0, 0), 3.5)
        relative = np.abs(fine) / np.maximum(cv2.GaussianBlur(grey, (0, 0), 6.0), 20.0) / USUAL_TEXTURE
        cheeks = np.zeros(grey.shape, np.uint8)
        for part in CHEEKS:
            cv2.fillPoly(cheeks, [np.round(self._points[list(part)]).astype(np.int32)], 1)
        if cheeks.any():
            relative = np.minimum(relative, 1.3 * np.median(relative[cheeks > 0]))
        burnt = smoothstep(cv2.GaussianBlur(grey, (0, 0), 3.0), 205.0, 250.0)
        return (relative * (1.0 - 0.6 * burnt)).astype(np.float32)

    def fold(self, fold: Fold, side: str, roughness: np.ndarray) -> np.ndarray:
        """The crease's map (h, w), below 0 darker, above lighter, on skin of this roughness (h, w)."""
        knots = np.array([self._at(mix, side) for mix in fold.line], np.float32)
        line = _resampled(knots, 48)
        width = fold.width * self._face
        window = self._window(line, 7.0 * width)
        distance, along, sign = _to_line(self._x[window], self._y[window], line)
        lit = self._at({fold.lit: 1.0}, side)
        lit_sign = _side_of(lit[None], line, ((line - lit) ** 2).sum(axis=1).argmin()[None])[0]
        taper = np.sin(np.pi * np.clip(along, 0.0, 1.0)) ** 0.8
        over = distance * (sign == lit_sign)  # pixels towards the bulge
        under = distance * (sign != lit_sign)
        dark = np.exp(-((over / (BULGE_WIDTH * width)) ** 2) - (under / (SLOPE_WIDTH * width)) ** 2)
        ridge = np.exp(-(((over - RIDGE_AT * width) / (RIDGE_WIDTH * width)) ** 2)) * (sign == lit_sign)
        near = distance < 4.0 * width
        shows = self._creasing(roughness[window][near]) if near.any() else LEAST_CREASING
        drawn = np.zeros_like(self._inside)
        drawn[window] = self._inside[window] * taper * shows * (fold.ridge * ridge - fold.depth * dark)
        return cv2.GaussianBlur(drawn, (0, 0), max(0.35 * width, 0.5))

    def _creasing(self, roughness: np.ndarray) -> float:
        """How much of a fold shows on skin of roughness (n,) around it."""
        shown = float(smoothstep(np.percentile(roughness, 40), *CREASING))
        return LEAST_CREASING + (1.0 - LEAST_CREASING) * shown

    def patch(self, patch: Patch, side: str) -> np.ndarray:
        """The spot's map (h, w)."""
        x, y = self._at(patch.center, side)
        across, down = self._axes
        u = ((self._x - x) * across[0] + (self._y - y) * across[1]) / (patch.radii[0] * self._face)
        v = ((self._x - x) * down[0] + (self._y - y) * down[1]) / (patch.radii[1] * self._face)
        return self._inside * patch.amount * np.exp(-(u * u + v * v)).astype(np.float32)

    def _at(self, mix: dict[int, float], side: str) -> np.ndarray:
        twins = mirrored()
        chosen = [index if side == "Right" else int(twins[index]) for index in mix]
        return np.average(self._points[chosen], axis=0, weights=list(mix.values()))

    def _window(self, line: np.ndarray, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the maps within reach pixels of the line's box."""
        left, top = np.maximum(np.floor(line.min(axis=0) - reach).astype(int), 0)
        right, bottom = np.ceil(line.max(axis=0) + reach).astype(int) + 1
        return slice(top, max(bottom, top)), slice(left, max(right, left))


def _to_line(x: np.ndarray, y: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of pixels x, y (h, w) to the line (n, 2), where along it 0–1, and on which side, each (h, w)."""
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    squared = (pixels[:, :1] - line[:, 0]) ** 2 + (pixels[:, 1:] - line[:, 1]) ** 2
    nearest = squared.argmin(axis=1)
    distance = np.sqrt(squared[np.arange(len(pixels)), nearest])
    sign = _side_of(pixels, line, nearest)
    return distance.reshape(x.shape), (nearest / (len(line) - 1.0)).reshape(x.shape), sign.reshape(x.shape)


def _sides(is_paired: bool) -> tuple[str, ...]:
    return ("Right", "Left") if is_paired else ("Right",)


def _drive(shares: dict[str, float], side: str) -> np.ndarray:
    """Shares (64,) of the channels, turned to one side."""
    row = np.zeros(len(CHANNEL_INDEX), np.float32)
    for name, share in shares.items():
        row[CHANNEL_INDEX[name.removesuffix("Right") + side if name.endswith("Right") else name]] = share
    return row


def _resampled(knots: np.ndarray, n_points: int) -> np.ndarray:
    """A smooth line (n_points, 2) through knots (n, 2)."""
    from scipy.interpolate import PchipInterpolator

    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    return PchipInterpolator(length, knots)(np.linspace(0.0, length[-1], n_points)).astype(np.float32)


def _side_of(points: np.ndarray, line: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """On which side of the line points (n, 2) lie, ±1, judged at the nearest of the line's points (n,)."""
    before, after = line[np.maximum(nearest - 1, 0)], line[np.minimum(nearest + 1, len(line) - 1)]
    direction, offset = after - before, points - line[nearest]
    return np.where(direction[:, 0] * offset[:, 1] - direction[:, 1] * offset[:, 0] >= 0.0, 1.0, -1.0)
