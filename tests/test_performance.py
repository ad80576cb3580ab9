"""Emotion grows with intensity, leaves closures alone and keeps the face alive, repeatably."""

from __future__ import annotations

import numpy as np
import pytest

from backend.audio.phones import PHONE_INDEX
from backend.inference.emospeaker import shipped_networks
from backend.inference.emotion import LIP_OPENING, lip_closure
from backend.inference.head import head_motion
from backend.inference.liveliness import blink_layer, gaze_layer
from backend.inference.performance import perform
from backend.inference.speech import Articulation
from bfm.coefficients import CHANNEL_INDEX
from bfm.facs import AU_CHANNELS, EMOTION_AUS
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EMOTIONS

RATE = 25.0


NETWORKS = shipped_networks()


def content_of(activity: np.ndarray) -> np.ndarray:
    """Content vectors for frames (n,) at RATE: a voice that says /ah/ as loudly as the activity, 0-1."""
    said = np.zeros((2 * len(activity), 57), np.float32)
    voice = np.repeat(activity, 2)
    said[:, 0], said[:, 13] = 0.3 * voice, 1.0 - voice
    said[:, 13 + PHONE_INDEX["AH"]], said[:, 55], said[:, 56] = voice, 0.5 * voice, voice
    return NETWORKS.encode(np.zeros((4 * len(activity), 12), np.float32), said, len(activity))


def talking(n_frames: int = 100) -> Articulation:
    """A mouth that opens and shuts three times a second, shut at every eighth frame."""
    weights = np.zeros((n_frames, 64), np.float32)
    jaw = 0.2 - 0.2 * np.cos(2 * np.pi * np.arange(n_frames) / 8)
    weights[:, CHANNEL_INDEX["jawOpen"]] = jaw
    accents = np.arange(0.5, n_frames / RATE, 0.8, dtype=np.float32)
    active = np.ones(n_frames, np.float32)
    return Articulation(weights=weights, phones=(), activity=active, accents=accents, frame_rate=RATE,
                        content=content_of(active))  # fmt: skip


def felt(face: Articulation, emotion: np.ndarray) -> np.ndarray:
    """The emotion layer of a performance (n_frames, 64)."""
    return perform(face, emotion, options=ShotOptions(frame_rate=RATE)).layers["emotion"]


def held(label: str, intensity: float, n_frames: int = 100) -> np.ndarray:
    """An emotion held over all frames (n_frames, 7)."""
    emotion = np.zeros((n_frames, len(EMOTIONS)), np.float32)
    emotion[:, EMOTIONS.index(label)] = intensity
    return emotion


@pytest.mark.parametrize("label", EMOTIONS)
def test_every_unit_of_an_emotion_grows_strictly_with_intensity(label):
    face = talking()
    strengths = []
    for intensity in np.linspace(0, 1, 11):
        layer = felt(face, held(label, intensity))
        units = [layer[:, [CHANNEL_INDEX[c] for c in AU_CHANNELS[unit]]].sum(1).mean() for unit in EMOTION_AUS[label]]
        strengths.append(units)
    assert (np.diff(np.array(strengths), axis=0) > 0).all()


def test_emotions_differ_from_one_another():
    layers = np.stack([felt(talking(), held(label, 1.0)).mean(0) for label in EMOTIONS])
    unit = layers / np.linalg.norm(layers, axis=1, keepdims=True)
    assert (unit @ unit.T - np.eye(len(EMOTIONS))).max() < 0.85


@pytest.mark.parametrize("label", EMOTIONS)
def test_emotion_opens_no_shut_lips(label):
    face = talking()
    layer = felt(face, held(label, 1.0))
    shut = lip_closure(face.weights, face.activity) > 0.99
    assert shut.any()
    assert layer[shut][:, [CHANNEL_INDEX[name] for name in LIP_OPENING]].max() < 0.01


