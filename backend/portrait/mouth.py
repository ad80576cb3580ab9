"""The inside of the mouth, seen where the lips part: teeth, tongue and the dark behind, lit like the photo.

The upper teeth hang on the skull, the lower teeth and the tongue on the jaw. Where the photo shows its own mouth's
inside, those pixels are kept and ride on the skull too.
"""

from __future__ import annotations

import cv2
import numpy as np

from backend.portrait.affine import apply, inverse, source_grid, then
from backend.portrait.easing import smoothstep
from backend.portrait.lips import CLOSED_GAP, mouth_width
from backend.portrait.motion import FaceMotion, HeadPose, MovedFace
from backend.portrait.own_teeth import own_teeth
from backend.portrait.plate import Plate
from backend.portrait.teeth import LOWER_ROW, UPPER_ROW, RowPicture, draw_row
from backend.portrait.tones import face_tones
from bfm.coefficients import CHANNEL_INDEX
from bfm.landmarks import LOWER_LIP_RINGS, UPPER_LIP_RINGS

MOUTH_WIDTH_MM = 50.0
TEETH_BEHIND_LIPS = 0.07  # dm
UPPER_EDGE = 2.0  # mm below the closed lips' seam: as much shows under lips at rest (Vig & Brundo 1978)
OVERBITE = -0.6  # mm that the lower edges show above the upper ones with closed jaws
LOWER_SHOWN = 7.0  # mm of the lower teeth that show above the lower lip at most
ROLL = 0.02  # of the mouth's width, that each lip rolls in before the inside shows
OPEN_LIGHT = (0.95, 1.35, 6.0, 16.0)  # light on teeth in a narrow and in a wide opening, and how wide these are, mm
CORNERS = (0.40, 0.98)  # of the opening's half width: from here to here light falls off towards the corners
CORNER_SHADE = 0.30
DEEP_SHADE = (0.30, 12.0, 24.0)  # how much darker the dark is in openings from 12 mm to 24 mm: teeth no longer light it
REST_BLEND = (0.003, 0.02)  # of the mouth's width: nearer to the photo's own lips than this, its own pixels show
SHADOW_WARMTH = np.float32([0.66, 1.06, 1.30])  # exponents: light in the mouth has come past flesh
TEETH_WARMTH = np.float32([0.86, 1.01, 1.09])  # and on enamel less of it shows
SEAM_TINT = np.float32([0.72, 1.0, 0.97])
SEAM_SHADOW = 0.42  # how much darker the line is where lips meet that are apart in the photo
ALIKE = (0.1, 0.5)  # doublings of the photo's opening: what it shows but teeth is kept, and no more
NARROW_SHADE, NARROWER = 0.45, (0.0, 1.2)  # how much darker own teeth get, as the opening halves so many times
ROUNDED_SHADE = 0.20  # how much darker the teeth lie behind pushed-out lips
LEAST_OPENING = 0.10  # of the mouth's width: a photo's narrower opening shows little but the lips' shadow
FINEST = 5.0  # pixels per mm at which the inside is drawn at most; it has nothing finer to show
INNER_UPPER, INNER_LOWER = list(UPPER_LIP_RINGS[3]), list(LOWER_LIP_RINGS[3])
LIPS = INNER_UPPER + INNER_LOWER


