"""The reconstruction network of Deep3DFaceRecon (Deng et al. 2019): one aligned photo to 3D morphable coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.residual import Bottleneck, resnet_names


@dataclass(frozen=True)
class ReconstructionConfig:
    """Depths of the four stages of ResNet-50, and the heads in the order of the packed coefficients."""

    depths: tuple[int, ...] = (3, 4, 6, 3)
    heads: tuple[tuple[str, int], ...] = (
        ("identity", 80), ("expression", 64), ("texture", 80), ("rotation", 3), ("lighting", 27),
        ("translation_xy", 2), ("translation_z", 1),
    )  # fmt: skip


class ReconstructionNetwork(nn.Module):
    """ResNet-50 and one linear head per group of coefficients."""

    def __init__(self, config: ReconstructionConfig | None = None) -> None:
        super().__init__()
        self.config = config or ReconstructionConfig()
        self.conv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.ModuleList()
        channels = 64
        for stage, depth in enumerate(self.config.depths):
            inner = 64 * 2**stage
            blocks = []
            for i in range(depth):
                stride = 2 if i == 0 and stage > 0 else 1
                blocks.append(Bottleneck(channels, inner, 4 * inner, stride=stride, projects=i == 0))
                channels = 4 * inner
            self.layers.append(nn.Sequential(*blocks))
        self.heads = nn.ModuleDict({name: nn.Conv2d(channels, n, 1) for name, n in self.config.heads})

    def features(self, image: Tensor) -> Tensor:
        """The mean feature (B, 2048) of images (B, 3, 224, 224) RGB 0-1."""
        x = self.pool(self.norm(self.conv(image)).relu())
        for layer in self.layers:
            x = layer(x)
        return x.mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Packed coefficients (B, 257) of images (B, 3, 224, 224) RGB 0-1: identity 80, expression 64, texture 80 (sd),
        rotation 3 (radians), lighting 27, translation 3 (decimetres), as bfm.coefficients orders them.
        """
        x = self.features(image)[:, :, None, None]
        return torch.cat([head(x).flatten(1) for head in self.heads.values()], dim=1)


PUBLISHED_NAMES = (
    ("backbone.conv1", "conv"),
    ("backbone.bn1", "norm"),
    *(row for i in range(4) for row in resnet_names(f"backbone.layer{i + 1}", f"layers.{i}")),
    *((f"final_layers.{i}", f"heads.{name}") for i, (name, _) in enumerate(ReconstructionConfig().heads)),
)
