"""The coefficients of a 3D morphable face model over time, and the names of their columns.

Packed order follows Deep3DFaceRecon: identity 80, expression 64, texture 80, rotation 3, lighting 27, translation 3.
Angles are radians about x (pitch), y (yaw), z (roll) as in bfm/camera.py; translation is in decimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

IDENTITY_DIMS = 80
TEXTURE_DIMS = 80
EXPRESSION_DIMS = 64
LIGHTING_DIMS = 27

# The order of Apple's ARKit enumeration (and of Live Link Face's UDP packet).
ARKIT_CHANNELS = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

# What ARKit cannot say: AU23, AU25, the tongue, labiodentals, AU4's medial part, AU38, one-sided brows, AD35, AU21.
EXTRA_CHANNELS = (
    "lipTighten", "lipsPart", "tongueUp", "tongueToTeeth", "tongueBack", "lowerLipToTeeth", "browFurrow",
    "nostrilFlare", "browInnerUpLeft", "browInnerUpRight", "cheekSuck", "neckTighten",
)  # fmt: skip

EXPRESSION_CHANNELS = ARKIT_CHANNELS + EXTRA_CHANNELS
CHANNEL_INDEX = {name: index for index, name in enumerate(EXPRESSION_CHANNELS)}

# On models whose expression basis carries the named channels, a full activation (weight 1) is this many
# standard deviations: expression coefficient = weight * FULL_ACTIVATION_SD.
FULL_ACTIVATION_SD = 3.0


@dataclass(frozen=True)
class FaceCoefficients:
    """One face over time as coefficients of a named face model.

    identity (80,), texture (80,): standard deviations, constant over the shot.
    expression (n_frames, 64): standard deviations. rotation (n_frames, 3): radians, absolute in the camera's frame.
    translation (n_frames, 3): decimetres. lighting (27,): spherical harmonics, 9 per channel of RGB.
    identity_change, texture_change (n_frames, 80) or None: the emotional change per frame, where a model predicts one.
    model: name of the face model the numbers belong to.
    Raises ValueError where shapes disagree or values are not finite.
    """

    identity: np.ndarray
    texture: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    lighting: np.ndarray
    frame_rate: float
    model: str = "embedded"
    identity_change: np.ndarray | None = field(default=None)
    texture_change: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        n_frames = len(np.asarray(self.expression))
        shapes = {
            "identity": (IDENTITY_DIMS,),
            "texture": (TEXTURE_DIMS,),
            "expression": (n_frames, EXPRESSION_DIMS),
            "rotation": (n_frames, 3),
            "translation": (n_frames, 3),
            "lighting": (LIGHTING_DIMS,),
            "identity_change": (n_frames, IDENTITY_DIMS),
            "texture_change": (n_frames, TEXTURE_DIMS),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None and name.endswith("_change"):
                continue
            array = np.ascontiguousarray(value, dtype=np.float32)
            if array.shape != shape:
                raise ValueError(f"face coefficients: {name} should have shape {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"face coefficients: {name} holds values that are not finite")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if not self.frame_rate > 0:
            raise ValueError(f"face coefficients: frame rate should be above 0, got {self.frame_rate}")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.expression)

    @property
    def weights(self) -> np.ndarray:
        """Channel weights (n_frames, 64): 0 at rest, 1 at full activation, named by EXPRESSION_CHANNELS."""
        return self.expression / np.float32(FULL_ACTIVATION_SD)

    def with_weights(self, weights: np.ndarray) -> FaceCoefficients:
        """The same face with channel weights (n_frames, 64) in place of the expression."""
        return replace(self, expression=np.asarray(weights, np.float32) * np.float32(FULL_ACTIVATION_SD))
