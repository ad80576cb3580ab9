"""A prepared clip: what networks learn from, on one even grid of frames, with its sound in step."""

from __future__ import annotations

import io
import json
from dataclasses import MISSING, asdict, dataclass, fields

import numpy as np

from bfm.coefficients import FaceCoefficients

SOUND_RATE = 16_000  # Hz


@dataclass(frozen=True)
class ClipLabel:
    """Whom and what a clip shows, where it is from and how it was measured.

    emotion: None where the data set does not say; level 1–3, 0 without emotion. units_source: "landmarks" or the name
    of the OpenFace table. offset: seconds that the sound came after the picture, taken out; offset_correlation: of
    predicted with tracked lips there. residual: mean distance of fitted landmarks as a share of the eyes' distance.
    has_sound: False where the samples are but silence.
    """

    key: str
    speaker: str
    emotion: str | None
    level: int
    split: str
    source: str
    units_source: str
    offset: float
    offset_correlation: float
    residual: float
    has_sound: bool = True


@dataclass(frozen=True)
class PreparedClip:
    """One clip. Frame i is centred at i / frame rate of the coefficients, in picture and sound.

    frames: JPEG of the face's surroundings, one per frame, square. landmarks (n_frames, 478, 3) float32 pixels of them.
    coefficients: of the face in the whole picture. units (n_frames, 17) 0–1 named by unit_names.
    samples (n_samples,) float32 [-1, 1] at SOUND_RATE.
    """

    label: ClipLabel
    frames: tuple[bytes, ...]
    landmarks: np.ndarray
    coefficients: FaceCoefficients
    units: np.ndarray
    unit_names: tuple[str, ...]
    samples: np.ndarray

    def __post_init__(self) -> None:
        n_frames = self.coefficients.n_frames
        lengths = {"frames": len(self.frames), "landmarks": len(self.landmarks), "units": len(self.units)}
        for name, length in lengths.items():
            if length != n_frames:
                raise ValueError(f"clip '{self.label.key}': {name} should have {n_frames} frames, got {length}")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.coefficients.n_frames

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_frames / self.coefficients.frame_rate

    def image(self, index: int) -> np.ndarray:
        """Frame index, (size, size, 3) uint8 RGB."""
        import cv2

        return cv2.imdecode(np.frombuffer(self.frames[index], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


_COEFFICIENTS = ("identity", "texture", "expression", "rotation", "translation", "lighting")


def to_members(clip: PreparedClip) -> list[tuple[str, bytes]]:
    """The clip as files of a shard: KEY.json, KEY.npz, KEY.00000.jpg …"""
    arrays = {name: getattr(clip.coefficients, name) for name in _COEFFICIENTS}
    arrays |= {
        "landmarks": clip.landmarks.astype(np.float32),
        "units": clip.units.astype(np.float32),
        "samples": np.round(np.clip(clip.samples, -1.0, 1.0) * 32767.0).astype(np.int16),
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    described = asdict(clip.label) | {
        "frame_rate": clip.coefficients.frame_rate, "n_frames": clip.n_frames, "unit_names": list(clip.unit_names),
        "face_model": clip.coefficients.model,
    }  # fmt: skip
    members = [("json", json.dumps(described).encode()), ("npz", packed.getvalue())]
    members += [(f"{index:05d}.jpg", frame) for index, frame in enumerate(clip.frames)]
    return [(f"{clip.label.key}.{name}", data) for name, data in members]


def from_members(members: dict[str, bytes]) -> PreparedClip:
    """The clip of a shard's files by what follows their key. Raises ValueError or KeyError where they are not whole."""
    described = json.loads(members["json"])
    with np.load(io.BytesIO(members["npz"]), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    n_frames = int(described["n_frames"])
    return PreparedClip(
        label=ClipLabel(
            **{
                field.name: described[field.name]
                for field in fields(ClipLabel)
                if field.name in described or field.default is MISSING
            }
        ),
        frames=tuple(members[f"{index:05d}.jpg"] for index in range(n_frames)),
        landmarks=arrays["landmarks"],
        coefficients=FaceCoefficients(
            **{name: arrays[name] for name in _COEFFICIENTS}, frame_rate=float(described["frame_rate"]),
            model=described["face_model"],
        ),
        units=arrays["units"],
        unit_names=tuple(described["unit_names"]),
        samples=arrays["samples"].astype(np.float32) / 32767.0,
    )  # fmt: skip
