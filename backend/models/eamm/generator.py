"""The first-order motion model's dense motion and generator (Siarohin et al. 2019, §3.2-3.3): EAMM renders with it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.models.blocks import ConvBlock, DownBlock, Hourglass, ResidualBlock, UpBlock, hourglass_names
from backend.models.coordinates import AntiAliasDownsample, coordinate_grid, gaussian_maps
from backend.models.eamm.keypoints import Keypoints


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the published network."""

    n_keypoints: int = 10
    width: int = 64
    n_down: int = 2
    n_residual: int = 6
    motion_width: int = 64
    motion_max_width: int = 1024
    motion_blocks: int = 5
    step: int = 4


@dataclass(frozen=True)
class Motion:
    """deformation (B, H, W, 2): where each pixel comes from; mask (B, 11, H, W); occlusion (B, 1, H, W) 0-1; moved
    (B, 11, 3, H, W): the small source under each candidate motion.
    """

    deformation: Tensor
    mask: Tensor
    occlusion: Tensor
    moved: Tensor


class DenseMotion(nn.Module):
    """Candidate motions (none, and one affine map per key point), weighed per pixel by an hourglass."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        n_motions = config.n_keypoints + 1
        self.shrink = AntiAliasDownsample(3, config.step)
        self.hourglass = Hourglass(
            2,
            4 * n_motions,
            width=config.motion_width,
            max_width=config.motion_max_width,
            n_blocks=config.motion_blocks,
        )
        self.mask = nn.Conv2d(self.hourglass.out_channels, n_motions, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3)

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> Motion:
        """The motion from source to driving key points; small (B or 1, 3, H, W): the source through self.shrink."""
        motions = self.candidates(small, source, driving)
        n_batch, n_motions, height, width = motions.shape[:4]
        image = small.expand(n_batch, *small.shape[1:])
        moved = F.grid_sample(image, motions.flatten(1, 2), align_corners=False)
        moved = moved.unflatten(2, (n_motions, height)).transpose(1, 2)
        shape = (height, width)
        heat = gaussian_maps(driving.value, shape) - gaussian_maps(source.value, shape)
        heat = F.pad(heat, (0, 0, 0, 0, 1, 0)).unsqueeze(2)
        x = self.hourglass(torch.cat([heat, moved], dim=2).flatten(1, 2))
        mask = self.mask(x).softmax(dim=1)
        deformation = torch.einsum("bkhw,bkhwc->bhwc", mask, motions)
        return Motion(deformation, mask, self.occlusion(x).sigmoid(), moved)

    @staticmethod
    def candidates(small: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        """Where pixels come from under each motion (B, 11, H, W, 2): the identity first."""
        grid = coordinate_grid(small.shape[2:], driving.value)
        offset = grid - driving.value[:, :, None, None, :]
        affine = source.jacobian @ torch.linalg.inv(driving.jacobian)
        moved = torch.einsum("bkij,bkhwj->bkhwi", affine, offset) + source.value[:, :, None, None, :]
        return torch.cat([grid.expand(len(moved), 1, *grid.shape), moved], dim=1)


@dataclass(frozen=True)
class SourceFeatures:
    """What of a source image does not depend on the motion: image (B, 3, H, W), small (B, 3, H / 4, W / 4) and
    encoded (B, 256, H / 4, W / 4).
    """

    image: Tensor
    small: Tensor
    encoded: Tensor


class Generator(nn.Module):
    """Encodes the source once, warps the features by the dense motion, dims what is hidden there, and decodes."""

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        widths = [config.width * 2**i for i in range(config.n_down + 1)]
        self.motion = DenseMotion(config)
        self.first = ConvBlock(2, 3, widths[0], kernel=7)
        self.down = nn.ModuleList(DownBlock(2, a, b) for a, b in itertools.pairwise(widths))
        self.residual = nn.Sequential(*(ResidualBlock(2, widths[-1]) for _ in range(config.n_residual)))
        self.up = nn.ModuleList(UpBlock(2, b, a) for a, b in reversed(list(itertools.pairwise(widths))))
        self.last = nn.Conv2d(widths[0], 3, 7, padding=3)

    def encode(self, image: Tensor) -> SourceFeatures:
        """The features of source images (B, 3, H, W) RGB 0-1, H and W multiples of 128."""
        x = self.first(image)
        for block in self.down:
            x = block(x)
        return SourceFeatures(image, self.motion.shrink(image), x)

    def decode(self, features: SourceFeatures, motion: Motion) -> Tensor:
        """Images (B, 3, H, W) RGB 0-1 of a source under a motion."""
        occlusion = _resized(motion.occlusion, features.encoded)
        x = self.residual(warped(features.encoded, motion.deformation) * occlusion)
        for block in self.up:
            x = block(x)
        return self.last(x).sigmoid()

    def forward(self, features: SourceFeatures, source: Keypoints, driving: Keypoints) -> Tensor:
        """Images (B, 3, H, W) RGB 0-1 with the driving key points in place of the source's."""
        return self.decode(features, self.motion(features.small, source, driving))


def warped(image: Tensor, deformation: Tensor) -> Tensor:
    """A map (B or 1, C, H, W) sampled where a deformation (B, h, w, 2), resized to it, points."""
    flow = _resized(deformation.permute(0, 3, 1, 2), image).permute(0, 2, 3, 1)
    return F.grid_sample(image.expand(len(flow), *image.shape[1:]), flow, align_corners=False)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


PUBLISHED_NAMES = (
    *hourglass_names("dense_motion_network.hourglass", "motion.hourglass"),
    ("dense_motion_network.mask", "motion.mask"),
    ("dense_motion_network.occlusion", "motion.occlusion"),
    ("dense_motion_network.down.weight", "motion.shrink.kernel"),
    ("first", "first"),
    ("down_blocks.*", "down.*"),
    ("bottleneck.r*", "residual.*"),
    ("up_blocks.*", "up.*"),
    ("final", "last"),
)
