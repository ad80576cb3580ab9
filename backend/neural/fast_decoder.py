"""Face-vid2vid's decoder on a CPU with fewer multiplications and the same result.

Scale and shift of an adaptive norm come from one convolution and are applied as its tiles leave; norms that share a
guide share its tiles; nothing is enlarged before it has to be.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.models.facevid2vid.decoder import SLOPE, AdaptiveBlock, AdaptiveDecoder, AdaptiveNorm
from backend.neural.enlarging import Enlarged, EnlargingConv, side_by_side
from backend.neural.winograd import Statistics, WinogradConv, statistics


class FastDecoder(nn.Module):
    """An AdaptiveDecoder whose spectral norms were folded before; see Generator.decoder."""

    def __init__(self, decoder: AdaptiveDecoder) -> None:
        super().__init__()
        norms = [norm for block in decoder.middle for norm in (block.norm_0, block.norm_1)]
        self.shared = WinogradConv(side_by_side([decoder.first, *(norm.shared for norm in norms)]))
        self.width = decoder.first.out_channels
        self.middle = [_Block(block, 1) for block in decoder.middle]
        self.up = [_Block(block, 2 ** (i + 1)) for i, block in enumerate(decoder.up)]
        self.last = decoder.last

    def forward(self, features: Tensor) -> Tensor:
        """Images (B, 3, 4 H, 4 W) of features (B, 256, H, W)."""
        return torch.cat([self._image(part) for part in features.permute(0, 2, 3, 1).split(1)])

    def _image(self, features: Tensor) -> Tensor:
        guide = features.contiguous().numpy()
        first = self.shared(Enlarged.of(guide))
        x, *hidden = np.split(first, self._splits(), axis=3)
        for i, block in enumerate(self.middle):
            x = block(np.ascontiguousarray(x), [Enlarged.of(h) for h in hidden[2 * i : 2 * i + 2]])
        for block in self.up:
            x = block(x, block.hidden(guide))
        picture = torch.from_numpy(x).permute(0, 3, 1, 2)
        return self.last(F.leaky_relu(picture, SLOPE)).sigmoid_()

    def _splits(self) -> list[int]:
        hidden = (self.shared.out_channels - self.width) // max(2 * len(self.middle), 1)
        return [self.width + hidden * i for i in range(2 * len(self.middle))]


class _Norm:
    """An AdaptiveNorm over its hidden features, and the leaky ReLU after it (slope 1: none)."""

    def __init__(self, norm: AdaptiveNorm, slope: float) -> None:
        self.slope = slope
        both = side_by_side([norm.scale, norm.shift])
        both.bias[: norm.scale.out_channels] += 1.0  # the one that is added to every scale
        self.both = WinogradConv(both)

    def __call__(self, x: np.ndarray, seen: Statistics, hidden: Enlarged, x_factor: int) -> np.ndarray:
        return self.both.modulated(hidden, x, seen, factor=x_factor, slope=self.slope)


class _Block:
    """An AdaptiveBlock at a factor of the guide's size; where it is enlarged, its input comes at half that size."""

    def __init__(self, block: AdaptiveBlock, factor: int) -> None:
        self.norm_0, self.norm_1 = (_Norm(norm, SLOPE) for norm in (block.norm_0, block.norm_1))
        self.conv_0, self.conv_1 = WinogradConv(block.conv_0), WinogradConv(block.conv_1)
        self.enlarges, self.norm_skip = 1 if factor == 1 else 2, None
        norms = [block.norm_0, block.norm_1]
        if block.changes_width:
            self.norm_skip, self.conv_skip = _Norm(block.norm_skip, 1.0), block.conv_skip
            norms.append(block.norm_skip)
        if factor > 1:
            self.hidden = EnlargingConv([norm.shared for norm in norms], factor)

    def __call__(self, x: np.ndarray, hidden: list[Enlarged]) -> np.ndarray:
        """(1, H, W, C) to (1, H, W, C'), or to twice the size."""
        skip, seen = x, statistics(x)
        if self.norm_skip is not None:
            moved = torch.from_numpy(self.norm_skip(x, seen, hidden[2], self.enlarges))
            skip = F.linear(moved, self.conv_skip.weight.flatten(1)).numpy()
        y = self.conv_0(Enlarged.of(self.norm_0(x, seen, hidden[0], self.enlarges)))
        return self.conv_1(Enlarged.of(self.norm_1(y, statistics(y), hidden[1], 1)), added=skip)
