"""3x3 convolutions with fewer multiplications: Winograd's F(4x4, 3x3) (Lavin & Gray 2016), and nearest enlargement
folded into the kernel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE, PATCH = 4, 6  # output and input pixels of a tile's side
INPUT = torch.tensor([
    [4.0, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
], dtype=torch.float64)  # fmt: skip
KERNEL = torch.tensor([
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
], dtype=torch.float64)  # fmt: skip
OUTPUT = torch.tensor([
    [1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1],
], dtype=torch.float64)  # fmt: skip


class WinogradConv(nn.Module):
    """A 3x3 convolution of padding 1 as 36 matrix products over tiles of 4x4; H and W multiples of 4."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.stride == (1, 1) and conv.groups == 1
        weight = torch.einsum("ia,ocab,jb->ijoc", KERNEL, conv.weight.detach().double(), KERNEL)
        self.register_buffer("weight", weight.reshape(PATCH * PATCH, *weight.shape[2:]).float().contiguous())
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach()[:, None].clone())
        self.register_buffer("into", torch.kron(INPUT, INPUT).float())
        self.register_buffer("out", torch.kron(OUTPUT, OUTPUT).float())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        n_batch, channels, height, width = x.shape
        down, across = height // TILE, width // TILE
        padded = F.pad(x, (1, 1, 1, 1))
        patches = padded.unfold(2, PATCH, TILE).unfold(3, PATCH, TILE).permute(4, 5, 1, 0, 2, 3)
        moved = self.into @ patches.reshape(PATCH * PATCH, -1)
        products = torch.bmm(self.weight, moved.view(PATCH * PATCH, channels, -1))
        tiles = (self.out @ products.view(PATCH * PATCH, -1)).view(TILE * TILE, len(self.weight[0]), -1)
        if self.bias is not None:
            tiles += self.bias
        tiles = tiles.view(TILE, TILE, -1, n_batch, down, across).permute(3, 2, 4, 0, 5, 1)
        return tiles.reshape(n_batch, -1, height, width)


class EnlargingConv(nn.Module):
    """A 3x3 convolution of padding 1 over an input enlarged 2 or 4 times by the nearest pixel, without enlarging it.

    Taps that fall into one pixel are summed beforehand: the first, the inner and the last pixels of an enlarged one
    each see two pixels at most.
    """

    def __init__(self, conv: nn.Conv2d, factor: int) -> None:
        super().__init__()
        assert factor in (2, 4)
        phases = [[[1, 0, 0], [0, 1, 1]], [[0, 0, 0], [1, 1, 1]], [[1, 1, 0], [0, 0, 1]]]
        share = torch.tensor([phases[0], phases[2]] if factor == 2 else phases, dtype=torch.float64)
        weight = torch.einsum("pay,ocyx,qbx->pqocab", share, conv.weight.detach().double(), share)
        self.n_phases, self.factor = len(share), factor
        self.register_buffer("weight", weight.flatten(0, 2).float().contiguous())
        self.register_buffer("bias", conv.bias.detach().repeat(self.n_phases**2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', factor H, factor W)."""
        height, width = x.shape[2:]
        n = self.n_phases
        seen = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias).unflatten(1, (n, n, -1))
        order = (0, 1) if self.factor == 2 else (0, 1, 1, 2)
        rows = []
        for p in order:
            top = 1 if p == n - 1 else 0
            row = [seen[:, p, q, :, top : top + height, (left := int(q == n - 1)) : left + width] for q in order]
            rows.append(torch.stack(row, dim=-1).flatten(-2))
        return torch.stack(rows, dim=-2).flatten(2, 3)