def test_a_jump_of_the_emotion_is_followed_without_a_jump_of_the_face():
    emotion = held("happy", 1.0)
    emotion[:50] = 0
    face = talking()
    layer = felt(face, emotion)
    assert np.abs(np.diff(layer[:, CHANNEL_INDEX["cheekSquintLeft"]])).max() < 0.2


def test_blinks_come_at_a_human_rate_and_shut_the_lids():
    calm = np.ones(int(120 * RATE), np.float32)
    blinks = blink_layer(calm, held("happy", 0, len(calm)), frame_rate=RATE, seed=3)[:, CHANNEL_INDEX["eyeBlinkLeft"]]
    starts = np.count_nonzero((blinks[1:] > 0.5) & (blinks[:-1] <= 0.5))
    assert 20 <= starts <= 60  # in two minutes
    assert blinks.max() > 0.95


def test_gaze_stays_small_and_eyes_move_together():
    gaze = gaze_layer(np.ones(1000, np.float32), frame_rate=RATE, seed=1)
    assert gaze.max() <= 0.4
    assert np.array_equal(gaze[:, CHANNEL_INDEX["eyeLookOutLeft"]], gaze[:, CHANNEL_INDEX["eyeLookInRight"]])


def test_the_head_starts_at_rest_moves_gently_and_bows_in_sadness():
    content = content_of(np.ones(1500, np.float32))
    rotation, translation = head_motion(NETWORKS, content, held("happy", 0, 1500), frame_rate=RATE, seed=0)
    assert np.abs(rotation[0]).max() == 0 and np.abs(translation[0]).max() == 0
    assert np.degrees(np.abs(rotation)).max() < 12
    assert np.degrees(rotation.std(0)).min() > 0.5
    assert np.degrees(np.abs(np.diff(rotation, axis=0))).max() * RATE < 60  # degrees per second
    sad, _ = head_motion(NETWORKS, content, held("sad", 1, 1500), frame_rate=RATE, seed=0)
    assert (sad - rotation)[200:, 0].mean() > np.radians(2)


def test_emotion_changes_skin_and_shape_a_little_and_neutral_does_not():
    face = talking()
    angry = perform(face, held("angry", 1.0), options=ShotOptions())
    assert 0.02 < np.abs(angry.texture_change).max() < 2.0 and np.abs(angry.identity_change).max() < 1.0
    assert perform(face, held("angry", 0.0), options=ShotOptions()).texture_change is None


def test_a_seed_repeats_and_another_differs():
    face, emotion = talking(), held("happy", 0.7)
    one, two = (perform(face, emotion, options=ShotOptions(seed=5)) for _ in range(2))
    other = perform(face, emotion, options=ShotOptions(seed=6))
    assert np.array_equal(one.weights, two.weights) and np.array_equal(one.head_rotation, two.head_rotation)
    assert not np.array_equal(one.head_rotation, other.head_rotation)


def test_a_layer_has_a_seed_of_its_own():
    face, emotion = talking(), held("happy", 0.7)
    one, other = (perform(face, emotion, options=ShotOptions(seed=5, seeds=s)) for s in ({}, {"blinks": 9}))
    assert not np.array_equal(one.layers["blinks"], other.layers["blinks"])
    for layer in ("lips", "emotion", "brows", "gaze"):
        np.testing.assert_array_equal(one.layers[layer], other.layers[layer])
    np.testing.assert_array_equal(one.head_rotation, other.head_rotation)


def test_layers_can_be_muted_and_the_head_held_still():
    face, emotion = talking(), held("happy", 1.0)
    muted = perform(face, emotion, options=ShotOptions(strengths={"emotion": 0, "blinks": 0, "brows": 0, "gaze": 0}))
    assert np.allclose(muted.weights, face.weights)
    by_name = perform(face, emotion, options=ShotOptions(muted=("emotion", "blinks", "brows", "gaze", "head")))
    assert np.allclose(by_name.weights, face.weights) and np.abs(by_name.head_rotation).max() == 0
    still = perform(face, emotion, options=ShotOptions(pose="still"))
    assert np.abs(still.head_rotation).max() == 0
