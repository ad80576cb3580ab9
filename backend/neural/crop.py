"""The square round a face that neural renderers draw, and its way back into the photo.

The square is FFHQ's (Karras et al. 2019, appendix C) without its rotation: between eyes and mouth, four times the
distance of the eyes or 3.6 times that from eyes to mouth wide, whichever is more.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FEATHER = 0.08  # share of the side over which the square fades into the photo


@dataclass(frozen=True)
class FaceCrop:
    """left, top, side of the square in pixels; it may reach beyond the photo, whose border then repeats."""

    left: int
    top: int
    side: int

    def cut(self, image: np.ndarray, size: int) -> np.ndarray:
        """The square (size, size, 3) uint8 of a photo (H, W, 3) uint8."""
        height, width = image.shape[:2]
        before = max(0, -self.left), max(0, -self.top)
        after = max(0, self.left + self.side - width), max(0, self.top + self.side - height)
        padded = cv2.copyMakeBorder(image, before[1], after[1], before[0], after[0], cv2.BORDER_REPLICATE)
        left, top = self.left + before[0], self.top + before[1]
        square = padded[top : top + self.side, left : left + self.side]
        method = cv2.INTER_AREA if size < self.side else cv2.INTER_LINEAR
        return cv2.resize(square, (size, size), interpolation=method)

    def paste(self, image: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """The photo (H, W, 3) uint8 with a picture (n, n, 3) float32 0–1 in place of the square, its edges faded."""
        height, width = image.shape[:2]
        method = cv2.INTER_AREA if len(picture) > self.side else cv2.INTER_CUBIC
        drawn = cv2.resize(picture, (self.side, self.side), interpolation=method) * 255.0
        rows = slice(max(self.top, 0), min(self.top + self.side, height))
        columns = slice(max(self.left, 0), min(self.left + self.side, width))
        inner = (
            slice(rows.start - self.top, rows.stop - self.top),
            slice(columns.start - self.left, columns.stop - self.left),
        )
        share = self._opacity(width, height)[inner][..., None]
        frame = image.copy()
        blended = share * drawn[inner] + (1.0 - share) * image[rows, columns]
        frame[rows, columns] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
        return frame

    def _opacity(self, width: int, height: int) -> np.ndarray:
        """Opacity (side, side) float32 0–1: full inside, fading out at edges that lie inside the photo."""
        ramp = np.clip((np.arange(self.side) + 0.5) / (FEATHER * self.side), 0.0, 1.0).astype(np.float32)
        ramp = ramp * ramp * (3.0 - 2.0 * ramp)
        one = np.ones_like(ramp)
        across = np.minimum(ramp if self.left > 0 else one, ramp[::-1] if self.left + self.side < width else one)
        down = np.minimum(ramp if self.top > 0 else one, ramp[::-1] if self.top + self.side < height else one)
        return down[:, None] * across[None, :]


def face_crop(landmarks_68: np.ndarray) -> FaceCrop:
    """The square round a face with these 68 landmarks (68, 2), pixels."""
    right, left = landmarks_68[36:42].mean(0), landmarks_68[42:48].mean(0)
    eyes, mouth = (right + left) / 2, (landmarks_68[48] + landmarks_68[54]) / 2
    side = max(4.0 * np.linalg.norm(left - right), 3.6 * np.linalg.norm(mouth - eyes))
    centre = eyes + 0.1 * (mouth - eyes)
    corner = np.round(centre - side / 2).astype(int)
    return FaceCrop(int(corner[0]), int(corner[1]), round(side))
