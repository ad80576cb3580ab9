"""Fits a face model to the landmarks of many frames of one person: one identity, then pose and expression per frame.

As in bfm.fitting, with Deep3DFaceRecon's camera, but all frames at a time: pose by Gauss–Newton on the landmarks that
expressions move least, expression by bounded ridge regression with lids, lips and brows trusted most. Identity comes
from frames spread over the sequence, so that what stays the same in all of them is identity, the rest expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.bounded import bounded_solutions
from bfm.camera import CAMERA_DISTANCE, Camera, camera_for_image, rotation_angles, rotation_matrix
from bfm.closures import lid_openings, lip_opening, with_joint_gaze, with_lid_openings, with_lip_opening
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS, FULL_ACTIVATION_SD, IDENTITY_DIMS
from bfm.contact import CONTACT_PAIRS
from bfm.errors import FaceModelError
from bfm.fitting import IDENTITY_PRIORS, fit_landmarks
from bfm.landmarks import (
    LEFT_BROW,
    LEFT_LOWER_LID_RINGS,
    LEFT_UPPER_LID_RINGS,
    LOWER_LIP_RINGS,
    N_LANDMARKS,
    RIGHT_BROW,
    RIGHT_LOWER_LID_RINGS,
    RIGHT_UPPER_LID_RINGS,
    UPPER_LIP_RINGS,
)
from bfm.model import FaceModel
from bfm.rasterize import vertex_normals

IDENTITY_FRAMES = 16
_NOISE = 0.02
"""Standard deviation of a landmark coordinate as a share of the distance between the eyes."""
_EVIDENCE = 0.25
"""Neighbouring landmarks err together: this share of their number is independent."""
_DEPTH_TRUST = 0.2
"""Of mediapipe's depth relative to picture coordinates."""
_IDENTITY_ROUNDS = 3
_ROUNDS = 3
_POSE_STEPS = 3
_CHUNK = 64  # frames solved at a time, for memory
_STEADY = 0.03
"""Decimetres: landmarks that full expressions move by less decide the pose."""
_TRUST = ((*UPPER_LIP_RINGS, *LOWER_LIP_RINGS), 9.0), (
    (RIGHT_UPPER_LID_RINGS[0], RIGHT_LOWER_LID_RINGS[0], LEFT_UPPER_LID_RINGS[0], LEFT_LOWER_LID_RINGS[0],
     RIGHT_BROW, LEFT_BROW), 6.0,
)  # fmt: skip
_IRISES, _IRIS_TRUST = slice(468, 478), 8.0
# Distances between landmarks that tell a closure, a gaze or a dropped jaw whatever the face around them does.
_APART = (
    *CONTACT_PAIRS.tolist(), *((468, corner) for corner in (33, 133)), *((473, corner) for corner in (263, 362)),
    *((1, chin) for chin in (148, 152, 377)), (5, 152),
)  # fmt: skip
_APART_TRUST = 15.0
_SUSTAINED = 10.0
"""Percentile over the frames of what counts as always there in a channel."""
_OWED_TO_IDENTITY = 0.5
"""Share of what is always there that the identity is asked to explain."""

# Usual strength of a channel in talking faces, as a share of full activation; unseen ones are kept at 0.
_USUAL = 0.5
_PRIORS = {
    "jawOpen": 0.8, "mouthClose": 0.15, "mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "eyeBlinkLeft": 1.0,
    "eyeBlinkRight": 1.0, "tongueOut": 0.01, "tongueUp": 0.01, "tongueToTeeth": 0.01, "tongueBack": 0.01,
    "jawForward": 0.1, "cheekPuff": 0.06, "cheekSuck": 0.06, "neckTighten": 0.03, "nostrilFlare": 0.08,
    "browDownLeft": 0.35, "browDownRight": 0.35,
    "lowerLipToTeeth": 0.15, "lipsPart": 0.15, "mouthFunnel": 0.1, "jawLeft": 0.2, "jawRight": 0.2,
    "browInnerUpLeft": 0.15, "browInnerUpRight": 0.15,
}  # fmt: skip


