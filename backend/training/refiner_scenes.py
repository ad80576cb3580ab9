"""Made-up people for the refiner: one render of our own head is the photo, the warp moves it, another render is true.

Every face has its own shape, skin, texture, light, camera and background, drawn from a seed. Nothing real goes in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.portrait.analysis import Portrait
from bfm.camera import Camera, camera_for_image, project, rotation_matrix
from bfm.coefficients import (
    CHANNEL_INDEX,
    EXPRESSION_DIMS,
    FULL_ACTIVATION_SD,
    IDENTITY_DIMS,
    LIGHTING_DIMS,
    TEXTURE_DIMS,
)
from bfm.fitting import FittedFace
from bfm.lighting import lit_colors
from bfm.model import FaceModel
from bfm.rasterize import interpolate, rasterize, vertex_normals

SIDE = 224  # pixels of a photo
OVERSAMPLING = 2
NOISE_SIDE = 512  # pixels of the skin's texture, laid over the head's texture coordinates
HIDDEN = ("neck", "scalp", "ear")  # nothing of these shows in the refiner's square
SPEAKING = {  # channels that speech and emotion move round the mouth: how often and how far
    "jawOpen": (0.75, 0.75), "mouthClose": (0.15, 0.2), "mouthFunnel": (0.25, 0.7), "mouthPucker": (0.25, 0.7),
    "mouthUpperUpLeft": (0.3, 0.6), "mouthUpperUpRight": (0.3, 0.6), "mouthLowerDownLeft": (0.35, 0.7),
    "mouthLowerDownRight": (0.35, 0.7), "mouthRollLower": (0.15, 0.6), "mouthRollUpper": (0.15, 0.6),
    "mouthShrugLower": (0.2, 0.5), "mouthShrugUpper": (0.15, 0.4), "mouthLeft": (0.1, 0.4), "mouthRight": (0.1, 0.4),
    "lipsPart": (0.2, 0.6), "cheekPuff": (0.05, 0.4), "tongueUp": (0.15, 0.5),
}  # fmt: skip
PAIRED = {  # both sides about alike
    "mouthSmile": (0.3, 0.9), "mouthFrown": (0.15, 0.6), "mouthStretch": (0.2, 0.6), "mouthDimple": (0.15, 0.5),
    "mouthPress": (0.15, 0.6), "cheekSquint": (0.2, 0.6), "noseSneer": (0.1, 0.5),
}  # fmt: skip
FLESH_LIGHT = np.float32([0.75, 1.05, 1.2])  # exponents: light in the mouth has come past flesh
TEETH_HEIGHT, TEETH_DEPTH = 0.018, 0.01  # dm, standard deviations of where teeth sit
CAVITY = ("teeth", "gums", "tongue", "mouth")


def draw_expression(rng: np.random.Generator, *, strength: float = 1.0) -> np.ndarray:
    """An expression (64,) sd as speech and emotion make them, drawn by chance."""
    weights = np.zeros(EXPRESSION_DIMS, np.float32)
    for name, (chance, most) in SPEAKING.items():
        if rng.random() < chance:
            weights[CHANNEL_INDEX[name]] = strength * most * rng.beta(1.1, 1.8)
    for name, (chance, most) in PAIRED.items():
        if rng.random() < chance:
            both = most * rng.beta(1.1, 1.8)
            for side in ("Left", "Right"):
                weights[CHANNEL_INDEX[name + side]] = strength * both * rng.uniform(0.75, 1.0)
    jaw, close = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
    weights[close] = weights[jaw] if weights[close] > 0.0 and rng.random() < 0.6 else min(weights[close], weights[jaw])
    return np.clip(weights, 0.0, 1.0) * np.float32(FULL_ACTIVATION_SD)


@dataclass(frozen=True)
class Look:
    """What a camera makes of linear light: gains (3,), gamma, lift, blur in pixels; and how the mouth is lit."""

    gains: np.ndarray
    gamma: float
    lift: float
    blur: float
    shine: float
    mouth_light: float
    mouth_falloff: float

    @staticmethod
    def drawn(rng: np.random.Generator) -> Look:
        return Look(
            gains=(rng.uniform(0.55, 1.25) * (1.0 + 0.10 * rng.normal(size=3))).astype(np.float32),
            gamma=rng.uniform(0.85, 1.2),
            lift=rng.uniform(0.0, 0.04),
            blur=rng.uniform(0.3, 1.0),
            shine=rng.uniform(0.0, 0.25),
            mouth_light=rng.uniform(0.5, 1.5),
            mouth_falloff=rng.uniform(4.0, 14.0),
        )

    def develop(self, linear: np.ndarray) -> np.ndarray:
        """Linear light (h, w, 3) as a picture uint8."""
        value = np.clip(self.gains * linear + self.lift, 0.0, 1.0) ** self.gamma
        encoded = np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.maximum(value, 1e-6) ** (1 / 2.4) - 0.055)
        encoded = cv2.GaussianBlur(encoded.astype(np.float32), (0, 0), self.blur)
        return (np.clip(encoded, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


class MadeFace:
    """One made-up person before a camera: a portrait, and true pictures of other expressions."""

    def __init__(self, model: FaceModel, rng: np.random.Generator) -> None:
        self._model = model
        self.identity = (0.8 * rng.normal(size=IDENTITY_DIMS)).astype(np.float32)
        self._albedo = self._skin(rng)
        self._lighting = _lighting(rng)
        self._look = Look.drawn(rng)
        self._grain = _texture(rng)
        self._background = _background(rng)
        self.rotation = (np.radians([4.0, 8.0, 4.0]) * rng.normal(size=3)).astype(np.float32)
        self.translation = np.float32([0.1 * rng.normal(), 0.3 + 0.1 * rng.normal(), rng.uniform(-2.5, 1.0)])
        self.camera: Camera = camera_for_image(SIDE, SIDE).scaled(1.0)
        self.expression = draw_expression(rng, strength=rng.choice([0.12, 0.8], p=[0.6, 0.4]))
        hidden = [i for i, name in enumerate(model.region_names) if name in HIDDEN]
        shown = ~np.isin(model.regions, hidden)[model.triangles].any(axis=1)
        self._front = np.ascontiguousarray(model.triangles[shown])
        self._cavity = np.isin(model.regions, [i for i, name in enumerate(model.region_names) if name in CAVITY])
        self._teeth_shift = self._placed_teeth(rng)

    def portrait(self) -> Portrait:
        """The photo as the renderer gets it, its landmarks and fit exactly known."""
        image, covered = self._picture(self.expression, self.rotation, self.translation, self._model.triangles)
        points = self._model.landmark_positions(self.identity, self.expression[None])[0]
        landmarks = project(points, self.rotation, self.translation, self.camera).astype(np.float32)
        fit = FittedFace(
            self.identity, np.zeros(TEXTURE_DIMS, np.float32), self.expression, self.rotation, self.translation,
            np.zeros(LIGHTING_DIMS, np.float32), self.camera, 0.0,
        )  # fmt: skip
        return Portrait(image, landmarks, covered, fit, 1)

    def truth(self, expression: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """The picture (SIDE, SIDE, 3) uint8 of another expression and pose; only the face's front is right in it."""
        return self._picture(expression, rotation, translation, self._front)[0]

    def _picture(self, expression, rotation, translation, triangles) -> tuple[np.ndarray, np.ndarray]:
        model, side = self._model, SIDE * OVERSAMPLING
        vertices = model.vertices(self.identity, expression[None])[0] + self._teeth_shift
        seen = project(vertices, rotation, translation, self.camera)
        seen[:, :2] = (seen[:, :2] + 0.5) * OVERSAMPLING - 0.5
        normals = vertex_normals(vertices, model.triangles) @ rotation_matrix(rotation).T
        colors = np.clip(lit_colors(self._albedo, normals, self._lighting), 0.0, None)
        colors[self._cavity] *= self._mouth_shade(vertices)[self._cavity, None] ** FLESH_LIGHT
        halfway = np.clip(normals @ np.float32([0.25, 0.45, 0.86]), 0.0, 1.0) ** 24
        colors += (self._look.shine * halfway)[:, None]
        fragments = rasterize(seen.astype(np.float32), triangles, height=side, width=side)
        values = np.concatenate([colors, model.uv, self._cavity[:, None]], axis=1).astype(np.float32)
        image = interpolate(fragments, triangles, values)
        place = (image[..., 3:5] * (NOISE_SIDE - 1)).astype(np.float32)
        grain = cv2.remap(self._grain, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        grain = 1.0 + (1.0 - image[..., 5:6]) * (grain - 1.0)
        covered = fragments.covered.astype(np.float32)
        picture = np.where(covered[..., None] > 0.0, image[..., :3] * grain, self._background)
        picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return self._look.develop(picture), cv2.resize(covered, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def _placed_teeth(self, rng: np.random.Generator) -> np.ndarray:
        """How far each vertex (n_vertices, 3) dm stands from the model's: nobody's teeth sit where the average's do."""
        model = self._model
        inner = np.isin(model.regions, [i for i, name in enumerate(model.region_names) if name in ("teeth", "gums")])
        is_upper = model.mean[:, 1] > np.median(model.mean[inner, 1])
        shift = np.zeros_like(model.mean)
        for part in (inner & is_upper, inner & ~is_upper):
            shift[part, 1:] = np.float32([TEETH_HEIGHT, TEETH_DEPTH]) * rng.normal(size=2)
        return shift.astype(np.float32)

    def _mouth_shade(self, vertices: np.ndarray) -> np.ndarray:
        """Light (n_vertices,) that reaches what lies in the mouth: less the deeper it lies and the less lips part."""
        lips = vertices[self._model.landmark_triangles[[13, 14], 0]]
        gap = float(np.clip(np.linalg.norm(lips[0] - lips[1]), 0.0, 0.4))
        deep = np.clip(lips[:, 2].mean() - 0.03 - vertices[:, 2], 0.0, None)
        under = np.clip((lips[0, 1] - vertices[:, 1]) / 0.08, 0.0, 1.0)
        opened = 0.55 + 0.45 * np.clip(gap / 0.2, 0.0, 1.0)
        return self._look.mouth_light * opened * (0.55 + 0.45 * under) * np.exp(-self._look.mouth_falloff * deep)

    def _skin(self, rng: np.random.Generator) -> np.ndarray:
        """Albedo (n_vertices, 3): the model's, with lips, beard and teeth of its own."""
        model = self._model
        albedo = model.albedo((0.75 * rng.normal(size=TEXTURE_DIMS)).astype(np.float32))
        regions = {name: model.regions == i for i, name in enumerate(model.region_names)}
        albedo[regions["lips"]] *= 1.0 + 0.18 * rng.normal(size=3)
        albedo[regions["teeth"]] *= rng.uniform(0.65, 1.45) * np.float32([1.0, rng.uniform(0.93, 1.0), 1.0])
        if rng.random() < 0.3:
            x, y, z = model.mean.T
            reach = np.clip((-0.45 - y) / 0.1, 0.0, 1.0) * np.clip((z + 0.35) / 0.2, 0.0, 1.0)
            beard = rng.uniform(0.2, 0.85) * reach * (regions["skin"] & (np.abs(x) < 0.7))
            albedo *= 1.0 - beard[:, None] * np.float32([0.75, 0.72, 0.68])
        return np.clip(albedo, 0.0, 1.0).astype(np.float32)


def _lighting(rng: np.random.Generator) -> np.ndarray:
    """Harmonics (27,): a key light from somewhere before the face, a little coloured, and what the room gives back."""
    common = np.zeros(9)
    common[0] = rng.uniform(-0.35, 0.15)
    common[1:4] = [-rng.uniform(-0.05, 0.3), rng.uniform(0.1, 0.4), -0.28 * rng.normal()]
    common[4:] = 0.06 * rng.normal(size=5)
    return np.concatenate([common * (1.0 + 0.12 * rng.normal()) for _ in range(3)])


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Skin's unevenness (NOISE_SIDE, NOISE_SIDE, 3) about 1, from blotches to pores."""
    total = np.zeros((NOISE_SIDE, NOISE_SIDE, 1), np.float32)
    for cells, size in ((8, 0.05), (32, 0.04), (128, 0.035), (512, 0.05)):
        noise = rng.normal(size=(cells, cells)).astype(np.float32) * rng.uniform(0.2, 1.0) * size
        total[..., 0] += cv2.resize(noise, (NOISE_SIDE, NOISE_SIDE), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 60))):  # freckles and moles
        center = tuple(int(v) for v in rng.integers(0, NOISE_SIDE, 2))
        cv2.circle(total, center, int(rng.integers(1, 3)), float(-rng.uniform(0.05, 0.5)), -1, cv2.LINE_AA)
    return np.clip(1.0 + total * np.float32([1.0, 1.15, 1.2]), 0.2, 1.6)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Something unsharp behind the head, linear light (side, side, 3)."""
    cells = int(rng.integers(2, 12))
    spots = rng.uniform(0.0, 1.0, size=(cells, cells, 3)).astype(np.float32) * rng.uniform(0.1, 0.8)
    return cv2.resize(spots, (SIDE * OVERSAMPLING,) * 2, interpolation=cv2.INTER_CUBIC).clip(0.0, 1.0)
