"""Face-vid2vid's patch discriminator (Wang et al. 2021, appendix A.1; Isola et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the published network."""

    width: int = 64
    max_width: int = 512
    n_blocks: int = 4


class Discriminator(nn.Module):
    """Strided convolutions with spectral and instance norm; every patch gets a score."""

    def __init__(self, config: DiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DiscriminatorConfig()
        self.blocks = nn.ModuleList()
        channels = 3
        for i in range(config.n_blocks):
            width = min(config.max_width, config.width * 2**i)
            norm = nn.Identity() if i == 0 else nn.InstanceNorm2d(width, affine=True)
            convolution = spectral_norm(nn.Conv2d(channels, width, 4, 2, 1))
            self.blocks.append(nn.Sequential(convolution, norm, nn.LeakyReLU(SLOPE)))
            channels = width
        self.score = spectral_norm(nn.Conv2d(channels, 1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Feature maps of every block, and scores (B, 1, h, w), of images (B, 3, H, W) RGB 0-1."""
        x, maps = images, []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps, self.score(x)
