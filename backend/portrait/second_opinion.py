"""A second detector's view of eyes and lips, where its weights are on this machine.

mediapipe finds all 478 landmarks. face-alignment's network (Bulat & Tzimiropoulos 2017, "How far are we from solving
the 2D & 3D face alignment problem?") finds the 68 of 300-W by itself; of these, lids and lips are the same points in
both. Their mean is taken, and the rest of the face follows smoothly. Nothing is fetched.
"""

from __future__ import annotations

import os
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.errors import InputError
from bfm.landmarks import FACE_OVAL, LANDMARKS_68

SHARED = slice(36, 68)  # of the 68: lids and lips; brows, nose and jaw mean other places in each scheme
SHARE = 0.5  # of the second detector
MOST_APART = 0.08  # of the distance between the eyes, the median over shared points: beyond it one of both is wrong
FOREHEAD = 0.12  # of the box's height, that the second detector's box does not hold
SMOOTHING = 1e-3  # of the field between the points
WEIGHTS = "2DFAN4-11f355bf06.pth.tar"  # as the package names them: anything else it would fetch


def weights_file() -> Path | None:
    """The network's weights where face-alignment keeps them, None where they were never fetched."""
    home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch"))
    path = home / "hub" / "checkpoints" / WEIGHTS
    return path if path.is_file() else None


def with_second_opinion(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, str | None]:
    """landmarks (478, 3) pixels of image (height, width, 3) uint8 RGB with lids and lips where both detectors see them
    on the mean, and what the user should know. As they are where the second one's weights are not here.

    Raises InputError for weights that cannot be read.
    """
    if weights_file() is None:
        return landmarks, None
    found = _network().get_landmarks_from_image(image, detected_faces=[_box(landmarks)])
    apart = np.asarray(found[0], np.float32)[SHARED] - landmarks[list(LANDMARKS_68[SHARED]), :2]
    eyes = float(np.linalg.norm(landmarks[468, :2] - landmarks[473, :2]))
    if np.median(np.linalg.norm(apart, axis=1)) > MOST_APART * eyes:
        return landmarks, (
            "Both landmark detectors see the face in the portrait differently: mediapipe's landmarks are used, look "
            "whether lids and lips move where they should."
        )
    return _moved(landmarks, SHARE * apart, eyes), None


def _box(landmarks: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom (4,) as face-alignment's own detector draws it: without the upper forehead."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    return np.array([low[0], low[1] + FOREHEAD * (high[1] - low[1]), *high])


def _moved(landmarks: np.ndarray, shift: np.ndarray, eyes: float) -> np.ndarray:
    """landmarks with the shared ones moved by shift (n, 2), the outline still, and the rest smoothly between."""
    from scipy.interpolate import RBFInterpolator

    # corners of lips are among the outer and the inner points alike
    known, first = np.unique([*LANDMARKS_68[SHARED], *FACE_OVAL], return_index=True)
    moves = np.concatenate([shift, np.zeros((len(FACE_OVAL), 2))])[first]
    field = RBFInterpolator(landmarks[known, :2] / eyes, moves, smoothing=SMOOTHING)
    out = landmarks.copy()
    out[:, :2] += field(landmarks[:, :2] / eyes).astype(np.float32)
    return out


@lru_cache(maxsize=1)
def _network():
    """The 68 points' network alone: faces are found already."""
    import face_alignment

    kind = face_alignment.LandmarksType.TWO_D
    try:
        return face_alignment.FaceAlignment(kind, device="cpu", face_detector="folder", compile=False)
    except (RuntimeError, OSError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"face-alignment's weights '{weights_file()}' cannot be read: delete the file to go on with mediapipe "
            "alone, or fetch it again ('emorig doctor' says how)."
        ) from error
