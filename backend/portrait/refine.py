"""The mouth's surroundings as the refiner sees them, and what it adds to a frame.

The network works on a square of fixed size round the mouth, aligned by what speech leaves in place, so that one network
serves every resolution: what it adds is enlarged, never the picture itself.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from backend.portrait.affine import apply, inverse, similarity, then
from backend.portrait.easing import smoothstep
from backend.portrait.landmarks import N_SURFACE, triangles
from backend.portrait.motion import FaceMotion, MovedFace
from backend.portrait.plate import Plate
from bfm.landmarks import LOWER_LIP_RINGS, STEADY, UPPER_LIP_RINGS
from bfm.rasterize import draw_values, vertex_normals

CROP_OVER_MOUTH = 2.1  # side of the square over the photo's mouth width
BELOW_MOUTH = 0.22  # of the mouth's width, that the square's middle lies under the mouth's
STRENGTH = 0.75  # of what the network adds: all of it wins nothing more on real people
INSIDE = 0.45  # of that between the lips: more comes nearer to real pixels on the mean, and greys the dark of the mouth
FADE = 0.12  # of the square's side, over which what is added fades at its border
STARTS = (0.004, 0.03)  # of the mouth's width: landmarks that moved this far begin to be refined, and are
STEADY_POINTS, MOUTH_MIDDLE = list(STEADY), [13, 14, 61, 291]
NEAR = 0.25  # of the square's side round it, within which triangles are drawn

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Crop (3, side, side) and guides (n_guides, side, side) float32 to what is added (3, side, side), all RGB 0–1."""


