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
    """Sizes of the published network; audio_weight is what its demonstration multiplies the sound's code by.

    Pictures are 2^image_blocks pixels wide, the maps that come out 4 * 2^(number of decoder_widths).
    """

    audio_weight: float = 1.6
    code: int = 256
    image_code: int = 512
    n_layers: int = 3
    out_channels: int = 35
    image_blocks: int = 8
    image_width: int = 4
    sound_width: int = 64
    decoder_widths: tuple[int, ...] = (256, 128, 128, 128)


class AudioFeatures(nn.Module):
    """Codes of image, sound and pose through an LSTM over time and transposed convolutions."""

    def __init__(self, config: AudioFeaturesConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AudioFeaturesConfig()
        widths = [3, *(config.image_width * 2**i for i in range(config.image_blocks))]
        assert widths[-1] == config.image_code
        sound = config.sound_width
        self.image = nn.Sequential(*(DownBlock(2, a, b) for a, b in itertools.pairwise(widths)))
        self.sound = nn.Sequential(
            _conv(1, sound), _conv(sound, 2 * sound), nn.MaxPool2d(3, (1, 2)),
            _conv(2 * sound, 4 * sound), _conv(4 * sound, 4 * sound), _conv(4 * sound, 8 * sound), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.sound_code = nn.Sequential(
            nn.Linear(8 * sound * 24, 32 * sound), nn.ReLU(), nn.Linear(32 * sound, config.code), nn.ReLU()
        )
        self.pose = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, config.code), nn.ReLU())
        self.recurrent = nn.LSTM(config.image_code + 2 * config.code, config.code, config.n_layers, batch_first=True)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(itertools.pairwise((config.code, *config.decoder_widths))):
            layers += [nn.ConvTranspose2d(a, b, 4 if i else 6, 2, 1), nn.BatchNorm2d(b), nn.ReLU()]
        self.decoder = nn.Sequential(
            *layers, nn.ConvTranspose2d(config.decoder_widths[-1], config.out_channels, 4, 2, 1)
        )

    def forward(self, image: Tensor, mfcc: Tensor, pose: Tensor) -> Tensor:
        """Feature maps (B, T, 35, 64, 64) of an image (B, 3, 256, 256) RGB 0-1, MFCC windows (B, T, 28, 12) and poses
        (B, T, 6): three angles in degrees, scale, and two translations in pixels of the pose tracker.
        """
        return self.decode(self.face_code(image, mfcc.shape[1]), self.sound_codes(mfcc), pose)

    def face_code(self, image: Tensor, n_frames: int) -> Tensor:
        """Codes (B, n_frames, image_code) of an image (B, 3, H, H), the same for every frame."""
        return self.image(image).flatten(1)[:, None].expand(-1, n_frames, -1)

    def sound_codes(self, mfcc: Tensor) -> Tensor:
        """Codes (B, T, code) of MFCC windows (B, T, 28, 12)."""
        code = self.sound_code(self.sound(mfcc.flatten(0, 1)[:, None]).flatten(1)) * self.config.audio_weight
        return code.unflatten(0, mfcc.shape[:2])

    def decode(self, face: Tensor, sound: Tensor, pose: Tensor) -> Tensor:
        """Feature maps (B, T, 35, h, h) of codes of face and sound (B, T, …) and poses (B, T, 6)."""
        states = self.recurrent(torch.cat([face, sound, self.pose(pose)], dim=-1))[0]
        return self.decoder(states.flatten(0, 1)[:, :, None, None]).unflatten(0, sound.shape[:2])


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
