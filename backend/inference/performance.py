"""The whole face's performance: lips from speech, emotion, brows on accents, blinks, gaze and head, as layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.inference.emotion import emotion_layer, giving_way
from backend.inference.liveliness import blink_layer, brow_layer, gaze_layer, head_motion
from backend.inference.speech import Articulation
from blender_addon.protocol.options import ShotOptions


@dataclass(frozen=True)
class Performance:
    """Layers of channel weights (n_frames, 64) by name, and the head's motion relative to rest.

    head_rotation (n_frames, 3): radians about x, y, z. head_translation (n_frames, 3): decimetres.
    """

    layers: Mapping[str, np.ndarray]
    head_rotation: np.ndarray
    head_translation: np.ndarray
    frame_rate: float

    @property
    def weights(self) -> np.ndarray:
        """The layers' sum (n_frames, 64), clipped to 0-1."""
        return np.clip(np.sum(list(self.layers.values()), axis=0), 0.0, 1.0).astype(np.float32)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.head_rotation)


def perform(
    articulation: Articulation, emotion: np.ndarray, *, options: ShotOptions, displacement: np.ndarray | None = None
) -> Performance:
    """Builds the layers from the speech and the emotion weights (n_frames, 7), each with its strength; seeded.

    displacement (n_frames, 64): what an emotion video adds beside the weights' own emotion.
    """
    rate, activity, seed_of = options.frame_rate, articulation.activity, options.seed_of
    lips = articulation.weights * options.strength("lips")
    felt = emotion_layer(emotion, lips, activity=activity, frame_rate=rate, seed=seed_of("emotion"))
    if displacement is not None:
        felt = felt + giving_way(displacement, lips, activity)
    layers = {
        "lips": lips,
        "emotion": options.strength("emotion") * felt,
        "brows": options.strength("brows")
        * brow_layer(articulation.accents, emotion, frame_rate=rate, seed=seed_of("brows")),
        "blinks": options.strength("blinks") * blink_layer(activity, emotion, frame_rate=rate, seed=seed_of("blinks")),
        "gaze": options.strength("gaze") * gaze_layer(activity, frame_rate=rate, seed=seed_of("gaze")),
    }
    rotation, translation = head_motion(activity, articulation.accents, emotion, frame_rate=rate, seed=seed_of("head"))
    strength = 0.0 if options.pose == "still" else options.strength("head")
    layers = {name: np.ascontiguousarray(layer, np.float32) for name, layer in layers.items()}
    return Performance(layers, rotation * strength, translation * strength, rate)
