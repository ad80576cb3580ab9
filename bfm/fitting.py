"""Fits a face model to the landmarks of one picture: pose, identity and the picture's own expression.

Alternating least squares: pose by Gauss–Newton on the perspective projection, then identity and expression together by
ridge regression with the channels bounded, robust (Huber) and weighted by how far each landmark faces the camera.
The camera is Deep3DFaceRecon's (Deng et al. 2019); priors keep identity and expression apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.camera import CAMERA_DISTANCE, Camera, camera_for_image, project, rotation_angles, rotation_matrix, to_camera
from bfm.coefficients import (
    CHANNEL_INDEX,
    EXPRESSION_DIMS,
    FULL_ACTIVATION_SD,
    IDENTITY_DIMS,
    LIGHTING_DIMS,
    TEXTURE_DIMS,
)
from bfm.errors import FaceModelError
from bfm.landmarks import N_LANDMARKS
from bfm.model import FaceModel

_NOISE = 0.02
"""Standard deviation of a landmark coordinate as a share of the distance between the eyes."""
_DEPTH_WEIGHT = 0.25
"""Trust in mediapipe's depth relative to its picture coordinates."""
_HUBER = 2.5
"""Residuals beyond this many noise deviations count linearly."""
_ROUNDS = 7

# Prior standard deviation of channel weights in a portrait; channels that landmarks cannot tell apart are kept near 0.
_USUAL_PRIOR = 0.5
_PRIORS = {
    "jawOpen": 0.8, "mouthClose": 0.02, "mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "eyeBlinkLeft": 0.9,
    "eyeBlinkRight": 0.9, "tongueOut": 0.01, "tongueUp": 0.01, "tongueToTeeth": 0.01, "tongueBack": 0.01,
    "jawForward": 0.06, "cheekPuff": 0.15, "cheekSuck": 0.06, "neckTighten": 0.03, "nostrilFlare": 0.08,
    "lowerLipToTeeth": 0.06, "jawLeft": 0.15, "jawRight": 0.15, "mouthLeft": 0.2, "mouthRight": 0.2,
    "browInnerUpLeft": 0.2, "browInnerUpRight": 0.2, "mouthShrugUpper": 0.2, "mouthShrugLower": 0.25,
    "mouthRollLower": 0.25, "mouthRollUpper": 0.25, "lipTighten": 0.25, "mouthPucker": 0.35, "mouthFunnel": 0.35,
}  # fmt: skip

IDENTITY_PRIORS = np.ones(IDENTITY_DIMS)
"""Standard deviation of identity modes in detected landmarks. Detectors draw breadths and lengths of the face to the
average, so they show little of what the surveyed modes of the embedded head (63–69) span, and a picture hardly shows
overall size (70)."""
IDENTITY_PRIORS[63:71] = 0.35


@dataclass(frozen=True)
class FittedFace:
    """One face in one picture.

    identity (80,), texture (80,), expression (64,): standard deviations; rotation (3,) radians; translation (3,) dm;
    lighting (27,): spherical harmonics, 9 per RGB channel; zeros, even white light, where only landmarks were fitted;
    camera; residual: mean distance of the fitted from the given landmarks as a share of the distance between the
    irises' centres, without foreshortening.
    """

    identity: np.ndarray
    texture: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    lighting: np.ndarray
    camera: Camera
    residual: float


def fit_landmarks(
    model: FaceModel,
    landmarks: np.ndarray,
    *,
    image_height: int,
    image_width: int,
    camera: Camera | None = None,
    identity: np.ndarray | None = None,
) -> FittedFace:
    """Fit a model to mediapipe landmarks (478, 3) in pixels (x right, y down, z as mediapipe scales it).

    camera: Deep3DFaceRecon's for the picture where none is given. identity (80,) sd: kept as it is where given, for the
    frames of one person's video; fitted where not. Raises FaceModelError for landmarks of another shape,
    not finite, or degenerate.
    """
    landmarks = _checked(landmarks)
    camera = camera or camera_for_image(image_height, image_width)
    known, expression = identity, np.zeros(EXPRESSION_DIMS)
    identity = np.zeros(IDENTITY_DIMS) if known is None else np.asarray(known, np.float64)
    shape = _shape(model, identity, expression)
    rotation, translation, scale = _initial_pose(shape, landmarks, camera)
    noise = _NOISE * _eye_distance(shape) * scale
    weights = np.ones(N_LANDMARKS)
    for _ in range(_ROUNDS):
        rotation, translation = _refine_pose(shape, landmarks, rotation, translation, camera, weights)
        weights = _visibility(shape, rotation) * _robust(shape, landmarks, rotation, translation, camera, noise)
        system = _linear_system(model, landmarks, rotation, translation, camera, weights, noise, shape)
        identity, expression = _solve_coefficients(*system, known=known)
        shape = _shape(model, identity, expression)
    rotation, translation = _refine_pose(shape, landmarks, rotation, translation, camera, weights)
    residual = _residual(shape, landmarks, rotation, translation, camera)
    return FittedFace(
        identity=identity.astype(np.float32),
        texture=np.zeros(TEXTURE_DIMS, np.float32),
        expression=expression.astype(np.float32),
        rotation=rotation.astype(np.float32),
        translation=translation.astype(np.float32),
        lighting=np.zeros(LIGHTING_DIMS, np.float32),
        camera=camera,
        residual=residual,
    )


