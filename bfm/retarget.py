"""The same motion on another face model or in other channels: bounded least squares over landmark displacements.

Given displacements D (n_frames, 478, 3) from the neutral face, find weights w per frame, each within its bounds, that
minimise |B w − D|² + λ |w − w₀|², B being what each channel moves the landmarks by and w₀ the weights that channels of
the same name already have (0 for the others). Channels that move no landmark (the tongue) keep w₀. The error says per
frame what share of the displacement remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.bounded import bounded_solutions
from bfm.channel_sets import ChannelSet
from bfm.coefficients import EXPRESSION_CHANNELS, EXPRESSION_DIMS, FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.landmarks import FACE_OVAL
from bfm.model import FaceModel
from bfm.sources.correspondence import similarity

UNNAMED_BOUND = 3.0
"""Standard deviations that a mode without a meaning of its own may reach."""
_RIDGE = 1e-3
"""λ as a share of the mean squared displacement of a channel."""
_UNSEEN = 0.02
"""A channel that moves the landmarks by less than this share of the median channel is not solved for."""
_REACH = 0.03
"""A landmark that no channel of a set moves by more than this share of its furthest motion is left out."""
_STILL = 2e-3
"""Decimetres, root mean square over the landmarks: the error's share is of at least this displacement."""


@dataclass(frozen=True)
class Retargeted:
    """weights (n_frames, n_channels) named by names; error (n_frames,): what remains, as a share of the displacement;
    residual (n_frames,): the same as root mean square over the landmarks in decimetres of the target.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    error: np.ndarray
    residual: np.ndarray


def to_channels(model: FaceModel, weights: np.ndarray, channels: ChannelSet) -> Retargeted:
    """Weights (n_frames, 64) 0–1 of a model's named channels as weights 0–1 of a channel set, on the same head.

    Only landmarks that the set can move take part: visemes say nothing of the brows.
    """
    basis = _named_basis(model)
    weights = _frames(weights, EXPRESSION_DIMS)
    wanted = np.tensordot(channels.weights, basis, 1)
    reach = np.linalg.norm(wanted, axis=-1).max(0)
    moving = reach > _REACH * reach.max()
    return solve(
        np.tensordot(weights, basis[:, moving], 1), wanted[:, moving], channels.names,
        initial=_by_name(EXPRESSION_CHANNELS, weights, channels.names),
    )  # fmt: skip


def from_channels(model: FaceModel, weights: np.ndarray, channels: ChannelSet) -> Retargeted:
    """Weights (n_frames, n) of a channel set as weights 0–1 of a model's 64 named channels, on the same head."""
    basis = _named_basis(model)
    weights = _frames(weights, len(channels.names))
    mixed = np.clip(weights @ channels.weights, 0.0, 1.0)
    return solve(np.tensordot(weights @ channels.weights, basis, 1), basis, EXPRESSION_CHANNELS, initial=mixed)


def between_models(
    source: FaceModel, expression: np.ndarray, target: FaceModel, *, identity: np.ndarray | None = None,
    target_identity: np.ndarray | None = None,
) -> Retargeted:  # fmt: skip
    """Expression (n_frames, n) sd of one model as expression sd of another, the faces laid onto each other first.

    identity, target_identity: the two faces in standard deviations; the average ones where not given.
    """
    expression = _frames(expression, len(source.expression_basis))
    identity = np.zeros(len(source.identity_basis)) if identity is None else identity
    target_identity = np.zeros(len(target.identity_basis)) if target_identity is None else target_identity
    rest = source.landmark_positions(identity, np.zeros_like(expression[:1]))[0]
    goal = target.landmark_positions(target_identity, np.zeros((1, len(target.expression_basis))))[0]
    inner = np.setdiff1d(np.arange(len(rest)), FACE_OVAL)
    scale, rotation, _ = similarity(rest[inner].astype(np.float64), goal[inner].astype(np.float64))
    moved = scale * (source.landmark_positions(identity, expression) - rest) @ rotation.T
    low, high = expression_bounds(target)
    return solve(
        moved, target.landmark_expression, target.expression_names,
        initial=_by_name(source.expression_names, expression, target.expression_names), low=low, high=high,
    )  # fmt: skip


