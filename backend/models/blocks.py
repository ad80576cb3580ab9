"""Convolution blocks that the first-order motion model and face-vid2vid share, in two and three dimensions.

In three dimensions the blocks halve and double height and width only; depth stays. Siarohin et al. 2019, "First Order
Motion Model for Image Animation", supplement; Wang et al. 2021, "One-Shot Free-View Neural Talking-Head Synthesis",
appendix A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
AVERAGE_POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
HALVED = {2: (2, 2), 3: (1, 2, 2)}


class ConvBlock(nn.Module):
    """Convolution that keeps the size, batch norm, activation: (B, in_channels, …) to (B, out_channels, …)."""

    def __init__(
        self, dims: int, in_channels: int, out_channels: int, *, kernel: int = 3, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv = CONVOLUTION[dims](in_channels, out_channels, kernel, padding=kernel // 2)
        self.norm = NORM[dims](out_channels)
        self.activation = nn.ReLU() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class DownBlock(ConvBlock):
    """A ConvBlock and the mean over 2x2 pixels."""

    def __init__(self, dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__(dims, in_channels, out_channels)
        self.pool = AVERAGE_POOL[dims](HALVED[dims])

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(super().forward(x))


class UpBlock(ConvBlock):
    """Every pixel doubled, then a ConvBlock."""

    def __init__(self, dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__(dims, in_channels, out_channels)
        self.enlarge = nn.Upsample(scale_factor=tuple(float(n) for n in HALVED[dims]), mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.enlarge(x))


class ResidualBlock(nn.Module):
    """Two convolutions, each after batch norm and ReLU, added to the input."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = NORM[dims](channels), NORM[dims](channels)
        self.conv1 = CONVOLUTION[dims](channels, channels, 3, padding=1)
        self.conv2 = CONVOLUTION[dims](channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())


class Hourglass(nn.Module):
    """Down blocks and up blocks, each up block beside the down block of its size: (B, in_channels, …) to
    (B, out_channels, …) of the same size.

    Level i has width * 2^(i + 1) channels, max_width at most.
    """

    def __init__(self, dims: int, in_channels: int, *, width: int, max_width: int, n_blocks: int) -> None:
        super().__init__()
        widths = [min(max_width, width * 2**level) for level in range(n_blocks + 1)]
        inputs = [in_channels, *widths[1:]]
        self.down = nn.ModuleList(DownBlock(dims, inputs[i], widths[i + 1]) for i in range(n_blocks))
        self.up = nn.ModuleList(
            UpBlock(dims, widths[i + 1] * (1 if i == n_blocks - 1 else 2), widths[i]) for i in reversed(range(n_blocks))
        )
        self.out_channels = width + in_channels

    def forward(self, x: Tensor) -> Tensor:
        skips = [x]
        for block in self.down:
            skips.append(block(skips[-1]))
        x = skips.pop()
        for block in self.up:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return x


HOURGLASS_NAMES = (
    ("encoder.down_blocks.*", "down.*"),
    ("decoder.up_blocks.*", "up.*"),
)
"""The published names of an Hourglass's parts."""


def hourglass_names(published: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Rows of a name table for an Hourglass at a place in a network."""
    return tuple((f"{published}.{theirs}", f"{ours}.{name}") for theirs, name in HOURGLASS_NAMES)
