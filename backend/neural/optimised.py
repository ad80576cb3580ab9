"""Face-vid2vid's generator made fast without another result: what is constant is folded, what repeats is shared.

Spectral norm becomes plain weights, batch norm goes into the convolution before it, scale and shift of an adaptive norm
come from one convolution, convolutions over enlarged guides run at the guide's own size, and wide 3x3 convolutions run
as Winograd's. On a CUDA device convolutions run in bfloat16, positions stay in float32, and torch.compile makes CUDA
graphs of the whole.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from backend.models.blocks import ConvBlock
from backend.models.facevid2vid.decoder import SLOPE, AdaptiveBlock, AdaptiveDecoder, AdaptiveNorm
from backend.models.facevid2vid.generator import Generator, SourceFeatures
from backend.neural.winograd import EnlargingConv, WinogradConv

LEAST_WINOGRAD = 128  # channels on the narrower side


def optimised(generator: Generator, device: torch.device) -> Generator:
    """A generator of the same results for inference on a device; the one given is used up."""
    folded(generator)
    if device.type == "cuda":
        return _on_cuda(generator.to(device))
    generator.decoder = FastDecoder(generator.decoder)
    return generator


def _on_cuda(generator: Generator) -> Generator:
    plain = generator.forward

    def forward(features: SourceFeatures, source: Tensor, driving: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            return plain(features, source, driving)

    generator.forward = torch.compile(forward, mode="reduce-overhead")
    return generator


def folded(module: nn.Module) -> nn.Module:
    """The module with spectral norm and batch norm folded into the convolutions, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and is_parametrized(part, "weight"):
            remove_parametrizations(part, "weight")
        if isinstance(part, ConvBlock) and not isinstance(part.norm, nn.Identity):
            part.conv, part.norm = fuse_conv_bn_eval(part.conv, part.norm), nn.Identity()
    return module


class FastNorm(nn.Module):
    """An AdaptiveNorm at a factor of the guide's size, followed by a leaky ReLU of a slope (1: none)."""

    def __init__(self, norm: AdaptiveNorm, factor: int, slope: float) -> None:
        super().__init__()
        self.norm, self.slope = norm.norm, slope
        self.shared = norm.shared if factor == 1 else EnlargingConv(norm.shared, factor)
        both = nn.Conv2d(norm.scale.in_channels, 2 * norm.scale.out_channels, 3, padding=1)
        both.weight = nn.Parameter(torch.cat([norm.scale.weight, norm.shift.weight]), requires_grad=False)
        # The one that is added to every scale.
        both.bias = nn.Parameter(torch.cat([norm.scale.bias + 1, norm.shift.bias]), requires_grad=False)
        self.both = _quick(both)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        scale, shift = self.both(self.shared(guide).relu_()).chunk(2, dim=1)
        y = torch.addcmul(shift, self.norm(x), scale)
        return y if self.slope == 1.0 else F.leaky_relu_(y, self.slope)


class FastBlock(nn.Module):
    """An AdaptiveBlock at a factor of the guide's size."""

    def __init__(self, block: AdaptiveBlock, factor: int) -> None:
        super().__init__()
        self.norm_0, self.norm_1 = (FastNorm(norm, factor, SLOPE) for norm in (block.norm_0, block.norm_1))
        self.conv_0, self.conv_1 = _quick(block.conv_0), _quick(block.conv_1)
        self.changes_width = block.changes_width
        if self.changes_width:
            self.norm_skip, self.conv_skip = FastNorm(block.norm_skip, factor, 1.0), block.conv_skip

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        skip = self.conv_skip(self.norm_skip(x, guide)) if self.changes_width else x
        y = self.conv_0(self.norm_0(x, guide))
        return skip + self.conv_1(self.norm_1(y, guide))


class FastDecoder(nn.Module):
    """An AdaptiveDecoder, folded before."""

    def __init__(self, decoder: AdaptiveDecoder) -> None:
        super().__init__()
        self.first, self.last, self.enlarge = _quick(decoder.first), decoder.last, decoder.enlarge
        self.middle = nn.ModuleList(FastBlock(block, 1) for block in decoder.middle)
        self.up = nn.ModuleList(FastBlock(block, 2 ** (i + 1)) for i, block in enumerate(decoder.up))

    def forward(self, features: Tensor) -> Tensor:
        x = self.first(features)
        for block in self.middle:
            x = block(x, features)
        for block in self.up:
            x = block(self.enlarge(x), features)
        return self.last(F.leaky_relu_(x, SLOPE)).sigmoid_()


def _quick(conv: nn.Conv2d) -> nn.Module:
    """A 3x3 convolution as Winograd's where it is wide enough to gain."""
    narrow = min(conv.in_channels, conv.out_channels)
    return WinogradConv(conv) if conv.kernel_size == (3, 3) and narrow >= LEAST_WINOGRAD else conv
