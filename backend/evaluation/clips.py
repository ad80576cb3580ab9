"""A real clip ready to be reenacted: square frames round the face, and the tracked coefficients in their camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from backend.portrait.analysis import Portrait, analyse_portrait
from backend.tracking.frames import FaceTrack, read_frames, track_landmarks
from backend.tracking.tracker import tracked_face
from bfm.coefficients import FaceCoefficients
from bfm.fitting import FittedFace

SURROUNDINGS = 2.0  # side of the square over the face's height in the first frame, where the picture has it


@dataclass(frozen=True)
class RealClip:
    """frames (n_frames, size, size, 3) uint8 RGB, the portrait that the first of them is, at the clip's own
    resolution, and the coefficients of them all, which at frame 0 are the portrait's own.
    """

    name: str
    frames: np.ndarray
    portrait: Portrait
    coefficients: FaceCoefficients


def load_clip(path: Path, size: int, *, end: float | None = None) -> RealClip:
    """Tracks the clip at path up to end (s).

    EAMM §4.1: the square is centred on the face of the first frame. Raises InputError where no face can be tracked, or
    the first frame shows none.
    """
    track = track_landmarks(path, end=end)
    square = _square(track)
    times, frames, first = [], [], None
    for time, image in read_frames(path, end=end):
        first = np.ascontiguousarray(image[square]) if first is None else first
        times.append(time)
        frames.append(_resized(image[square], size))
    tracked = tracked_face(
        replace(
            track,
            landmarks=track.landmarks - np.float32([square[1].start, square[0].start, 0.0]),
            height=len(first),
            width=len(first),
        )
    )
    coefficients = _at_times(tracked.coefficients, np.array(times))
    portrait = with_tracked_fit(analyse_portrait(first), coefficients, tracked.fit.camera)
    return RealClip(path.stem, np.stack(frames), portrait, coefficients)


def _at_times(coefficients: FaceCoefficients, times: np.ndarray) -> FaceCoefficients:
    """The coefficients at times (n_frames,) s: frames of real clips need not be evenly spaced."""
    grid = np.arange(coefficients.n_frames) / coefficients.frame_rate

    def sampled(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(times, grid, column) for column in values.T], axis=1).astype(np.float32)

    return replace(
        coefficients,
        expression=sampled(coefficients.expression),
        rotation=sampled(coefficients.rotation),
        translation=sampled(coefficients.translation),
    )


def _square(track: FaceTrack) -> tuple[slice, slice]:
    """Rows and columns of the square round the first frame's face, as large as the picture allows."""
    points = track.landmarks[0, :, :2]
    side = SURROUNDINGS * float(np.linalg.norm(points[10] - points[152]))
    side = int(min(round(side), track.height, track.width))
    center = (points.min(0) + points.max(0)) / 2.0
    left, top = np.clip(np.round(center - side / 2.0), 0, [track.width - side, track.height - side]).astype(int)
    return slice(int(top), int(top) + side), slice(int(left), int(left) + side)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    method = cv2.INTER_AREA if size < len(image) else cv2.INTER_LANCZOS4
    return image.copy() if size == len(image) else cv2.resize(image, (size, size), interpolation=method)


def with_tracked_fit(portrait: Portrait, coefficients: FaceCoefficients, camera) -> Portrait:
    """The portrait on the tracked identity, expression and pose of frame 0: a picture alone tells them less well."""
    fit = FittedFace(
        identity=coefficients.identity,
        texture=coefficients.texture,
        expression=coefficients.expression[0],
        rotation=coefficients.rotation[0],
        translation=coefficients.translation[0],
        lighting=coefficients.lighting,
        camera=camera,
        residual=portrait.fit.residual,
    )
    return replace(portrait, fit=fit)
