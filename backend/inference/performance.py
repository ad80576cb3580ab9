"""The whole face's performance as layers: lips (ExpNet), emotion (EmoNet), brows, blinks, gaze, and head (PoseNet)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.inference.emospeaker import CoefficientNetworks, resampled, shipped_networks
from backend.inference.emotion import emotion_layer, felt_emotion, giving_way
from backend.inference.fine_grained import emotional_states
from backend.inference.head import head_motion
from backend.inference.liveliness import blink_layer, brow_layer, gaze_layer
from backend.inference.memory import NO_MEMORY, Memory
from backend.inference.speech import Articulation
from backend.inference.threads import one_thread
from bfm.coefficients import FULL_ACTIVATION_SD, IDENTITY_DIMS, TEXTURE_DIMS
from blender_addon.protocol.options import ShotOptions

JOINT_SMOOTHING = 0.06  # seconds, standard deviation: EmoNet's windows join without a corner


@dataclass(frozen=True)
class Performance:
    """Layers of channel weights (n_frames, 64) by name, and the head's motion relative to rest.

    head_rotation (n_frames, 3): radians about x, y, z. head_translation (n_frames, 3): decimetres.
    identity_change, texture_change (n_frames, 80): how emotion changes shape and skin, sd; None where it does not.
    """

    layers: Mapping[str, np.ndarray]
    head_rotation: np.ndarray
    head_translation: np.ndarray
    frame_rate: float
    identity_change: np.ndarray | None = None
    texture_change: np.ndarray | None = None

    @property
    def weights(self) -> np.ndarray:
        """The layers' sum (n_frames, 64), clipped to 0-1."""
        return np.clip(np.sum(list(self.layers.values()), axis=0), 0.0, 1.0).astype(np.float32)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.head_rotation)


@one_thread()
def perform(
    articulation: Articulation,
    emotion: np.ndarray,
    *,
    options: ShotOptions,
    displacement: np.ndarray | None = None,
    networks: CoefficientNetworks | None = None,
    memory: Memory = NO_MEMORY,
) -> Performance:
    """Builds the layers from the speech and the emotion weights (n_frames, 7), each with its strength; seeded.

    displacement (n_frames, 64): what an emotion video adds beside the weights' own emotion. networks: EmoSpeaker's, the
    shipped ones if not given; the articulation's content must be theirs. memory: where what they felt is kept.
    """
    assert articulation.content is not None, "the articulation has no content: make it with FaceSpeaker"
    networks = networks or shipped_networks()
    rate, activity, seed_of = options.frame_rate, articulation.activity, options.seed_of
    lips = articulation.weights * options.strength("lips")
    content = articulation.content
    states = memory.recall(
        lambda: _emotional_states(networks, content, emotion, rate), "states", content, emotion, rate
    )
    moved = states[:, IDENTITY_DIMS + TEXTURE_DIMS :] / FULL_ACTIVATION_SD
    felt = emotion_layer(moved, lips, activity=activity, frame_rate=rate, seed=seed_of("emotion"))
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
    rotation, translation = head_motion(networks, content, emotion, frame_rate=rate, seed=seed_of("head"))
    strength = 0.0 if options.pose == "still" else options.strength("head")
    layers = {name: np.ascontiguousarray(layer, np.float32) for name, layer in layers.items()}
    shape, skin = np.split(states[:, : IDENTITY_DIMS + TEXTURE_DIMS] * options.strength("emotion"), [IDENTITY_DIMS], 1)
    changes = (shape, skin) if emotion.any() else (None, None)
    return Performance(layers, rotation * strength, translation * strength, rate, *changes)


def _emotional_states(
    networks: CoefficientNetworks, content: np.ndarray, emotion: np.ndarray, frame_rate: float
) -> np.ndarray:
    """EmoNet's changes (n_frames, 224) sd at frame_rate for emotion weights (n_frames, 7), without corners."""
    from scipy.ndimage import gaussian_filter1d

    felt = felt_emotion(emotion, frame_rate)
    states = emotional_states(networks, content, resampled(felt, frame_rate, networks.frame_rate, len(content)))
    states = gaussian_filter1d(states, JOINT_SMOOTHING * networks.frame_rate, axis=0, mode="nearest")
    return resampled(states, networks.frame_rate, frame_rate, len(emotion))
