"""VGG-19 (Simonyan & Zisserman 2015) up to its fifth stage: the features of perceptual losses (Johnson et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))  # channels and convolutions; the last stage's first alone
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB 0-1


class Vgg19(nn.Module):
    """Feature maps after the first convolution of each of the five stages, as Siarohin et al. 2019 take them.

    layers carries the numbers of torchvision's `features`, so that its state dict fits without renaming.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.read_after: list[int] = []
        channels = 3
        for stage, (width, n_convolutions) in enumerate(STAGES):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for i in range(n_convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
                if i == 0:
                    self.read_after.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Five maps of images (B, 3, H, W) RGB 0-1."""
        x, maps = (images - self.mean) / self.deviation, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.read_after:
                maps.append(x)
        return maps
