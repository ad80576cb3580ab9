"""The teeth that a photo shows: cut out of its open mouth, told from tongue and dark, upper and lower apart.

The upper ones ride on the skull, the lower ones on the jaw; the rows that are drawn behind them begin at their edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.portrait.affine import apply, inverse, then
from backend.portrait.easing import smoothstep
from backend.portrait.lips import mouth_width
from backend.portrait.plate import Plate
from backend.portrait.tones import FaceTones

BLUE_OF_ENAMEL = (0.50, 0.72)  # of the teeth's blue: from here on pixels are teeth, and are surely
REACH_OUTWARDS, REACH_INWARDS = 0.08, 0.012  # of the mouth's width, that teeth go on under the lip and into the dark
LEAST_REDNESS = 0.75  # of the lips', above which something bright is none of the teeth
GREY = 0.1  # lips less red than this are in a grey photo
REACH_WHOLE = 0.08  # of the mouth's width, that what else it shows goes on beyond the rims
SMOOTH_ALONG = 0.008  # of the mouth's width
LEAST_PART = 0.1  # of a row's largest part: smaller ones are no teeth but wet lips that shine
MIDDLE_COLUMNS = 9.0  # mm beside the middle, within which edges are measured
LEAST_PIXELS = 12
LOWER_HALF = 0.5  # of the opening's height: teeth that begin below it are the lower ones
GAPS = 0.06  # of the mouth's width: dark between two teeth that is no end of the row
LEAST_BREADTH = 0.4  # of the opening's columns
LEAST_ROW = 0.02  # of the opening's pixels: fewer are no row of teeth


@dataclass(frozen=True)
class OwnRow:
    """One row: premultiplied RGB 0–255 and alpha 0–1 (h, w, 4), fading outwards; into_mm (2, 3)."""

    pixels: np.ndarray
    into_mm: np.ndarray

    def placed(self, to_pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The row (h, w, 4) in a picture of size w, h whose pixels the map to_pixels (2, 3) gives for millimetres."""
        into = then(to_pixels, self.into_mm)
        layer = cv2.warpAffine(self.pixels, into, size, flags=cv2.INTER_CUBIC)
        np.clip(layer[..., 3], 0.0, 1.0, out=layer[..., 3])
        return np.clip(layer, 0.0, 255.0, out=layer)


@dataclass(frozen=True)
class OwnTeeth:
    """Rows that the photo shows, and where their edges stand in the middle, mm below the closed seam on skull and jaw;
    None where there is no such row. whole: all that shows between the lips, as it is.
    """

    whole: OwnRow
    upper: OwnRow | None = None
    lower: OwnRow | None = None
    upper_edge: float | None = None
    lower_edge: float | None = None


def own_teeth(
    plate: Plate, rims: tuple[np.ndarray, np.ndarray], places: tuple[np.ndarray, np.ndarray], tones: FaceTones
) -> OwnTeeth:
    """The photo's teeth between its lips' rims (n, 2); places: maps (2, 3) of mm on skull and jaw to pixels."""
    upper, lower = rims
    outline = np.concatenate([upper, lower[::-1]])
    width = mouth_width(plate.landmarks)
    margin = round(0.1 * width) + 2
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - margin, 0)
    right, bottom = np.ceil(outline.max(axis=0)).astype(int) + margin
    image = np.ascontiguousarray(plate.image[top:bottom, left:right])
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(outline - [left, top]).astype(np.int32)], 255)
    # the border's pixels are mixed with the lips
    pure = cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=max(round(plate.magnification), 1)) > 0
    shift = np.array([[1.0, 0, left], [0, 1.0, top]])
    whole = _whole(image, pure, width, tones, then(inverse(places[0]), shift))
    if pure.sum() < LEAST_PIXELS or tones.inside_bright is None or not _is_enamel(tones.inside_bright, tones.lips):
        return OwnTeeth(whole)
    sure, flesh = float(tones.inside_bright[2]), float(tones.lips[2])
    first, last = (max(share * sure, flesh + 0.4 * share * (sure - flesh)) for share in BLUE_OF_ENAMEL)
    likely = smoothstep(image[..., 2].astype(np.float32), first, last) * pure
    gap = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(round(GAPS * width), 1), max(round(GAPS * width / 2), 1)))
    likely = np.maximum(likely, cv2.morphologyEx((likely > 0.5).astype(np.float32), cv2.MORPH_CLOSE, gap) * pure)
    rows = _split(likely, upper - [left, top], lower - [left, top], int(pure.sum()))
    found = []
    for row, place, sign in zip(rows, places, (-1.0, 1.0)):
        into_mm = then(inverse(place), shift)
        found.append((_cut(image, row, width, sign, tones, into_mm), _edge(row, into_mm, sign)))
    (above, above_edge), (below, below_edge) = found
    return OwnTeeth(whole, above, below, above_edge, below_edge)


