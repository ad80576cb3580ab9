"""Coordinates of feature maps, as the first-order motion model and face-vid2vid use them.

Positions run from -1 at the centre of the first pixel to 1 at the centre of the last one, ordered x, y (, z). Sampling
follows torch.nn.functional.grid_sample's defaults, whose -1 and 1 are the outer edges: published networks were trained
with this half pixel of difference.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def coordinate_grid(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Positions (*shape, n) of a map's pixels, its shape (…, height, width); dtype and device as like."""
    axes = [2.0 * (torch.arange(n, dtype=like.dtype, device=like.device) / (n - 1)) - 1.0 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)


def gaussian_maps(points: Tensor, shape: tuple[int, ...], variance: float = 0.01) -> Tensor:
    """A Gaussian bump round each point: (B, K, n) to (B, K, *shape)."""
    grid = coordinate_grid(shape, points)
    centres = points.reshape(*points.shape[:2], *(1 for _ in shape), points.shape[-1])
    return torch.exp(-0.5 * (grid - centres).square().sum(-1) / variance)


def expected_position(heatmap: Tensor) -> Tensor:
    """The mean position (B, K, n) under heat maps (B, K, *shape) that sum to one."""
    grid = coordinate_grid(heatmap.shape[2:], heatmap)
    return (heatmap.unsqueeze(-1) * grid).flatten(2, -2).sum(2)


def softmax_heatmap(logits: Tensor, temperature: float) -> Tensor:
    """Softmax over all positions of maps (B, K, *shape)."""
    return (logits.flatten(2) / temperature).softmax(dim=2).view_as(logits)


class AntiAliasDownsample(nn.Module):
    """A Gaussian blur and every n-th pixel from the first: (B, C, H, W) to (B, C, H / n, W / n).

    The standard deviation is (n - 1) / 2 pixels, the kernel 8 standard deviations wide and odd; borders count as black.
    """

    def __init__(self, channels: int, step: int) -> None:
        super().__init__()
        deviation = (step - 1) / 2
        size = 2 * round(deviation * 4) + 1
        offsets = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        line = torch.exp(-offsets.square() / (2 * deviation**2))
        kernel = line[:, None] * line[None, :]
        self.register_buffer("kernel", (kernel / kernel.sum()).repeat(channels, 1, 1, 1))
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        size = self.kernel.shape[-1]
        return F.conv2d(x, self.kernel, stride=self.step, padding=size // 2, groups=len(self.kernel))


ANTIALIAS_NAMES = (("weight", "kernel"),)
"""The published name of an AntiAliasDownsample's kernel."""
