"""EAMM's Audio2Facial-Dynamics: a portrait, sound and poses to feature maps that key points are read off (§3.1)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.blocks import DownBlock
from backend.models.state_names import UNUSED


@dataclass(frozen=True)
class AudioFeaturesConfig:
    """Sizes of the published network; audio_weight is what its demonstration multiplies the sound's code by."""

    audio_weight: float = 1.6
    code: int = 256
    image_code: int = 512
    n_layers: int = 3
    out_channels: int = 35


class AudioFeatures(nn.Module):
    """Codes of image, sound and pose through an LSTM over time and transposed convolutions."""

    def __init__(self, config: AudioFeaturesConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AudioFeaturesConfig()
        widths = [3, *(4 * 2**i for i in range(8))]
        self.image = nn.Sequential(*(DownBlock(2, a, b) for a, b in itertools.pairwise(widths)))
        self.sound = nn.Sequential(
            _conv(1, 64), _conv(64, 128), nn.MaxPool2d(3, (1, 2)),
            _conv(128, 256), _conv(256, 256), _conv(256, 512), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.sound_code = nn.Sequential(nn.Linear(512 * 24, 2048), nn.ReLU(), nn.Linear(2048, config.code), nn.ReLU())
        self.pose = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, config.code), nn.ReLU())
        self.recurrent = nn.LSTM(config.image_code + 2 * config.code, config.code, config.n_layers, batch_first=True)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(config.code, 256, 6, 2, 1), nn.BatchNorm2d(256), nn.ReLU(),
            nn.ConvTranspose2d(256, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, config.out_channels, 4, 2, 1),
        )  # fmt: skip

    def forward(self, image: Tensor, mfcc: Tensor, pose: Tensor) -> Tensor:
        """Feature maps (B, T, 35, 64, 64) of an image (B, 3, 256, 256) RGB 0-1, MFCC windows (B, T, 28, 12) and poses
        (B, T, 6): three angles in degrees, scale, and two translations in pixels of the pose tracker.
        """
        n_batch, n_frames = mfcc.shape[:2]
        face = self.image(image).flatten(1)[:, None].expand(-1, n_frames, -1)
        sound = self.sound_code(self.sound(mfcc.flatten(0, 1)[:, None]).flatten(1)) * self.config.audio_weight
        codes = torch.cat([face, sound.unflatten(0, (n_batch, n_frames)), self.pose(pose)], dim=-1)
        states = self.recurrent(codes)[0]
        return self.decoder(states.flatten(0, 1)[:, :, None, None]).unflatten(0, (n_batch, n_frames))


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


# "audio_eocder" is how the published network spells it; its StyleGAN2 branch is not run.
PUBLISHED_NAMES = (
    ("down_blocks.*", "image.*"),
    ("audio_eocder_fc", "sound_code"),
    ("audio_eocder", "sound"),
    ("pose_encoder", "pose"),
    ("lstm", "recurrent"),
    ("decon", "decoder"),
    ("generator", UNUSED),
)
