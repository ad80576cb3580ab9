"""Face-vid2vid's dense motion: key points to a 3D flow field and an occlusion map (Wang et al. 2021, §3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.models.blocks import ConvBlock, Hourglass, hourglass_names
from backend.models.coordinates import coordinate_grid, gaussian_maps

MASK_THRESHOLD = 1e-3
"""Shares of a motion below this count as none; the others are not raised."""


@dataclass(frozen=True)
class DenseMotionConfig:
    """Sizes of the published network."""

    n_keypoints: int = 15
    feature_channels: int = 32
    compressed: int = 4
    depth: int = 16
    width: int = 32
    max_width: int = 1024
    n_blocks: int = 5


@dataclass(frozen=True)
class Motion:
    """deformation (B, 16, H, W, 3): where each voxel comes from; mask (B, 16, 16, H, W): the share of every candidate
    motion, before the threshold; occlusion (B, 1, H, W): 1 where the source shows what is needed.
    """

    deformation: Tensor
    mask: Tensor
    occlusion: Tensor


def deformation(mask: Tensor, motions: Tensor) -> Tensor:
    """The weighed motion (B, 16, H, W, 3) of candidates (B, 16, 16, H, W, 3) by their shares (B, 16, 16, H, W)."""
    kept = torch.where(mask < MASK_THRESHOLD, 0.0, mask)
    # Positions never in half precision: a step of it is a quarter of a pixel.
    with torch.autocast(kept.device.type, enabled=False):
        return torch.einsum("bkdhw,bkdhwc->bdhwc", kept.float(), motions.float())


class DenseMotion(nn.Module):
    """Candidate motions (none, and one per key point), weighed per voxel by a 3D hourglass."""

    def __init__(self, config: DenseMotionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DenseMotionConfig()
        n_motions = config.n_keypoints + 1
        self.compress = ConvBlock(3, config.feature_channels, config.compressed, kernel=1)
        self.hourglass = Hourglass(
            3,
            n_motions * (config.compressed + 1),
            width=config.width,
            max_width=config.max_width,
            n_blocks=config.n_blocks,
        )
        channels = self.hourglass.out_channels
        self.refine = ConvBlock(3, channels, channels)
        self.mask = nn.Conv3d(channels, n_motions, 7, padding=3)
        self.occlusion = nn.Conv2d(channels * config.depth, 1, 7, padding=3)

    def forward(self, compressed: Tensor, source: Tensor, driving: Tensor) -> Motion:
        """The motion from source to driving key points (B, 15, 3); compressed (B or 1, 4, 16, H, W): the source's
        feature volume through self.compress.
        """
        motions = self.candidates(compressed, source, driving)
        x = self.refine(self.hourglass(self._evidence(compressed, motions, source, driving)))
        mask = self.mask(x).softmax(dim=1)
        return Motion(deformation(mask, motions), mask, self.occlusion(x.flatten(1, 2)).sigmoid())

    def candidates(self, compressed: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """Where voxels come from under each motion (B, 16, 16, H, W, 3): the identity first."""
        grid = coordinate_grid(compressed.shape[2:], source)
        moved = grid - driving[:, :, None, None, None, :] + source[:, :, None, None, None, :]
        return torch.cat([grid.expand(len(moved), 1, *grid.shape), moved], dim=1)

    def _evidence(self, compressed: Tensor, motions: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """Per motion the difference of the key points' heat maps and the moved source (B, 16 * 5, 16, H, W)."""
        n_batch, n_motions = motions.shape[:2]
        shape = tuple(compressed.shape[2:])
        heat = gaussian_maps(driving, shape) - gaussian_maps(source, shape)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))
        volume = compressed.expand(n_batch, *compressed.shape[1:])
        # All motions of a frame sample one volume: they lie behind one another in depth.
        moved = F.grid_sample(volume, motions.flatten(1, 2), align_corners=False)
        moved = moved.unflatten(2, (n_motions, -1)).transpose(1, 2)
        return torch.cat([heat.unsqueeze(2), moved], dim=2).flatten(1, 2)


PUBLISHED_NAMES = (
    *hourglass_names("hourglass", "hourglass"),
    ("hourglass.decoder.conv", "refine.conv"),
    ("hourglass.decoder.norm", "refine.norm"),
    ("compress", "compress.conv"),
    ("norm", "compress.norm"),
    ("mask", "mask"),
    ("occlusion", "occlusion"),
)
