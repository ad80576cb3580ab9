"""The performance of one face for another: its expression, and how its head moved from rest, not where it was."""

from __future__ import annotations

import numpy as np

from backend.inference.performance import Performance
from bfm.camera import rotation_angles, turn_about
from bfm.coefficients import FaceCoefficients
from blender_addon.protocol.types import AnimationCurves

SAME_FACE = 1e-2  # standard deviations; stored numbers are rounded finer


def belongs_to(coefficients: FaceCoefficients, identity: np.ndarray) -> bool:
    """Whether coefficients were made on the face of this identity (80,)."""
    return bool(np.abs(coefficients.identity - identity).max() <= SAME_FACE)


def recast(coefficients: FaceCoefficients, curves: AnimationCurves) -> Performance:
    """What the face of the coefficients does, for another face; the curves say how its head is turned from rest."""
    from scipy.spatial.transform import Rotation

    from bfm.sources.embedded import load_embedded_model

    turned = rotation_angles(Rotation.from_quat(curves.head_rotation[:, [1, 2, 3, 0]]).as_matrix())
    rest = coefficients.rotation - turned
    moved = coefficients.translation - turn_about(load_embedded_model().pivot, rest, coefficients.rotation)
    return Performance(
        layers={"curves": coefficients.weights},
        head_rotation=turned.astype(np.float32),
        head_translation=(moved - np.median(moved, axis=0)).astype(np.float32),
        frame_rate=coefficients.frame_rate,
        identity_change=coefficients.identity_change,
        texture_change=coefficients.texture_change,
    )
