"""MappingNet: a window of 3DMM coefficients to the head motion of face-vid2vid's key points.

SadTalker gives it expression, rotation and translation (70 per frame, 73 with the crop); EmoSpeaker (Feng et al.,
§III.D, eq. 9) identity, texture, expression, rotation and translation (230), so that an emotion in identity and
texture shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.facevid2vid.head_pose import HeadMotion, motion_heads

WINDOW_RADIUS = 13
WINDOW = 2 * WINDOW_RADIUS + 1  # frames
SADTALKER_COEFFICIENTS = 70
SADTALKER_CROP_COEFFICIENTS = 73
EMOSPEAKER_COEFFICIENTS = 230


@dataclass(frozen=True)
class MappingConfig:
    """Sizes of the published network; n_coefficients tells which set it reads."""

    n_coefficients: int = SADTALKER_COEFFICIENTS
    width: int = 1024
    n_layers: int = 3
    n_keypoints: int = 15


class DilatedLayer(nn.Module):
    """(B, C, T) to (B, C, T - 6): a dilated convolution without padding, added to the middle of its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.activation = nn.LeakyReLU(0.1)
        self.conv = nn.Conv1d(width, width, 3, dilation=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.activation(x)) + x[:, :, 3:-3]


class MappingNet(nn.Module):
    """Convolutions over 27 frames, their mean over time, and five linear heads."""

    def __init__(self, config: MappingConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MappingConfig()
        self.first = nn.Conv1d(config.n_coefficients, config.width, 7)
        self.layers = nn.ModuleList(DilatedLayer(config.width) for _ in range(config.n_layers))
        self.heads = motion_heads(config.width, config.n_keypoints)

    def forward(self, window: Tensor) -> HeadMotion:
        """The head motion of the middle frame of windows (B, n_coefficients, 27)."""
        x = self.first(window)
        for layer in self.layers:
            x = layer(x)
        x = x.mean(2)
        return HeadMotion(**{name: head(x) for name, head in self.heads.items()})


def windows(coefficients: Tensor) -> Tensor:
    """The window (n_frames, n_coefficients, 27) round every frame of coefficients (n_frames, n_coefficients); frames
    before the first and after the last repeat these.
    """
    n_frames = len(coefficients)
    around = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, device=coefficients.device)
    index = (torch.arange(n_frames, device=coefficients.device)[:, None] + around).clamp(0, n_frames - 1)
    return coefficients[index].transpose(1, 2)


PUBLISHED_NAMES = (
    ("first.0", "first"),
    *((f"encoder{i}.1", f"layers.{i}.conv") for i in range(3)),
    ("fc_yaw", "heads.yaw"),
    ("fc_pitch", "heads.pitch"),
    ("fc_roll", "heads.roll"),
    ("fc_t", "heads.translation"),
    ("fc_exp", "heads.deformation"),
)