@dataclass(frozen=True)
class FittedSequence:
    """One person over frames. identity (80,), expression (n_frames, 64): standard deviations; rotation (n_frames, 3)
    radians; translation (n_frames, 3) dm; residual (n_frames,): mean distance of fitted from given landmarks as a
    share of the distance between the eyes; measured (n_frames, 478, 3) dm: the given landmarks with the head's pose
    taken off, in the model's space, depth as the model has it.
    """

    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    residual: np.ndarray
    measured: np.ndarray
    camera: Camera


def fit_sequence(model: FaceModel, landmarks: np.ndarray, *, image_height: int, image_width: int) -> FittedSequence:
    """Fit a model to landmarks (n_frames, 478, 3) in pixels, as fit_landmarks takes them.

    Raises FaceModelError for landmarks of another shape or values that are not finite.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (N_LANDMARKS, 3) or not len(landmarks):
        raise FaceModelError(f"landmarks should have shape (n_frames, 478, 3), got {landmarks.shape}")
    if not np.isfinite(landmarks).all():
        raise FaceModelError("landmarks hold values that are not finite; fill the frames without a face first")
    camera = camera_for_image(image_height, image_width)
    fitter = _Fitter(model, camera)
    chosen = np.unique(np.linspace(0, len(landmarks) - 1, min(IDENTITY_FRAMES, len(landmarks))).round().astype(int))
    singles = [
        fit_landmarks(model, landmarks[i], image_height=image_height, image_width=image_width, camera=camera)
        for i in chosen
    ]
    identity = np.median([fit.identity for fit in singles], axis=0).astype(np.float64)
    first = np.abs(chosen[:, None] - np.arange(len(landmarks))).argmin(0)
    rotation = rotation_matrix(np.array([singles[i].rotation for i in first]))
    translation = np.array([singles[i].translation for i in first], np.float64)
    expression = np.array([singles[i].expression for i in first], np.float64)
    for _ in range(_IDENTITY_ROUNDS):
        part = fitter.follow(landmarks[chosen], identity, rotation[chosen], translation[chosen], expression[chosen])
        sustained = _OWED_TO_IDENTITY * np.percentile(part[2], _SUSTAINED, axis=0)
        identity = fitter.identity(landmarks[chosen], part[0], part[1], part[2] - sustained)
    parts = [
        fitter.followed(landmarks[part], identity, rotation[part], translation[part], expression[part])
        for part in (slice(i, i + _CHUNK) for i in range(0, len(landmarks), _CHUNK))
    ]
    angles, translation, expression, residual, measured = (
        np.concatenate(values) for values in zip(*parts, strict=True)
    )
    expression = with_lip_opening(model, identity, with_joint_gaze(expression), lip_opening(measured))
    expression = with_lid_openings(model, identity, expression, lid_openings(measured))
    return FittedSequence(
        identity=identity.astype(np.float32),
        expression=expression.astype(np.float32),
        rotation=angles,
        translation=translation,
        residual=residual,
        measured=measured,
        camera=camera,
    )


class _Fitter:
    """What stays the same over all solves of one model and camera."""

    def __init__(self, model: FaceModel, camera: Camera) -> None:
        self.model, self.camera = model, camera
        self.mean = model.landmark_mean.astype(np.float64)
        self.identities = model.landmark_identity.astype(np.float64)
        self.expressions = model.landmark_expression.astype(np.float64)
        self.eyes = float(np.linalg.norm(self.mean[468] - self.mean[473]))
        reach = np.linalg.norm(self.expressions * FULL_ACTIVATION_SD, axis=2).max(0)
        self.steady = 1.0 / (1.0 + (reach / _STEADY) ** 2)
        normals = vertex_normals(model.mean, model.triangles)[model.landmark_triangles]
        self.normals = np.einsum("lkc,lk->lc", normals, model.landmark_barycentric)
        self.trust = np.ones(N_LANDMARKS)
        for rings, trust in _TRUST:
            self.trust[np.unique(np.concatenate(rings))] = trust
        self.trust[_IRISES] = _IRIS_TRUST
        prior = np.full(EXPRESSION_DIMS, _USUAL)
        for name, strength in _PRIORS.items():
            prior[CHANNEL_INDEX[name]] = strength
        self.precision = 1.0 / (prior * FULL_ACTIVATION_SD) ** 2
        first, second = np.array(_APART).T
        self.apart = first, second, np.sqrt(_APART_TRUST * _EVIDENCE) / (_NOISE * self.eyes)

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Landmarks (n_frames, 478, 3) dm of the linear basis, which is what the solves see."""
        rest = self.mean + np.tensordot(identity, self.identities, 1)
        return rest + np.tensordot(expression, self.expressions, 1)

    def follow(self, landmarks, identity, rotation, translation, expression):
        """Rotation matrices, translations and expressions of every frame, from a rough start."""
        for _ in range(_ROUNDS):
            shape = self.shape(identity, expression)
            rotation, translation = self.pose(landmarks, shape, rotation, translation)
            expression = self.expression(landmarks, identity, rotation, translation, shape)
        return rotation, translation, expression

    def followed(self, landmarks, identity, rotation, translation, expression):
        """Angles, translations, expressions, residuals and unposed landmarks of every frame, single precision."""
        rotation, translation, expression = self.follow(landmarks, identity, rotation, translation, expression)
        shape = self.shape(identity, expression)
        results = (
            rotation_angles(rotation),
            translation,
            expression,
            self.residual(landmarks, shape, rotation, translation),
            self.unposed(landmarks, shape, rotation, translation),
        )
        return tuple(np.float32(result) for result in results)

    def visible(self, rotation: np.ndarray) -> np.ndarray:
        """Weights (n_frames, 478): 1 where the face turns to the camera, down to 0.1 where it turns away."""
        facing = np.einsum("fj,lj->fl", rotation[:, 2], self.normals)
        return np.clip((facing + 0.25) / 0.5, 0.1, 1.0)

    def pose(self, landmarks, shape, rotation, translation):
        """Gauss–Newton on rotation and translation of every frame, weighted towards what expressions leave still."""
        weights = self.visible(rotation) * self.steady
        for _ in range(_POSE_STEPS):
            turned = shape @ np.swapaxes(rotation, 1, 2)
            seen = turned + translation[:, None]
            ratio = self.camera.focal / (CAMERA_DISTANCE - seen[..., 2])
            slope = ratio / (CAMERA_DISTANCE - seen[..., 2])
            zero = np.zeros_like(ratio)
            # Rows: the picture's x and y; columns: the point's x, y, z in the camera.
            by_point = np.stack(
                [np.stack([ratio, zero, slope * seen[..., 0]], -1), np.stack([zero, ratio, slope * seen[..., 1]], -1)],
                axis=2,
            )
            cross = np.cross(np.eye(3)[None, None], turned[:, :, None])  # of a small turn about each axis
            jacobian = np.concatenate([by_point @ np.swapaxes(cross, -1, -2), by_point], axis=-1)
            error = np.stack(
                [
                    landmarks[..., 0] - self.camera.center_x - ratio * seen[..., 0],
                    self.camera.center_y - landmarks[..., 1] - ratio * seen[..., 1],
                ],
                axis=-1,
            )
            flat = jacobian.reshape(len(landmarks), -1, 6)
            weighted = flat * np.repeat(weights, 2, axis=1)[..., None]
            normal = np.swapaxes(weighted, 1, 2) @ flat
            right = np.einsum("fki,fk->fi", weighted, error.reshape(len(landmarks), -1))
            step = np.linalg.solve(normal, right[..., None])[..., 0]
            rotation = _turns(np.clip(step[:, :3], -0.5, 0.5)) @ rotation
            translation = translation + np.clip(step[:, 3:], -5.0, 5.0)
        return rotation, translation

    def _wanted(self, landmarks, rotation, translation, shape, still):
        """Per frame: what is missing from still (n_frames, 478, 3) seen in the camera, and the trust in it, both
        (n_frames, 478, 3); depth counts relative to its mean.
        """
        depth = CAMERA_DISTANCE - (shape @ np.swapaxes(rotation, 1, 2) + translation[:, None])[..., 2]
        ratio = self.camera.focal / depth
        seen = still @ np.swapaxes(rotation, 1, 2) + translation[:, None]
        x = (landmarks[..., 0] - self.camera.center_x) / ratio - seen[..., 0]
        y = (self.camera.center_y - landmarks[..., 1]) / ratio - seen[..., 1]
        z = -landmarks[..., 2] / np.median(ratio, axis=1, keepdims=True) - seen[..., 2]
        weights = self.visible(rotation)
        z -= (z * weights).sum(1, keepdims=True) / weights.sum(1, keepdims=True)
        trust = np.sqrt(weights * self.trust * _EVIDENCE)[..., None] / (_NOISE * self.eyes)
        return np.stack([x, y, z], axis=-1), trust * [1.0, 1.0, _DEPTH_TRUST]

    def expression(self, landmarks, identity, rotation, translation, shape):
        """Expressions (n_frames, 64) sd within 0 and full activation."""
        rest = np.broadcast_to(self.shape(identity, np.zeros((1, EXPRESSION_DIMS))), landmarks.shape)
        missing, trust = self._wanted(landmarks, rotation, translation, shape, rest)
        basis = np.einsum("kli,fji->fklj", self.expressions, rotation, optimize=True) * trust[:, None]
        first, second, weight = self.apart
        turned = np.einsum("kli,fji->fklj", self.expressions[:, first] - self.expressions[:, second], rotation)
        flat = (len(landmarks), EXPRESSION_DIMS, -1)
        design = np.concatenate([basis.reshape(flat), weight * turned[..., :2].reshape(flat)], axis=2)
        relative = (missing[:, first] - missing[:, second])[..., :2].reshape(len(landmarks), -1)
        target = np.concatenate([(missing * trust).reshape(len(landmarks), -1), weight * relative], axis=1)
        normal = design @ np.swapaxes(design, 1, 2) + np.diag(self.precision)
        return bounded_solutions(normal, np.einsum("fkm,fm->fk", design, target), 0.0, FULL_ACTIVATION_SD)

    def identity(self, landmarks, rotation, translation, expression):
        """The identity (80,) sd that suits all frames given their expressions."""
        shift = np.tensordot(expression, self.expressions, 1)
        missing, trust = self._wanted(
            landmarks, rotation, translation, self.mean + shift, np.broadcast_to(self.mean + shift, landmarks.shape)
        )
        normal, right = np.diag(1.0 / IDENTITY_PRIORS**2), np.zeros(IDENTITY_DIMS)
        # Frames of one video repeat most of each other's errors: together they count as few.
        share = min(len(landmarks), 3) / len(landmarks)
        for i in range(len(landmarks)):
            design = ((self.identities @ rotation[i].T) * trust[i]).reshape(IDENTITY_DIMS, -1)
            normal += share * design @ design.T
            right += share * design @ (missing[i] * trust[i]).ravel()
        return bounded_solutions(normal, right[None], -3.5, 3.5)[0]

    def residual(self, landmarks, shape, rotation, translation) -> np.ndarray:
        """Mean distance (n_frames,) of fitted from given landmarks as a share of the eyes' distance."""
        seen = shape @ np.swapaxes(rotation, 1, 2) + translation[:, None]
        ratio = self.camera.focal / (CAMERA_DISTANCE - seen[..., 2])
        x = self.camera.center_x + ratio * seen[..., 0]
        y = self.camera.center_y - ratio * seen[..., 1]
        apart = np.hypot(x - landmarks[..., 0], y - landmarks[..., 1]).mean(1)
        eyes = np.linalg.norm(shape[:, 468] - shape[:, 473], axis=1) * ratio[:, [468, 473]].mean(1)
        return (apart / eyes).astype(np.float32)

    def unposed(self, landmarks, shape, rotation, translation) -> np.ndarray:
        """Given landmarks (n_frames, 478, 3) dm in the model's space: on the fitted depth, the pose taken off."""
        seen = shape @ np.swapaxes(rotation, 1, 2) + translation[:, None]
        depth = CAMERA_DISTANCE - seen[..., 2]
        x = (landmarks[..., 0] - self.camera.center_x) * depth / self.camera.focal
        y = (self.camera.center_y - landmarks[..., 1]) * depth / self.camera.focal
        return (np.stack([x, y, seen[..., 2]], axis=-1) - translation[:, None]) @ rotation


def _turns(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) of rotation vectors (n, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors).as_matrix()
