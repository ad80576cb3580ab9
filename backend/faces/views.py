"""Draws a face model from the front: with pyrender where it works on this machine, else with the project's rasteriser.

Both see the same camera and the same vertex colours, in which the light that reaches hollows is already counted.
"""

from __future__ import annotations

import os

import numpy as np

from backend.errors import InputError
from bfm.camera import CAMERA_DISTANCE, Camera, project, rotation_matrix
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.lighting import lit_colors
from bfm.model import FaceModel
from bfm.occlusion import ambient_occlusion
from bfm.rasterize import interpolate, rasterize, vertex_normals

BACKGROUND = 0.16  # linear grey
FILL = 0.86  # share of the picture's height that the model takes
OVERSAMPLING = 2
# Light from above and the character's right, as spherical harmonics beside even white light.
KEY_LIGHT = (-0.2, -0.22, 0.3, 0.14, 0.0, 0.03, 0.04, -0.03, 0.0)
KEY_DIRECTION = np.array([-0.42, 0.52, 0.74])
# Gloss of a region: strength and sharpness of the highlight (Blinn 1977).
GLOSS = {
    "sclera": (0.9, 160.0), "iris": (0.9, 160.0), "pupil": (0.9, 160.0), "eyeballs": (0.9, 160.0),
    "lips": (0.10, 26.0), "teeth": (0.25, 60.0), "tongue": (0.12, 30.0), "gums": (0.15, 40.0),
    "scalp": (0.02, 8.0),
}  # fmt: skip
SKIN_GLOSS = (0.05, 14.0)
SHOWN = ({}, {"jawOpen": 1.0}, {"jawOpen": 0.5, "tongueOut": 1.0})
"""Channels of the poses in which mouth and tongue see the light."""
HIDDEN_REGIONS = ("wet", "lashes")  # what needs transparency to look like itself


class _Scene:
    """What both ways of drawing share: the triangles to draw, colours, and the camera."""

    def __init__(self, model: FaceModel, size: int, zoom: float) -> None:
        if not 16 <= size <= 4096 or size % 2:
            raise InputError(f"The preview's size should be an even number from 16 to 4096 pixels, got {size}.")
        hidden = np.isin(model.regions, [i for i, name in enumerate(model.region_names) if name in HIDDEN_REGIONS])
        self.triangles = model.triangles[~hidden[model.triangles].any(1)]
        albedo = model.albedo(np.zeros(len(model.texture_basis), np.float32))
        self.colors = albedo * shading(model, self.triangles)[:, None]
        low, high = model.mean.min(0), model.mean.max(0)
        self.middle = (low + high) / 2
        # What turns about the vertical through the middle stays inside.
        radius = np.hypot(*(np.abs(model.mean[:, [0, 2]] - self.middle[[0, 2]])).T).max()
        reach = max((high - low)[1] / 2, radius)
        self.size = size
        self.focal = zoom * FILL * 0.5 * size * (CAMERA_DISTANCE - radius) / reach
        if zoom > 1.0:
            # Close up, the face's own middle is what is looked at.
            self.middle[1] = model.landmark_mean[:, 1].mean()


def shading(model: FaceModel, triangles: np.ndarray) -> np.ndarray:
    """What share of even light reaches each vertex (n_vertices,), at its best in the poses of SHOWN."""
    identity = np.zeros(len(model.identity_basis), np.float32)
    poses = np.zeros((len(SHOWN), len(model.expression_names)), np.float32)
    if model.expression_names[: len(EXPRESSION_CHANNELS)] == EXPRESSION_CHANNELS:
        for row, pose in zip(poses, SHOWN):
            for name, weight in pose.items():
                row[CHANNEL_INDEX[name]] = weight * FULL_ACTIVATION_SD
    reached = [
        ambient_occlusion(vertices, triangles) for vertices in model.vertices(identity, np.unique(poses, axis=0))
    ]
    return 0.25 + 0.75 * np.sqrt(np.max(reached, axis=0))


