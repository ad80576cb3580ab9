"""Frames from coefficients: one photo moved, its mouth, eyes and skin redrawn where they change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from backend.portrait.analysis import Portrait
from backend.portrait.background import cut_out, fill_background
from backend.portrait.eyes import Eyes
from backend.portrait.light import FixedLight
from backend.portrait.lip_shape import LipShape
from backend.portrait.lips import LipFill, LipSeal, find_seam, with_rest
from backend.portrait.mesh import WarpMesh
from backend.portrait.motion import FaceMotion, MovedFace
from backend.portrait.mouth import Mouth
from backend.portrait.plate import Plate, make_plate
from backend.portrait.refine import MouthRefiner, Predict
from backend.portrait.shading import SkinShading
from backend.portrait.warp import make_warp
from bfm.coefficients import FaceCoefficients

BLACK = np.zeros(3, np.float32)
AHEAD = 64  # frames whose shapes are made at once
N_LANDMARKS = 478


@njit(cache=True, nogil=True, fastmath=True)
def _lay_over(foreground, background, out):
    """out uint8 = foreground (h, w, 4) premultiplied over background (h, w, 3), both float32 0–255 and alpha 0–1."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            rest = 1.0 - foreground[y, x, 3]
            for c in range(3):
                value = foreground[y, x, c] + rest * background[y, x, c] + 0.5
                out[y, x, c] = np.uint8(min(max(value, 0.0), 255.0))


