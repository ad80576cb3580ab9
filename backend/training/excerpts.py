"""Excerpts for EmoSpeaker: what its trainer needs of a talking face, and how the synthesised corpus gives it.

A trainer sees nothing but an Excerpt, so that real clips can take the corpus's place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD
from bfm.facs import au_weights
from blender_addon.protocol.types import EMOTIONS

from ..audio.articulation import to_channels
from ..audio.frame_features import frame_features
from ..inference.head_style import head_style
from ..models.emospeaker import POSE_UNIT, EmoSpeakerConfig
from .corpus import NEUTRAL
from .emotion_teacher import STATE_DIMS, apex_states, felt_states
from .head_teacher import head_pose
from .talking_clips import TalkingShard

# EmoSpeaker's Table I.
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
EPISODE = 20  # frames: an emotion starts, ends or goes on at multiples of this
LEVELS = 3
OWN_EMOTION_SHARE = 0.5  # excerpts whose face shows the emotion of the voice; the others show any
STRONGEST_START = 1.3  # times the apex that an excerpt may start from
BROWS_ON_ACCENTS, BLINKS_PER_FRAME = 0.25, 0.012
NOD_ROWS, NOD_PEAK = (-10, 18), -2  # rows of 20 ms around an accent: the head is lowest just before it
POSTURE_SMOOTHING = 0.35  # seconds, standard deviation
_RATE, _ROWS = 25.0, 2  # frames per second and expression rows per frame of the corpus


@dataclass(frozen=True)
class Excerpt:
    """Some T frames of a talking face; changes are from the person's own face and rest, sd, radians and decimetres.

    features (T, n_features); units (T, 17) intensities 0-1 of ACTION_UNITS; expression (T * rows + 1, 64) of speech,
    state (T + 1, 224) of emotion and pose (T + 1, 6) in units of POSE_UNIT, the first row before the first frame;
    style (T, n_style); emotion (T, 7), zeros where neutral; intensity (T,) 0-1, the level as a share of 3.
    """

    features: np.ndarray
    units: np.ndarray
    expression: np.ndarray
    state: np.ndarray
    pose: np.ndarray
    style: np.ndarray
    emotion: np.ndarray
    intensity: np.ndarray


def stacked(excerpts: list[Excerpt]) -> Excerpt:
    """Excerpts of one length side by side along a new first axis."""
    return Excerpt(*(np.stack([getattr(e, field.name) for e in excerpts]) for field in fields(Excerpt)))


def unit_intensities(weights: np.ndarray) -> np.ndarray:
    """Intensities (n, 17) 0-1 of ACTION_UNITS in channel weights (n, 64): least squares, then clipped."""
    basis = np.stack([au_weights({unit: 1.0}) for unit in ACTION_UNITS]).astype(np.float64)
    solver = np.linalg.solve(basis @ basis.T + 0.02 * np.eye(len(basis)), basis)
    return np.clip(weights @ solver.T, 0.0, 1.0).astype(np.float32)


class SynthesisedFaces:
    """Draws excerpts of the prepared corpus, with faces and heads that the teachers move."""

    def __init__(self, shards: list[TalkingShard], config: EmoSpeakerConfig, n_frames: int) -> None:
        assert config.frame_rate == _RATE and config.expressions_per_frame == _ROWS
        self.shards, self.n_frames = shards, n_frames
        lengths = np.array([shard.n_frames for shard in shards], float)
        self.shares = lengths / lengths.sum()

    def draw(self, rng: np.random.Generator) -> Excerpt:
        """One excerpt of n_frames frames."""
        shard = self.shards[int(rng.choice(len(self.shards), p=self.shares))]
        first = int(rng.integers(1, shard.n_frames - self.n_frames))
        emotion, level = _episodes(shard.mood[_ROWS * (first + self.n_frames // 2)], self.n_frames, rng)
        lips = _lips(shard, first, self.n_frames)
        rows = slice(_ROWS * (first - 1), _ROWS * (first + self.n_frames), _ROWS)
        effort, speaking = (shard_part[rows].astype(np.float32) for shard_part in (shard.effort, shard.speaking))
        start = _start_state(emotion[0], level[0], rng)
        state = np.concatenate([start[None], felt_states(emotion, level, effort[1:], start, frame_rate=_RATE)])
        style = head_style(rng, np.arange(-1, self.n_frames) / _RATE)
        nods = _nods(shard, first, self.n_frames)
        pose = _pose(style, nods, speaking, emotion, level)
        displacement = state[1:, -len(CHANNEL_INDEX) :] / FULL_ACTIVATION_SD
        face = np.clip(lips[_ROWS::_ROWS] + displacement, 0.0, 1.0)
        return Excerpt(
            features=frame_features(
                shard.mfcc, shard.speech, frame_rate=_RATE, per_frame=_ROWS, start=first, end=first + self.n_frames
            ),
            units=unit_intensities(_enlivened(face, nods[1:], rng)),
            expression=lips[_ROWS - 1 :] * np.float32(FULL_ACTIVATION_SD),
            state=state,
            pose=pose / np.float32(POSE_UNIT),
            style=style[1:],
            emotion=emotion,
            intensity=(level / LEVELS).astype(np.float32),
        )


def _episodes(mood: np.ndarray, n_frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Emotion (n_frames, 7) and level (n_frames,): the mood, or any, in some episodes and neutral in the others."""
    label, level = int(mood[0]), int(mood[1])
    if label == NEUTRAL or rng.random() >= OWN_EMOTION_SHARE:
        label, level = int(rng.integers(len(EMOTIONS))), int(rng.integers(1, LEVELS + 1))
    n_episodes = -(-n_frames // EPISODE)
    felt = np.repeat(rng.random(n_episodes) < 0.75, EPISODE)[:n_frames]
    emotion = np.zeros((n_frames, len(EMOTIONS)), np.float32)
    emotion[felt, label] = 1.0
    return emotion, np.where(felt, level, 0).astype(np.float32)


def _start_state(emotion: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """A state (224,) to start from: neutral, near the apex of the emotion, or on the way from another."""
    label = int(rng.integers(len(EMOTIONS)))
    if emotion.any() and rng.random() < 0.6:
        label = int(emotion.argmax())
    strength = 0.0 if rng.random() < 0.3 else rng.uniform(0.0, STRONGEST_START)
    return (strength * apex_states()[label]).reshape(STATE_DIMS)


def _lips(shard: TalkingShard, first: int, n_frames: int) -> np.ndarray:
    """Channel weights (2 * (n_frames + 1), 64) of speech from the frame before first on."""
    return to_channels(shard.lips[_ROWS * (first - 1) : _ROWS * (first + n_frames)].astype(np.float32))


def _nods(shard: TalkingShard, first: int, n_frames: int) -> np.ndarray:
    """How far accents bring the head down (n_frames + 1,), 0-1, from the frame before first on."""
    since = np.arange(*NOD_ROWS)  # rows since the accent
    share = np.where(since < NOD_PEAK, (since - NOD_ROWS[0]) / (NOD_PEAK - NOD_ROWS[0]), 0.0)
    share = np.where(since >= NOD_PEAK, (NOD_ROWS[1] - since) / (NOD_ROWS[1] - NOD_PEAK), share)
    moments = _ROWS * np.arange(first - 1, first + n_frames)
    rows = (moments[:, None] - since).clip(0, len(shard.accents) - 1)
    return (shard.accents[rows].astype(np.float32) * share * share * (3.0 - 2.0 * share)).max(1)


def _pose(
    style: np.ndarray, nods: np.ndarray, speaking: np.ndarray, emotion: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Poses (n_frames + 1, 6) of the teacher, the emotion as slow as a head takes a posture."""
    from scipy.ndimage import gaussian_filter1d

    felt = np.concatenate([emotion[:1], emotion]) * (np.concatenate([level[:1], level]) / LEVELS)[:, None]
    slow = gaussian_filter1d(felt, POSTURE_SMOOTHING * _RATE, axis=0, mode="nearest")
    speech = gaussian_filter1d(speaking, 0.2 * _RATE, mode="nearest")
    return head_pose(style[:, :3], nods, speech, slow, np.ones(len(slow), np.float32))


def _enlivened(face: np.ndarray, nods: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Channel weights (n, 64) with brows on accents and blinks, as the action units of a real face have them."""
    lively = face.copy()
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        lively[:, CHANNEL_INDEX[name]] += BROWS_ON_ACCENTS * nods
    blinking = np.convolve(rng.random(len(face)) < BLINKS_PER_FRAME, (0.4, 1.0, 0.7, 0.3), "same")
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        lively[:, CHANNEL_INDEX[name]] += blinking
    return np.clip(lively, 0.0, 1.0)
