"""Light that stays where it is while the face moves: skin that turns to it brightens, skin that turns away dims.

The photo's light is fitted once as spherical harmonics (bfm.appearance). The warped photo carries the shading of its
own pose and expression; it is multiplied by shading(normals moved) over shading(normals in the photo), so that at rest
nothing changes. Skin is taken as matt; what shines or casts shadows moves with the photo.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from backend.portrait.analysis import Portrait
from backend.portrait.landmarks import N_SURFACE, triangles
from backend.portrait.motion import FaceMotion, MovedFace
from backend.portrait.plate import Plate
from bfm.appearance import fit_appearance
from bfm.coefficients import LIGHTING_DIMS
from bfm.errors import FaceModelError
from bfm.lighting import lit_colors
from bfm.rasterize import Fragments, interpolate, rasterize, vertex_normals
from bfm.sources.embedded import load_embedded_model

STRENGTH = 0.8  # of what the harmonics say: the fit explains shading by light that partly is the skin's own colour
MOST = 0.30  # natural logarithm of linear light, that it changes by at most, softly
DARKEST = 0.3  # of the photo's mean shading: harmonics go below zero where real light does not
GAMMA = 2.2  # pixels are encoded; a factor of linear light is its root as a factor of them
MAP_FACE_HEIGHT = 72.0  # pixels from forehead to chin of the map: light on a matt surface is smooth
SOFTNESS = 0.02  # of the face's height
FADE = 0.10  # of the face's height, inwards from its outline, over which the change begins
LEAST_SHOWN = 1e-3


@njit(cache=True, nogil=True, fastmath=True)
def _multiply(pixels, gains):
    """pixels (h, w, ≥3) times gains (h, w, 3), in place."""
    for y in range(gains.shape[0]):
        for x in range(gains.shape[1]):
            for c in range(3):
                pixels[y, x, c] *= gains[y, x, c]


class FixedLight:
    """The light of one photo on its moving face. region: rows and columns of the plate that it changes."""

    def __init__(self, portrait: Portrait, plate: Plate, motion: FaceMotion) -> None:
        self._motion, self._lighting = motion, photo_light(portrait)
        self._triangles = triangles()
        self._floor = np.zeros(3, np.float32)
        rest = self._shading(motion.rest())
        self._floor = DARKEST * rest.mean(axis=0)
        self._rest = np.maximum(rest, self._floor)
        points = plate.landmarks[:N_SURFACE]
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, plate.image.shape[1::-1])
        self.region = slice(int(top), int(bottom)), slice(int(left), int(right))
        self._size = (int(right - left), int(bottom - top))
        scale = min(1.0, MAP_FACE_HEIGHT / plate.face_height)
        self._face = scale * plate.face_height
        placed = (points - [left, top] + 0.5) * scale - 0.5
        self._fragments = self._drawn(placed, motion.rest_depth[:N_SURFACE], scale)
        self._inside = self._faded(placed)

    def apply(self, pixels: np.ndarray, moved: MovedFace) -> None:
        """Brightens and darkens pixels (h, w, ≥3) float32 of the region, still as in the photo, in place."""
        change = STRENGTH * np.log(np.maximum(self._shading(moved), self._floor) / self._rest)
        if np.abs(change).max() < LEAST_SHOWN:
            return
        field = interpolate(self._fragments, self._triangles, MOST * np.tanh(change / MOST) / GAMMA)
        field = cv2.GaussianBlur(field, (0, 0), SOFTNESS * self._face) * self._inside
        _multiply(pixels, cv2.resize(np.exp(field), self._size, interpolation=cv2.INTER_LINEAR))

    def _shading(self, moved: MovedFace) -> np.ndarray:
        """Linear light (468, 3) that white matt skin gives back."""
        normals = vertex_normals(self._motion.solid(moved)[:N_SURFACE], self._triangles)
        normals *= np.sign(np.median(normals[:, 2]))
        return lit_colors(np.ones((N_SURFACE, 3), np.float32), normals, self._lighting).astype(np.float32)

    def _drawn(self, placed: np.ndarray, depth: np.ndarray, scale: float) -> Fragments:
        """Where the map (h, w) sees which part of the photo's face."""
        width, height = (max(round(side * scale), 2) for side in self._size)
        return rasterize(np.column_stack([placed, depth]), self._triangles, height=height, width=width)

    def _faded(self, placed: np.ndarray) -> np.ndarray:
        """How much of the change shows (h, w, 1): all inside the face, nothing at its outline."""
        hull = np.zeros(self._fragments.depth.shape, np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(np.round(placed).astype(np.int32)), 1)
        edge = cv2.distanceTransform(np.pad(hull, 1), cv2.DIST_L2, 3)[1:-1, 1:-1] / (FADE * self._face)
        return np.clip(edge, 0.0, 1.0).astype(np.float32)[..., None]


def photo_light(portrait: Portrait) -> np.ndarray:
    """The light (27,) on the portrait's face; even white light where too little skin is seen."""
    try:
        return fit_appearance(load_embedded_model(), portrait.fit, portrait.image).lighting
    except FaceModelError:
        return np.zeros(LIGHTING_DIMS, np.float32)
