"""Face-vid2vid's decoder in torch alone, with what is constant folded: for graphics processors.

Scale and shift of an adaptive norm come from one convolution, and convolutions over enlarged guides run at the guide's
own size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.models.facevid2vid.decoder import SLOPE, AdaptiveBlock, AdaptiveDecoder, AdaptiveNorm
from backend.neural.enlarging import EnlargingModule, side_by_side


class FoldedDecoder(nn.Module):
    """An AdaptiveDecoder whose spectral norms were folded before; see there."""

    def __init__(self, decoder: AdaptiveDecoder) -> None:
        super().__init__()
        self.first, self.last, self.enlarge = decoder.first, decoder.last, decoder.enlarge
        self.middle = nn.ModuleList(_Block(block, 1) for block in decoder.middle)
        self.up = nn.ModuleList(_Block(block, 2 ** (i + 1)) for i, block in enumerate(decoder.up))

    def forward(self, features: Tensor) -> Tensor:
        x = self.first(features)
        for block in self.middle:
            x = block(x, features)
        for block in self.up:
            x = block(self.enlarge(x), features)
        return self.last(F.leaky_relu(x, SLOPE)).sigmoid()


class _Norm(nn.Module):
    """An AdaptiveNorm at a factor of the guide's size, with the instance norm left to its caller."""

    def __init__(self, norm: AdaptiveNorm, factor: int) -> None:
        super().__init__()
        self.shared = norm.shared if factor == 1 else EnlargingModule(norm.shared, factor)
        self.both = side_by_side([norm.scale, norm.shift])
        self.both.bias[: norm.scale.out_channels] += 1.0  # the one that is added to every scale

    def forward(self, normal: Tensor, guide: Tensor) -> Tensor:
        scale, shift = self.both(self.shared(guide).relu()).chunk(2, dim=1)
        return torch.addcmul(shift, normal.to(shift.dtype), scale)


class _Block(nn.Module):
    """An AdaptiveBlock at a factor of the guide's size."""

    def __init__(self, block: AdaptiveBlock, factor: int) -> None:
        super().__init__()
        self.norm_0, self.norm_1 = _Norm(block.norm_0, factor), _Norm(block.norm_1, factor)
        self.conv_0, self.conv_1 = block.conv_0, block.conv_1
        self.changes_width = block.changes_width
        if self.changes_width:
            self.norm_skip, self.conv_skip = _Norm(block.norm_skip, factor), block.conv_skip

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        normal = F.instance_norm(x)
        skip = self.conv_skip(self.norm_skip(normal, guide)) if self.changes_width else x
        y = self.conv_0(F.leaky_relu(self.norm_0(normal, guide), SLOPE))
        return skip + self.conv_1(F.leaky_relu(self.norm_1(F.instance_norm(y), guide), SLOPE))
