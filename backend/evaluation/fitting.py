"""How well the face model fits real faces, and whether it tells who somebody is from what the face does.

For portraits: the mean distance of fitted from given landmarks. For clips: every clip is cut into parts, each part is
fitted on its own, and the variance of a person's fitted identity from part to part stands beside the variance between
people. The baseline is the average face, moved and turned but neither shaped nor expressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.errors import InputError
from backend.native_logs import held_back
from bfm.camera import camera_for_image
from bfm.fitting import FittedFace, average_residual, fit_landmarks
from bfm.model import FaceModel
from bfm.sequence import FittedSequence, fit_sequence
from bfm.sources.embedded import load_embedded_model

PARTS = 5
"""Parts that a clip is cut into."""
WITHIN_SHARE = 0.10
"""The variance within a clip should be at most this share of the variance between people."""
LARGEST_RESIDUAL = 0.025
"""Mean distance over the 478 landmarks, as a share of the distance between the eyes, that a fit should stay within."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".avi", ".mkv")


@dataclass(frozen=True)
class PortraitFit:
    """A fitted portrait: residual and the average face's, as shares of the distance between the eyes; shape (478, 3) dm
    of the neutral fitted face.
    """

    name: str
    residual: float
    average: float
    shape: np.ndarray


@dataclass(frozen=True)
class ClipFit:
    """A clip's parts: residuals (n_parts,) and the neutral fitted face of each, shapes (n_parts, 478, 3) dm."""

    name: str
    residuals: np.ndarray
    shapes: np.ndarray


def fit_portrait(model: FaceModel, image: np.ndarray, name: str) -> PortraitFit:
    """Fits the face of one picture (height, width, 3) uint8. Raises InputError where it shows none."""
    from backend.portrait.landmarks import find_landmarks

    landmarks = find_landmarks(image)
    if landmarks is None:
        raise InputError(f"No face was found in '{name}': give pictures of people seen from the front.")
    height, width = image.shape[:2]
    fit = fit_landmarks(model, landmarks, image_height=height, image_width=width)
    average = average_residual(model, landmarks, camera=camera_for_image(height, width))
    return PortraitFit(name, fit.residual, average, _neutral(model, fit))


def fit_clip(model: FaceModel, video: Path) -> ClipFit:
    """Fits the parts of a clip one by one. Raises InputError for what cannot be tracked."""
    from backend.tracking.frames import track_landmarks

    track = track_landmarks(video)
    size = {"image_height": track.height, "image_width": track.width}
    fits = [fit_sequence(model, part, **size) for part in np.array_split(track.landmarks, PARTS)]
    residuals = np.array([fit.residual.mean() for fit in fits])
    return ClipFit(video.name, residuals, np.stack([_neutral(model, fit) for fit in fits]))


def variances(clips: list[ClipFit], portraits: list[PortraitFit]) -> tuple[float, float]:
    """Mean squared deviation in mm² of landmarks of the neutral face: within clips, and between people.

    Every clip and portrait counts as a person of its own. Faces are laid onto each other by their similarity first.
    """
    faces = [clip.shapes for clip in clips] + [portrait.shape[None] for portrait in portraits]
    middle = np.mean([face.mean(0) for face in faces], axis=0)
    laid = [_laid(face, middle) for face in faces]
    within = np.mean([face.var(0, ddof=1).sum(-1).mean() for face in laid if len(face) > 1])
    between = np.var([face.mean(0) for face in laid], axis=0, ddof=1).sum(-1).mean()
    return float(within) * 1e4, float(between) * 1e4


def _neutral(model: FaceModel, fit: FittedFace | FittedSequence) -> np.ndarray:
    """Landmarks (478, 3) dm of a fitted identity at rest."""
    return model.landmark_mean + np.tensordot(fit.identity, model.landmark_identity, 1)


def _laid(faces: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Faces (n, 478, 3) moved onto one (478, 3) by similarity: size and place cannot be seen in pictures."""
    from bfm.sources.correspondence import similarity

    laid = []
    for face in faces:
        scale, rotation, shift = similarity(face, onto)
        laid.append(scale * face @ rotation.T + shift)
    return np.stack(laid)


def report(files: list[Path]) -> None:
    """Prints the fits of portraits and clips, and identity within clips beside identity between people.

    The public portrait that comes with scikit-image is always among them.
    """
    from skimage import data

    from backend.portrait.images import load_image

    model, console = load_embedded_model(), Console()
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    with held_back():
        portraits = [fit_portrait(model, data.astronaut(), "skimage astronaut")]
        portraits += [fit_portrait(model, load_image(path), path.name) for path in files if path not in videos]
        clips = [fit_clip(model, video) for video in videos]
    console.print(_portrait_table(portraits))
    if clips:
        console.print(_clip_table(clips))
    if len(clips) + len(portraits) > 2 and clips:
        within, between = variances(clips, portraits)
        verdict = "reached" if within <= WITHIN_SHARE * between else "not reached"
        console.print(f"identity within a clip: {within:.2f} mm², between people: {between:.2f} mm²")
        console.print(f"share: {within / between:.1%} (at most {WITHIN_SHARE:.0%}: {verdict})")


def _portrait_table(portraits: list[PortraitFit]) -> Table:
    table = Table(title="mean landmark distance, share of the distance between the eyes")
    for heading in ("portrait", "fitted", "average face", f"within {LARGEST_RESIDUAL:.1%}"):
        table.add_column(heading, justify="left" if heading == "portrait" else "right")
    for portrait in portraits:
        verdict = "yes" if portrait.residual <= LARGEST_RESIDUAL else "no"
        table.add_row(portrait.name, f"{portrait.residual:.2%}", f"{portrait.average:.2%}", verdict)
    return table


def _clip_table(clips: list[ClipFit]) -> Table:
    table = Table(title=f"clips, each fitted in {PARTS} parts")
    for heading in ("clip", "fitted", "identity from part to part, mm"):
        table.add_column(heading, justify="left" if heading == "clip" else "right")
    for clip in clips:
        spread = np.sqrt(clip.shapes.var(0, ddof=1).sum(-1).mean()) * 100.0
        table.add_row(clip.name, f"{clip.residuals.mean():.2%}", f"{spread:.2f}")
    return table
