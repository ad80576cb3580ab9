"""From coefficients to where the photo's landmarks go: the motion of the model relative to how it fits the photo.

target(t) = photo landmark + project(model(expression t), pose t) − project(model(photo's expression), photo's pose):
at rest the photo is untouched, and an open or smiling mouth closes because its own expression is taken away first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.portrait.analysis import Portrait
from backend.portrait.plate import Plate
from bfm.camera import CAMERA_DISTANCE, project, rotation_matrix
from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD
from bfm.sources.embedded import load_embedded_model

POSE_LIMITS = np.radians([11.0, 12.0, 12.0]).astype(np.float32)  # pitch, yaw, roll away from the photo's pose
HIDING_YAW = np.radians(30.0)  # a photo turned this far has hardly any of its hidden side left to show
TRANSLATION_LIMIT = 0.6  # dm
# Lids are drawn, not stretched: these channels move no mesh.
LID_CHANNELS = tuple(
    CHANNEL_INDEX[f"eye{kind}{side}"]
    for kind in ("Blink", "Wide", "Squint", "LookUp", "LookDown", "LookIn", "LookOut")
    for side in ("Left", "Right")
)


# A fit cannot tell low brows from lowered ones. Below the photo's own weight these channels move only so far back, and
# above it they keep most of their full reach, so that a frown shows on a face whose brows lie low.
BROW_CHANNELS = np.array([index for name, index in CHANNEL_INDEX.items() if name.startswith("brow")])
BROW_RELEASE, BROW_REACH = 0.45, 0.85
JAW_CHANNELS = [CHANNEL_INDEX[name] for name in ("jawOpen", "jawForward", "jawLeft", "jawRight")]
# A sneer wrinkles the nose more than it shortens it: most of it is drawn as folds.
SNEER_CHANNELS = [CHANNEL_INDEX["noseSneerLeft"], CHANNEL_INDEX["noseSneerRight"]]
SNEER_REACH = 0.65


@dataclass(frozen=True)
class HeadPose:
    """A rotation (3, 3) and translation (3,) dm in the camera's axes."""

    matrix: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class MovedFace:
    """One frame's face: landmarks (478, 2) video pixels where the photo's landmarks go, model (478, 2) video pixels
    where the model's own are, depth (478,) dm from the camera, the head's pose, channel weights (64,), and how far
    the jaw moved the lower teeth from rest (3,) dm in model space.
    """

    landmarks: np.ndarray
    model: np.ndarray
    depth: np.ndarray
    pose: HeadPose
    weights: np.ndarray
    jaw: np.ndarray


