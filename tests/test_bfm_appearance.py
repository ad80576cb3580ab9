"""Skin colour and light from pixels: known light and skin come back, other pictures are refused."""

import numpy as np
import pytest

from bfm.appearance import fit_appearance, linear_light
from bfm.camera import project, rotation_matrix
from bfm.errors import FaceModelError
from bfm.fitting import fit_landmarks
from bfm.lighting import lit_colors
from bfm.rasterize import interpolate, rasterize, vertex_normals
from bfm.sources.embedded import load_embedded_model

SIDE = 256


def painted(texture, lighting):
    """A picture (256, 256, 3) uint8 of the mean head with this skin and light, and its fit from exact landmarks."""
    model = load_embedded_model()
    rotation, translation = np.array([0.0, 0.2, 0.0]), np.array([0.0, 0.3, -1.0])
    camera = fit_camera()
    vertices = model.vertices(np.zeros(80), np.zeros((1, 64)))[0]
    seen = project(vertices, rotation, translation, camera)
    normals = vertex_normals(vertices, model.triangles) @ rotation_matrix(rotation).T
    colors = np.clip(lit_colors(model.albedo(texture), normals, lighting), 0, 1)
    fragments = rasterize(seen, model.triangles, height=SIDE, width=SIDE)
    linear = interpolate(fragments, model.triangles, colors.astype(np.float32))
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    landmarks = project(model.landmark_mean, rotation, translation, camera)
    landmarks[:, 2] = (landmarks[:, 2] - landmarks[:, 2].mean()) * camera.focal / landmarks[:, 2].mean()
    fit = fit_landmarks(model, landmarks, image_height=SIDE, image_width=SIDE)
    return model, fit, (np.clip(srgb, 0, 1) * 255).round().astype(np.uint8)


def fit_camera():
    from bfm.camera import camera_for_image

    return camera_for_image(SIDE, SIDE)


def test_light_from_the_left_is_found():
    lighting = np.zeros((3, 9))
    lighting[:, 3] = -0.5
    model, fit, picture = painted(np.zeros(80), lighting.reshape(27).astype(np.float32))
    found = fit_appearance(model, fit, picture).lighting.reshape(3, 9)
    assert (found[:, 3] < -0.25).all() and np.abs(found[:, 1]).max() < 0.2


def test_hue_of_the_skin_is_found():
    texture = np.zeros(80, np.float32)
    texture[0] = 2.0
    hues = []
    for sign in (1, -1):
        model, fit, picture = painted(texture * sign, np.zeros(27, np.float32))
        fitted = fit_appearance(model, fit, picture)
        skin = model.albedo(fitted.texture)[model.regions == model.region_names.index("skin")].mean(0)
        hues.append(skin[2] / skin[0])
        assert np.isfinite(fitted.texture).all() and np.abs(fitted.texture).max() <= 3
    assert hues[0] < 0.9 * hues[1]


def test_linear_light_is_srgbs():
    assert np.allclose(linear_light(np.array([0.0, 0.5, 1.0])), [0.0, 0.21404, 1.0], atol=1e-4)


def test_refusals():
    model, fit, picture = painted(np.zeros(80), np.zeros(27, np.float32))
    with pytest.raises(FaceModelError, match="uint8"):
        fit_appearance(model, fit, picture.astype(np.float32))
    with pytest.raises(FaceModelError, match="too little"):
        fit_appearance(model, fit, picture[:10, :10])
