"""Face-vid2vid's generator: a source image and two sets of key points to a new image (Wang et al. 2021, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from backend.models.blocks import ConvBlock, DownBlock, ResidualBlock
from backend.models.facevid2vid import decoder, dense_motion
from backend.models.facevid2vid.decoder import AdaptiveDecoder
from backend.models.facevid2vid.dense_motion import DenseMotion, DenseMotionConfig, Motion


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the published network."""

    width: int = 64
    n_down: int = 2
    volume_channels: int = 32
    depth: int = 16
    n_residual: int = 6
    decoder_middle: int = 6
    decoder_last: int = 64
    decoder_hidden: int = 128
    motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)


@dataclass(frozen=True)
class SourceFeatures:
    """What of a source image does not depend on the motion: volume (B, 32, 16, H / 4, W / 4), and compressed
    (B, 4, 16, H / 4, W / 4) for the dense motion.
    """

    volume: Tensor
    compressed: Tensor


class Generator(nn.Module):
    """Encodes the source once, warps its feature volume by the dense motion, and decodes the result."""

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        width = config.width
        self.first = ConvBlock(2, 3, width)
        self.down = nn.ModuleList(DownBlock(2, width * 2**i, width * 2 ** (i + 1)) for i in range(config.n_down))
        encoded, flat = width * 2**config.n_down, config.volume_channels * config.depth
        self.lift = nn.Conv2d(encoded, flat, 1)
        self.residual = nn.Sequential(*(ResidualBlock(3, config.volume_channels) for _ in range(config.n_residual)))
        self.motion = DenseMotion(config.motion)
        self.flatten = ConvBlock(2, flat, encoded, activation=nn.LeakyReLU())
        self.mix = nn.Conv2d(encoded, encoded, 1)
        self.decoder = AdaptiveDecoder(
            encoded, config.decoder_middle, last=config.decoder_last, hidden=config.decoder_hidden
        )

    def encode(self, image: Tensor) -> SourceFeatures:
        """The features of source images (B, 3, H, W) RGB 0-1, H and W multiples of 128."""
        x = self.first(image)
        for block in self.down:
            x = block(x)
        volume = self.residual(self.lift(x).unflatten(1, (-1, self.config.depth)))
        return SourceFeatures(volume, self.motion.compress(volume))

    def warp(self, features: SourceFeatures, motion: Motion) -> Tensor:
        """The source's features (B, 256, H / 4, W / 4) moved and dimmed where the source does not show them."""
        volume = features.volume.expand(len(motion.deformation), *features.volume.shape[1:])
        moved = F.grid_sample(volume, motion.deformation, align_corners=False)
        return self.mix(self.flatten(moved.flatten(1, 2))) * motion.occlusion

    def forward(self, features: SourceFeatures, source: Tensor, driving: Tensor) -> Tensor:
        """Images (B, 3, H, W) RGB 0-1 with the key points driving (B, 15, 3) in place of source (B, 15, 3).

        features: of B sources, or of one that all frames share.
        """
        return self.decoder(self.warp(features, self.motion(features.compressed, source, driving)))


def _inside(published: str, ours: str, table: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{published}.{theirs}", f"{ours}.{name}") for theirs, name in table)


PUBLISHED_NAMES = (
    ("first", "first"),
    ("down_blocks.*", "down.*"),
    ("second", "lift"),
    *((f"resblocks_3d.3dr{i}", f"residual.{i}") for i in range(6)),
    *_inside("dense_motion_network", "motion", dense_motion.PUBLISHED_NAMES),
    ("third", "flatten"),
    ("fourth", "mix"),
    *_inside("decoder", "decoder", decoder.PUBLISHED_NAMES),
)
