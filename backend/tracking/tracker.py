"""From a video of one person to face coefficients, curves and action units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.curves.convert import curves_from_performance
from backend.curves.filters import smoothed
from backend.inference.performance import Performance
from backend.tracking.action_units import measured_units
from backend.tracking.frames import FaceTrack, track_landmarks
from bfm.camera import turn_about
from bfm.coefficients import EXPRESSION_CHANNELS, FULL_ACTIVATION_SD, LIGHTING_DIMS, TEXTURE_DIMS, FaceCoefficients
from bfm.sequence import FittedSequence, fit_sequence
from bfm.sources.embedded import load_embedded_model
from blender_addon.protocol.types import AnimationCurves, rest_rotations

FACE_SMOOTHING = 0.02  # seconds, standard deviation: half a frame of film; closures keep their depth and moment
HEAD_SMOOTHING = 0.03  # seconds: turns fall behind with .06, real mouths are missed by more again with .02


@dataclass(frozen=True)
class TrackedFace:
    """What a video shows: coefficients and curves, action units (n_frames, n_units) 0–1 named by unit_names, the fit
    and the landmarks that it came from.
    """

    coefficients: FaceCoefficients
    curves: AnimationCurves
    units: np.ndarray
    unit_names: tuple[str, ...]
    fit: FittedSequence
    track: FaceTrack


def track_video(
    video: Path, *, start: float = 0.0, end: float | None = None, progress: Callable[[int, int], None] | None = None
) -> TrackedFace:
    """Tracks the largest face of a video between start and end (s). Raises InputError for what cannot be tracked."""
    return tracked_face(track_landmarks(video, start=start, end=end, progress=progress))


def tracked_face(track: FaceTrack) -> TrackedFace:
    """Fits the face model to a track of landmarks."""
    model = load_embedded_model()
    fit = fit_sequence(model, track.landmarks, image_height=track.height, image_width=track.width)
    rate = track.frame_rate
    weights = _smoothed_weights(fit.expression / FULL_ACTIVATION_SD, rate)
    rotation, translation = (_steadied(values, rate) for values in (fit.rotation, fit.translation))
    coefficients = FaceCoefficients(
        identity=fit.identity,
        texture=np.zeros(TEXTURE_DIMS, np.float32),
        expression=weights * np.float32(FULL_ACTIVATION_SD),
        rotation=rotation,
        translation=translation,
        lighting=np.zeros(LIGHTING_DIMS, np.float32),
        frame_rate=rate,
    )
    rest = np.median(rotation, axis=0)
    # How the head moved beyond turning on its neck.
    moved = translation - turn_about(model.pivot, np.broadcast_to(rest, rotation.shape), rotation)
    performance = Performance(
        layers={"tracked": weights},
        head_rotation=rotation - rest,
        head_translation=(moved - np.median(moved, axis=0)).astype(np.float32),
        frame_rate=rate,
    )
    curves = curves_from_performance(performance, coefficients, ())
    names, units = measured_units(model, fit, weights)
    return TrackedFace(coefficients, curves, units, names, fit, track)


def _smoothed_weights(weights: np.ndarray, frame_rate: float) -> np.ndarray:
    """Channel weights (n_frames, 64) without the landmarks' jitter, closures kept."""
    still = rest_rotations(len(weights))
    curves = AnimationCurves(EXPRESSION_CHANNELS, weights, frame_rate, still, still, still)
    return np.clip(smoothed(curves, FACE_SMOOTHING).weights, 0.0, 1.0)


def _steadied(values: np.ndarray, frame_rate: float) -> np.ndarray:
    """Pose values (n_frames, 3) under a Gaussian of HEAD_SMOOTHING."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, HEAD_SMOOTHING * frame_rate, axis=0, mode="nearest").astype(np.float32)
