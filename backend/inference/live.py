"""A face that speaks along with a microphone: streamed lips, keyframed emotion as action units, blinks and gaze."""

from __future__ import annotations

import numpy as np

from bfm.coefficients import ARKIT_CHANNELS
from bfm.facs import emotion_weights
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EMOTIONS, AnimationCurves, EmotionTrack, rest_rotations

from .emotion import giving_way
from .liveliness import blink_layer, gaze_layer
from .streaming import StreamedFrames, StreamingArticulator

CYCLE = 120.0  # seconds of blinks and gaze that are made ahead and repeat


class LiveFace:
    """push() takes samples as they come and returns the curves of the frames that are ready, 0.15 s behind them.

    Emotion is the action units of its labels (EmoSpeaker's Table II), since EmoNet's windows trail the sound.
    """

    def __init__(self, emotion: EmotionTrack, *, options: ShotOptions, sample_rate: int = 16000) -> None:
        self._lips = StreamingArticulator(options.frame_rate, sample_rate=sample_rate)
        self._emotion, self._options = emotion, options
        self._apex = np.stack([emotion_weights(label) for label in EMOTIONS])
        n_frames = round(CYCLE * options.frame_rate)
        still, calm = np.zeros(n_frames), np.zeros((n_frames, len(EMOTIONS)))
        rate = options.frame_rate
        self._alive = options.strength("blinks") * blink_layer(
            still, calm, frame_rate=rate, seed=options.seed_of("blinks")
        ) + options.strength("gaze") * gaze_layer(still, frame_rate=rate, seed=options.seed_of("gaze"))

    @property
    def look_ahead(self) -> float:
        """Seconds by which the frames follow the sound."""
        return self._lips.look_ahead

    def push(self, samples: np.ndarray) -> AnimationCurves:
        """Curves of the frames that samples (n_samples,) complete, perhaps none."""
        return self._curves(self._lips.push(samples))

    def finish(self) -> AnimationCurves:
        """Curves of the frames that remain."""
        return self._curves(self._lips.finish())

    def _curves(self, frames: StreamedFrames) -> AnimationCurves:
        from ..curves.convert import arkit_weights, eye_rotations

        options, n_frames = self._options, len(frames.weights)
        lips = options.strength("lips") * frames.weights
        felt = self._emotion.sample(options.frame_rate, frames.first + n_frames)[frames.first :]
        felt = options.strength("emotion") * giving_way(felt @ self._apex, lips, frames.activity)
        alive = self._alive[(frames.first + np.arange(n_frames)) % len(self._alive)]
        weights = arkit_weights(np.clip(lips + felt + alive, 0.0, 1.0))
        left, right = eye_rotations(weights)
        rest = rest_rotations(n_frames)
        return AnimationCurves(
            names=ARKIT_CHANNELS,
            weights=weights,
            frame_rate=options.frame_rate,
            head_rotation=rest,
            left_eye=left,
            right_eye=right,
        )
