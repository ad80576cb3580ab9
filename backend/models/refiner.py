"""The refiner: a small U-Net that adds to a rendered mouth what geometry cannot know, or nothing where it is unsure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

N_GUIDES = 12
"""Channels beside the rendered crop: the photo's crop 3, normals 3, their change 3, stretch 1, lips 1, opening 1."""


@dataclass(frozen=True)
class RefinerConfig:
    """Sizes of the network; kept in the weights file's metadata. side: of the square crop, pixels, a multiple of 8."""

    side: int = 96
    n_guides: int = N_GUIDES
    widths: tuple[int, int, int] = (24, 40, 56)


class Refiner(nn.Module):
    """Behind a pixel-unshuffle of 2: two steps down, two up, with skips; the last layer begins at zero."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.enter = nn.Sequential(_conv(4 * (3 + config.n_guides), first), _conv(first, first))
        self.down = nn.Sequential(_conv(first, second, stride=2), _conv(second, second))
        self.bottom = nn.Sequential(_conv(second, third, stride=2), _conv(third, third), _conv(third, second))
        self.up = nn.Sequential(_conv(2 * second, second), _conv(second, first))
        self.leave = nn.Sequential(_conv(2 * first, first), _conv(first, first))
        self.residual = nn.Conv2d(first, 12, 3, padding=1)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)

    def forward(self, crop: Tensor, guides: Tensor) -> Tensor:
        """What to add (B, 3, side, side) to crop (B, 3, side, side) RGB 0–1, by guides (B, n_guides, side, side)."""
        fine = self.enter(functional.pixel_unshuffle(torch.cat([crop - 0.5, guides], dim=1), 2))
        middle = self.down(fine)
        coarse = _doubled(self.bottom(middle))
        middle = _doubled(self.up(torch.cat([coarse, middle], dim=1)))
        return functional.pixel_shuffle(self.residual(self.leave(torch.cat([middle, fine], dim=1))), 2)


def _conv(n_in: int, n_out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.SiLU())


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
