"""Two rows of teeth as pictures, drawn from average measures, in the colours of the portrait's light.

Measures are millimetres as projected on the image plane from the front: x to the character's left, y down from the
upper incisors' edge. Widths and heights follow mean crown sizes of adults (Magne et al. 2003; Gillen et al. 1994),
narrowed towards the sides by the arch's curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.portrait.easing import smoothstep


@dataclass(frozen=True)
class Tooth:
    """Half a row has one of each: projected width, height of the crown, and how far its edge stays behind, mm."""

    width: float
    height: float
    short: float


UPPER_ROW = (
    Tooth(8.3, 10.4, 0.0),
    Tooth(6.4, 9.0, 0.95),
    Tooth(6.3, 9.8, 0.55),
    Tooth(5.2, 8.4, 1.35),
    Tooth(4.3, 7.8, 1.9),
    Tooth(3.8, 7.0, 2.4),
)
LOWER_ROW = (
    Tooth(5.2, 8.6, 0.1),
    Tooth(5.6, 8.8, 0.35),
    Tooth(5.9, 9.6, 0.15),
    Tooth(5.0, 8.4, 1.0),
    Tooth(4.2, 7.6, 1.4),
    Tooth(3.8, 7.0, 1.8),
)
UNEVEN = (0.0, 0.18, -0.12, 0.22, -0.1, 0.15)  # mm that one side's edges differ from the other's: no mouth is symmetric
FLESH_LIGHT = np.float32([0.75, 1.08, 1.25])  # exponents: what light reaches the side teeth has come past cheeks
HALF_WIDTH, ABOVE, BELOW = 38.0, 18.0, 4.0  # mm covered by a picture of a row, measured from its edges


@dataclass(frozen=True)
class RowPicture:
    """pixels (h, w, 4) float32, premultiplied RGB 0–255 and alpha 0–1; into_mm (2, 3): from pixels to millimetres."""

    pixels: np.ndarray
    into_mm: np.ndarray


def draw_row(
    row: tuple[Tooth, ...], enamel: np.ndarray, gum: np.ndarray, *, per_mm: float, is_upper: bool
) -> RowPicture:
    """A row of teeth with its gum; enamel and gum: colours (3,) 0–255 in full light; per_mm: pixels per millimetre."""
    sign = -1.0 if is_upper else 1.0  # crowns rise above the upper edge and sink below the lower one
    width, height = int(2 * HALF_WIDTH * per_mm), int((ABOVE + BELOW) * per_mm)
    top = -ABOVE if is_upper else -BELOW
    x = (np.arange(width, dtype=np.float32) + 0.5) / per_mm - HALF_WIDTH
    y = (np.arange(height, dtype=np.float32) + 0.5) / per_mm + top
    x, y = np.meshgrid(x, y)
    from_edge = sign * y  # mm from the incisal edge into the gum
    light = np.zeros_like(x)
    cover = np.zeros_like(x)
    gum_line = np.full_like(x, 1e3)
    left = 0.0
    for tooth, uneven in zip(row, UNEVEN):
        center = left + tooth.width / 2.0
        left += tooth.width
        for side in (-1.0, 1.0):
            short = tooth.short + max(side, 0.0) * uneven
            shape, shade, line = _crown(side * x - center, from_edge - short, tooth, 0.5 / per_mm)
            light = np.where(shape > cover, (1.0 - 0.3 * max(side, 0.0) * abs(uneven)) * shade, light)
            cover = np.maximum(cover, shape)
            gum_line = np.where(np.abs(side * x - center) < tooth.width / 2.0, short + line, gum_line)
    around = 1.0 - 0.80 * smoothstep(np.abs(x), 5.0, left)  # the arch turns away into the cheek's shadow
    gum_cover = smoothstep(from_edge, gum_line - 0.25, gum_line + 0.25) * (np.abs(x) < left)
    teeth = enamel * light[..., None] * around[..., None] ** FLESH_LIGHT
    teeth *= 1.0 - np.float32([0.0, 0.03, 0.07]) * smoothstep(from_edge, 3.0, 9.0)[..., None]  # warmer at the neck
    gums = gum * (around * (1.0 - 0.25 * smoothstep(from_edge, 9.0, 14.0)))[..., None]
    color = teeth + gum_cover[..., None] * (gums - teeth)
    alpha = np.maximum(cover, gum_cover)
    alpha *= 1.0 - smoothstep(np.abs(x), left - 3.0, left)
    pixels = np.concatenate([color * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32)
    into_mm = np.float32([[1 / per_mm, 0, 0.5 / per_mm - HALF_WIDTH], [0, 1 / per_mm, 0.5 / per_mm + top]])
    return RowPicture(pixels, into_mm)


def _crown(
    across: np.ndarray, up: np.ndarray, tooth: Tooth, softness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cover 0–1, brightness 0–1 and gum line's height (mm) of a tooth; across and up in mm from its edge's middle."""
    half = tooth.width / 2.0
    narrowing = 1.0 - 0.16 * smoothstep(up, 0.35 * tooth.height, tooth.height)
    u = np.clip(across / (half * narrowing), -1.25, 1.25)
    corner = 1.15 * np.abs(u) ** 4 + 0.12 * u  # the edge rounds off towards its corners, and slants a little
    beside = (np.abs(u) - 1.0) * half  # mm beyond the tooth's side: neighbours touch there, in each other's shadow
    inside = np.minimum(up - corner, 0.35 - beside)
    cover = smoothstep(inside, -softness, softness + 0.12)
    rounded = 1.0 - 0.20 * np.clip(np.abs(u), 0.0, 1.0) ** 3
    rounded *= 1.0 - 0.30 * np.exp(-((beside / 0.28) ** 2))
    edge = 1.0 - 0.14 * (1.0 - smoothstep(up - corner, 0.1, 1.4))
    neck = 1.0 - 0.16 * smoothstep(up, 0.55 * tooth.height, tooth.height)
    line = tooth.height * (1.0 - 0.12 * np.clip(np.abs(u), 0.0, 1.0) ** 2)
    return cover, (rounded * edge * neck).astype(np.float32), line