def average_residual(model: FaceModel, landmarks: np.ndarray, *, camera: Camera) -> float:
    """What fit_landmarks calls residual for the average face at rest, only moved and turned: a baseline."""
    landmarks = _checked(landmarks)
    shape = _shape(model, np.zeros(IDENTITY_DIMS), np.zeros(EXPRESSION_DIMS))
    rotation, translation, _ = _initial_pose(shape, landmarks, camera)
    rotation, translation = _refine_pose(shape, landmarks, rotation, translation, camera, np.ones(N_LANDMARKS))
    return _residual(shape, landmarks, rotation, translation, camera)


def _residual(shape, landmarks, rotation, translation, camera) -> float:
    """Mean distance of a posed shape from landmarks as a share of the distance between the eyes."""
    seen = project(shape, rotation, translation, camera)
    depth = CAMERA_DISTANCE - to_camera(shape[[468, 473]], rotation, translation)[:, 2].mean()
    eye_pixels = _eye_distance(shape) * camera.focal / depth
    return float(np.linalg.norm(seen[:, :2] - landmarks[:, :2], axis=1).mean() / eye_pixels)


def _checked(landmarks: np.ndarray) -> np.ndarray:
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (N_LANDMARKS, 3):
        raise FaceModelError(
            f"landmarks should have shape (478, 3), got {landmarks.shape}; run the detector with irises"
        )
    if not np.isfinite(landmarks).all():
        raise FaceModelError("landmarks hold values that are not finite; the face was not found reliably")
    if np.ptp(landmarks[:, :2], axis=0).min() < 4.0:
        raise FaceModelError("the landmarks span less than 4 pixels; give a picture where the face is larger")
    return landmarks


def _eye_distance(shape: np.ndarray) -> float:
    """Distance between the irises' centres in the shape's unit."""
    return float(np.linalg.norm(shape[468] - shape[473]))


def _shape(model: FaceModel, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) dm, double precision."""
    shape = model.landmark_mean + np.tensordot(identity, model.landmark_identity, 1)
    return shape + np.tensordot(model.coupled(expression)[0], model.landmark_expression, 1)


def _initial_pose(shape: np.ndarray, landmarks: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation, translation and pixels per dm from the best similarity of the shape to the 3D landmarks."""
    target = landmarks * [1.0, -1.0, -1.0]
    source, goal = shape - shape.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(source.T @ goal)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((singular * flip).sum() / (source**2).sum())
    matrix = (u * flip @ vt).T
    depth = camera.focal / scale
    center = landmarks[:, :2].mean(0) - [camera.center_x, camera.center_y]
    middle = matrix @ shape.mean(0)
    translation = np.array([center[0] / scale, -center[1] / scale, CAMERA_DISTANCE - depth]) - middle
    return rotation_angles(matrix), translation, scale


def _refine_pose(shape, landmarks, rotation, translation, camera, weights) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Newton on the six pose parameters, rotation updated by small turns on the left."""
    matrix = rotation_matrix(rotation)
    root = np.sqrt(weights)[:, None]
    for _ in range(4):
        turned = shape @ matrix.T
        seen = turned + translation
        depth = CAMERA_DISTANCE - seen[:, 2]
        ratio = camera.focal / depth
        predicted = np.stack([camera.center_x + ratio * seen[:, 0], camera.center_y - ratio * seen[:, 1]], axis=1)
        error = (landmarks[:, :2] - predicted) * root
        by_point = np.zeros((len(shape), 2, 3))
        by_point[:, 0, 0], by_point[:, 1, 1] = ratio, -ratio
        by_point[:, 0, 2], by_point[:, 1, 2] = ratio * seen[:, 0] / depth, -ratio * seen[:, 1] / depth
        by_turn = np.einsum("nij,njk->nik", by_point, -_cross_matrices(turned))
        jacobian = np.concatenate([by_turn, by_point], axis=2) * root[:, :, None]
        step = np.linalg.lstsq(jacobian.reshape(-1, 6), error.reshape(-1), rcond=None)[0]
        # A step longer than a radian or ten decimetres is outside the linearisation.
        step *= min(1.0, 1.0 / (np.abs(step[:3]).max() + 1e-12), 10.0 / (np.abs(step[3:]).max() + 1e-12))
        matrix = _turn(step[:3]) @ matrix
        translation = translation + step[3:]
        if np.abs(step).max() < 1e-7:
            break
    return rotation_angles(matrix), translation


def _cross_matrices(vectors: np.ndarray) -> np.ndarray:
    """Matrices (n, 3, 3) so that matrix @ w = vector × w."""
    zero = np.zeros(len(vectors))
    x, y, z = vectors.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)


def _turn(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of a rotation vector (3,), Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    cross = _cross_matrices((vector / angle)[None])[0]
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _visibility(shape: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Weights (478,): 1 where the face turns to the camera, down to 0.1 where it turns away."""
    # The face is close enough to a cylinder about a vertical axis behind the eyes for a landmark's direction.
    outward = shape - [0.0, 0.0, -0.55]
    outward[:, 1] *= 0.35
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    facing = (outward @ rotation_matrix(rotation).T)[:, 2]
    return np.clip((facing + 0.25) / 0.5, 0.1, 1.0)


