"""Lids and gaze: eyes are redrawn in the photo before it is warped, by moving layers instead of stretching pixels.

Each eye has its own frame: u along the line between its corners (0 outer, 1 inner), v across it, down, both in eye
widths. In it the lids are two curves. What lies between them shows the eyeball layer (the photo's iris and white, with
what the lids hid filled in), what an upper lid has come down over shows lid skin, and the lash line rides on the lid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.portrait.easing import smoothstep
from backend.portrait.eyeball import Eyeball, make_eyeball
from backend.portrait.plate import Plate
from backend.portrait.visibility import is_behind_dark_glass, is_shut
from bfm.coefficients import CHANNEL_INDEX
from bfm.landmarks import (
    LEFT_IRIS,
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    RIGHT_IRIS,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
)

REACH = 0.62  # eye widths above and below the corners' line that are redrawn
TEXTURE_SIZE, TEXTURE_BELOW = 0.06, 0.42  # of the eye's width: texture of lids, and how far under the eye it lies
SIDE_REACH = 0.16  # and beyond the corners
LASH_HEIGHT = 0.11  # eye widths above the lid's edge that belong to the lash line
CLEARED_HEIGHT = 0.17  # and that a closing lid's skin replaces at once
CREASE_CLEARANCE = 0.06  # eye widths above the lid's fold, that a closed lid smooths
CREASE_LEFT = 0.45  # of the fold's own shade that a closed lid keeps
WIDE_SHARE = 0.22  # of the opening, that the upper lid rises at full eyeWide
SQUINT_LOWER, SQUINT_UPPER = 0.34, 0.10  # of the opening, that the lids come in at full eyeSquint
BLINK_MEETING = 0.82  # where the lids meet, from the upper one's to the lower one's place
FOLLOW_DOWN, FOLLOW_UP = 0.42, 0.12  # of the opening: the upper lid follows the gaze
MEMBRANE_SIDE = 96  # pixels at which the closed lid's skin is spanned
GAZE = 0.17  # eye widths that the iris moves sideways at full look; up and down a little less
REST_BLEND = (0.004, 0.06)  # of the opening: lids and iris nearer to the photo's own than this show its pixels


@dataclass(frozen=True)
class LidState:
    """How far the lids of one eye move, as shares of its opening in the photo, and where the iris goes, eye widths."""

    upper: float
    lower: float
    gaze: tuple[float, float]

    @property
    def change(self) -> float:
        """0 where the eye is as in the photo, 1 where it is not."""
        most = max(abs(self.upper), abs(self.lower), 3.0 * abs(self.gaze[0]), 3.0 * abs(self.gaze[1]))
        return float(smoothstep(np.float32(most), *REST_BLEND))


class Eyes:
    """Both eyes of one plate, relative to the photo's own lids and gaze (rest_weights (64,) of the fitted face)."""

    def __init__(self, plate: Plate, rest_weights: np.ndarray) -> None:
        self._rest = rest_weights
        # what cannot be seen open cannot be drawn open
        self._are_seen = [
            not is_shut(plate.landmarks, eye) and not is_behind_dark_glass(plate.image, plate.landmarks, eye)
            for eye in (0, 1)
        ]
        self._eyes = [
            Eye(plate, RIGHT_UPPER_LID_RINGS, RIGHT_LOWER_LID_RINGS, RIGHT_IRIS),
            Eye(plate, LEFT_UPPER_LID_RINGS, LEFT_LOWER_LID_RINGS, LEFT_IRIS),
        ]

    def draw(self, source: np.ndarray, weights: np.ndarray, origin: tuple[int, int]) -> None:
        """Redraws both eyes in source (h, w, 4) float32, whose first pixel is at origin (x, y) of the plate."""
        for eye, side, is_seen in zip(self._eyes, ("Right", "Left"), self._are_seen):
            if not is_seen:
                continue
            eye.draw(source, lid_state(weights, self._rest, side), origin)