class FaceMotion:
    """Moves the landmarks of one plate."""

    def __init__(self, portrait: Portrait, plate: Plate) -> None:
        fit = portrait.fit
        self._plate, self._fit, self._model = plate, fit, load_embedded_model()
        self.rest_pose = HeadPose(rotation_matrix(fit.rotation), np.asarray(fit.translation, np.float64))
        self._rest = self._projected(fit.expression, fit.rotation, fit.translation)
        self.rest_weights = np.asarray(fit.expression, np.float32) / FULL_ACTIVATION_SD
        self._limits = _pose_limits(float(fit.rotation[1]))
        self._jaw_basis = _jaw_basis(self._model.landmark_expression)

    def shapes(self, expressions: np.ndarray) -> np.ndarray:
        """Landmarks (n_frames, 478, 3) dm in model space of expressions (n_frames, 64) sd as this photo shows them."""
        rest, skin = self._fit.expression, np.array(expressions, np.float32)
        skin[:, LID_CHANNELS] = rest[list(LID_CHANNELS)]
        skin[:, BROW_CHANNELS] = _from_rest(skin[:, BROW_CHANNELS], rest[BROW_CHANNELS])
        skin[:, SNEER_CHANNELS] = rest[SNEER_CHANNELS] + SNEER_REACH * (skin[:, SNEER_CHANNELS] - rest[SNEER_CHANNELS])
        return self._model.landmark_positions(self._fit.identity, skin)

    def at(
        self, expression: np.ndarray, rotation: np.ndarray, translation: np.ndarray, shape: np.ndarray | None = None
    ) -> MovedFace:
        """The face with expression (64,) sd, rotation (3,) radians and translation (3,) dm, softly limited.

        shape (478, 3): the expression's, where shapes gave it before.
        """
        fit = self._fit
        turn = np.asarray(rotation, np.float32) - fit.rotation
        limits = np.where(turn < 0, self._limits[0], self._limits[1])
        rotation = fit.rotation + limits * np.tanh(turn / limits)
        shift = np.asarray(translation, np.float32) - fit.translation
        translation = fit.translation + TRANSLATION_LIMIT * np.tanh(shift / TRANSLATION_LIMIT)
        if shape is None:
            shape = self.shapes(np.asarray(expression)[None])[0]
        moved = project(shape, rotation, translation, fit.camera)
        delta = (moved[:, :2] - self._rest[:, :2]) * self._plate.scale
        landmarks = (self._plate.landmarks + delta).astype(np.float32)
        pose = HeadPose(rotation_matrix(rotation), np.asarray(translation, np.float64))
        return MovedFace(
            landmarks,
            (moved[:, :2] * self._plate.scale).astype(np.float32),
            moved[:, 2].astype(np.float32),
            pose,
            np.asarray(expression, np.float32) / FULL_ACTIVATION_SD,
            self._jaw_shift(expression),
        )

    def holds_back(self, rotations: np.ndarray) -> bool:
        """Whether rotations (n_frames, 3) radians go beyond what the photo allows."""
        turns = np.asarray(rotations) - self._fit.rotation
        return bool((np.abs(turns) > np.where(turns < 0, self._limits[0], self._limits[1])).any())

    def neutral(self) -> MovedFace:
        """The face at rest in the photo's pose."""
        return self.at(np.zeros_like(self._fit.expression), self._fit.rotation, self._fit.translation)

    def rest(self) -> MovedFace:
        """The face as it is in the photo."""
        return self.at(self._fit.expression, self._fit.rotation, self._fit.translation)

    def rigid(self, points: np.ndarray, depth: np.ndarray | float, pose: HeadPose) -> np.ndarray:
        """Where video pixels points (n, 2) at depth (n,) dm go when the head turns from the photo's pose to pose."""
        return self.placed(self.unprojected(points, depth), pose)

    def unprojected(self, points: np.ndarray, depth: np.ndarray | float) -> np.ndarray:
        """Video pixels points (n, 2) at depth dm in model space (n, 3) dm, in the photo's pose."""
        camera = self._fit.camera
        photo = (np.asarray(points, np.float64) - self._offset) / self._plate.scale
        depth = np.broadcast_to(np.asarray(depth, np.float64), len(photo))
        x = (photo[:, 0] - camera.center_x) / camera.focal * depth
        y = -(photo[:, 1] - camera.center_y) / camera.focal * depth
        seen = np.stack([x, y, CAMERA_DISTANCE - depth], axis=1)
        return (seen - self.rest_pose.translation) @ self.rest_pose.matrix

    def placed(self, points: np.ndarray, pose: HeadPose) -> np.ndarray:
        """Model-space points (n, 3) dm in video pixels (n, 2)."""
        moved = np.asarray(points) @ pose.matrix.T + pose.translation
        camera = self._fit.camera
        away = np.maximum(CAMERA_DISTANCE - moved[:, 2], 1e-3)
        pixels = np.stack(
            [camera.center_x + camera.focal * moved[:, 0] / away, camera.center_y - camera.focal * moved[:, 1] / away],
            axis=1,
        )
        return (pixels * self._plate.scale + self._offset).astype(np.float32)

    def solid(self, moved: MovedFace) -> np.ndarray:
        """The model's landmarks (478, 3) dm as the camera sees them: x to the right, y up, z towards it."""
        camera, depth = self._fit.camera, moved.depth
        x = (moved.model[:, 0] / self._plate.scale[0] - camera.center_x) * depth / camera.focal
        y = (camera.center_y - moved.model[:, 1] / self._plate.scale[1]) * depth / camera.focal
        return np.stack([x, y, CAMERA_DISTANCE - depth], axis=1)

    @property
    def rest_depth(self) -> np.ndarray:
        """Depth (478,) dm of the landmarks in the photo."""
        return self._rest[:, 2]

    @property
    def _offset(self) -> np.ndarray:
        """A resized picture's pixel centres move by this much (2,)."""
        return 0.5 * self._plate.scale - 0.5

    def _projected(self, expression: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        points = self._model.landmark_positions(self._fit.identity, np.asarray(expression)[None])[0]
        return project(points, rotation, translation, self._fit.camera)

    def _jaw_shift(self, expression: np.ndarray) -> np.ndarray:
        """How far the lower teeth moved (3,) dm in model space by the channels that move the jaw."""
        return (np.asarray(expression)[JAW_CHANNELS] @ self._jaw_basis).astype(np.float64)


def _jaw_basis(moves: np.ndarray) -> np.ndarray:
    """How far one sd of each of the jaw's channels moves the lower teeth (4, 3) dm; moves: landmarks (64, 478, 3)."""
    # the lip rests on the teeth and goes nearly as far; the chin, lower on the jaw's turn, goes less down
    lip, chin = [14, 87, 317], [152, 199]
    return 0.75 * moves[JAW_CHANNELS][:, lip].mean(axis=1) + 0.25 * moves[JAW_CHANNELS][:, chin].mean(axis=1)


def _from_rest(expression: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Brow channels (n,) sd as they move a photo whose own are rest (n,) sd."""
    change = expression - rest
    room = np.clip(FULL_ACTIVATION_SD - rest, 0.4 * FULL_ACTIVATION_SD, FULL_ACTIVATION_SD)
    raised = np.maximum(change, BROW_REACH * FULL_ACTIVATION_SD / room * change)
    return (rest + np.where(change < 0.0, BROW_RELEASE * change, raised)).astype(np.float32)


def _pose_limits(yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """How far the head may turn below and above the photo's pose, (3,) radians each: less towards the hidden side."""
    turned = min(abs(yaw) / HIDING_YAW, 1.0)
    further, back = POSE_LIMITS.copy(), POSE_LIMITS.copy()
    further[1] *= 1.0 - 0.7 * turned
    back[1] *= 1.0 - 0.35 * turned
    return (back, further) if yaw >= 0 else (further, back)
