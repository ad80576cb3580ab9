"""What lies behind the person, filled in where the person stands, so that the head moves before a still background."""

from __future__ import annotations

import cv2
import numpy as np

FILL_LEVELS = 7
# Of the face's height: what the person's border has bled into lies within this, and moves with the person.
GROWTH = 0.035


def fill_background(image: np.ndarray, mask: np.ndarray, face_height: float) -> np.ndarray:
    """image (height, width, 3) uint8 with the person of mask (height, width) 0–1 painted over: float32 0–255.

    Pull–push interpolation (Gortler et al. 1996, "The Lumigraph", §3.4): smooth far inside, close to the picture at the
    person's border, which is all a turning head uncovers. Equal to image away from the person.
    """
    radius = max(round(GROWTH * face_height), 2)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * radius + 1, 2 * radius + 1))
    known = 1.0 - cv2.dilate((mask > 0.02).astype(np.float32), kernel)
    if known.sum() < 0.002 * known.size:
        return image.astype(np.float32)
    return _pull_push(image.astype(np.float32), known) + _grain(image, known) * (1.0 - known[..., None])


def _pull_push(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    levels = [(image * known[..., None], known)]
    for _ in range(FILL_LEVELS):
        values, weight = levels[-1]
        if min(weight.shape) < 3:
            break
        levels.append((cv2.pyrDown(values), cv2.pyrDown(weight)))
    values, weight = levels[-1]
    total = np.maximum(weight.sum(), 1e-6)
    result = values / np.maximum(weight, 1e-4)[..., None]
    result[weight < 1e-3] = values.reshape(-1, 3).sum(axis=0) / total
    for values, weight in reversed(levels[:-1]):
        result = cv2.pyrUp(result, dstsize=(values.shape[1], values.shape[0]))
        sure = np.clip(weight * 1.5, 0.0, 1.0)[..., None]
        result += sure * (values / np.maximum(weight, 1e-4)[..., None] - result)
    return result


def _grain(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Noise as strong as the picture's own fine grain, the same every time: (height, width, 3) float32."""
    picture = image.astype(np.float32)
    fine = np.abs(picture - cv2.GaussianBlur(picture, (0, 0), 1.0))[known > 0.5]
    strength = float(np.median(fine)) * 1.48 if len(fine) else 0.0
    noise = np.random.default_rng(7).normal(size=(*image.shape[:2], 1)).astype(np.float32)
    return strength * noise
