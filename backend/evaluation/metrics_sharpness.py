"""Cumulative probability of blur detection: how sharp an image looks, without a reference.

Narvekar & Karam 2011, "A No-Reference Image Blur Metric Based on the Cumulative Probability of Blur Detection (CPBD)",
IEEE Transactions on Image Processing 20(9); edge widths by Marziliano et al. 2002, "A No-Reference Perceptual Blur
Metric".
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 64  # pixels
EDGE_BLOCK_SHARE = 0.002  # a block with a larger share of edge pixels is an edge block
BETA = 3.6  # of the psychometric function
JUST_NOTICEABLE_BLUR = 0.63  # probability of detection at the just noticeable width
JUST_NOTICEABLE_WIDTHS = 5.0, 3.0  # pixels: in blocks of contrast up to LOW_CONTRAST, and above it
LOW_CONTRAST = 50
LONGEST_SIDE = 100  # pixels that an edge is followed to each side


def cpbd(image: np.ndarray) -> float:
    """CPBD 0 (blurred) to 1 (sharp) of an image (height, width, 3) or (height, width) uint8; 0 without any edges."""
    grey = _grey(image)
    widths = edge_widths(grey)
    canny = _canny(grey)
    detections = []
    height, width = grey.shape
    for top in range(0, height - BLOCK + 1, BLOCK):
        for left in range(0, width - BLOCK + 1, BLOCK):
            part = slice(top, top + BLOCK), slice(left, left + BLOCK)
            if canny[part].mean() <= EDGE_BLOCK_SHARE:
                continue
            contrast = np.ptp(grey[part])
            noticeable = JUST_NOTICEABLE_WIDTHS[0 if contrast <= LOW_CONTRAST else 1]
            found = widths[part][widths[part] > 0]
            detections.append(1.0 - np.exp(-((found / noticeable) ** BETA)))
    probabilities = np.concatenate(detections) if detections else np.zeros(0)
    return (
        float((np.round(100.0 * probabilities) <= 100.0 * JUST_NOTICEABLE_BLUR).mean()) if len(probabilities) else 0.0
    )


def edge_widths(grey: np.ndarray) -> np.ndarray:
    """Width in pixels (height, width) of the vertical edges of grey (height, width) float64 0–255; 0 elsewhere.

    From an edge pixel the row is followed to both sides as far as it keeps rising or falling.
    """
    import cv2

    grey = np.ascontiguousarray(grey, np.float64)
    slope = cv2.Sobel(grey, cv2.CV_64F, 1, 0, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    strength = slope**2
    strength[strength <= 4.0 * strength.mean()] = 0.0
    down, across = np.gradient(grey)
    turned = np.round(np.degrees(np.arctan2(down, across)) / 45.0)
    direction = np.where(turned == 0, 1, np.where(np.abs(turned) == 4, -1, 0)) * _thinned(strength)
    return _followed(grey, direction.astype(np.int8))


def _thinned(strength: np.ndarray) -> np.ndarray:
    """Where strength (height, width) is above both neighbours along the row or along the column."""
    padded = np.pad(strength, 1)
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    along_row = (strength > left) & (strength >= right)
    along_column = (strength > above) & (strength >= below)
    return along_row | along_column


@njit(cache=True)
def _followed(grey, direction):
    height, width = grey.shape
    widths = np.zeros((height, width))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            sign = direction[y, x]
            if sign == 0:
                continue
            reach = 0
            for step in (-1, 1):
                at = x + step
                taken = 1
                while taken <= LONGEST_SIDE and 0 <= at + step < width:
                    if sign * step * (grey[y, at + step] - grey[y, at]) <= 0.0:
                        break
                    at += step
                    taken += 1
                reach += taken
            widths[y, x] = reach
    return widths


def _canny(grey: np.ndarray) -> np.ndarray:
    """Canny's edges (height, width) bool: the upper threshold leaves 70 % of the pixels below, the lower is 0.4 of
    it.
    """
    from skimage.feature import canny
    from skimage.filters import gaussian, sobel_h, sobel_v

    sigma = np.sqrt(2.0)
    smooth = gaussian(grey / 255.0, sigma)
    high = max(float(np.percentile(np.hypot(sobel_h(smooth), sobel_v(smooth)), 70)), 1e-6)
    return canny(grey / 255.0, sigma=sigma, low_threshold=0.4 * high, high_threshold=high)


def _grey(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, np.float64)
    return image if image.ndim == 2 else image @ [0.299, 0.587, 0.114]
