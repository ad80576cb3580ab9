"""Pictures enlarged by the nearest pixel, and 3x3 convolutions over them, without enlarging anything.

Taps that fall into one pixel are summed beforehand: the first, the inner and the last pixels of an enlarged one, its
phases, each see two pixels at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

PHASES = {1: (0,), 2: (0, 1), 3: (0, 1, 1, 2)}
"""Which phase each pixel of an enlarged one is, by the number of phases."""


@dataclass(frozen=True)
class Enlarged:
    """A picture enlarged factor times by the nearest pixel; parts: by pixel and phase (D, H, W, P, P, C) float32."""

    parts: np.ndarray
    factor: int

    @classmethod
    def of(cls, x: np.ndarray, factor: int = 1) -> Enlarged:
        """Of a plain array (D, H, W, C)."""
        return cls(x[:, :, :, None, None], factor)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width when enlarged. Maps by phase carry one row and column more than the picture."""
        beyond = int(self.parts.shape[3] > 1)
        return tuple(self.factor * (n - beyond) for n in self.parts.shape[1:3])

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Position and phase of every row (2, H + 2) and every column (2, W + 2), with a border of one."""
        rows, columns = (_table(n, self.factor, self.parts.shape[3]) for n in self.size)
        return rows, columns


@lru_cache(maxsize=64)
def _table(n: int, factor: int, n_phases: int) -> np.ndarray:
    table = np.zeros((2, n + 2), np.int64)
    pixels, order = np.arange(n), np.array(PHASES[n_phases])
    table[0] = -1
    table[1, 1:-1] = order[pixels % len(order)]
    # The last phase looks at this pixel and the next: it lies one further.
    table[0, 1:-1] = pixels // factor + (table[1, 1:-1] == max(n_phases - 1, 1))
    return table


class EnlargingConv:
    """3x3 convolutions of padding 1 over a picture enlarged 2 or 4 times, on a CPU, as one matrix product each."""

    def __init__(self, convs: list[nn.Conv2d], factor: int) -> None:
        self.factor = factor
        kernels = [phase_kernels(conv, factor) for conv in convs]
        self.n_phases = len(kernels[0])
        self.weights = [k.permute(4, 5, 3, 0, 1, 2).flatten(3).flatten(0, 2).contiguous() for k in kernels]
        self.biases = [conv.bias.detach().repeat(self.n_phases**2) for conv in convs]

    def __call__(self, x: np.ndarray) -> list[Enlarged]:
        """The convolutions of x (1, H, W, C), enlarged, by phase."""
        picture = F.pad(torch.from_numpy(x), (0, 0, 1, 1, 1, 1))
        corners = [picture[:, i : i + x.shape[1] + 1, j : j + x.shape[2] + 1] for i in (0, 1) for j in (0, 1)]
        pairs = torch.cat(corners, dim=3)
        seen = (torch.addmm(bias, pairs.flatten(0, 2), weight) for bias, weight in zip(self.biases, self.weights))
        shape = (*pairs.shape[:3], self.n_phases, self.n_phases, -1)
        return [Enlarged(part.view(shape).numpy(), self.factor) for part in seen]


class EnlargingModule(nn.Module):
    """The same for one convolution, in torch's layout."""

    def __init__(self, conv: nn.Conv2d, factor: int) -> None:
        super().__init__()
        kernels = phase_kernels(conv, factor)
        self.order = PHASES[len(kernels)]
        self.register_buffer("weight", kernels.flatten(0, 2))
        self.register_buffer("bias", conv.bias.detach().repeat(len(kernels) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', factor H, factor W)."""
        height, width = x.shape[2:]
        n = self.order[-1] + 1
        seen = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias).unflatten(1, (n, n, -1))
        rows = []
        for p in self.order:
            top = int(p == n - 1)
            row = [seen[:, p, q, :, top : top + height, (left := int(q == n - 1)) : left + width] for q in self.order]
            rows.append(torch.stack(row, dim=-1).flatten(-2))
        return torch.stack(rows, dim=-2).flatten(2, 3)


def phase_kernels(conv: nn.Conv2d, factor: int) -> Tensor:
    """The 2x2 kernels (P, P, C', C, 2, 2) of every phase of a 3x3 convolution of padding 1 over an enlarged picture.

    The last phase looks at a pixel and the next, the others at the one before and this one.
    """
    assert factor in (2, 4) and conv.kernel_size == (3, 3)
    first, inner, last = [[1, 0, 0], [0, 1, 1]], [[0, 0, 0], [1, 1, 1]], [[1, 1, 0], [0, 0, 1]]
    share = torch.tensor([first, last] if factor == 2 else [first, inner, last], dtype=torch.float64)
    return torch.einsum("pay,ocyx,qbx->pqocab", share, conv.weight.detach().double(), share).float()


def side_by_side(convs: list[nn.Conv2d]) -> nn.Conv2d:
    """One convolution that gives the channels of several over one input, in order."""
    out_channels = sum(conv.out_channels for conv in convs)
    joint = nn.Conv2d(convs[0].in_channels, out_channels, convs[0].kernel_size, padding=convs[0].padding)
    joint.requires_grad_(False)
    joint.weight.copy_(torch.cat([conv.weight for conv in convs]))
    joint.bias.copy_(torch.cat([conv.bias for conv in convs]))
    return joint
