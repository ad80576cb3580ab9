"""Where the person is in the picture, with edges drawn along the picture's own."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

WORKING_SIDE = 1024  # pixels: edges are refined at this longer side at most
CLOSE_UP_SHARE = 4.0  # side of the second look over the face's height
EDGE_CONTRAST = 1.6  # a segmentation's soft border is this much too wide


def person_mask(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How much of each pixel is the person (height, width) float32 0–1.

    image (height, width, 3) uint8 RGB; landmarks (478, 3) pixels. mediapipe's selfie segmentation of the whole picture
    and of a close-up of the head, refined by a guided filter (He et al. 2010).
    """
    height, width = image.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1.0 else image
    points = landmarks[:, :2] * scale
    mask = _segment(small)
    face_height = float(np.linalg.norm(points[10] - points[152]))
    box = _close_up(points, face_height, small.shape)
    left, top, right, bottom = box
    if (right - left) * (bottom - top) < 0.6 * mask.size:
        near = _segment(small[top:bottom, left:right])
        fade = _fade(near.shape, box, small.shape)
        mask[top:bottom, left:right] += fade * (near - mask[top:bottom, left:right])
    cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), 1.0)
    mask = _refine(small, mask, face_height)
    cv2.fillConvexPoly(mask, cv2.convexHull(_shrunk(points, 0.96).astype(np.int32)), 1.0)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) if scale < 1.0 else mask


@cache
def _segmenter():
    from backend.portrait.landmarks import solutions

    return solutions().selfie_segmentation.SelfieSegmentation(model_selection=0)


def _segment(image: np.ndarray) -> np.ndarray:
    mask = _segmenter().process(np.ascontiguousarray(image)).segmentation_mask
    return np.array(mask, np.float32)


def _close_up(points: np.ndarray, face_height: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    center = points.mean(axis=0)
    half = CLOSE_UP_SHARE * face_height / 2.0
    left, top = np.maximum(np.int32(center - half), 0)
    right, bottom = np.minimum(np.int32(center + half), [shape[1], shape[0]])
    return int(left), int(top), int(right), int(bottom)


def _fade(shape: tuple[int, int], box: tuple[int, int, int, int], whole: tuple[int, ...]) -> np.ndarray:
    """1 inside the close-up, falling to 0 at those of its borders that lie inside the picture."""
    margin = max(min(shape) // 8, 1)
    x, y = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)
    far = np.float32(1e6)
    horizontal = np.minimum(x if box[0] > 0 else far, shape[1] - 1 - x if box[2] < whole[1] else far)
    vertical = np.minimum(y if box[1] > 0 else far, shape[0] - 1 - y if box[3] < whole[0] else far)
    return np.clip(np.minimum(horizontal[None], vertical[:, None]) / margin, 0.0, 1.0)


def _refine(image: np.ndarray, mask: np.ndarray, face_height: float) -> np.ndarray:
    radius = max(round(0.05 * face_height), 3)
    guide = image.astype(np.float32) / 255.0
    refined = cv2.ximgproc.guidedFilter(guide, mask, radius, 2e-4)
    # far from the border the segmentation is sure; the filter only moves what is near it
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * radius + 1, 2 * radius + 1))
    inside, outside = cv2.erode(mask, kernel), cv2.dilate(mask, kernel)
    refined = np.clip(np.clip(refined, inside, outside), 0.0, 1.0)
    return np.clip((refined - 0.5) * EDGE_CONTRAST + 0.5, 0.0, 1.0).astype(np.float32)


def _shrunk(points: np.ndarray, share: float) -> np.ndarray:
    center = points.mean(axis=0)
    return center + (points - center) * share
