"""Curves that carry no coefficients — captured or made elsewhere — as a performance that a face model can play."""

from __future__ import annotations

import numpy as np

from backend.errors import InputError
from backend.inference.performance import Performance
from bfm.camera import rotation_angles
from bfm.coefficients import ARKIT_CHANNELS, EXPRESSION_CHANNELS
from blender_addon.protocol.types import EMOTIONS, AnimationCurves, channel_subset


def performance_from_curves(curves: AnimationCurves) -> Performance:
    """The performance that shows the curves: their channels as one layer, the head turned from rest, not moved.

    Channels beyond ARKit's are taken where the face model has them by name; names the model lacks are left out.
    Raises InputError where none of the curves is a channel of the model.
    """
    if not set(curves.names) & set(ARKIT_CHANNELS):
        raise InputError("None of these curves is one of ARKit's 52 channels: rename them with --map.")
    weights = channel_subset(curves.names, curves.weights, EXPRESSION_CHANNELS)
    from scipy.spatial.transform import Rotation

    matrices = Rotation.from_quat(curves.head_rotation[:, [1, 2, 3, 0]]).as_matrix()
    return Performance(
        layers={"curves": weights},
        head_rotation=rotation_angles(matrices).astype(np.float32),
        head_translation=np.zeros((curves.n_frames, 3), np.float32),
        frame_rate=curves.frame_rate,
    )


def mixed_from(poses: np.ndarray, weights: np.ndarray, *, sweeps: int = 40, ridge: float = 1e-3) -> np.ndarray:
    """Amounts (n_frames, n_poses) 0-1 of poses (n_poses, n_channels) whose sum is nearest to weights (n_frames, …).

    Bounded least squares by coordinate descent, all frames at once; a little ridge settles poses that look alike.
    """
    poses, weights = np.asarray(poses, np.float64), np.asarray(weights, np.float64)
    gram = poses @ poses.T + ridge * np.eye(len(poses))
    wanted = weights @ poses.T
    amounts = np.zeros_like(wanted)
    for _ in range(sweeps):
        before = amounts.copy()
        for j in range(len(poses)):
            rest = wanted[:, j] - amounts @ gram[:, j] + amounts[:, j] * gram[j, j]
            amounts[:, j] = np.clip(rest / gram[j, j], 0.0, 1.0)
        if np.abs(amounts - before).max(initial=0.0) < 1e-4:
            break
    return amounts.astype(np.float32)


def emotion_amounts(curves: AnimationCurves) -> dict[str, np.ndarray]:
    """How much (n_frames,) 0-1 of each emotion's face the emotion layer holds; nothing where there is no such layer."""
    if "emotion" not in curves.layers:
        return {}
    from backend.curves.convert import arkit_weights
    from bfm.facs import emotion_weights

    faces = arkit_weights(np.stack([emotion_weights(emotion) for emotion in EMOTIONS]), clip=False)
    amounts = mixed_from(faces, channel_subset(curves.names, curves.layers["emotion"], ARKIT_CHANNELS))
    return {emotion: amounts[:, i] for i, emotion in enumerate(EMOTIONS)}