class MouthCrop:
    """Cuts the refiner's square out of frames of one plate, with its guides."""

    def __init__(self, plate: Plate, motion: FaceMotion, side: int) -> None:
        self._rest, self.side = plate.landmarks, side
        self._width = float(np.linalg.norm(plate.landmarks[61] - plate.landmarks[291]))
        self._rest_into = self._square(plate)
        rest = motion.rest()
        self._triangles = triangles()
        self._rest_normals, self._rest_areas = self._surface(rest, self._rest)
        self._photo = self.cut(plate.image, self._rest_into)

    def _square(self, plate: Plate) -> np.ndarray:
        """From the plate's pixels into the square (2, 3)."""
        middle = plate.landmarks[MOUTH_MIDDLE].mean(axis=0) + BELOW_MOUTH * self._width * plate.down
        scale = self.side / (CROP_OVER_MOUTH * self._width)
        turn = scale * np.stack([plate.across, plate.down]).astype(np.float64)
        return np.column_stack([turn, (self.side - 1) / 2.0 - turn @ middle])

    def into(self, landmarks: np.ndarray) -> np.ndarray:
        """From the pixels of a frame whose landmarks are (478, 2) into the square (2, 3)."""
        return then(self._rest_into, similarity(landmarks[STEADY_POINTS], self._rest[STEADY_POINTS]))

    def change(self, landmarks: np.ndarray) -> float:
        """0 where the face is as in the photo, 1 where it is not."""
        aligned = apply(similarity(landmarks[STEADY_POINTS], self._rest[STEADY_POINTS]), landmarks)
        most = float(np.abs(aligned - self._rest)[:N_SURFACE].max()) / self._width
        return float(smoothstep(np.float32(most), *STARTS))

    def cut(self, frame: np.ndarray, into: np.ndarray) -> np.ndarray:
        """The square (3, side, side) RGB 0–1 of a frame (height, width, 3) uint8."""
        shrink = int(1.0 / max(np.sqrt(abs(np.linalg.det(into[:, :2]))), 1e-6))
        if shrink >= 2:  # a warp does not average: what it would skip is averaged first, only where it is seen
            corners = apply(inverse(into), np.float64([[0, 0], [1, 0], [0, 1], [1, 1]]) * self.side)
            low = np.maximum(np.floor(corners.min(0)).astype(int) - 2, 0)
            part = frame[low[1] : int(corners[:, 1].max()) + 3, low[0] : int(corners[:, 0].max()) + 3]
            size = (max(part.shape[1] // shrink, 1), max(part.shape[0] // shrink, 1))
            frame = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
            ratio = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
            into = then(into, np.column_stack([np.diag(ratio), low + 0.5 * ratio - 0.5]))
        size = (self.side, self.side)
        crop = cv2.warpAffine(frame, into, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32) / np.float32(255.0)

    def guides(self, moved: MovedFace, landmarks: np.ndarray, into: np.ndarray) -> np.ndarray:
        """What is known of the geometry (12, side, side): the photo's square, the model's normals and how they and the
        skin's stretch differ from the photo's, and masks of lips and opening.
        """
        placed = apply(into, landmarks).astype(np.float32)
        normals, areas = self._surface(moved, landmarks)
        stretch = np.log(areas / self._rest_areas)[:, None]
        values = np.concatenate([normals, normals - self._rest_normals, stretch], axis=1)
        values = np.clip(values, -1.0, 1.0).astype(np.float32)
        drawn = np.zeros((self.side, self.side, values.shape[1]), np.float32)
        points = np.column_stack([placed[:N_SURFACE], moved.depth[:N_SURFACE]]).astype(np.float32)
        draw_values(points, self._near(placed), values, drawn, np.full(drawn.shape[:2], np.inf, np.float32))
        masks = [self._between(placed, ring) for ring in (0, 3)]
        return np.concatenate([self._photo, drawn.transpose(2, 0, 1), np.stack(masks)]).astype(np.float32)

    def _near(self, placed: np.ndarray) -> np.ndarray:
        """The triangles that may show in the square."""
        reach = NEAR * self.side
        inside = (np.abs(placed[:N_SURFACE] - self.side / 2.0) < self.side / 2.0 + reach).all(axis=1)
        return np.ascontiguousarray(self._triangles[inside[self._triangles].any(axis=1)])

    def _surface(self, moved: MovedFace, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The model's normals (468, 3) to the camera and the area of the photo's skin round each landmark (468,)."""
        per_dm = self._width / 0.5  # a mouth is about half a decimetre wide
        solid = np.column_stack([moved.model[:N_SURFACE] / per_dm, moved.depth[:N_SURFACE]])
        normals = vertex_normals(solid, self._triangles)
        normals *= -np.sign(np.median(normals[:, 2]))
        a, b, c = (landmarks[self._triangles[:, i]] for i in range(3))
        area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
        round_each = sum(np.bincount(self._triangles[:, i], area, minlength=N_SURFACE) for i in range(3))
        return normals, np.maximum(round_each, 1e-3 * self._width**2 / 100.0)

    def _between(self, placed: np.ndarray, ring: int) -> np.ndarray:
        """Coverage (side, side) 0–1 of what lies inside a ring of the lips."""
        outline = np.concatenate([placed[list(UPPER_LIP_RINGS[ring])], placed[list(LOWER_LIP_RINGS[ring])][::-1]])
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16.0).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask.astype(np.float32) / np.float32(255.0)


def exposure(photo: np.ndarray) -> np.ndarray:
    """Gains (..., 3, 1, 1) that bring the middle of the photo's square (..., 3, side, side) to mid-grey: the network
    sees every skin in every light alike.
    """
    side = photo.shape[-1]
    middle = photo[..., side // 5 : -side // 5, side // 4 : -side // 4].mean(axis=(-2, -1), keepdims=True)
    return (0.5 / np.clip(middle, 0.04, 1.0)).astype(np.float32)


def window(side: int, guides: np.ndarray) -> np.ndarray:
    """How much may be added (side, side) 0–1: all on the face, nothing at the square's border and beyond the face."""
    edge = np.minimum(np.arange(side), np.arange(side)[::-1]).astype(np.float32) / (FADE * side)
    fade = smoothstep(np.minimum(edge[:, None], edge[None]), 0.0, 1.0)
    covered = (np.abs(guides[3:6]).sum(axis=0) > 0.0).astype(np.float32)
    covered = np.maximum(covered, (guides[-2] > 0.0).astype(np.float32))
    reach = max(side // 24, 1)
    inside = cv2.erode(covered, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return (fade * cv2.GaussianBlur(inside, (0, 0), 0.5 * reach)).astype(np.float32)


class MouthRefiner:
    """Adds what a network predicts to the frames of one plate; a face as in the photo stays as it is."""

    def __init__(self, plate: Plate, motion: FaceMotion, predict: Predict, side: int) -> None:
        self._crop, self._predict = MouthCrop(plate, motion, side), predict

    def apply(self, frame: np.ndarray, moved: MovedFace, landmarks: np.ndarray) -> None:
        """Refines frame (height, width, 3) uint8 in place, whose landmarks are (478, 2)."""
        strength = STRENGTH * self._crop.change(landmarks)
        if strength <= 0.0:
            return
        side = self._crop.side
        into = self._crop.into(landmarks)
        guides = self._crop.guides(moved, landmarks, into)
        gains = exposure(guides[:3])
        guides[:3] *= gains
        added = self._predict(gains * self._crop.cut(frame, into), guides) / gains
        inside = cv2.GaussianBlur(guides[-1], (0, 0), 1.0)
        shown = (255.0 * strength) * window(side, guides) * (1.0 - (1.0 - INSIDE) * inside)
        added = shown[..., None] * added.transpose(1, 2, 0)
        corners = apply(inverse(into), np.float64([[0, 0], [1, 0], [0, 1], [1, 1]]) * side)
        low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, frame.shape[1::-1])
        if (high <= low).any():
            return
        back = then(np.column_stack([np.eye(2), -low.astype(np.float64)]), inverse(into))
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        placed = cv2.warpAffine(added.astype(np.float32), back, size, flags=cv2.INTER_LINEAR)
        patch = frame[low[1] : high[1], low[0] : high[0]]
        patch[:] = np.clip(patch + placed + 0.5, 0.0, 255.0).astype(np.uint8)
