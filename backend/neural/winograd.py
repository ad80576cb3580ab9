"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin & Gray 2016), channels last.

Tiles are worked off in strips that the processor's caches hold: without that, moving them costs what is saved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from backend.neural.enlarging import Enlarged
from backend.neural.winograd_kernels import PATCH, TILE, finish, into_tiles, modulate, moments

KERNEL = torch.tensor([
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
], dtype=torch.float64)  # fmt: skip
NO_FLOOR = np.finfo(np.float32).min
NOTHING = np.empty((0, 0, 0, 0), np.float32)


@dataclass(frozen=True)
class Statistics:
    """Factor and offset (C,) float32 that bring every channel of a picture to mean 0 and spread 1."""

    factor: np.ndarray
    offset: np.ndarray


class WinogradConv:
    """A convolution of 3x3 pixels, or 3x3x3 voxels, and padding 1; H and W multiples of 4."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        assert set(conv.kernel_size) == {3} and set(conv.padding) == {1} and set(conv.stride) == {1}
        assert conv.groups == 1
        kernel = conv.weight.detach().double()
        kernel = kernel[:, :, None] if kernel.ndim == 4 else kernel
        weight = torch.einsum("ia,ockab,jb->kijco", KERNEL, kernel, KERNEL).float()
        self.weight = weight.flatten(1, 2).contiguous()
        """(1 or 3, 36, C, C')"""
        self.out_channels, self.in_channels = kernel.shape[:2]
        bias = torch.zeros(self.out_channels) if conv.bias is None else conv.bias.detach()
        self.bias = bias.float().numpy().copy()

    def __call__(
        self, x: Enlarged, *, floor: float = NO_FLOOR, pool: int = 1, added: np.ndarray = NOTHING,
        input_floor: float = NO_FLOOR,
    ) -> np.ndarray:  # fmt: skip
        """(D, H, W, C') of a picture (D, H, W, C), with the least values of input and output, 2x2 pixels averaged where
        pool is 2, and something added.
        """
        height, width = x.size
        y = np.empty((len(x.parts), height // pool, width // pool, self.out_channels), np.float32)
        for first, products in self._strips(x, input_floor):
            finish(products, self.bias, np.float32(floor), pool, added, first, y)
        return y

    def modulated(self, guide: Enlarged, x: np.ndarray, seen: Statistics, *, factor: int, slope: float) -> np.ndarray:
        """Instance norm of x (1, H / factor, W / factor, C) by its statistics, through a leaky ReLU of a slope.

        Scale and shift come of this convolution over the positive part of guide (1, H, W, G), to 2 C channels.
        """
        y = np.empty((1, *guide.size, x.shape[3]), np.float32)
        for first, products in self._strips(guide, np.float32(0.0)):
            modulate(products, self.bias, x, seen.factor, seen.offset, factor, np.float32(slope), first, y)
        return y

    def _strips(self, x: Enlarged, floor: float):
        """Products (36, D, n, C') of strips of tiles, and the row of tiles where each begins."""
        depth, (height, width) = len(x.parts), x.size
        down, across = height // TILE, width // TILE
        taps, slabs = len(self.weight), depth + len(self.weight) - 1
        wanted = min(max(self.in_channels * self.out_channels // 2048, 64), 256)
        rows = max(1, min(down, wanted // (across * depth)))
        in_rows, in_columns = x.tables()
        n = rows * across
        tiles = torch.zeros(PATCH * PATCH, slabs, n, self.in_channels)
        products = torch.empty(PATCH * PATCH, depth, n, self.out_channels)
        for first in range(0, down, rows):
            if first + rows > down:
                n = (down - first) * across
                tiles = torch.zeros(PATCH * PATCH, slabs, n, self.in_channels)
                products = torch.empty(PATCH * PATCH, depth, n, self.out_channels)
            into_tiles(x.parts, in_rows, in_columns, np.float32(floor), first, tiles.numpy())
            flat, seen = products.flatten(1, 2), tiles.flatten(1, 2)
            torch.bmm(seen[:, : depth * n], self.weight[0], out=flat)
            for tap in range(1, taps):
                flat.baddbmm_(seen[:, tap * n : (tap + depth) * n], self.weight[tap])
            yield first, products.numpy()


def statistics(x: np.ndarray) -> Statistics:
    """What instance norm makes of a picture (1, H, W, C)."""
    mean, variance = moments(x.reshape(-1, x.shape[3]))
    factor = 1.0 / np.sqrt(variance + 1e-5)
    return Statistics(factor.astype(np.float32), (-mean * factor).astype(np.float32))