def _whole(image: np.ndarray, pure: np.ndarray, width: float, tones: FaceTones, into_mm: np.ndarray) -> OwnRow:
    """All of the opening, fading a little beyond its rims."""
    spread = cv2.inpaint(image, (~pure).astype(np.uint8), 3, cv2.INPAINT_TELEA).astype(np.float32)
    spread = tones.in_key(_as_warm(spread, pure))
    away = cv2.distanceTransform((~pure).astype(np.uint8), cv2.DIST_L2, 3) / width
    alpha = 1.0 - smoothstep(away / REACH_WHOLE, 0.15, 1.0)
    return OwnRow(np.concatenate([spread * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32), into_mm)


def _is_enamel(color: np.ndarray, lips: np.ndarray) -> bool:
    """Whether the brightest colour (3,) in a mouth is less red than its lips (3,): a tongue or a lip is not."""
    redness, of_lips = ((part[0] - part[2]) / max(float(part[0]), 1.0) for part in (color, lips))
    if of_lips < GREY:
        return bool(color[2] > 1.2 * lips[2])
    return bool(redness < LEAST_REDNESS * of_lips and color[2] > 1.1 * lips[2])


def _split(likely: np.ndarray, upper: np.ndarray, lower: np.ndarray, n_inside: int) -> tuple[np.ndarray, np.ndarray]:
    """likely (h, w) 0–1 as upper and lower teeth: parts that touch belong together, and to the nearer lip."""
    n, labels = cv2.connectedComponents((likely > 0.5).astype(np.uint8), connectivity=8)
    columns = np.arange(likely.shape[1])
    first, last = (np.interp(columns, rim[:, 0], rim[:, 1]) for rim in (upper, lower))
    height = (np.arange(likely.shape[0])[:, None] - first) / np.maximum(last - first, 1.0)
    belongs = np.zeros(likely.shape, bool)
    for part in range(1, n):
        where = labels == part
        if np.percentile(height[where], 20) > LOWER_HALF:
            belongs |= where
    belongs = cv2.dilate(belongs.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    belongs &= (labels == 0) | np.isin(labels, np.unique(labels[belongs & (height > 0.5)]))
    rows = tuple(_without_specks(row) for row in (np.where(belongs, 0.0, likely), np.where(belongs, likely, 0.0)))
    width = int((last > first + 1.0).sum())
    return tuple(row if _is_row(row, width, n_inside) else np.zeros_like(row) for row in rows)


def _without_specks(row: np.ndarray) -> np.ndarray:
    """The row (h, w) 0–1 without parts that are small beside its largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((row > 0.5).astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    small = np.isin(labels, 1 + np.nonzero(areas < LEAST_PART * areas.max(initial=0))[0])
    specks = cv2.dilate(small.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.where(small | (specks & (labels == 0)), 0.0, row)


def _is_row(row: np.ndarray, width: int, n_inside: int) -> bool:
    """Whether what may be teeth is enough of them, and as broad as several are beside each other."""
    seen = row > 0.5
    return bool(seen.sum() >= max(LEAST_ROW * n_inside, 3) and seen.any(axis=0).sum() >= LEAST_BREADTH * width)


def _cut(
    image: np.ndarray, row: np.ndarray, width: float, sign: float, tones: FaceTones, into_mm: np.ndarray
) -> OwnRow | None:
    """The row's pixels, going on under its lip; sign: −1 for the upper row, 1 for the lower."""
    seen = row > 0.5
    if not seen.any():
        return None
    spread = cv2.inpaint(image, (~seen).astype(np.uint8), 3, cv2.INPAINT_TELEA).astype(np.float32)
    spread = tones.in_key(_as_warm(spread, seen))
    away = cv2.distanceTransform((~seen).astype(np.uint8), cv2.DIST_L2, 3) / width
    rows, n_seen = np.arange(len(row), dtype=np.float32)[:, None], seen.sum(axis=0)
    middle, half, *color = (
        _along(values, seen, SMOOTH_ALONG * width)
        for values in ((rows * seen).sum(axis=0) / np.maximum(n_seen, 1), n_seen / 2.0, *_bright_part(spread, seen).T)
    )
    outwards = sign * (rows - middle)
    # under the lip it was dark and lips shone through: there a tooth goes on as it is further in
    lit = smoothstep(outwards / np.maximum(half, 1.0), 0.0, 0.8)[..., None]
    spread += lit * (np.stack(color, axis=1) - spread)
    alpha = 1.0 - smoothstep(away / np.where(outwards > 0.0, REACH_OUTWARDS, REACH_INWARDS), 0.15, 1.0)
    alpha = np.maximum(alpha, row).astype(np.float32)
    return OwnRow(np.concatenate([spread * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32), into_mm)


def _bright_part(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The mean colour (w, 3) of the brighter half of what is seen in each column of image (h, w, 3)."""
    brightness = image.mean(axis=2)
    known = np.where(seen | ~seen.any(axis=0), brightness, np.nan)  # columns without anything count for nothing below
    counts = seen & (brightness >= np.nanmedian(known, axis=0))
    return (image * counts[..., None]).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)[:, None]


def _along(values: np.ndarray, seen: np.ndarray, sigma: float) -> np.ndarray:
    """values (w,) of the columns in which something is seen (h, w), smooth, carried on beside them."""
    known = np.nonzero(seen.any(axis=0))[0]
    carried = np.interp(np.arange(seen.shape[1]), known, values[known]).astype(np.float32)[None]
    return cv2.GaussianBlur(carried, (0, 0), max(sigma, 0.5), borderType=cv2.BORDER_REPLICATE)[0]


def _edge(row: np.ndarray, into_mm: np.ndarray, sign: float) -> float | None:
    """Where the row ends in the dark (mm below the closed seam), the median over the middle's columns."""
    y, x = np.nonzero(row > 0.5)
    if len(x) < 3:
        return None
    place = apply(into_mm, np.stack([x, y], axis=1).astype(np.float64))
    near = np.abs(place[:, 0]) < MIDDLE_COLUMNS
    ends = [
        (place[near & (x == column), 1] * -sign).max() for column in np.unique(x[near]) if (near & (x == column)).any()
    ]
    return float(-sign * np.median(ends)) if len(ends) >= 3 else None


def _as_warm(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """image (h, w, 3) with no pixel bluer than its bright teeth are: side teeth lie in the cheeks' red shade."""
    if seen.sum() < 8:
        return image
    # what is bluest in a mouth is enamel: lips that lie within the outline are as bright, but red
    bright = image[seen & (image[..., 2] >= np.percentile(image[seen][:, 2], 80))].mean(axis=0)
    shade = np.clip(image.mean(axis=2, keepdims=True) / max(float(bright.mean()), 1.0), 0.05, 1.0)
    ratio = bright / max(float(bright[0]), 1.0) * shade ** np.float32([0.0, 0.05, 0.10])
    most = image[..., :1] * ratio
    warm = np.minimum(image, most)
    lost = image.mean(axis=2, keepdims=True) / np.maximum(warm.mean(axis=2, keepdims=True), 1.0)
    return np.minimum(warm * lost.clip(1.0, 1.1), 252.0)
