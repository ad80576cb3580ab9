"""Residual blocks of ResNet (He et al. 2016) in the variant with the stride in the 3x3 convolution."""

from __future__ import annotations

from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1, added to the input or to its 1x1 projection, ReLU."""

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, *, stride: int = 1, bias: bool = False,
        projects: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=bias)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=bias)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, 1, bias=bias)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.project = _projection(in_channels, out_channels, stride, bias) if projects else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y)).relu()
        return (self.norm3(self.conv3(y)) + self.project(x)).relu()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input or to its 1x1 projection, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        changes = stride > 1 or in_channels != out_channels
        self.project = _projection(in_channels, out_channels, stride, False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (y + self.project(x)).relu()


def _projection(in_channels: int, out_channels: int, stride: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias), nn.BatchNorm2d(out_channels))


def resnet_names(published: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Rows of a name table for layers of blocks as torchvision names them."""
    rows = [(f"downsample.{i}", f"project.{i}") for i in (0, 1)]
    rows += [(f"bn{i}", f"norm{i}") for i in (1, 2, 3)] + [("conv*", "conv*")]
    return tuple((f"{published}.*.{theirs}", f"{ours}.*.{name}") for theirs, name in rows)
