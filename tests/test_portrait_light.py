"""Light that stays where it is: nothing at rest, brighter skin that turns to it, nothing at the face's outline."""

from __future__ import annotations

import numpy as np
import pytest

from backend.portrait import light
from backend.portrait.light import FixedLight, photo_light
from backend.portrait.motion import FaceMotion
from backend.portrait.plate import make_plate
from backend.training.refiner_scenes import MadeFace
from bfm.coefficients import LIGHTING_DIMS
from bfm.sources.embedded import load_embedded_model

FROM_LEFT = np.zeros((3, 9), np.float32)
FROM_LEFT[:, 3] = -0.3  # from the character's left, the picture's right


@pytest.fixture(scope="module")
def face():
    made = MadeFace(load_embedded_model(), np.random.default_rng(3))
    made._lighting = FROM_LEFT.ravel()
    return made


@pytest.fixture(scope="module")
def portrait(face):
    return face.portrait()


def gains(portrait, monkeypatch, lighting: np.ndarray, *, yaw: float) -> np.ndarray:
    """What a grey picture's face is multiplied by (h, w) when the head turns by yaw (radians) under a lighting."""
    monkeypatch.setattr(light, "photo_light", lambda _portrait: lighting.ravel())
    plate = make_plate(portrait, None)
    motion = FaceMotion(portrait, plate)
    fixed = FixedLight(portrait, plate, motion)
    pixels = np.ones((*plate.mask[fixed.region].shape, 4), np.float32)
    turn = np.float32([0.0, yaw, 0.0])
    fixed.apply(pixels, motion.at(portrait.fit.expression, portrait.fit.rotation + turn, portrait.fit.translation))
    assert (pixels[..., 3] == 1.0).all()  # what is covered stays covered
    return pixels[..., :3].mean(axis=2)


def test_nothing_changes_at_rest_or_in_even_light(portrait, monkeypatch):
    assert (gains(portrait, monkeypatch, FROM_LEFT, yaw=0.0) == 1.0).all()
    assert (gains(portrait, monkeypatch, np.zeros(LIGHTING_DIMS, np.float32), yaw=0.2) == 1.0).all()


def test_skin_that_turns_to_the_light_brightens(portrait, monkeypatch):
    to, away = (gains(portrait, monkeypatch, FROM_LEFT, yaw=yaw) for yaw in (0.2, -0.2))
    assert to.mean() > 1.01 > 0.99 > away.mean()
    assert max(np.abs(np.log(field)).max() for field in (to, away)) < light.MOST / light.GAMMA
    outline = np.concatenate([to[0], to[-1], to[:, 0], to[:, -1]])
    assert np.abs(outline - 1.0).max() < 0.01


def test_the_side_that_the_light_comes_from_is_found(portrait):
    assert photo_light(portrait).reshape(3, 9)[:, 3].mean() < -0.1


def test_too_little_skin_gives_even_light(portrait, monkeypatch):
    from dataclasses import replace

    outside = replace(portrait.fit, translation=portrait.fit.translation + np.float32([30.0, 0.0, 0.0]))
    assert not photo_light(replace(portrait, fit=outside)).any()
