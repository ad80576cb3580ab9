"""Between face coefficients and a rig's curves: ARKit's 52 channels, head and eye rotations, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache

import numpy as np

from backend.errors import InputError
from backend.inference.performance import Performance
from bfm.coefficients import ARKIT_CHANNELS, CHANNEL_INDEX, EXPRESSION_DIMS, EXTRA_CHANNELS, FaceCoefficients
from blender_addon.protocol.layers import eye_rotations
from blender_addon.protocol.types import AnimationCurves, Phone

EDIT_THRESHOLD = 1e-4  # weight; a smaller difference is rounding, not an edit


def curves_from_performance(
    performance: Performance, coefficients: FaceCoefficients, phones: tuple[Phone, ...]
) -> AnimationCurves:
    """Rig curves of a performance, with its layers, its phones and the coefficients that they came from."""
    layers = {name: arkit_weights(layer, clip=False) for name, layer in performance.layers.items()}
    weights = arkit_weights(performance.weights)
    left, right = eye_rotations(weights)
    return AnimationCurves(
        names=ARKIT_CHANNELS,
        weights=weights,
        frame_rate=performance.frame_rate,
        head_rotation=quaternions(performance.head_rotation),
        left_eye=left,
        right_eye=right,
        layers=layers,
        phones=phones,
        coefficients=coefficients_to_mapping(coefficients, head_rotation=performance.head_rotation),
    )


def coefficients_from_curves(curves: AnimationCurves) -> FaceCoefficients:
    """The coefficients that the curves carry, with the difference that edits made.

    Unedited curves give exactly the coefficients that they came from. Head rotation is edited relative to the same
    rest. Raises InputError where the curves carry no coefficients.
    """
    if curves.coefficients is None:
        raise InputError("These curves carry no face coefficients: expected a curves.json that EmoRig wrote.")
    base = coefficients_from_mapping(curves.coefficients, curves.frame_rate)
    if base.n_frames != curves.n_frames:
        raise InputError(
            f"The curves have {curves.n_frames} frames but carry coefficients of {base.n_frames}: keep their length."
        )
    edited = base.weights.copy()
    change = _named_weights(curves) - arkit_weights(base.weights)
    change[np.abs(change) < EDIT_THRESHOLD] = 0.0
    if change.any():
        edited[:, : len(ARKIT_CHANNELS)] += change
        base = base.with_weights(edited)
    return _with_head(base, curves)


def _named_weights(curves: AnimationCurves) -> np.ndarray:
    """The curves' weights (n_frames, 52) in ARKit's order. Raises InputError for a name that is missing."""
    column = {name: i for i, name in enumerate(curves.names)}
    missing = [name for name in ARKIT_CHANNELS if name not in column]
    if missing:
        raise InputError(f"The curves lack {len(missing)} ARKit channels, among them '{missing[0]}'.")
    return curves.weights[:, [column[name] for name in ARKIT_CHANNELS]]


def _with_head(base: FaceCoefficients, curves: AnimationCurves) -> FaceCoefficients:
    """Coefficients whose rotation follows an edited head rotation, relative to the head motion they carry."""
    from scipy.spatial.transform import Rotation

    from bfm.camera import turn_about
    from bfm.sources.embedded import load_embedded_model

    carried = np.asarray(curves.coefficients["head_rotation"], np.float32).reshape(-1, 3)
    wanted = curves.head_rotation[:, [1, 2, 3, 0]]
    if np.abs(quaternions(carried) - curves.head_rotation).max(initial=0.0) < EDIT_THRESHOLD:
        return base
    angles = Rotation.from_quat(wanted).as_euler("ZYX")[:, ::-1]
    turned = base.rotation + angles - carried
    shift = turn_about(load_embedded_model().pivot, base.rotation, turned)
    return replace(base, rotation=turned, translation=base.translation + shift)


def arkit_weights(weights: np.ndarray, *, clip: bool = True) -> np.ndarray:
    """ARKit's 52 weights (n_frames, 52) of all 64 channels (n_frames, 64); the further 12 go to what resembles them."""
    mixed = weights[:, : len(ARKIT_CHANNELS)] + weights[:, len(ARKIT_CHANNELS) :] @ _extras_in_arkit()
    if not clip:
        return mixed.astype(np.float32)
    mixed = np.clip(mixed, 0.0, 1.0)
    # Engines divide mouthClose by jawOpen: lips cannot close further than the jaw is open.
    close, jaw = CHANNEL_INDEX["mouthClose"], CHANNEL_INDEX["jawOpen"]
    mixed[:, close] = np.minimum(mixed[:, close], mixed[:, jaw])
    return mixed.astype(np.float32)


@lru_cache(maxsize=1)
def _extras_in_arkit() -> np.ndarray:
    """Matrix (12, 52): each further channel as the non-negative mix of ARKit shapes with the nearest displacement."""
    from scipy.optimize import nnls

    from bfm.sources.embedded import load_embedded_model

    moves = load_embedded_model().landmark_expression.reshape(EXPRESSION_DIMS, -1).astype(np.float64)
    arkit, extras = moves[: len(ARKIT_CHANNELS)], moves[len(ARKIT_CHANNELS) :]
    # A little ridge keeps the mix to few shapes that truly resemble the channel.
    ridge = 0.1 * np.sqrt((arkit**2).sum(1).mean())
    system = np.vstack([arkit.T, ridge * np.eye(len(arkit))])
    rows = [nnls(system, np.concatenate([extra, np.zeros(len(arkit))]))[0] for extra in extras]
    matrix = np.clip(np.array(rows), 0.0, 1.0)
    matrix[matrix < 0.05] = 0.0
    # The tongue shows in no landmark; only its tip at the teeth has an ARKit shape near it.
    matrix[EXTRA_CHANNELS.index("tongueToTeeth")] = 0.0
    matrix[EXTRA_CHANNELS.index("tongueToTeeth"), CHANNEL_INDEX["tongueOut"]] = 0.15
    return matrix


def quaternions(angles: np.ndarray) -> np.ndarray:
    """Unit quaternions w x y z (n, 4) of radians (n, 3) about x, y, z, turned about x first (R = Rz Ry Rx)."""
    from scipy.spatial.transform import Rotation

    if len(angles) == 0:
        return np.zeros((0, 4), np.float32)
    return Rotation.from_euler("xyz", angles).as_quat()[:, [3, 0, 1, 2]].astype(np.float32)


def coefficients_to_mapping(coefficients: FaceCoefficients, **extra: np.ndarray) -> dict[str, object]:
    """The coefficients' arrays and the model's name, for curves and files."""
    names = [f.name for f in fields(FaceCoefficients) if f.name != "frame_rate"]
    mapping = {name: getattr(coefficients, name) for name in names if getattr(coefficients, name) is not None}
    return {**mapping, **extra}


def coefficients_from_mapping(mapping: Mapping[str, object], frame_rate: float) -> FaceCoefficients:
    """The reverse of coefficients_to_mapping. Raises InputError where something is missing or misshapen."""
    known = {f.name for f in fields(FaceCoefficients)} - {"frame_rate"}
    try:
        return FaceCoefficients(**{k: v for k, v in mapping.items() if k in known}, frame_rate=frame_rate)
    except (TypeError, ValueError) as error:
        raise InputError(f"The coefficients in these curves cannot be used: {error}.") from error
