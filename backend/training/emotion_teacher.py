"""The face and head of a feeling speaker, made from rules: what EmoNet and PoseNet learn from.

An emotion at its apex is a set of FACS action units, EmoSpeaker's Table II (bfm/facs.py) with supporting units at
lower intensity, so that it reads at a glance while the mouth is busy speaking. A face approaches the apex of its level
exponentially, 90 % in about half a second (posed onsets take 0.3-0.7 s, Schmidt et al. 2006), sways with the
loudness of what is said, and leaves it the same way. Skin and shape change with it a little.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS, FULL_ACTIVATION_SD, IDENTITY_DIMS, TEXTURE_DIMS
from bfm.facs import au_weights, emotion_weights
from blender_addon.protocol.types import EMOTIONS

STATE_DIMS = IDENTITY_DIMS + TEXTURE_DIMS + EXPRESSION_DIMS
APPROACH = 0.24  # seconds, time constant towards the apex
# Share of the apex at MEAD's levels 1-3. A window as short as two frames doubles what EmoNet learns at five.
LEVEL_SHARES = (0.20, 0.40, 0.60)
SWAY = 0.18  # share of the intensity that loud, stressed speech adds to quiet speech
# Beside an emotion's own action units (bfm/facs.py): units that support its prototype in FACS, with intensity (0-1).
SUPPORTING_UNITS: Mapping[str, Mapping[int, float]] = MappingProxyType(
    {
        "angry": {9: 0.35, 15: 0.2, 17: 0.25, 24: 0.4},
        "disgusted": {4: 0.3, 6: 0.3, 7: 0.45, 9: 0.1, 10: 0.25, 15: 0.2},
        "fear": {5: 0.1, 20: 0.2, 21: 0.4},
        "happy": {2: 0.12, 7: 0.15},
        "sad": {7: 0.2, 15: 0.15, 17: 0.35},
        "surprised": {25: 0.2},
    }
)
CONTEMPT_SIDE = "left"  # contempt is one-sided in life
# Channel weights that no symmetric unit says: contempt's smirk and its other half, sadness's heavy lids and low gaze.
FURTHER_CHANNELS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "contempt": {
            "mouthSmileLeft": 0.65, "mouthLeft": 0.2, "mouthUpperUpLeft": 0.25, "cheekSquintLeft": 0.45,
            "browOuterUpLeft": 0.5, "browDownRight": 0.35, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.4,
            "mouthPressRight": 0.25, "eyeBlinkLeft": 0.1, "eyeBlinkRight": 0.1,
        },
        "sad": {
            "eyeBlinkLeft": 0.18, "eyeBlinkRight": 0.18, "eyeLookDownLeft": 0.2, "eyeLookDownRight": 0.2,
        },
    }
)  # fmt: skip
SHAPE_SHARE = 0.12  # of the apex's displacement of the landmarks that the identity takes over
SHAPE_LIMIT, COLOUR_LIMIT = 0.35, 0.6  # standard deviations
# Change of the albedo (linear RGB) in the cheeks and nose, and around the eyes: flush, pallor and sickly green.
SKIN = {
    "angry": ((0.050, -0.010, -0.012), (0.020, -0.004, -0.004)),
    "contempt": ((0.008, 0.000, -0.004), (0.0, 0.0, 0.0)),
    "disgusted": ((-0.022, 0.006, -0.012), (-0.010, 0.004, -0.006)),
    "fear": ((-0.010, 0.012, 0.016), (-0.014, -0.006, 0.000)),
    "happy": ((0.030, -0.004, -0.004), (0.008, 0.002, 0.0)),
    "sad": ((-0.006, 0.004, 0.008), (0.022, -0.010, -0.008)),
    "surprised": ((0.010, 0.008, 0.008), (0.010, 0.010, 0.010)),
}  # fmt: skip
_CHEEKS_AND_NOSE, _EYES = (50, 280, 205, 425, 1), (159, 386, 145, 374)  # landmarks
_SKIN_REACH = 0.25  # decimetres


def apex_weights() -> np.ndarray:
    """Channel weights (7, 64) of each emotion at full intensity, in the order of EMOTIONS."""
    rows = []
    for label in EMOTIONS:
        side = CONTEMPT_SIDE if label == "contempt" else "both"
        rows.append(emotion_weights(label, side=side) + au_weights(SUPPORTING_UNITS.get(label, {})))
    apex = np.stack(rows)
    for label, channels in FURTHER_CHANNELS.items():
        for name, weight in channels.items():
            apex[EMOTIONS.index(label), CHANNEL_INDEX[name]] = weight
    return np.clip(apex, 0.0, 1.0).astype(np.float32)


@lru_cache(maxsize=1)
def apex_states() -> np.ndarray:
    """The state (7, 224) of each emotion at full intensity: changes of identity and texture, displacement; sd."""
    weights = apex_weights()
    return np.concatenate([_shape_changes(weights), _colour_changes(), weights * FULL_ACTIVATION_SD], axis=1)


def _shape_changes(weights: np.ndarray) -> np.ndarray:
    """Identity (7, 80) sd that moves the landmarks towards a share of what the apex (7, 64) does."""
    from bfm.sources.embedded import load_embedded_model

    model = load_embedded_model()
    wanted = SHAPE_SHARE * np.tensordot(weights * FULL_ACTIVATION_SD, model.landmark_expression, 1)
    basis = model.landmark_identity.reshape(IDENTITY_DIMS, -1).astype(np.float64)
    return _limited(_ridge(basis, wanted.reshape(len(weights), -1)), SHAPE_LIMIT)


def _colour_changes() -> np.ndarray:
    """Texture (7, 80) sd whose albedo comes nearest to the change of skin that SKIN asks for."""
    from bfm.sources.embedded import load_embedded_model

    model = load_embedded_model()

    def around(landmarks: tuple[int, ...]) -> np.ndarray:
        away = np.linalg.norm(model.mean[:, None] - model.landmark_mean[list(landmarks)], axis=2).min(1)
        return np.exp(-0.5 * (away / _SKIN_REACH) ** 2)[:, None]

    cheeks, eyes = around(_CHEEKS_AND_NOSE), around(_EYES)
    wanted = np.stack([cheeks * np.array(SKIN[label][0]) + eyes * np.array(SKIN[label][1]) for label in EMOTIONS])
    basis = model.texture_basis.reshape(TEXTURE_DIMS, -1).astype(np.float64)
    return _limited(_ridge(basis, wanted.reshape(len(EMOTIONS), -1)), COLOUR_LIMIT)


def _ridge(basis: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Coefficients (n, k) of a basis (k, d) that come near to rows wanted (n, d) without growing large."""
    gram = basis @ basis.T
    return np.linalg.solve(gram + 0.02 * np.trace(gram) / len(gram) * np.eye(len(gram)), basis @ wanted.T).T


def _limited(rows: np.ndarray, limit: float) -> np.ndarray:
    """Rows scaled down where their largest value exceeds a limit."""
    largest = np.abs(rows).max(1, keepdims=True)
    return (rows * np.minimum(1.0, limit / np.maximum(largest, 1e-9))).astype(np.float32)


def felt_states(
    emotion: np.ndarray, level: np.ndarray, effort: np.ndarray, start: np.ndarray, *, frame_rate: float
) -> np.ndarray:
    """States (n_frames, 224) sd of a face that starts in a state (224,) and feels emotion (n_frames, 7) at level
    (n_frames,) 0-3 while it speaks with an effort (n_frames,), 0 quiet to 1 loud and stressed."""
    shares = np.interp(level, (0, 1, 2, 3), (0.0, *LEVEL_SHARES))
    apex = (shares * (1.0 + SWAY * (effort - 0.5)))[:, None] * (emotion @ apex_states())
    retained = np.exp(-1.0 / (APPROACH * frame_rate))
    states = np.empty((len(emotion), STATE_DIMS), np.float32)
    now = start
    for index, goal in enumerate(apex):
        now = retained * now + (1.0 - retained) * goal
        states[index] = now
    return states