class Mouth:
    """Draws the mouth's inside over a frame."""

    def __init__(self, plate: Plate, motion: FaceMotion) -> None:
        self._motion = motion
        self._rest = plate.landmarks[LIPS] - plate.landmarks[LIPS].mean(axis=0)
        neutral = motion.neutral().landmarks
        seam = neutral[[13, 14]].mean(axis=0)
        depth = float(motion.rest_depth[[13, 14]].mean()) + TEETH_BEHIND_LIPS
        corners = motion.unprojected(neutral[[78, 308]], depth)
        self._origin = motion.unprojected(seam[None], depth)[0]
        unit = float(np.ptp(motion.unprojected(neutral[[61, 291]], depth)[:, 0])) / MOUTH_WIDTH_MM
        tilt = corners[1] - corners[0]
        axis = np.array([tilt[0], tilt[1], 0.0]) / np.hypot(tilt[0], tilt[1])
        self._axes = unit * np.stack([axis, [axis[1], -axis[0], 0.0]])  # dm per mm: to the left, down
        self._per_mm = mouth_width(neutral) / MOUTH_WIDTH_MM
        self._scale = min(1.0, FINEST / self._per_mm)
        self._tones = face_tones(plate)
        self._is_closed_in_photo = _opening(plate.landmarks) < CLOSED_GAP
        is_open = _opening(plate.landmarks) >= LEAST_OPENING
        self._photo_gap = _opening(plate.landmarks) * MOUTH_WIDTH_MM
        self._colors = colors = self._tones.mouth_colors(is_inside_seen=is_open)
        self._own = None
        self._upper_edge, self._lower_edge = UPPER_EDGE, None
        if is_open:
            places = (
                self._to_pixels(motion.rest_pose, np.zeros(3)),
                self._to_pixels(motion.rest_pose, motion.rest().jaw),
            )
            rims = _curve(plate.landmarks[INNER_UPPER]), _curve(plate.landmarks[INNER_LOWER])
            self._own = own_teeth(plate, rims, places, self._tones)
            self._upper_edge = UPPER_EDGE if self._own.upper_edge is None else self._own.upper_edge
            self._lower_edge = self._own.lower_edge
        per_mm = 1.5 * self._per_mm * self._scale
        self._upper = draw_row(UPPER_ROW, colors.enamel, colors.gum, per_mm=per_mm, is_upper=True)
        self._lower = draw_row(LOWER_ROW, 0.78 * colors.enamel, colors.gum, per_mm=per_mm, is_upper=False)
        for row in (self._upper, self._lower):
            row.pixels[..., :3] = self._tones.in_key(row.pixels[..., :3])
        self._softness = max(0.55 * plate.magnification, 0.55)

    def draw(self, frame: np.ndarray, moved: MovedFace, landmarks: np.ndarray) -> None:
        """Draws into frame (height, width, 3) uint8 between the lips of landmarks (478, 2)."""
        upper, lower = self._opening_in(_curve(landmarks[INNER_UPPER]), _curve(landmarks[INNER_LOWER]))
        outline = np.concatenate([upper, lower[::-1]])
        box = _box(outline, frame.shape)
        if box is None:
            return
        if not self._is_closed_in_photo:
            self._draw_seam(frame, box, upper, lower)
        if np.abs(lower - upper).max() < 0.35:
            return
        left, top, right, bottom = box
        skull = self._to_pixels(moved.pose, np.zeros(3))
        jaw = self._to_pixels(moved.pose, moved.jaw)
        inside = self._inside(box, skull, jaw, upper, lower, moved.weights)
        # whole before the lips' filling begins to show (LipFill.strength), which would shine through
        cover = min(2.0 * self.change(landmarks), 1.0) * _coverage(outline, box, self._softness)[..., None]
        patch = frame[top:bottom, left:right]
        patch[:] = np.clip(patch + cover * (inside - patch) + 0.5, 0.0, 255.0).astype(np.uint8)

    def _opening_in(self, upper: np.ndarray, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the inside begins to show between rims (n, 2): lips roll inwards, and near the corners they touch."""
        apart = lower - upper
        gap = np.linalg.norm(apart, axis=1, keepdims=True)
        roll = np.minimum(gap / 2.0, ROLL * MOUTH_WIDTH_MM * self._per_mm) * apart / np.maximum(gap, 1e-6)
        return (upper + roll).astype(np.float32), (lower - roll).astype(np.float32)

    def _draw_seam(
        self, frame: np.ndarray, box: tuple[int, int, int, int], upper: np.ndarray, lower: np.ndarray
    ) -> None:
        """The shadow where lips meet that the photo shows apart."""
        left, top, right, bottom = box
        width = MOUTH_WIDTH_MM * self._per_mm
        gap = float(np.median(np.linalg.norm(lower - upper, axis=1)[12:29])) / width
        strength = SEAM_SHADOW * (1.0 - float(smoothstep(np.float32(gap), 0.01, 0.05)))
        if strength < 0.02:
            return
        line = np.zeros((bottom - top, right - left), np.uint8)
        points = np.round(((upper + lower) / 2.0 - [left, top]) * 16.0).astype(np.int32)
        cv2.polylines(line, [points], False, 255, 1, cv2.LINE_AA, 4)
        shadow = cv2.GaussianBlur(line, (0, 0), max(0.011 * width, self._softness)).astype(np.float32)
        shadow *= strength / max(float(np.percentile(shadow.max(axis=0), 60)), 1.0)
        shadow = np.clip(shadow, 0.0, strength)[..., None] * self._tones.in_key(SEAM_TINT)
        patch = frame[top:bottom, left:right]
        patch[:] = (patch * (1.0 - shadow) + 0.5).astype(np.uint8)

    def change(self, landmarks: np.ndarray) -> float:
        """0 where the lips are as in the photo, 1 where they are not."""
        lips = landmarks[LIPS] - landmarks[LIPS].mean(axis=0)
        most = float(np.abs(lips - self._rest).max()) / (MOUTH_WIDTH_MM * self._per_mm)
        return float(smoothstep(np.float32(most), *REST_BLEND))

    def _to_pixels(self, pose: HeadPose, shift: np.ndarray) -> np.ndarray:
        """From millimetres around the seam's middle to video pixels (2, 3), for a part moved by shift (3,) dm."""
        points = self._origin + shift + np.stack([np.zeros(3), 10.0 * self._axes[0], 10.0 * self._axes[1]])
        origin, x, y = self._motion.placed(points, pose).astype(np.float64)
        return np.column_stack([(x - origin) / 10.0, (y - origin) / 10.0, origin])

    def _inside(self, box, skull, jaw, upper, lower, weights) -> np.ndarray:
        """The mouth's inside in the box (h, w, 3) float32 0–255."""
        left, top, right, bottom = box
        scale = self._scale
        size = (max(int((right - left) * scale), 2), max(int((bottom - top) * scale), 2))
        into = np.array([[size[0] / (right - left), 0, 0], [0, size[1] / (bottom - top), 0]])
        into[:, 2] = -into[:, :2] @ [left - 0.5, top - 0.5] - 0.5
        skull, jaw = then(into, skull), then(into, jaw)
        x, y = source_grid(skull, size)
        above, below = _edges(apply(into, upper), apply(into, lower), skull, x[0])
        under, over = y - above, below - y  # mm from the upper and from the lower lip
        gap = np.clip(below - above, 0.0, None)
        rounding = _rounding(weights)
        warmth = self._tones.in_key(SHADOW_WARMTH)
        depths = _light(under, over, gap, deep=1.0) ** warmth
        teeth_warmth = self._tones.in_key(TEETH_WARMTH)
        front = (1.0 - ROUNDED_SHADE * rounding) * _light(under, over, gap, deep=0.0)
        corners = self._corner_light(apply(inverse(skull), apply(into, upper))[:, 0], x)
        narrow, wide, first, last = OPEN_LIGHT
        opened = narrow + (wide - narrow) * float(smoothstep(np.float32(gap.max()), first, last))
        front = opened * (front * corners) ** teeth_warmth
        image = self._throat(x, under, over)
        image *= 0.45 + 0.55 * depths
        deep_shade, shut, open_wide = DEEP_SHADE
        deep = 1.0 - deep_shade * float(smoothstep(np.float32(gap.max()), shut, open_wide))
        image *= deep
        tongue = self._tongue(x, source_grid(jaw, size)[1], weights)
        tongue[..., :3] *= (0.25 + 0.75 * _light(under, over, gap, deep=0.6) * corners) ** warmth
        _lay(image, tongue)
        lip = apply(inverse(jaw), apply(into, lower))[:, 1].max()
        lower_edge = self._lower_edge if self._lower_edge is not None else _lower_edge(lip, self._upper_edge - OVERBITE)
        for row, place, edge in ((self._lower, jaw, lower_edge), (self._upper, skull, self._upper_edge)):
            layer = _placed(row, place, edge, size)
            layer[..., :3] *= front
            _lay(image, layer)
        image = cv2.GaussianBlur(image, (0, 0), self._softness * scale)
        if self._own is not None:
            change = float(np.log2(max(gap.max(), 0.1) / self._photo_gap))
            # the photo's own light lies on them already: only what narrower and rounded lips take is missing
            shade = (1.0 - NARROW_SHADE * float(smoothstep(np.float32(-change), *NARROWER))) * (
                1.0 - ROUNDED_SHADE * max(rounding - _rounding(self._motion.rest_weights), 0.0)
            )
            alike = 1.0 - smoothstep(np.float32(abs(change)), *ALIKE)
            for part, place, share in (
                (self._own.whole, skull, alike), (self._own.lower, jaw, 1.0), (self._own.upper, skull, 1.0)
            ):  # fmt: skip
                if part is not None and share > 0.0:
                    layer = share * part.placed(place, size)
                    layer[..., :3] *= np.float32(shade) ** warmth
                    _lay(image, layer)
        whole = (right - left, bottom - top)
        return image if size == whole else cv2.resize(image, whole, interpolation=cv2.INTER_LINEAR)

    def _corner_light(self, rim: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Light (h, w, 1) that falls off towards the corners of an opening whose rim lies at rim (n,) mm, at x mm."""
        middle, half = (rim.max() + rim.min()) / 2.0, max(float(np.ptp(rim)) / 2.0, 1.0)
        away = smoothstep(np.abs(x - middle) / half, *CORNERS)
        return (1.0 - CORNER_SHADE * away).astype(np.float32)[..., None]

    def _throat(self, x: np.ndarray, under: np.ndarray, over: np.ndarray) -> np.ndarray:
        glow = 0.62 + 0.7 * (1.0 - smoothstep(over, 0.0, 9.0)) * (1.0 - smoothstep(np.abs(x), 8.0, 24.0))
        return self._colors.dark * glow[..., None].astype(np.float32)

    def _tongue(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Premultiplied (h, w, 4); y is mm below the closed seam on the jaw."""
        raised = float(np.clip(weights[CHANNEL_INDEX["tongueUp"]] + weights[CHANNEL_INDEX["tongueToTeeth"]], 0, 1))
        forward = float(np.clip(weights[CHANNEL_INDEX["tongueOut"]] + raised, 0.0, 1.0))
        back = float(np.clip(weights[CHANNEL_INDEX["tongueBack"]], 0.0, 1.0))
        crest = -8.0 - 3.0 * raised - 1.5 * forward + 1.5 * back  # mm where its top shows in the middle
        body = y - crest - 4.5 * (x / 17.0) ** 2
        alpha = smoothstep(body, -1.2, 1.6) * (1.0 - smoothstep(np.abs(x), 15.0, 20.0))
        light = 0.50 + 0.50 * smoothstep(body, 0.0, 6.5) + 0.2 * forward
        light = light * (1.0 - 0.12 * np.exp(-((x / 1.6) ** 2)))  # the furrow along the middle
        color = self._colors.tongue * light[..., None]
        return np.concatenate([color * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32)


def _rounding(weights: np.ndarray) -> float:
    """How far lips are pushed out, 0–1."""
    return float(np.clip(weights[CHANNEL_INDEX["mouthPucker"]] + weights[CHANNEL_INDEX["mouthFunnel"]], 0, 1))


def _opening(landmarks: np.ndarray) -> float:
    """Distance between the lips' rims over the mouth's width."""
    gaps = np.linalg.norm(landmarks[INNER_LOWER[3:8]] - landmarks[INNER_UPPER[3:8]], axis=1)
    return float(np.median(gaps)) / mouth_width(landmarks)


def _placed(row: RowPicture, to_pixels: np.ndarray, edge: float, size: tuple[int, int]) -> np.ndarray:
    """A row's picture with its edge at edge mm, in pixels."""
    into_mm = row.into_mm.astype(np.float64).copy()
    into_mm[1, 2] += edge
    return cv2.warpAffine(row.pixels, then(to_pixels, into_mm), size, flags=cv2.INTER_LINEAR)


def _lower_edge(lip: float, edge: float) -> float:
    """Where the lower teeth's edges stand, mm below the closed seam on the jaw: at edge mm, lower behind a lip whose
    rim is at lip mm, so that not too much of them shows.
    """
    bare = max(lip - edge, 0.0)
    return max(lip, edge) - LOWER_SHOWN * float(np.tanh(bare / LOWER_SHOWN)) if bare else edge


def _light(under: np.ndarray, over: np.ndarray, gap: np.ndarray, *, deep: float) -> np.ndarray:
    """How much light falls in (h, w, 1): less close under the upper lip, in a narrow opening, at the lower lip's edge.

    under, over: mm from the upper and the lower lip; gap: mm between them; deep: 0 at the teeth, 1 far behind.
    """
    shadow = 0.84 - 0.10 * deep + (0.16 + 0.10 * deep) * smoothstep(under, -0.6, 1.8 + 1.6 * deep)
    contact = 0.80 + 0.20 * smoothstep(over, 0.0, 1.8)
    opening = 0.84 - 0.22 * deep + (0.16 + 0.22 * deep) * smoothstep(gap, 0.3, 5.0 + 3.0 * deep)
    return (shadow * contact * opening).astype(np.float32)[..., None]


def _lay(image: np.ndarray, layer: np.ndarray) -> None:
    image *= 1.0 - layer[..., 3:]
    image += layer[..., :3]


def _curve(points: np.ndarray) -> np.ndarray:
    """A smooth line (n, 2) through points, four times as dense (Catmull–Rom)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.float32([0.0, 0.25, 0.5, 0.75])[:, None, None]
    pieces = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([pieces.transpose(1, 0, 2).reshape(-1, 2), points[-1:]]).astype(np.float32)


def _box(outline: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 3, 0)
    right = min(int(np.ceil(outline[:, 0].max())) + 4, shape[1])
    bottom = min(int(np.ceil(outline[:, 1].max())) + 4, shape[0])
    return (int(left), int(top), right, bottom) if right - left > 2 and bottom - top > 2 else None


def _coverage(outline: np.ndarray, box: tuple[int, int, int, int], softness: float) -> np.ndarray:
    """How much of each of the box's pixels lies inside the outline (h, w) float32 0–1, softened like the photo."""
    left, top, right, bottom = box
    mask = np.zeros((bottom - top, right - left), np.uint8)
    fixed = np.round((outline - [left, top]) * 16.0).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(mask, (0, 0), softness).astype(np.float32) / 255.0


def _edges(upper: np.ndarray, lower: np.ndarray, to_pixels: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights (mm) of the lips' rims over x (w,) mm."""
    back = inverse(to_pixels)
    heights = []
    for rim in (upper, lower):
        points = apply(back, rim)
        order = np.argsort(points[:, 0])
        heights.append(np.interp(x, points[order, 0], points[order, 1]).astype(np.float32)[None])
    return heights[0], heights[1]
