"""What trainers take from prepared clips: pictures, head poses, sound, and who is meant by a speaker's own face."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.datasets.access import NothingHeardError, PreparedData
from backend.datasets.clip import PreparedClip
from backend.datasets.layouts import NEUTRAL
from backend.datasets.splits import TEST, TRAIN
from backend.errors import InputError
from bfm.camera import rotation_matrix

FRAME_RATE = 25.0  # Hz that the papers' networks work at
_FLIP = np.diag([1.0, -1.0, -1.0])  # the face model's axes (y up, z to the camera) to pictures' (y down, z away)


@dataclass(frozen=True)
class Recordings:
    """Prepared clips to train on, and those kept from training where the split has any."""

    train: PreparedData
    test: PreparedData | None

    @property
    def facts(self) -> dict[str, str]:
        """What of the data goes into the weights' metadata: how many clips there are, and a hash of their places and of
        the shards' indexes, which hold what was measured of every clip.
        """
        digest = hashlib.sha256(repr([(p.key, p.shard, p.start, p.stop) for p in self.train.places]).encode())
        for shard in sorted({place.shard for place in self.train.places}):
            index = (self.train.folder / shard).with_suffix(".json")
            digest.update(index.read_bytes() if index.is_file() else b"")
        card = self.train.card()
        named = json.dumps({name: card.get(name) for name in ("layout", "split", "seed", "size", "frame_rate")})
        return {
            "data": named, "data_clips": str(len(self.train)), "data_silent_passed_over": str(self.train.n_silent),
            "data_sha256": digest.hexdigest(),
        }  # fmt: skip


def open_recordings(folder: Path, *, needs_sound: bool = False) -> Recordings:
    """The clips of a folder that 'emorig prepare' made, all or those with sound. Raises InputError, also for another
    rate than 25 per second.
    """
    train = PreparedData(folder, TRAIN, needs_sound=needs_sound)
    rate = train.card().get("frame_rate")
    if rate != FRAME_RATE:
        raise InputError(f"These networks work at 25 frames per second, the data has {rate}: prepare with --fps 25.")
    if not any(Path(folder).glob(f"{TEST}-*.tar")):
        return Recordings(train, None)
    try:
        return Recordings(train, PreparedData(folder, TEST, needs_sound=needs_sound))
    except NothingHeardError:
        return Recordings(train, None)


def silent_clips(folder: Path) -> int:
    """How many clips without sound a prepared folder holds, as its card tells; 0 where it does not."""
    try:
        return int(json.loads((folder / "dataset.json").read_text(encoding="utf-8")).get("without_sound", 0))
    except (OSError, ValueError):
        return 0  # what is wrong with the card is said by open_recordings


def picture(clip: PreparedClip, index: int, size: int) -> np.ndarray:
    """Frame index of a clip (size, size, 3) uint8 RGB."""
    image = clip.image(index)
    if len(image) == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if size < len(image) else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=method)


def picture_landmarks(clip: PreparedClip, index: int, size: int) -> np.ndarray:
    """Landmarks (478, 2) of frame index in pixels of its picture at a size."""
    scale = size / float(clip.image(index).shape[0])
    return clip.landmarks[index, :, :2] * scale


def as_tensor(images: list[np.ndarray] | np.ndarray) -> Tensor:
    """Images (n, H, W, 3) uint8 as (n, 3, H, W) float32 0-1."""
    stacked = np.ascontiguousarray(np.stack(list(images)).transpose(0, 3, 1, 2))
    return torch.from_numpy(stacked).float() / 255.0


def as_images(tensor: Tensor) -> np.ndarray:
    """Images (n, H, W, 3) uint8 of (n, 3, H, W) 0-1."""
    values = tensor.detach().float().clamp(0.0, 1.0).cpu().numpy().transpose(0, 2, 3, 1)
    return np.round(values * 255.0).astype(np.uint8)


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (n, 3) in degrees, as face-vid2vid composes them in pictures' axes (R_x R_y R_z), of the
    face model's rotations (n, 3) in radians.
    """
    matrix = _FLIP @ rotation_matrix(rotation) @ _FLIP
    yaw = np.arcsin(np.clip(matrix[:, 0, 2], -1.0, 1.0))
    pitch = np.arctan2(-matrix[:, 1, 2], matrix[:, 2, 2])
    roll = np.arctan2(-matrix[:, 0, 1], matrix[:, 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1)).astype(np.float32)


@dataclass(frozen=True)
class Rest:
    """A speaker's own face: mean identity (80,), texture (80,) and expression (64,) of the neutral clips, of all clips
    where there is no neutral one.
    """

    identity: np.ndarray
    texture: np.ndarray
    expression: np.ndarray
    is_neutral: bool


def rest_faces(data: PreparedData) -> dict[str, Rest]:
    """Every speaker's own face by name."""
    # Sums and counts, so that memory grows with the speakers alone.
    sums: dict[tuple[str, bool], tuple[int, list[np.ndarray]]] = {}
    for label, face in data.faces():
        for key in {(label["speaker"], False), (label["speaker"], label["emotion"] == NEUTRAL)}:
            count, parts = sums.get(key, (0, [np.zeros(len(part)) for part in face]))
            sums[key] = count + 1, [total + part for total, part in zip(parts, face)]
    rests = {}
    for speaker in {speaker for speaker, _ in sums}:
        is_neutral = (speaker, True) in sums
        count, parts = sums[speaker, is_neutral]
        rests[speaker] = Rest(*((total / count).astype(np.float32) for total in parts), is_neutral)
    return rests
