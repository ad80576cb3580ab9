"""Prepared clips that are made up: small, and with something to learn in picture and sound."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from backend.datasets.clip import ClipLabel, PreparedClip
from bfm.coefficients import FaceCoefficients

N_FRAMES = 45


def made_clip(key: str, speaker: str, emotion: str, level: int, split: str = "train") -> PreparedClip:
    """A clip whose picture is a disc that moves as its sound swells: small, and with something to learn."""
    rng = np.random.default_rng(len(key) + ord(key[-1]))
    time = np.arange(N_FRAMES) / 25.0
    swing = np.sin(2 * np.pi * (1.0 + 0.5 * rng.random()) * time)
    rows, columns = np.mgrid[:64, :64]
    frames = []
    for value in swing:
        picture = np.full((64, 64, 3), 40, np.uint8)
        picture[(rows - 32 - 8 * value) ** 2 + (columns - 32) ** 2 < 300] = (200, 150, 120)
        packed = io.BytesIO()
        Image.fromarray(picture).save(packed, "JPEG", quality=95)
        frames.append(packed.getvalue())
    felt = {"neutral": 0.0, "happy": 1.0}[emotion]
    expression = np.abs(rng.normal(size=64)) * 0.1 + np.outer(0.5 + 0.5 * swing, rng.random(64)) + felt
    landmarks = np.zeros((N_FRAMES, 478, 3), np.float32)
    landmarks[..., :2] = 32 + 14 * np.stack([np.cos(np.arange(478)), np.sin(np.arange(478))], axis=1)
    landmarks[..., 1] += 8 * swing[:, None]
    face = FaceCoefficients(
        identity=np.full(80, 0.2) + 0.1 * felt, texture=np.full(80, -0.1) + 0.2 * felt, expression=expression,
        rotation=0.2 * np.stack([swing, 0.5 * swing, 0 * swing], axis=1), translation=np.zeros((N_FRAMES, 3)),
        lighting=np.zeros(27), frame_rate=25.0,
    )  # fmt: skip
    loud = np.repeat(0.55 + 0.45 * swing, 640)
    return PreparedClip(
        label=ClipLabel(key, speaker, emotion, level, split, f"{key}.mp4", "landmarks", 0.0, 0.5, 0.01),
        frames=tuple(frames), landmarks=landmarks, coefficients=face,
        units=np.clip(np.outer(0.5 + 0.5 * swing, rng.random(17)), 0, 1).astype(np.float32),
        unit_names=tuple(f"AU{i}" for i in range(17)),
        samples=(0.2 * loud * rng.standard_normal(len(loud))).clip(-1, 1).astype(np.float32),
    )  # fmt: skip
