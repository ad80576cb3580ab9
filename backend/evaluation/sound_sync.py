"""SyncNet on a video (Chung & Zisserman 2016): faces cut as its published pipeline cuts them, sound, and lip_sync."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn

from backend.audio.mfcc import syncnet_windows
from backend.evaluation.lip_sync import LipSync, lip_sync
from blender_addon.protocol.types import Waveform

SIDE = 224  # pixels
FRAMES, LEAST_FRAMES = 5, 20  # that one embedding sees; that a video needs
MARGIN = 0.4  # of the box, beyond it and below it (crop_scale of the published pipeline)
FOREHEAD = 0.25  # of the landmarks' height that a detector's box reaches above them
INT16 = 32768.0
BATCH = 16


class SoundSync:
    """Measures videos by a SyncNet with weights."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()

    @staticmethod
    def installed() -> SoundSync:
        """By the imported weights. Raises MissingWeightsError where there are none."""
        from backend.checkpoints.store import load_network

        return SoundSync(load_network("syncnet"))

    def measure(self, frames: np.ndarray, landmarks: np.ndarray, waveform: Waveform) -> LipSync | None:
        """Offset, distance and confidence of frames (n, H, W, 3) uint8, 25 per second, with landmarks (n, 478, 3) in
        them, and sound at 16 kHz; None for less than 20 frames of both.
        """
        sound = syncnet_windows(np.round(waveform.samples * (INT16 - 1.0)).astype(np.int16))
        n_used = min(len(frames) - FRAMES, len(waveform.samples) // 640 - FRAMES, len(sound))
        if n_used < LEAST_FRAMES:
            return None
        crops = np.stack(list(face_crops(frames, landmarks)))  # (n, 224, 224, 3) BGR
        lips = self._embedded(lambda rows: self._network.embed_lips(_clips(crops, rows)), n_used)
        heard = self._embedded(lambda rows: self._network.embed_sound(torch.from_numpy(sound[rows])), n_used)
        return lip_sync(lips, heard)

    @staticmethod
    def _embedded(embed, n_used: int) -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for first in range(0, n_used, BATCH):
                parts.append(embed(np.arange(first, min(first + BATCH, n_used))).numpy())
        return np.concatenate(parts)


def _clips(crops: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    """Five pictures from each row on (B, 3, 5, 224, 224) float32 0-255."""
    chosen = crops[rows[:, None] + np.arange(FRAMES)]
    return torch.from_numpy(np.ascontiguousarray(chosen.transpose(0, 4, 1, 2, 3))).float()


def face_crops(frames: np.ndarray, landmarks: np.ndarray):
    """Faces (224, 224, 3) uint8 BGR as SyncNet's pipeline cuts them: a square of the box and 0.4 of it on both sides
    and below, its middle and size smoothed over 13 frames. The box is that of the landmarks with a forehead.
    """
    from scipy.signal import medfilt

    flat = landmarks[..., :2]
    low, high = flat.min(1), flat.max(1)
    low[:, 1] -= FOREHEAD * (high - low)[:, 1]
    kernel = 13 if len(frames) >= 13 else 1
    half, middle_x, middle_y = (
        medfilt(values.astype(np.float64), kernel)
        for values in ((high - low).max(1) / 2.0, (low + high)[:, 0] / 2.0, (low + high)[:, 1] / 2.0)
    )
    edge = kernel // 2  # a median filter pads with zeros: the ends keep the nearest whole value
    for values in (half, middle_x, middle_y):
        if len(values) > 2 * edge:
            values[:edge], values[len(values) - edge :] = values[edge], values[len(values) - edge - 1]
    for frame, size, x, y in zip(frames, half, middle_x, middle_y):
        side = 2.0 * size * (1.0 + MARGIN)
        scale = SIDE / side
        move = np.array([[scale, 0.0, -(x - size * (1.0 + MARGIN)) * scale], [0.0, scale, -(y - size) * scale]])
        cut = cv2.warpAffine(frame, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=(110, 110, 110))
        yield np.ascontiguousarray(cut[:, :, ::-1])