class WarpRenderer:
    """Renders one portrait; what does not change between frames is prepared once.

    size: shorter side in pixels, None as it is up to 1080. backdrop: a colour (3,) 0–255 that takes the place of the
    photo's background; BLACK for render_with_alpha. refiner: a network and the side of its square, as load_refiner
    gives them; None: what is drawn stays as it is. device: "cpu" or "cuda", where pixels are moved. Raises InputError
    for devices that are not there.
    """

    def __init__(
        self, portrait: Portrait, *, size: int | None = None, backdrop: np.ndarray | None = None,
        refiner: tuple[Predict, int] | None = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        plate = make_plate(portrait, size)
        rest = find_seam(plate)
        self.plate = plate = with_rest(plate, rest)
        self.motion = FaceMotion(portrait, plate)
        self._seal = LipSeal(self.motion, rest, plate)
        self._lip_shape = LipShape(plate, rest, self.motion.neutral().landmarks)
        self._lip_fill = LipFill(plate, rest)
        self._mesh = WarpMesh(plate, self.motion)
        self._mouth = Mouth(plate, self.motion)
        self._eyes = Eyes(plate, self.motion.rest_weights)
        self._refiner = None if refiner is None else MouthRefiner(plate, self.motion, *refiner)
        self._shading = SkinShading(plate, self.motion.rest_weights)
        self._light = FixedLight(portrait, plate, self.motion)
        self._roi = _box(self._mesh.rest, plate.image.shape)
        rows, columns = self._roi
        fill = fill_background(plate.image, plate.mask, plate.face_height)
        person = _premultiplied(plate, fill) if backdrop is None else cut_out(plate.image, plate.mask)
        self._alpha = person[..., 3].copy()
        self._still = plate.image
        if backdrop is not None:
            fill[:] = backdrop
            self._still = np.empty_like(plate.image)
            _lay_over(person, fill, self._still)
        self._background = np.ascontiguousarray(fill[rows, columns])
        self._photo = np.ascontiguousarray(person[rows, columns])
        self._source = self._photo.copy()
        self._origin = np.float32([columns.start, rows.start])
        self._warp = make_warp(device, self._mesh.rest - self._origin, self._mesh.triangles, self._source.shape)
        self._warped = self._source
        self._shapes: tuple[FaceCoefficients | None, int, np.ndarray] = (None, 0, np.zeros((0, N_LANDMARKS, 3)))

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, both even."""
        height, width = self.plate.image.shape[:2]
        return width, height

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that can change; the rest is always the photo."""
        return self._roi

    def render(self, coefficients: FaceCoefficients, index: int) -> np.ndarray:
        """Frame index of coefficients as (height, width, 3) uint8 RGB."""
        frame, moved, landmarks = self.render_parts(coefficients, index)
        return frame if self._refiner is None else self._refined(frame, moved, landmarks)

    def frames(self, coefficients: FaceCoefficients, wanted: range | None = None) -> Iterator[np.ndarray]:
        """Frames in order, all or those wanted, as render gives them; one is refined beside the drawing of the next."""
        wanted = range(coefficients.n_frames) if wanted is None else wanted
        if self._refiner is None:
            yield from (self.render(coefficients, index) for index in wanted)
            return
        # after every product of matrices numpy's second thread waits busily, on the core that refines
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(1, "refiner") as refiner:
            waiting: Future[np.ndarray] | None = None
            for index in wanted:
                refined = refiner.submit(self._refined, *self.render_parts(coefficients, index))
                if waiting is not None:
                    yield waiting.result()
                waiting = refined
            if waiting is not None:
                yield waiting.result()

    def _refined(self, frame: np.ndarray, moved: MovedFace, landmarks: np.ndarray) -> np.ndarray:
        self._refiner.apply(frame, moved, landmarks)
        return frame

    def render_parts(self, coefficients: FaceCoefficients, index: int) -> tuple[np.ndarray, MovedFace, np.ndarray]:
        """Frame index of coefficients (height, width, 3) uint8 RGB before it is refined, its face, and where its
        landmarks (478, 2) are.
        """
        moved = self.motion.at(
            coefficients.expression[index], coefficients.rotation[index], coefficients.translation[index],
            self._shape(coefficients, index),
        )  # fmt: skip
        landmarks = self._lip_shape.apply(self._seal.apply(moved, moved.landmarks))
        self._redraw_skin(moved, self._lip_fill.strength(landmarks, self._mouth.change(landmarks)))
        vertices = self._mesh.move(moved, landmarks)
        vertices[:, :2] -= self._origin
        self._warped = self._warp(vertices, self._source)
        frame = self._still.copy()
        _lay_over(self._warped, self._background, frame[self._roi])
        self._draw_mouth(frame, moved, landmarks)
        return frame, moved, landmarks

    def _shape(self, coefficients: FaceCoefficients, index: int) -> np.ndarray:
        """Frame index's landmarks (478, 3) in model space, made for many frames at once."""
        shot, first, shapes = self._shapes
        if shot is not coefficients or not first <= index < first + len(shapes):
            first = index - index % AHEAD  # the same blocks whichever frame comes first, so that frames are the same
            shapes = self.motion.shapes(coefficients.expression[first : first + AHEAD])
            self._shapes = coefficients, first, shapes
        return shapes[index - first]

    def render_with_alpha(self, coefficients: FaceCoefficients, index: int) -> np.ndarray:
        """Frame index as (height, width, 4) uint8 RGB and alpha, not premultiplied; the backdrop is BLACK."""
        color = self.render(coefficients, index).astype(np.float32)
        alpha = self._alpha.copy()
        alpha[self._roi] = np.clip(self._warped[..., 3], 0.0, 1.0)
        straight = np.minimum(color / np.maximum(alpha, 1e-3)[..., None], 255.0)
        return np.concatenate([straight + 0.5, 255.0 * alpha[..., None] + 0.5], axis=2).clip(0, 255).astype(np.uint8)

    def _draw_mouth(self, frame: np.ndarray, moved: MovedFace, landmarks: np.ndarray) -> None:
        """The mouth's inside, over frame (height, width, 3) uint8."""
        self._mouth.draw(frame, moved, landmarks)

    def _redraw_skin(self, moved: MovedFace, lip_fill: float) -> None:
        """Lids, gaze, folds and light of a moved face, and the lips' filling (0 to 1), drawn into the source before it
        is warped.
        """
        skin = self._in_source(self._shading.region)
        np.copyto(self._source[skin], self._photo[skin])
        self._eyes.draw(self._source, moved.weights, (self._roi[1].start, self._roi[0].start))
        if lip_fill > 0.0:
            self._lip_fill.draw(self._source[self._in_source(self._lip_fill.box)], lip_fill)
        self._shading.apply(self._source[skin], moved.weights)
        self._light.apply(self._source[skin], moved)

    def _in_source(self, box: tuple[slice, slice]) -> tuple[slice, slice]:
        """Rows and columns of the plate as rows and columns of the source."""
        rows, columns = (slice(part.start - o.start, part.stop - o.start) for part, o in zip(box, self._roi))
        return rows, columns


def _premultiplied(plate: Plate, background: np.ndarray) -> np.ndarray:
    """The person (height, width, 4): whatever over the filled background gives back exactly the photo."""
    covered = plate.mask[..., None].astype(np.float32)
    person = plate.image.astype(np.float32) - (1.0 - covered) * background
    return np.concatenate([person, covered], axis=2)


def _box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of an image of this shape that hold points (n, 2) x, y."""
    left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    right, bottom = np.maximum(np.ceil(points.max(axis=0)).astype(int) + 1, 0)
    return slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1]))
