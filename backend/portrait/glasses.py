"""Whether the person wears glasses, and which landmarks lie behind them: rims move with the skull, not the skin."""

from __future__ import annotations

import cv2
import numpy as np

from backend.portrait.easing import smoothstep
from backend.portrait.landmarks import N_SURFACE
from backend.portrait.plate import Plate

# In distances between the irises, from the middle between them.
BRIDGE_HALF_WIDTH = 0.09  # where a bridge must cross, whatever its shape
BRIDGE_ABOVE, BRIDGE_BELOW = 0.22, 0.20
BAR_WIDTHS = (0.03, 0.05, 0.08)  # of a bridge, from wire to horn
# Of the skin's brightness, all along the bridge: bare faces (24 portraits and frames) show at most 0.04, drawn-on dark
# rims of every width 0.11 or more on nine of ten.
LEAST_CONTRAST = 0.09
LENS_HALF_WIDTH, LENS_ABOVE, LENS_BELOW = 1.12, 0.31, 0.46
FADE = 0.22


def wears_glasses(plate: Plate) -> bool:
    """Whether a bar crosses the nose's root: darker or brighter than the skin above and below it, all along."""
    return bridge_contrast(plate) > LEAST_CONTRAST


def bridge_contrast(plate: Plate) -> float:
    """How much the clearest level bar across the nose's root differs from the skin on both sides of it, 0 for none."""
    middle, across, down = _eye_frame(plate)
    columns = np.linspace(-BRIDGE_HALF_WIDTH, BRIDGE_HALF_WIDTH, 13)
    rows = np.linspace(-BRIDGE_ABOVE - 0.1, BRIDGE_BELOW + 0.1, 121)
    where = middle + columns[None, :, None] * across + rows[:, None, None] * down
    grey = cv2.cvtColor(plate.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    level = cv2.remap(
        grey, where[..., 0].astype(np.float32), where[..., 1].astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    step = rows[1] - rows[0]
    best = 0.0
    for width in BAR_WIDTHS:
        bar, away = max(round(width / step), 1), max(round(0.9 * width / step) + 1, 2)
        inside = cv2.blur(level, (1, bar))
        above, below = np.roll(inside, away + bar // 2, axis=0), np.roll(inside, -away - bar // 2, axis=0)
        darker = np.minimum(above, below) - inside
        brighter = inside - np.maximum(above, below)
        margin = 2 * (away + bar)
        for contrast in (darker, brighter):
            relative = contrast / np.maximum(np.maximum(above, below), 12.0)
            # a bridge may arch: each column has its own height, a few rows from its neighbours'
            arched = cv2.dilate(relative, np.ones((5, 1), np.uint8))[margin:-margin]
            if len(arched):
                best = max(best, float(np.percentile(arched, 15, axis=1).max()))
    return best


def looseness(plate: Plate) -> np.ndarray:
    """How freely each landmark may move with the skin (468,): 0 behind the glasses, 1 away from them."""
    middle, across, down = _eye_frame(plate)
    scale = np.linalg.norm(across)
    offset = plate.landmarks[:N_SURFACE] - middle
    sideways, below = np.abs(offset @ across) / scale**2, offset @ down / scale**2
    beyond = np.maximum.reduce([sideways - LENS_HALF_WIDTH, below - LENS_BELOW, -below - LENS_ABOVE])
    return smoothstep(beyond, 0.0, FADE).astype(np.float32)


def _eye_frame(plate: Plate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The middle between the irises and the vectors (2,) from one to the other and, as long, down."""
    right, left = plate.landmarks[468], plate.landmarks[473]
    across = left - right
    return (right + left) / 2.0, across, np.array([-across[1], across[0]], np.float32)
