"""SadTalker's decoder: spatially adaptive normalisation by the warped features (Park et al. 2019, "SPADE")."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


class AdaptiveNorm(nn.Module):
    """Instance norm whose scale and shift per pixel come from a feature map."""

    def __init__(self, channels: int, guide_channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.shared = nn.Conv2d(guide_channels, hidden, 3, padding=1)
        self.scale = nn.Conv2d(hidden, channels, 3, padding=1)
        self.shift = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(B, C, H, W) by a guide (B, G, h, w), which is resized by the nearest pixel."""
        hidden = self.shared(F.interpolate(guide, size=x.shape[2:], mode="nearest")).relu()
        return self.norm(x) * (1 + self.scale(hidden)) + self.shift(hidden)


class AdaptiveBlock(nn.Module):
    """A residual block of two convolutions behind adaptive norms; where channels change, the skip is one as well."""

    def __init__(self, in_channels: int, out_channels: int, guide_channels: int, hidden: int = 128) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.conv_0 = spectral_norm(nn.Conv2d(in_channels, middle, 3, padding=1))
        self.conv_1 = spectral_norm(nn.Conv2d(middle, out_channels, 3, padding=1))
        self.norm_0 = AdaptiveNorm(in_channels, guide_channels, hidden)
        self.norm_1 = AdaptiveNorm(middle, guide_channels, hidden)
        self.changes_width = in_channels != out_channels
        if self.changes_width:
            self.conv_skip = spectral_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False))
            self.norm_skip = AdaptiveNorm(in_channels, guide_channels, hidden)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(B, C, H, W) by a guide (B, G, h, w) to (B, C', H, W)."""
        skip = self.conv_skip(self.norm_skip(x, guide)) if self.changes_width else x
        y = self.conv_0(F.leaky_relu(self.norm_0(x, guide), SLOPE))
        return skip + self.conv_1(F.leaky_relu(self.norm_1(y, guide), SLOPE))


class AdaptiveDecoder(nn.Module):
    """Warped features (B, 256, H, W) to images (B, 3, 4 H, 4 W) RGB 0-1, guided by the same features throughout."""

    def __init__(self, in_channels: int = 256, n_middle: int = 6, last: int = 64, hidden: int = 128) -> None:
        super().__init__()
        width = 2 * in_channels
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.middle = nn.ModuleList(AdaptiveBlock(width, width, in_channels, hidden) for _ in range(n_middle))
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.up = nn.ModuleList(
            [
                AdaptiveBlock(width, in_channels, in_channels, hidden),
                AdaptiveBlock(in_channels, last, in_channels, hidden),
            ]
        )
        self.last = nn.Conv2d(last, 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.first(features)
        for block in self.middle:
            x = block(x, features)
        for block in self.up:
            x = block(self.enlarge(x), features)
        return self.last(F.leaky_relu(x, SLOPE)).sigmoid()


def _block_names(published: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Rows for one AdaptiveBlock; weight_u and weight_v are the stored singular vectors of spectral norm."""
    rows = []
    for conv, name in (("conv_0", "conv_0"), ("conv_1", "conv_1"), ("conv_s", "conv_skip")):
        rows += [
            (f"{conv}.weight_orig", f"{name}.parametrizations.weight.original"),
            (f"{conv}.weight_u", f"{name}.parametrizations.weight.0._u"),
            (f"{conv}.weight_v", f"{name}.parametrizations.weight.0._v"),
            (f"{conv}.bias", f"{name}.bias"),
        ]
    for norm, name in (("norm_0", "norm_0"), ("norm_1", "norm_1"), ("norm_s", "norm_skip")):
        rows += [
            (f"{norm}.mlp_shared.0", f"{name}.shared"),
            (f"{norm}.mlp_gamma", f"{name}.scale"),
            (f"{norm}.mlp_beta", f"{name}.shift"),
        ]
    return tuple((f"{published}.{theirs}", f"{ours}.{mine}") for theirs, mine in rows)


PUBLISHED_NAMES = (
    ("fc", "first"),
    *(row for i in range(6) for row in _block_names(f"G_middle_{i}", f"middle.{i}")),
    *(row for i in range(2) for row in _block_names(f"up_{i}", f"up.{i}")),
    ("conv_img", "last"),
)
