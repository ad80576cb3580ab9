"""How a speaker's head moves, made from rules: what PoseNet learns from.

A slow drift that grows with speech, nods of two to three degrees on stressed syllables (Graf et al. 2002), and an
emotion's posture and liveliness. The drift follows slow seeded oscillations that PoseNet is given as its style.
"""

from __future__ import annotations

import numpy as np

from blender_addon.protocol.types import EMOTIONS

# Head rotation at full intensity, degrees about x (down), y (to the character's left), z (tilt to its right).
HEAD_POSTURE = {
    "angry": (3.5, 0.0, 0.0),
    "contempt": (-3.0, 3.0, 2.0),
    "disgusted": (-1.5, -4.0, 1.5),
    "fear": (-1.0, 2.0, -1.0),
    "happy": (-1.5, 0.0, 2.5),
    "sad": (5.0, -1.5, 2.5),
    "surprised": (-3.0, 0.0, 0.0),
}
# Head translation out of the face at full intensity, decimetres: anger comes closer, fear and surprise recoil.
HEAD_APPROACH = {"angry": 0.06, "contempt": -0.03, "disgusted": -0.06, "fear": -0.08, "surprised": -0.05}
# Drift and nods at full intensity against neutral.
LIVELINESS = {
    "angry": (1.1, 1.5), "contempt": (0.7, 0.7), "disgusted": (0.8, 0.8), "fear": (1.3, 0.7), "happy": (1.3, 1.3),
    "sad": (0.6, 0.5), "surprised": (1.0, 1.1),
}  # fmt: skip
DRIFT = (1.5, 2.4, 1.2)  # degrees of one standard deviation of the style, per axis
NOD = 2.2  # degrees of a strong accent


def head_pose(
    style: np.ndarray, nods: np.ndarray, speaking: np.ndarray, emotion: np.ndarray, intensity: np.ndarray
) -> np.ndarray:
    """Rotation, radians, and translation, decimetres, side by side (n_frames, 6), relative to rest.

    style (n_frames, 3) drift of each axis; nods (n_frames,) 0-1, where accents are; speaking (n_frames,) 0-1;
    emotion (n_frames, 7) and intensity (n_frames,) 0-1, both already as smooth as a head moves.
    """
    felt = emotion * intensity[:, None]
    lively = np.array([LIVELINESS[label] for label in EMOTIONS])
    drift, nodding = (1.0 + felt @ (lively - 1.0)).T
    degrees = style * np.array(DRIFT) * (drift * (0.45 + 0.55 * speaking))[:, None]
    degrees[:, 0] += NOD * nodding * nods
    degrees += felt @ np.array([HEAD_POSTURE[label] for label in EMOTIONS])
    out = np.zeros((len(style), 6), np.float32)
    out[:, :3] = np.radians(degrees)
    out[:, 5] = felt @ np.array([HEAD_APPROACH.get(label, 0.0) for label in EMOTIONS])
    return out