class RasterView:
    """Draws a model's vertices (n_vertices, 3) dm in a square of size pixels with the rasteriser."""

    def __init__(self, model: FaceModel, *, size: int, zoom: float = 1.0) -> None:
        self.scene = _Scene(model, size, zoom)
        self.size = size
        side = size * OVERSAMPLING
        self.camera = Camera(self.scene.focal * OVERSAMPLING, side / 2, side / 2)
        self.lighting = np.tile(np.array(KEY_LIGHT), 3)
        gloss = np.array([GLOSS.get(name, SKIN_GLOSS) for name in model.region_names])
        self.gloss = gloss[model.regions]

    def draw(self, vertices: np.ndarray, angles: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """The picture (size, size, 3) uint8 RGB of vertices turned by angles in radians."""
        side = self.size * OVERSAMPLING
        centred = vertices - self.scene.middle
        normals = vertex_normals(centred, self.scene.triangles) @ rotation_matrix(np.array(angles)).T
        seen = project(centred, np.array(angles), np.zeros(3), self.camera)
        fragments = rasterize(seen, self.scene.triangles, height=side, width=side)
        colors = np.clip(lit_colors(self.scene.colors, normals, self.lighting), 0.0, None)
        values = np.concatenate([colors, normals, self.gloss], axis=1)
        pixels = interpolate(fragments, self.scene.triangles, values)
        image = pixels[..., :3] + _highlights(pixels[..., 3:6], pixels[..., 6], pixels[..., 7])[..., None]
        image[~fragments.covered] = BACKGROUND
        image = image.reshape(self.size, OVERSAMPLING, self.size, OVERSAMPLING, 3).mean((1, 3))
        encoded = np.where(image <= 0.0031308, 12.92 * image, 1.055 * np.maximum(image, 1e-6) ** (1 / 2.4) - 0.055)
        return (np.clip(encoded, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _highlights(normals: np.ndarray, strength: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    """Reflected light (height, width) off normals (height, width, 3) seen from +Z."""
    half = KEY_DIRECTION / np.linalg.norm(KEY_DIRECTION) + [0.0, 0.0, 1.0]
    half /= np.linalg.norm(half)
    length = np.maximum(np.linalg.norm(normals, axis=-1), 1e-6)
    return strength * np.clip(normals @ half / length, 0.0, 1.0) ** np.maximum(sharpness, 1.0)


class PyrenderView:
    """Draws like RasterView, with pyrender. Raises ViewUnavailable where pyrender cannot draw on this machine."""

    def __init__(self, model: FaceModel, *, size: int, zoom: float = 1.0) -> None:
        # Off screen, whatever display there is; pyrender decides when it is first imported.
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
        self.scene = _Scene(model, size, zoom)
        self.size = size
        try:
            import pyrender

            self.pyrender = pyrender
            self.renderer = pyrender.OffscreenRenderer(size, size)
        # Without OpenGL's libraries PyOpenGL fails in as many ways as there are calls.
        except (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError) as error:
            raise ViewUnavailable(str(error) or type(error).__name__) from error
        self.material = pyrender.MetallicRoughnessMaterial(metallicFactor=0.0, roughnessFactor=0.55)
        self.draw(model.mean)

    def draw(self, vertices: np.ndarray, angles: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """The picture (size, size, 3) uint8 RGB of vertices turned by angles in radians."""
        pyrender = self.pyrender
        turned = (vertices - self.scene.middle) @ rotation_matrix(np.array(angles)).T
        scene = pyrender.Scene(bg_color=[BACKGROUND ** (1 / 2.2)] * 3 + [1.0], ambient_light=[0.42] * 3)
        primitive = pyrender.Primitive(
            positions=turned.astype(np.float32),
            normals=vertex_normals(turned, self.scene.triangles),
            color_0=np.clip(self.scene.colors, 0.0, 1.0).astype(np.float32),
            indices=self.scene.triangles,
            material=self.material,
            mode=4,
        )
        scene.add(pyrender.Mesh([primitive]))
        for direction, strength in ((KEY_DIRECTION, 2.6), (np.array([0.7, 0.1, 0.6]), 0.8)):
            scene.add(pyrender.DirectionalLight(color=np.ones(3), intensity=strength), pose=_looking_from(direction))
        camera = pyrender.PerspectiveCamera(yfov=2.0 * np.arctan(self.size / 2.0 / self.scene.focal))
        place = np.eye(4)
        place[2, 3] = CAMERA_DISTANCE
        scene.add(camera, pose=place)
        try:
            return np.ascontiguousarray(self.renderer.render(scene)[0])
        except (AttributeError, RuntimeError, ValueError, TypeError, OSError) as error:
            raise ViewUnavailable(str(error) or type(error).__name__) from error


class ViewUnavailable(Exception):
    """A way of drawing does not work on this machine."""


def _looking_from(direction: np.ndarray) -> np.ndarray:
    """Pose (4, 4) of what looks along its own -Z, from a direction (3,) towards the origin."""
    backwards = direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], backwards)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(backwards, right), backwards], axis=1)
    return pose


def open_view(model: FaceModel, *, size: int, zoom: float = 1.0) -> tuple[PyrenderView | RasterView, str]:
    """The best view that works here, and in words how it draws; zoom above 1 comes closer to the face."""
    try:
        return PyrenderView(model, size=size, zoom=zoom), "drawn with pyrender"
    except ViewUnavailable as unavailable:
        text = f"drawn with the built-in rasteriser, because pyrender does not work here ({unavailable})"
        return RasterView(model, size=size, zoom=zoom), text
