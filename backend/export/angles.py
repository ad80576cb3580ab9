"""Head and eye rotations in other programs' terms: axes, signs, order and unit, stated once per format.

The curves' own quaternions are right-handed: +X the character's left, +Y up, +Z out of the face. So pitch > 0 looks
down, yaw > 0 turns to the character's left, roll > 0 tilts the crown to the character's right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EulerConvention:
    """How a format writes a rotation as angles.

    order: intrinsic axes, first to last as scipy's upper-case sequences. signs: (pitch, yaw, roll) of the format for
    a turn about our +X, +Y, +Z. degrees: False writes radians.
    """

    order: str
    signs: tuple[float, float, float]
    degrees: bool = False

    def angles(self, quaternions: np.ndarray) -> np.ndarray:
        """(n, 3) pitch, yaw, roll of quaternions (n, 4) w x y z."""
        from scipy.spatial.transform import Rotation

        if len(quaternions) == 0:
            return np.zeros((0, 3))
        theirs = np.asarray(quaternions, np.float64)[:, [1, 2, 3, 0]] * [*self._basis_signs(), 1.0]
        found = Rotation.from_quat(theirs).as_euler(self.order, degrees=self.degrees)
        return found[:, [self.order.index(axis) for axis in "XYZ"]] + 0.0

    def quaternions(self, angles: np.ndarray) -> np.ndarray:
        """The reverse: quaternions (n, 4) w x y z of pitch, yaw, roll (n, 3)."""
        from scipy.spatial.transform import Rotation

        if len(angles) == 0:
            return np.zeros((0, 4))
        ordered = np.asarray(angles, np.float64)[:, ["XYZ".index(axis) for axis in self.order]]
        theirs = Rotation.from_euler(self.order, ordered, degrees=self.degrees).as_quat()
        return (theirs * [*self._basis_signs(), 1.0])[:, [3, 0, 1, 2]]

    def _basis_signs(self) -> tuple[float, float, float]:
        # An even number of flipped axes is a change of basis; only such sets keep a rotation a rotation.
        assert np.prod(self.signs) > 0
        return self.signs


# Apple's face anchor has our axes, and Unreal's FRotator (yaw, then pitch, then roll) of it comes out with our signs
# once Epic's plug-in has negated yaw and roll.
LIVE_LINK = EulerConvention("YXZ", (1.0, 1.0, 1.0))
LIVE_LINK_DEGREES = EulerConvention("YXZ", (1.0, 1.0, 1.0), degrees=True)
# OpenFace's camera axes: x right in the picture, y down, z away from the camera; R = Rx Ry Rz.
OPENFACE = EulerConvention("XYZ", (1.0, -1.0, -1.0))


def to_xyzw(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) x y z w of w x y z, as glTF, USD, Godot and VRM write them, their axes being ours."""
    return np.ascontiguousarray(continuous(quaternions)[:, [1, 2, 3, 0]], np.float32)


def to_unity(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) x y z w for Unity: left-handed, +X the character's right, +Y up, +Z out of the face."""
    return to_xyzw(quaternions) * np.array([1.0, -1.0, -1.0, 1.0], np.float32)


def from_xyzw(quaternions: np.ndarray) -> np.ndarray:
    """The reverse of to_xyzw."""
    return np.asarray(quaternions, np.float32).reshape(-1, 4)[:, [3, 0, 1, 2]]


def from_unity(quaternions: np.ndarray) -> np.ndarray:
    """The reverse of to_unity."""
    return from_xyzw(np.asarray(quaternions, np.float32) * np.array([1.0, -1.0, -1.0, 1.0], np.float32))


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """The same rotations (n, 4) with signs chosen so that neighbours are near, for linear interpolation."""
    if len(quaternions) == 0:
        return np.asarray(quaternions, np.float32)
    steps = np.sign(np.einsum("ij,ij->i", quaternions[1:], quaternions[:-1]))
    signs = np.concatenate([[1.0], np.cumprod(np.where(steps == 0, 1.0, steps))])
    return (quaternions * signs[:, None]).astype(np.float32)