def _robust(shape, landmarks, rotation, translation, camera, noise) -> np.ndarray:
    """Huber weights (478,) of the residuals under a pose."""
    seen = project(shape, rotation, translation, camera)[:, :2]
    distance = np.linalg.norm(seen - landmarks[:, :2], axis=1) / noise
    spread = max(1.0, float(np.median(distance)))
    return np.minimum(1.0, _HUBER * spread / np.maximum(distance, 1e-9))


def _linear_system(model, landmarks, rotation, translation, camera, weights, noise, shape):
    """Design (1434, 144) and target (1434,): what the coefficients must add to the mean, in noise deviations."""
    matrix = rotation_matrix(rotation)
    depth = CAMERA_DISTANCE - to_camera(shape, rotation, translation)[:, 2]
    ratio = camera.focal / depth
    basis = np.concatenate([model.landmark_identity, model.landmark_expression]).astype(np.float64) @ matrix.T
    mean = model.landmark_mean.astype(np.float64) @ matrix.T + translation
    wanted = np.stack(
        [(landmarks[:, 0] - camera.center_x) / ratio, (camera.center_y - landmarks[:, 1]) / ratio], axis=1
    )
    scale = np.median(ratio)
    depth_wanted = -landmarks[:, 2] / scale
    depth_gap = depth_wanted - mean[:, 2]
    trust = np.sqrt(weights) * scale / noise
    depth_trust = _DEPTH_WEIGHT * trust
    average = (depth_gap * weights).sum() / weights.sum()
    centered = basis[:, :, 2] - (basis[:, :, 2] @ weights / weights.sum())[:, None]
    design = np.concatenate([basis[:, :, 0] * trust, basis[:, :, 1] * trust, centered * depth_trust], axis=1).T
    gap = wanted - mean[:, :2]
    target = np.concatenate([gap[:, 0] * trust, gap[:, 1] * trust, (depth_gap - average) * depth_trust])
    return design, target


def _solve_coefficients(design: np.ndarray, target: np.ndarray, *, known: np.ndarray | None):
    """Identity (80,) and expression (64,) sd: ridge regression with channels within 0 and full activation.

    known (80,) sd holds the identity still.
    """
    prior = np.full(EXPRESSION_DIMS, _USUAL_PRIOR)
    for name, deviation in _PRIORS.items():
        prior[CHANNEL_INDEX[name]] = deviation
    precision = np.concatenate([1.0 / IDENTITY_PRIORS**2, 1.0 / (prior * FULL_ACTIVATION_SD) ** 2])
    # Neighbouring landmarks err together: 956 coordinates carry the evidence of about a quarter as many.
    normal = design.T @ design / 4.0 + np.diag(precision)
    right = design.T @ target / 4.0
    low = np.concatenate([np.full(IDENTITY_DIMS, -3.5), np.zeros(EXPRESSION_DIMS)])
    high = np.concatenate([np.full(IDENTITY_DIMS, 3.5), np.full(EXPRESSION_DIMS, FULL_ACTIVATION_SD)])
    if known is not None:
        moving = slice(IDENTITY_DIMS, None)
        right = right[moving] - normal[moving, :IDENTITY_DIMS] @ known
        return known, bounded_quadratic(normal[moving, moving], right, low[moving], high[moving])
    solution = bounded_quadratic(normal, right, low, high)
    return solution[:IDENTITY_DIMS], solution[IDENTITY_DIMS:]


def bounded_quadratic(normal: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """argmin ½ xᵀ N x − rᵀ x with low ≤ x ≤ high, N positive definite (n, n), by an active-set method."""
    fixed = np.zeros(len(right), bool)
    x = np.clip(np.zeros(len(right)), low, high)
    for _ in range(60):
        free = ~fixed
        reduced = right[free] - normal[np.ix_(free, fixed)] @ x[fixed]
        x[free] = np.linalg.solve(normal[np.ix_(free, free)], reduced)
        outside = (x < low - 1e-9) | (x > high + 1e-9)
        if outside.any():
            x = np.clip(x, low, high)
            fixed |= outside
            continue
        slope = normal @ x - right
        release = fixed & (((x <= low) & (slope < -1e-9)) | ((x >= high) & (slope > 1e-9)))
        if not release.any():
            break
        # One at a time: releasing several can cycle.
        fixed[np.argmax(np.where(release, np.abs(slope) / np.sqrt(np.diag(normal)), 0.0))] = False
    return np.clip(x, low, high)