def lid_state(weights: np.ndarray, rest: np.ndarray, side: str) -> LidState:
    """What weights (64,) ask of the eye on side "Left" or "Right", where the photo's own are rest (64,)."""

    def change(kind: str) -> float:
        """From the photo's own weight to 1; the photo's eye stays as it is below that."""
        column = CHANNEL_INDEX[f"eye{kind}{side}"]
        known = float(np.clip(rest[column], 0.0, 0.8))
        return max(float(np.clip(weights[column], 0.0, 1.0)) - known, 0.0) / (1.0 - known)

    blink, wide, squint = change("Blink"), change("Wide"), change("Squint")
    sideways = change("LookIn") - change("LookOut")
    vertical = change("LookDown") - change("LookUp")
    upper = -WIDE_SHARE * wide + SQUINT_UPPER * squint + FOLLOW_DOWN * max(vertical, 0) + FOLLOW_UP * min(vertical, 0)
    lower = SQUINT_LOWER * squint - 0.12 * max(vertical, 0.0)
    upper = float(np.clip(upper, -0.35, 0.9)) * (1.0 - blink) + BLINK_MEETING * blink
    lower = float(np.clip(lower, -0.2, 0.5)) * (1.0 - blink) + (1.0 - BLINK_MEETING) * blink
    return LidState(upper, lower, (GAZE * sideways, 0.72 * GAZE * vertical))