def expression_bounds(model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest expression (n_expression,) sd: 0 to full activation of named channels, ± of unnamed modes."""
    is_named = np.array([not name[-1].isdigit() for name in model.expression_names])
    return np.where(is_named, 0.0, -UNNAMED_BOUND), np.where(is_named, FULL_ACTIVATION_SD, UNNAMED_BOUND)


def solve(
    displacements: np.ndarray, basis: np.ndarray, names: tuple[str, ...], *, initial: np.ndarray | None = None,
    low: np.ndarray | float = 0.0, high: np.ndarray | float = 1.0,
) -> Retargeted:  # fmt: skip
    """Weights within low–high of channels whose full motion is basis (n, n_landmarks, 3) for displacements
    (n_frames, n_landmarks, 3) in the same unit.

    initial (n_frames, n): the weights to stay near where the motion leaves a choice; 0 where not given.
    Raises FaceModelError where shapes disagree or values are not finite.
    """
    displacements, basis = np.asarray(displacements, np.float64), np.asarray(basis, np.float64)
    if displacements.ndim != 3 or displacements.shape[1:] != basis.shape[1:]:
        wanted = ("n_frames", *basis.shape[1:])
        raise FaceModelError(f"displacements should have shape {wanted}, got {displacements.shape}")
    if not np.isfinite(displacements).all():
        raise FaceModelError("displacements hold values that are not finite; leave out frames without a face")
    n_frames, n = len(displacements), len(basis)
    initial = np.zeros((n_frames, n)) if initial is None else initial
    flat, moved = basis.reshape(n, -1), displacements.reshape(n_frames, -1)
    strength = np.linalg.norm(flat, axis=1)
    seen = strength > _UNSEEN * np.median(strength[strength > 0]) if strength.any() else np.zeros(n, bool)
    low, high = (np.broadcast_to(np.asarray(bound, np.float64), (n,)) for bound in (low, high))
    weights = np.clip(initial, low, high)
    ridge = _RIDGE * float((strength[seen] ** 2).mean()) if seen.any() else 1.0
    normal = flat[seen] @ flat[seen].T + ridge * np.eye(int(seen.sum()))
    rights = moved @ flat[seen].T + ridge * initial[:, seen]
    weights[:, seen] = bounded_solutions(normal, rights, low[seen], high[seen])
    left = np.linalg.norm(moved - weights @ flat, axis=1)
    root = np.sqrt(basis.shape[1])
    error = left / np.maximum(np.linalg.norm(moved, axis=1), _STILL * root)
    return Retargeted(tuple(names), weights.astype(np.float32), error, left / root)


def _named_basis(model: FaceModel) -> np.ndarray:
    """What each of the 64 named channels at weight 1 moves the landmarks by (64, 478, 3) dm."""
    if model.expression_names[:EXPRESSION_DIMS] != EXPRESSION_CHANNELS:
        raise FaceModelError(f"face model '{model.name}' lacks the named channels: retarget between models first")
    return model.landmark_expression[:EXPRESSION_DIMS].astype(np.float64) * FULL_ACTIVATION_SD


def _by_name(names: tuple[str, ...], values: np.ndarray, wanted: tuple[str, ...]) -> np.ndarray:
    """Columns of values (n_frames, n) that bear the wanted names, zeros for the others."""
    column = {name: i for i, name in enumerate(names)}
    picked = np.zeros((len(values), len(wanted)))
    for i, name in enumerate(wanted):
        if name in column and not name[-1].isdigit():
            picked[:, i] = values[:, column[name]]
    return picked


def _frames(values: np.ndarray, n: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1] != n:
        raise FaceModelError(f"weights should have shape (n_frames, {n}), got {values.shape}")
    return values
