"""EAMM at work (Ji et al. 2022): a portrait, speech, head poses and an emotion video to frames, 25 per second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.audio.mfcc import SAMPLE_RATE, eamm_windows
from backend.checkpoints.store import load_network
from backend.errors import InputError
from backend.models.eamm.keypoints import Keypoints
from backend.neural.crop import FaceCrop, face_crop
from backend.neural.eamm_motion import eamm_poses, with_emotion
from backend.portrait.analysis import Portrait
from backend.portrait.plate import make_plate
from bfm.coefficients import FaceCoefficients
from bfm.sources.embedded import load_embedded_model
from blender_addon.protocol.types import Waveform

SIZE = 256  # pixels
FRAME_RATE = 25.0
BATCH = 8
# The pose tracker's numbers (3DDFA, in a picture of 120 pixels) for a head that looks ahead.
POSE_AHEAD = np.array([0.0, 0.0, 0.0, 4.8e-4, 60.0, 70.0])
POSE_PIXELS = 120.0
MAX_POSE_FILE = 1 << 26  # bytes


class EammRenderer:
    """Renders one portrait by imported weights. Raises MissingWeightsError."""

    def __init__(self, portrait: Portrait, *, size: int | None = None) -> None:
        names = ("keypoints", "audio_features", "audio_keypoints", "emotion", "generator")
        parts = (load_network(f"eamm.{name}") for name in names)
        self._detector, self._sound, self._reader, self._emotion, self._generator = parts
        self._plate = make_plate(portrait, size)
        self._crop = face_crop(self._plate.landmarks[load_embedded_model().landmarks_68, :2])
        image = torch.from_numpy(self._crop.cut(self._plate.image, SIZE)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            self._image, self._source = image, self._detector(image)
            self._features = self._generator.encode(image)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, both even."""
        height, width = self._plate.image.shape[:2]
        return width, height

    def frames(
        self, speech: Waveform, wanted: range, *, poses: np.ndarray, emotion: np.ndarray | None, strength: float = 1.0
    ) -> Iterator[np.ndarray]:
        """The wanted frames (H, W, 3) uint8 RGB in order, 25 per second.

        poses: rows (n, 6 or more) of a pose tracker; emotion: frames of the emotion video (n, 256, 256, 3) uint8,
        played again where it is shorter, or None for a neutral face. Raises InputError for sound that is too short.
        """
        points = self.keypoints(speech, poses=poses, emotion=emotion, strength=strength)
        last = len(points.value) - 1
        for first in range(0, len(wanted), BATCH):
            index = torch.tensor(wanted[first : first + BATCH]).clamp(max=last)
            driving = points[index]
            source = Keypoints(
                self._source.value.expand_as(driving.value), self._source.jacobian.expand_as(driving.jacobian)
            )
            with torch.inference_mode():
                pictures = self._generator(self._features, source, driving)
            for picture in pictures.permute(0, 2, 3, 1).numpy():
                yield self._crop.paste(self._plate.image, picture)

    def keypoints(
        self, speech: Waveform, *, poses: np.ndarray, emotion: np.ndarray | None, strength: float = 1.0
    ) -> Keypoints:
        """Key points (n_frames, 10, …) of speech, moved by the emotion and smoothed. Raises InputError."""
        assert speech.sample_rate == SAMPLE_RATE
        windows = eamm_windows(speech.samples)
        if len(windows) == 0:
            raise InputError("EAMM needs at least a tenth of a second of speech: give a longer recording.")
        rows = torch.from_numpy(eamm_poses(poses, len(windows)))[None]
        with torch.inference_mode():
            maps = self._sound(self._image, torch.from_numpy(windows)[None], rows)[0]
            raw = self._reader(maps)
            felt = None if emotion is None else self._displacement(raw, emotion)
            return with_emotion(raw, felt, strength=strength)

    def _displacement(self, raw: Keypoints, emotion: np.ndarray) -> Keypoints:
        """Displacements (n_frames, 4, …) by the emotion video's frames."""
        features: list[Tensor] = []
        for first in range(0, len(emotion), BATCH):
            batch = torch.from_numpy(emotion[first : first + BATCH]).permute(0, 3, 1, 2).float() / 255
            features.append(self._emotion.feature(batch))
        feature = torch.cat(features)
        return self._emotion(feature[torch.arange(len(raw.value)) % len(feature)], raw)