class Eye:
    """One eye's layers."""

    def __init__(self, plate: Plate, upper_rings, lower_rings, iris: tuple[int, ...]) -> None:
        points = plate.landmarks
        outer, inner = points[upper_rings[0][0]], points[upper_rings[0][-1]]
        self._width = float(np.linalg.norm(inner - outer))
        axis = (inner - outer) / self._width
        down = np.array([-axis[1], axis[0]], np.float32)
        down = down if down @ plate.down > 0 else -down
        self._to_pixels = np.column_stack([axis, down, outer]).astype(np.float64)
        self._to_pixels[:, :2] *= self._width
        self._box = self._patch_box(plate.image.shape)
        left, top, right, bottom = self._box
        inverse = cv2.invertAffineTransform(self._to_pixels)
        x, y = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        self._u = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]).astype(np.float32)
        self._v = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]).astype(np.float32)
        self._upper = _lid_curve(self._in_eye(inverse, points[list(upper_rings[0])]), self._u)
        self._lower = _lid_curve(self._in_eye(inverse, points[list(lower_rings[0])]), self._u)
        self._lower = np.maximum(self._lower, self._upper + 0.01)
        self._fold = _lid_curve(self._in_eye(inverse, points[list(upper_rings[1])]), self._u)
        self._image = plate.image[top:bottom, left:right].astype(np.float32)
        self._pixel = 1.0 / self._width  # one pixel in eye widths
        self._lid_cover = self._cover()
        self._lid_skin = self._closed_lid()
        self._lash = self._lash_darkness()
        at_edge = np.abs(self._v - self._upper + 0.02) < 0.03
        dark = 1.0 - float(np.median(self._lash[at_edge])) if at_edge.any() else 0.3
        self._line_strength = float(np.clip(0.12 + 0.6 * dark, 0.15, 0.55))
        tone = self._lid_tone()
        self._line_tint = 1.6 - 0.6 * tone / max(float(tone.mean()), 1.0)  # as warm as the skin it stands in
        self._ball = self._make_ball(plate, iris, inverse)

    def draw(self, source: np.ndarray, state: LidState, origin: tuple[int, int]) -> None:
        """Redraws this eye in source (h, w, 4) float32 premultiplied; always from the photo, so nothing adds up."""
        left, top, right, bottom = self._box
        rows = slice(top - origin[1], bottom - origin[1])
        columns = slice(left - origin[0], right - origin[0])
        patch = source[rows, columns, :3]
        patch[:] = self._image
        if state.change > 0.0:
            patch += np.float32(state.change) * (self._drawn(state) - self._image)

    def _drawn(self, state: LidState) -> np.ndarray:
        opening = self._lower - self._upper
        upper = self._upper + state.upper * opening
        lower = self._lower - state.lower * opening
        image = self._skin(upper, lower)
        soft = 0.7 * self._pixel + 0.012
        ball = self._ball.look(state.gaze)
        shade = 1.0 - 0.34 * smoothstep((upper + 0.10 - self._v) / 0.10, 0.0, 1.0) * min(abs(state.upper) * 4.0, 1.0)
        ball = ball * shade[..., None]
        inside = smoothstep(self._v - upper, -soft, soft) * smoothstep(lower - self._v, -soft, soft)
        inside *= smoothstep(lower - upper, 0.004, 0.05)
        inside *= smoothstep(self._u, 0.0, 0.05) * smoothstep(1.0 - self._u, 0.0, 0.05)
        image += inside[..., None] * (ball - image)
        return self._lashed(image, upper, state)

    def _skin(self, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """The lids' skin with its edges at upper and lower (h, w): lid skin where the lid came down, else the photo's,
        pushed together where the lid rises."""
        down = np.maximum(upper - self._upper, 0.0)
        up = np.maximum(self._upper - upper, 0.0)
        rise = np.maximum(self._lower - lower, 0.0)
        above = smoothstep((self._v - (self._upper - 0.42)) / 0.36, 0.0, 1.0) * (self._v < (upper + self._lower) / 2)
        below = 1.0 - smoothstep((self._v - self._lower) / 0.30, 0.0, 1.0)
        below *= self._v >= np.minimum((upper + lower) / 2, self._lower)
        image = self._sampled(up * above + rise * below)
        share = down / np.maximum(self._lower - self._upper, 0.05)
        closing = float(share.max(initial=0.0))  # the corners close with the middle
        near = smoothstep(self._v - self._upper + CLEARED_HEIGHT, -0.05, 0.05)
        covered = np.maximum(near, smoothstep(np.float32(closing), 0.15, 0.75)) * smoothstep(
            np.float32(closing), 0.03, 0.14
        )
        covered = covered * self._lid_cover * (1.0 - smoothstep(self._v - lower, -0.01, 0.03))
        return image + covered[..., None] * (self._lid_skin - image)

    def _sampled(self, shift: np.ndarray) -> np.ndarray:
        """The photo's patch, each pixel from shift (h, w) eye widths further down."""
        if float(shift.max(initial=0.0)) < 1e-4:
            return self._image.copy()
        down = self._to_pixels[:, 1]
        height, width = shift.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        map_x, map_y = x + shift * np.float32(down[0]), y + shift * np.float32(down[1])
        return cv2.remap(self._image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _lashed(self, image: np.ndarray, upper: np.ndarray, state: LidState) -> np.ndarray:
        """The lash line laid on the lid's edge at upper (h, w)."""
        moved = upper - self._upper
        down = float(np.clip(state.upper / BLINK_MEETING, 0.0, 1.0))
        if down <= 0.02:
            # the lid's edge takes with it what lay under its line in the photo
            raised = float(smoothstep(np.float32(-state.upper), 0.02, 0.12))
            line = 0.85 * self._line_strength * raised * self._edge_line(upper)
            return image * (1.0 - line[..., None] * self._line_tint)
        shift = np.where(self._u > -SIDE_REACH, moved, 0.0)
        darkness = self._sampled_map(self._lash, -shift)
        darkness = 1.0 - (1.0 - darkness) * smoothstep(np.float32(down), 0.02, 0.15)
        darkness *= 1.0 - self._line_strength * smoothstep(np.float32(down), 0.3, 0.95) * self._edge_line(upper)
        return image * darkness[..., None]

    def _edge_line(self, upper: np.ndarray) -> np.ndarray:
        """The thin line (h, w) 0–1 along a lid's edge at upper (h, w)."""
        line = np.exp(-(((self._v - upper - 0.004) / (0.026 + 0.5 * self._pixel)) ** 2))
        return line * smoothstep(self._u, 0.0, 0.2) * smoothstep(1.0 - self._u, 0.04, 0.34)

    def _sampled_map(self, values: np.ndarray, shift: np.ndarray) -> np.ndarray:
        down = self._to_pixels[:, 1]
        height, width = shift.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        map_x, map_y = x + shift * np.float32(down[0]), y + shift * np.float32(down[1])
        return cv2.remap(values, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)

    def _closed_lid(self) -> np.ndarray:
        """A closed lid's skin (h, w, 3): interpolated from the skin around the eye, with what is left of the fold."""
        hole = self._lid_cover > 0.0
        filled = _membrane(self._thick(~hole), hole)
        across = np.clip((self._v - self._upper + 0.05) / np.maximum(self._lower - self._upper + 0.05, 0.04), 0.0, 1.0)
        middle = smoothstep(self._u, 0.0, 0.3) * smoothstep(1.0 - self._u, 0.0, 0.3)
        filled *= self._fold_shade(filled)[..., None]
        ball = 1.0 + (0.04 * np.sin(np.pi * across) - 0.07 * smoothstep(across, 0.5, 1.0)) * middle
        grain = self._image - cv2.GaussianBlur(self._image, (0, 0), 1.2)
        skin = ~hole & (np.abs(self._v) > 0.3)
        spread = float(np.median(np.abs(grain[skin]))) if skin.any() else 0.0
        noise = np.random.default_rng(11).normal(scale=spread, size=hole.shape).astype(np.float32)
        noise = 1.6 * cv2.GaussianBlur(noise, (0, 0), 0.8)[..., None]
        return filled * ball[..., None] + noise + self._texture()

    def _texture(self) -> np.ndarray:
        """What a closed lid shows of its skin (h, w, 3): pores, freckles, brush strokes of the cheek under the eye."""
        fine = self._image - cv2.GaussianBlur(self._image, (0, 0), max(TEXTURE_SIZE * self._width, 1.2))
        below = float((self._lower - self._upper).max()) + TEXTURE_BELOW
        down = self._to_pixels[:, 1] * below
        x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in self._u.shape[::-1]))
        moved = cv2.remap(
            fine, x + np.float32(down[0]), y + np.float32(down[1]), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        most = 1.5 * float(np.median(np.abs(moved)))  # no bag's or lash's line
        return np.clip(moved, -most, most)

    def _thick(self, known: np.ndarray) -> np.ndarray:
        """The photo (h, w, 3) where known (h, w), evened, without the thin dark strokes of lashes and brows."""
        grey = self._image.mean(axis=2)
        around = cv2.GaussianBlur(grey, (0, 0), max(0.12 * self._width, 1.0))
        weight = (known * (0.03 + smoothstep(grey / np.maximum(around, 4.0), 0.6, 0.9))).astype(np.float32)
        sigma = max(0.03 * self._width, 0.7)
        total = cv2.GaussianBlur(self._image * weight[..., None], (0, 0), sigma)
        share = cv2.GaussianBlur(weight, (0, 0), sigma)
        return np.where(known[..., None], total / np.maximum(share, 1e-4)[..., None], self._image)

    def _fold_shade(self, filled: np.ndarray) -> np.ndarray:
        """What a closed lid keeps of the shade above the open eye (h, w): soft, none at the lid's edge."""
        soft = max(0.035 * self._width, 0.6)
        ratio = cv2.GaussianBlur(self._image, (0, 0), soft).mean(axis=2) / np.maximum(filled.mean(axis=2), 4.0)
        kept = CREASE_LEFT * (1.0 - smoothstep(self._v - self._upper, -0.20, -0.08))
        return 1.0 + kept * (np.clip(ratio, 0.6, 1.1) - 1.0)

    def _cover(self) -> np.ndarray:
        """Where a closed lid's skin lies (h, w) 0–1: from above its fold to under the lower lid, fading outwards."""
        top = np.minimum(self._upper - CLEARED_HEIGHT, self._fold - CREASE_CLEARANCE)
        ends = np.clip(np.minimum(self._u + 0.12, 1.07 - self._u) / 0.2, 0.0, 1.0)  # narrower at the corners
        middle = (self._upper + self._lower) / 2.0
        top = middle + np.sqrt(ends) * (top - middle)
        inside = np.minimum.reduce([(self._v - top) / 0.12, (self._lower + 0.07 - self._v) / 0.05, ends / 0.5])
        return smoothstep(inside, 0.0, 1.0).astype(np.float32)

    def _lid_tone(self) -> np.ndarray:
        """The colour (3,) of skin near the eye: under it, and between its fold and the brow."""
        inner = (self._u > 0.2) & (self._u < 0.8)
        under = inner & (self._v > self._lower + 0.14) & (self._v < self._lower + 0.32)
        over = inner & (self._v < self._fold - 0.02) & (self._v > self._fold - 0.14)
        tones = [np.median(self._image[part], axis=0) for part in (under, over) if part.sum() > 4]
        return 0.95 * np.mean(tones, axis=0) if tones else np.median(self._image.reshape(-1, 3), axis=0)

    def _lash_darkness(self) -> np.ndarray:
        """How much darker than lid skin the photo's lash line is, (h, w) 0–1, 1 away from it."""
        ratio = self._image.mean(axis=2) / np.maximum(self._lid_skin.mean(axis=2), 4.0)
        near = smoothstep(self._v - self._upper, -LASH_HEIGHT, -0.35 * LASH_HEIGHT)
        near *= 1.0 - smoothstep(self._v - self._upper, -0.3 * self._pixel, 0.03)
        near *= smoothstep(self._u, -0.1, 0.0) * smoothstep(1.0 - self._u, -0.04, 0.08)
        return (1.0 - near * (1.0 - np.clip(ratio, 0.25, 1.0))).astype(np.float32)

    def _make_ball(self, plate: Plate, iris: tuple[int, ...], inverse: np.ndarray) -> Eyeball:
        rim = self._in_eye(inverse, plate.landmarks[list(iris)])
        radius = float(np.linalg.norm(rim[1:] - rim[0], axis=1).mean())
        return make_eyeball(
            self._image, self._u, self._v, self._upper, self._lower, center=rim[0], radius=radius,
            to_pixels=self._to_pixels[:, :2],
        )  # fmt: skip

    def _patch_box(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        corners = np.array([[u, v] for u in (-SIDE_REACH, 1 + SIDE_REACH) for v in (-REACH, REACH)])
        points = corners @ self._to_pixels[:, :2].T + self._to_pixels[:, 2]
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, [shape[1], shape[0]])
        return int(left), int(top), int(right), int(bottom)

    @staticmethod
    def _in_eye(inverse: np.ndarray, points: np.ndarray) -> np.ndarray:
        return points @ inverse[:, :2].T + inverse[:, 2]


def _lid_curve(points: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The height v (h, w) of a lid through points (9, 2) at each pixel's u, smooth, level beyond the corners."""
    from scipy.interpolate import PchipInterpolator

    order = np.argsort(points[:, 0])
    x, y = points[order, 0], points[order, 1]
    keep = np.concatenate([[True], np.diff(x) > 1e-4])
    curve = PchipInterpolator(x[keep], y[keep])
    values = curve(np.clip(u, x[keep][0], x[keep][-1]))
    return values.astype(np.float32)


def _membrane(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """image (h, w, 3) with hole (h, w) spanned like a soap film by what lies around it (Laplace's equation)."""
    scale = min(1.0, MEMBRANE_SIDE / max(hole.shape))
    size = max(round(hole.shape[1] * scale), 2), max(round(hole.shape[0] * scale), 2)
    open_ = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.0
    film = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    film[open_] = np.median(film[~open_], axis=0) if (~open_).any() else film.mean(axis=(0, 1))
    for _ in range(3 * max(size)):
        film[open_] = cv2.blur(film, (3, 3), borderType=cv2.BORDER_REPLICATE)[open_]
    whole = cv2.resize(film, hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(hole[..., None], whole, image).astype(np.float32)
