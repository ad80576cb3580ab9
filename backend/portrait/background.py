"""What lies behind the person, filled in where the person stands, so that the head moves before a still background."""

from __future__ import annotations

import cv2
import numpy as np

FILL_LEVELS = 7
TEXTURE_SCALE = 0.03  # of the face's height: what is finer counts as the background's texture
# Of the face's height: what the person's border has bled into lies within this, and moves with the person.
GROWTH = 0.035
MATTE = (0.45, 0.92)  # of the mask: where a person that is cut out begins, and is opaque


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
    filled = _pull_push(image.astype(np.float32), known)
    beside = ((mask <= 0.02) & (known < 0.5)).astype(np.float32)
    return filled + _texture(image, known, beside, TEXTURE_SCALE * face_height)


def cut_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The person alone (height, width, 4) float32, premultiplied 0–255 and alpha 0–1, to lay over another background.

    The mask's soft border is drawn in, and takes its colours from the person inside it: none of the photo's background
    is left there as a fringe.
    """
    alpha = np.clip((mask - MATTE[0]) / (MATTE[1] - MATTE[0]), 0.0, 1.0).astype(np.float32)
    sure = (cv2.erode(mask, np.ones((3, 3), np.uint8)) > MATTE[1]).astype(np.float32)
    inner = _pull_push(image.astype(np.float32), sure)
    return np.concatenate([alpha[..., None] * np.clip(inner, 0.0, 255.0), alpha[..., None]], axis=2)


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


def _texture(image: np.ndarray, known: np.ndarray, beside: np.ndarray, scale: float) -> np.ndarray:
    """Fine texture where the background is not known (h, w, 3) float32: beside the person the picture's own, behind the
    person that of the surroundings, reflected at the nearest border; 0 where known.
    """
    picture = image.astype(np.float32)
    share = cv2.GaussianBlur(known, (0, 0), scale)
    smooth = cv2.GaussianBlur(picture * known[..., None], (0, 0), scale) / np.maximum(share, 1e-3)[..., None]
    detail = (picture - smooth) * (known * (share > 0.05))[..., None]
    usual = 1.48 * float(np.median(np.abs(detail[known > 0.5])))
    detail = np.clip(detail, -2.5 * usual, 2.5 * usual)  # texture, not the strands that reach out of the mask
    away, labels = cv2.distanceTransformWithLabels(
        (known < 0.5).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(known >= 0.5)
    nearest = np.zeros((labels.max() + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], axis=1)
    height, width = known.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across = 2.0 * nearest[labels] - np.stack([x, y], axis=-1)
    even = cv2.blur(across, (2 * round(scale) + 1,) * 2)  # neighbours may have far-apart nearest places
    across += np.clip(away / (2.0 * scale), 0.0, 1.0)[..., None] * (even - across)
    reflected = cv2.remap(detail, across, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    own = np.clip(picture - cv2.GaussianBlur(picture, (0, 0), 0.5 * scale), -2.5 * usual, 2.5 * usual)
    return (1.0 - known[..., None]) * (reflected + beside[..., None] * (own - reflected))