def emotion_frames(video: Path, *, seed: int = 0) -> np.ndarray:
    """The faces (n, 256, 256, 3) uint8 of an emotion video, 25 per second, the mouth hidden under noise as in training.

    Raises InputError where the file is no video or shows no face.
    """
    from backend.tracking.frames import read_frames, track_landmarks

    track = track_landmarks(video)
    index = load_embedded_model().landmarks_68
    random = np.random.default_rng(seed)
    crop: FaceCrop | None = None
    frames, due = [], 0.0
    for time, image in read_frames(video):
        if time + 1e-6 < due:
            continue
        due += 1.0 / FRAME_RATE
        landmarks = track.landmarks[min(int(time * track.frame_rate), len(track.landmarks) - 1)][index, :2]
        crop = crop or face_crop(landmarks)
        square = crop.cut(image, SIZE)
        frames.append(without_mouth(square, (landmarks - [crop.left, crop.top]) * (SIZE / crop.side), random))
    return np.stack(frames)


def without_mouth(image: np.ndarray, landmarks: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture (height, width, 3) uint8 with lips and jaw of its 68 landmarks (68, 2) under noise."""
    hidden = np.concatenate([landmarks[2:15], landmarks[[33]]])
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(hidden).astype(np.int32)), 1)
    noise = random.integers(0, 256, image.shape, dtype=np.uint8)
    return np.where(mask[..., None] == 1, noise, image)


def read_poses(source: str | None) -> np.ndarray:
    """Rows (n, 6) of 'video:FILE' or of an .npy of a pose tracker (3DDFA: three angles in degrees, scale, x, y).

    None: a head that looks ahead. A video is tracked here; its rows approximate that tracker's. Raises InputError.
    """
    if source is None:
        return POSE_AHEAD[None]
    if source.startswith("video:"):
        return _tracked_poses(Path(source.removeprefix("video:")))
    path = Path(source)
    if not path.is_file() or path.suffix != ".npy" or path.stat().st_size > MAX_POSE_FILE:
        raise InputError(f"The poses should be 'video:FILE' or an .npy file of a pose tracker, got '{source}'.")
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"'{path.name}' is no plain .npy array ({error}): save the poses as numbers.") from error
    rows = np.atleast_2d(rows)
    if (
        rows.ndim != 2
        or rows.shape[1] < 6
        or len(rows) == 0
        or rows.dtype.kind not in "fiu"
        or not np.isfinite(rows).all()
    ):
        raise InputError(f"'{path.name}' should hold rows of at least 6 finite numbers, got shape {rows.shape}.")
    return rows.astype(np.float64)


def _tracked_poses(video: Path) -> np.ndarray:
    from backend.tracking.tracker import track_video

    if not video.is_file():
        raise InputError(f"There is no pose video '{video}': give the path of a video of a face.")
    return pose_rows(track_video(video).coefficients)


def pose_rows(shot: FaceCoefficients) -> np.ndarray:
    """The head of a shot as rows (n_frames, 6) that approximate the pose tracker's."""
    rows = np.tile(POSE_AHEAD, (shot.n_frames, 1))
    rows[:, :3] += np.degrees(shot.rotation[:, [1, 0, 2]])
    moved = shot.translation - shot.translation[0]
    # A head of about two decimetres fills most of the tracker's picture.
    rows[:, 4:6] += moved[:, :2] * POSE_PIXELS / 2.2
    return rows
