"""The eyeball behind the lids: the photo's white and iris, completed where the lids hid them, and turned by gaze."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

IRIS_MARGIN = 1.12  # of the iris's radius: what moves as one with it


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
    edge = max(0.035, 0.9 * pixel)
    seen = (v > upper + edge) & (v < lower - 0.6 * edge) & (u > 0.02) & (u < 0.98)
    distance = np.hypot(u - center[0], v - center[1])
    near = distance < IRIS_MARGIN * radius
    white = _white(image, seen & (distance > (IRIS_MARGIN + 0.1) * radius), seen, u)
    ring = _by_distance(image, seen & near, distance, radius * IRIS_MARGIN)
    seen_soft = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 0.7) * seen
    iris_color = ring + seen_soft[..., None] * (image - ring)
    soft = max(0.06 * radius, 0.8 * pixel)
    alpha = 1.0 - np.clip((distance - radius * 1.03 + soft) / (2.0 * soft), 0.0, 1.0)
    iris = np.concatenate([iris_color * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32)
    completed = white * (1.0 - alpha[..., None]) + iris[..., :3]
    still = completed + seen_soft[..., None] * (image - completed)
    return Eyeball(white.astype(np.float32), iris, still.astype(np.float32), to_pixels)


def _white(image: np.ndarray, known: np.ndarray, seen: np.ndarray, u: np.ndarray) -> np.ndarray:
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
    soft = cv2.GaussianBlur(weight, (0, 0), 0.7)[..., None] * weight[..., None]
    return result + soft * (image - result)


def _by_distance(image: np.ndarray, known: np.ndarray, distance: np.ndarray, radius: float) -> np.ndarray:
    """A picture (h, w, 3) that depends on the distance from the iris's centre alone: medians of what is known."""
    n_steps = 10
    steps = np.clip((distance / radius * n_steps).astype(int), 0, n_steps - 1)
    fallback = np.median(image[known], axis=0) if known.any() else np.zeros(3)
    rows = []
    for step in range(n_steps):
        here = known & (steps == step)
        rows.append(np.median(image[here], axis=0) if here.sum() > 2 else (rows[-1] if rows else fallback))
    rows = np.array(rows, np.float32)
    position = np.clip(distance / radius * n_steps - 0.5, 0.0, n_steps - 1.0)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, n_steps - 1)
    share = (position - below)[..., None]
    return (rows[below] + share * (rows[above] - rows[below])).astype(np.float32)
