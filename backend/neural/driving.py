"""The portrait and the shot in the coefficients that MappingNet reads: Basel expression, pose, identity and texture.

What the reconstruction network reads off the portrait is the source; the shot moves it by the change from the
portrait's own rest, so that a shot that does nothing renders the portrait as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from backend.checkpoints.store import MissingWeightsError, load_network, source_of
from backend.neural.alignment import Alignment, align, five_points
from backend.neural.calibration import BASEL_ORIGIN, BASEL_SCALE, kept_calibration
from backend.portrait.analysis import Portrait
from bfm.coefficients import FaceCoefficients
from bfm.sources.embedded import load_embedded_model

BASEL_MODEL = "bfm2009"


@dataclass(frozen=True)
class Driving:
    """Rows of coefficients in one order: source (n,), frames (n_frames, n); notices for the user."""

    source: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    notices: tuple[str, ...]

    def packed(self, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The source (1, n) and the frames (n_frames, n) of named parts, side by side, float32."""
        n_frames = len(self.frames["expression"])
        source = np.concatenate([self.source[name] for name in names])[None]
        parts = [np.broadcast_to(self.frames[name], (n_frames, len(self.source[name]))) for name in names]
        return source.astype(np.float32), np.concatenate(parts, axis=1).astype(np.float32)


SADTALKER_ORDER = ("expression", "rotation", "translation")
CROP_ORDER = (*SADTALKER_ORDER, "crop")
EMOSPEAKER_ORDER = ("identity", "texture", *SADTALKER_ORDER)


def drive(portrait: Portrait, crop_image: np.ndarray, crop_landmarks: np.ndarray, shot: FaceCoefficients) -> Driving:
    """The driving rows of a shot for a portrait whose crop (n, n, 3) uint8 has these 68 landmarks (68, 2), y down.

    Raises MissingWeightsError where neither the reconstruction network nor the Basel Face Model is here.
    """
    notices: list[str] = []
    placed = _alignment(crop_image, crop_landmarks)
    try:
        digest = source_of("reconstruction").stored_sha256
        network = load_network("reconstruction")
    except MissingWeightsError:
        network = None
    known = None if network is None else (network, digest)
    change, rest = _basel_expression(portrait, shot, known, notices)
    source = _fitted(portrait, rest) if network is None else _reconstructed(network, placed.crop(crop_image))
    source["crop"] = np.float32([placed.scale, placed.x, placed.y])
    frames = {
        "identity": source["identity"] + _or_zero(shot.identity_change, 80),
        "texture": source["texture"] + _or_zero(shot.texture_change, 80),
        "expression": source["expression"] + change,
        "rotation": source["rotation"] + shot.rotation - portrait.fit.rotation,
        "translation": source["translation"] + shot.translation - portrait.fit.translation,
        "crop": source["crop"],
    }
    if network is None:
        notices.append("The portrait's coefficients come from fitting: the reconstruction network is not here.")
    return Driving(source, frames, tuple(notices))


def standard_points() -> np.ndarray:
    """Five points (5, 3) of the Basel mean face in decimetres, by way of the embedded head."""
    head = load_embedded_model()
    return BASEL_SCALE * five_points(head.landmark_mean[head.landmarks_68]) + BASEL_ORIGIN


def _alignment(image: np.ndarray, landmarks: np.ndarray) -> Alignment:
    upwards = np.stack([landmarks[:, 0], len(image) - 1 - landmarks[:, 1]], axis=1)
    return align(image.shape[1], image.shape[0], upwards, standard_points())


def _reconstructed(network: torch.nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of the coefficients that the network reads off an aligned picture (224, 224, 3) uint8."""
    with torch.inference_mode():
        packed = network(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255)[0].numpy()
    names, sizes = ("identity", "expression", "texture", "rotation", "lighting", "translation"), (80, 64, 80, 3, 27, 3)
    return dict(zip(names, np.split(packed, np.cumsum(sizes)[:-1])))


def _fitted(portrait: Portrait, rest: np.ndarray) -> dict[str, np.ndarray]:
    """The source by landmarks alone: an average face with the fitted expression and pose, in the middle of the crop."""
    zeros = np.zeros(80, np.float32)
    middle = np.zeros(3, np.float32)
    return {"identity": zeros, "texture": zeros, "expression": rest, "rotation": portrait.fit.rotation,
            "translation": middle}  # fmt: skip


def _basel_expression(portrait, shot: FaceCoefficients, network, notices: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The shot's change (n_frames, 64) from the portrait's rest and the rest itself (64,), Basel sd."""
    from backend.faces.models import find_model, models_folder

    both = np.concatenate([portrait.fit.expression[None], shot.expression])
    if (models_folder() / f"{BASEL_MODEL}.npz").is_file():
        from bfm.retarget import between_models

        moved = between_models(load_embedded_model(), both, find_model(BASEL_MODEL), identity=portrait.fit.identity)
        notices.append(
            f"Expressions go by the Basel Face Model; {100 * float(moved.error.mean()):.0f} % of the motion is lost."
        )
        basel = moved.weights
    elif network is not None:
        found = kept_calibration(*network)
        notices.append(
            f"Expressions are calibrated on pictures of the embedded head; {100 * found.error:.0f} % of the motion is "
            "lost on mixes that it did not see: import the Basel Face Model for a closer match."
        )
        basel = both @ found.matrix
    else:
        raise MissingWeightsError(
            "This renderer needs expressions of the Basel Face Model: bring the reconstruction network "
            "('emorig weights import SadTalker_V0.0.2_256.safetensors') or the model ('emorig model import')."
        )
    return basel[1:] - basel[0], basel[0]


def _or_zero(change: np.ndarray | None, dims: int) -> np.ndarray:
    return np.zeros((1, dims), np.float32) if change is None else change
