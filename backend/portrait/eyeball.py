"""The eyeball behind the lids: the photo's white and iris, completed where the lids hid them, and turned by gaze."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.portrait.easing import smoothstep

IRIS_MARGIN = 1.12  # of the iris's radius: what moves as one with it
LID_SHADE = 0.05, 0.03  # eye widths under the upper lid's edge, over the lower one's, that lashes and shade discolour
GLINT = 22.0, 60.0  # brighter than the iris around it, out of 255
FEATHER = 0.02  # eye widths over which what the photo shows gives way to what is completed


@dataclass(frozen=True)
class Eyeball:
    """white (h, w, 3): the eye without its iris; iris (h, w, 4): premultiplied, complete; still (h, w, 3): the eye as
    in the photo, completed; to_pixels (2, 2): eye widths to pixels. All float32 0–255.
    """

    white: np.ndarray
    iris: np.ndarray
    still: np.ndarray
    to_pixels: np.ndarray

    def look(self, gaze: tuple[float, float]) -> np.ndarray:
        """The eyeball (h, w, 3) with its iris moved by gaze eye widths along and across the eye."""
        shift = self.to_pixels @ np.array(gaze)
        distance = float(np.hypot(*shift))
        if distance < 0.05:
            return self.still
        height, width = self.white.shape[:2]
        move = np.float32([[1, 0, shift[0]], [0, 1, shift[1]]])
        iris = cv2.warpAffine(self.iris, move, (width, height), flags=cv2.INTER_LINEAR)
        turned = self.white * (1.0 - iris[..., 3:]) + iris[..., :3]
        share = min(distance / 1.0, 1.0)  # no jump where the gaze leaves the photo's
        return self.still + share * (turned - self.still)


def make_eyeball(image, u, v, upper, lower, *, center, radius, to_pixels) -> Eyeball:
    """Separates white and iris of image (h, w, 3) float32.

    u, v, upper, lower (h, w): the eye's frame and its lids in it, eye widths; center (2,) and radius of the iris.
    """
    pixel = 1.0 / float(np.linalg.norm(to_pixels[:, 0]))
    under, over = (max(edge, pixels * pixel) for edge, pixels in zip(LID_SHADE, (1.2, 0.7)))
    seen = (v > upper + under) & (v < lower - over) & (u > 0.02) & (u < 0.98)
    distance = np.hypot(u - center[0], v - center[1])
    near = distance < IRIS_MARGIN * radius
    feather = max(FEATHER / pixel, 1.0)
    white = _white(image, seen & (distance > (IRIS_MARGIN + 0.1) * radius), seen, feather)
    ring = _by_distance(image, seen & near, distance, radius * IRIS_MARGIN)
    seen_soft = _feathered(seen, feather)
    iris_color = ring + seen_soft[..., None] * (image - ring)
    glint = _glint(image, ring, (v > upper + 0.5 * under) & (distance < 0.95 * radius))
    iris_color += glint[..., None] * (np.maximum(image, iris_color) - iris_color)
    soft = max(0.06 * radius, 0.8 * pixel)
    alpha = 1.0 - np.clip((distance - radius * 1.03 + soft) / (2.0 * soft), 0.0, 1.0)
    iris = np.concatenate([iris_color * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32)
    completed = white * (1.0 - alpha[..., None]) + iris[..., :3]
    still = completed + seen_soft[..., None] * (image - completed)
    return Eyeball(white.astype(np.float32), iris, still.astype(np.float32), to_pixels)


def _white(image: np.ndarray, known: np.ndarray, seen: np.ndarray, feather: float) -> np.ndarray:
    """The white of the eye everywhere (h, w, 3), from what shows beside the iris."""
    if known.sum() < 6:
        pixels = image[seen] if seen.any() else image.reshape(-1, 3)
        color = np.percentile(pixels, 80, axis=0)
        return np.broadcast_to(color, image.shape).astype(np.float32).copy()
    weight = known.astype(np.float32)
    size = max(image.shape[:2])
    result = np.broadcast_to(np.median(image[known], axis=0), image.shape).astype(np.float32).copy()
    for sigma in (0.25, 0.1, 0.04):
        share = cv2.GaussianBlur(weight, (0, 0), sigma * size)[..., None]
        values = cv2.GaussianBlur(image * weight[..., None], (0, 0), sigma * size)
        sure = np.clip(share * 4.0, 0.0, 1.0)
        result += sure * (values / np.maximum(share, 1e-4) - result)
    return result + _feathered(known, feather)[..., None] * (image - result)


def _feathered(seen: np.ndarray, feather: float) -> np.ndarray:
    """How much of the photo shows (h, w) 0–1: none outside seen (h, w), all of it feather pixels inside."""
    inside = cv2.distanceTransform(seen.astype(np.uint8), cv2.DIST_L2, 5)
    return cv2.GaussianBlur(smoothstep(inside, 0.5, 0.5 + feather).astype(np.float32), (0, 0), 0.6)


def _glint(image: np.ndarray, ring: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Where light is mirrored in the iris (h, w) 0–1: within (h, w), much brighter than its ring there."""
    brighter = image.mean(axis=2) - ring.mean(axis=2)
    spot = smoothstep(brighter, GLINT[0], GLINT[1]) * cv2.erode(within.astype(np.uint8), np.ones((2, 2), np.uint8))
    return cv2.GaussianBlur(spot.astype(np.float32), (0, 0), 0.5)


def _by_distance(image: np.ndarray, known: np.ndarray, distance: np.ndarray, radius: float) -> np.ndarray:
    """A picture (h, w, 3) that depends on the distance from the iris's centre alone: medians of what is known."""
    n_steps = 10
    steps = np.clip((distance / radius * n_steps).astype(int), 0, n_steps - 1)
    fallback = np.median(image[known], axis=0) if known.any() else np.zeros(3)
    rows = []
    for step in range(n_steps):
        here = known & (steps == step)
        rows.append(np.median(image[here], axis=0) if here.sum() > 2 else (rows[-1] if rows else fallback))
    rows = np.pad(np.array(rows, np.float32), ((1, 1), (0, 0)), mode="edge")
    rows = 0.25 * rows[:-2] + 0.5 * rows[1:-1] + 0.25 * rows[2:]  # no rings that the eye does not have
    position = np.clip(distance / radius * n_steps - 0.5, 0.0, n_steps - 1.0)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, n_steps - 1)
    share = (position - below)[..., None]
    return (rows[below] + share * (rows[above] - rows[below])).astype(np.float32)
