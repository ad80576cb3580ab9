"""What keeps a speaking face alive: brows on accents, blinks and small saccades, all seeded.

Figures are those of the literature on conversation: 15-20 blinks per minute, closing in about 90 ms and opening in
about 170 ms (Trutoiu et al. 2011); saccades of a few degrees every one to three seconds (Lee et al. 2002).
"""

from __future__ import annotations

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS
from blender_addon.protocol.types import EMOTIONS

BLINK_CLOSING, BLINK_SHUT, BLINK_OPENING = 0.09, 0.03, 0.17  # s
BLINK_GAP = (1.4, 5.2)  # s between blinks, uniformly
FIXATION = (0.9, 2.8)  # s between saccades
SACCADE = 0.04  # s
# Blink rate of an emotion against neutral.
BLINK_RATE = {"angry": 0.7, "contempt": 0.8, "disgusted": 1.0, "fear": 1.3, "happy": 1.1, "sad": 1.2, "surprised": 0.5}


def brow_layer(accents: np.ndarray, emotion: np.ndarray, *, frame_rate: float, seed: int) -> np.ndarray:
    """Brow emphasis (n_frames, 64) on accents (k,), seconds; raised as a rule, lowered where anger or disgust rule."""
    n_frames = len(emotion)
    random = np.random.default_rng((seed, 21))
    times = np.arange(n_frames) / frame_rate
    pulse = np.zeros(n_frames)
    for accent in np.asarray(accents, float):
        if random.random() < 0.55:
            strength = random.uniform(0.12, 0.3)
            pulse = np.maximum(pulse, strength * _bump(times - accent, rise=0.16, fall=0.32))
    frown = np.clip(emotion[:, EMOTIONS.index("angry")] + emotion[:, EMOTIONS.index("disgusted")], 0.0, 1.0)
    layer = np.zeros((n_frames, EXPRESSION_DIMS), np.float32)
    raised = (1.0 - frown) * pulse
    _add(layer, ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), raised)
    _add(layer, ("browDownLeft", "browDownRight"), frown * pulse)
    return layer


def blink_layer(activity: np.ndarray, emotion: np.ndarray, *, frame_rate: float, seed: int) -> np.ndarray:
    """Blinks (n_frames, 64), rather where speech (activity (n_frames,)) pauses; emotion changes their rate."""
    n_frames = len(activity)
    random = np.random.default_rng((seed, 31))
    times = np.arange(n_frames) / frame_rate
    blink = np.zeros(n_frames)
    rates = np.array([BLINK_RATE[label] for label in EMOTIONS])
    at = random.uniform(0.6, 2.4)
    while at < n_frames / frame_rate:
        at = _pause_near(at, activity, frame_rate)
        blink = np.maximum(blink, _blink_shape(times - at))
        row = emotion[min(int(at * frame_rate), n_frames - 1)]
        rate = 1.0 - row.sum() + row @ rates
        at += random.uniform(*BLINK_GAP) / max(rate, 0.3)
    layer = np.zeros((n_frames, EXPRESSION_DIMS), np.float32)
    _add(layer, ("eyeBlinkLeft", "eyeBlinkRight"), blink)
    _add(layer, ("browDownLeft", "browDownRight"), 0.05 * blink)
    return layer


def gaze_layer(activity: np.ndarray, *, frame_rate: float, seed: int) -> np.ndarray:
    """Small saccades about the camera (n_frames, 64); a speaker looks aside more than a listener."""
    n_frames = len(activity)
    random = np.random.default_rng((seed, 41))
    times = np.arange(n_frames) / frame_rate
    yaw, pitch = np.zeros(n_frames), np.zeros(n_frames)
    at, here = random.uniform(*FIXATION), np.zeros(2)
    while at < n_frames / frame_rate:
        spoken = activity[min(int(at * frame_rate), n_frames - 1)]
        reach = 0.05 + 0.08 * spoken
        there = np.zeros(2) if random.random() < 0.45 else random.normal(0.0, (reach, 0.6 * reach))
        step = np.clip((times - at) / SACCADE, 0.0, 1.0)
        yaw += step * (there[0] - here[0])
        pitch += step * (there[1] - here[1])
        at, here = at + random.uniform(*FIXATION), there
    layer = np.zeros((n_frames, EXPRESSION_DIMS), np.float32)
    left, right, up, down = (np.clip(v, 0.0, 0.4) for v in (yaw, -yaw, pitch, -pitch))
    _add(layer, ("eyeLookOutLeft", "eyeLookInRight"), left)
    _add(layer, ("eyeLookInLeft", "eyeLookOutRight"), right)
    _add(layer, ("eyeLookUpLeft", "eyeLookUpRight"), up)
    _add(layer, ("eyeLookDownLeft", "eyeLookDownRight"), down)
    return layer


def _add(layer: np.ndarray, names: tuple[str, ...], values: np.ndarray) -> None:
    for name in names:
        layer[:, CHANNEL_INDEX[name]] += values


def _bump(times: np.ndarray, *, rise: float, fall: float) -> np.ndarray:
    """A smooth bump of height 1 at time 0 that rises and falls in so many seconds."""
    share = np.where(times < 0, 1.0 + times / rise, 1.0 - times / fall)
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _blink_shape(times: np.ndarray) -> np.ndarray:
    """Lid closure 0-1 around a blink that is shut at time 0."""
    half = BLINK_SHUT / 2
    closing = np.clip((times + half + BLINK_CLOSING) / BLINK_CLOSING, 0.0, 1.0)
    opening = np.clip((half + BLINK_OPENING - times) / BLINK_OPENING, 0.0, 1.0)
    share = np.minimum(closing, opening)
    return share * share * (3.0 - 2.0 * share)


def _pause_near(at: float, activity: np.ndarray, frame_rate: float) -> float:
    """The least spoken moment within 0.4 s of a time in seconds."""
    first, last = (int(max(0.0, at + d) * frame_rate) for d in (-0.4, 0.4))
    nearby = activity[first : last + 1]
    if len(nearby) == 0 or nearby.max() - nearby.min() < 0.3:
        return at
    return (first + int(np.argmin(nearby))) / frame_rate
