"""Key points and their Jacobians: the first-order motion model's detector (Siarohin et al. 2019, §3.1), and the same
read off a feature map that EAMM predicts from sound (Ji et al. 2022, §3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.blocks import Hourglass, hourglass_names
from backend.models.coordinates import AntiAliasDownsample, expected_position, softmax_heatmap
from backend.models.state_names import UNUSED


@dataclass(frozen=True)
class Keypoints:
    """value (…, K, 2): positions x y within -1 to 1; jacobian (…, K, 2, 2): the affine map round each of them."""

    value: Tensor
    jacobian: Tensor

    def __getitem__(self, index) -> Keypoints:
        """The same of some frames."""
        return Keypoints(self.value[index], self.jacobian[index])


@dataclass(frozen=True)
class KeypointConfig:
    """Sizes of the published network."""

    n_keypoints: int = 10
    n_channels: int = 3
    width: int = 32
    max_width: int = 1024
    n_blocks: int = 5
    step: int = 4
    temperature: float = 0.1

    @property
    def feature_channels(self) -> int:
        """Channels of the map that key points are read off."""
        return self.width + self.n_channels


class KeypointReader(nn.Module):
    """Key points off a feature map (B, 35, 64, 64), as their expected position under a heat map of 58x58."""

    def __init__(self, config: KeypointConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or KeypointConfig()
        self.position = nn.Conv2d(config.feature_channels, config.n_keypoints, 7)
        self.affine = nn.Conv2d(config.feature_channels, 4 * config.n_keypoints, 7)

    def heatmaps(self, features: Tensor) -> Tensor:
        """Heat maps (B, 10, 58, 58) that sum to one, of feature maps (B, 35, 64, 64)."""
        return softmax_heatmap(self.position(features), self.config.temperature)

    def forward(self, features: Tensor) -> Keypoints:
        """Key points of feature maps (B, 35, 64, 64)."""
        heat = self.heatmaps(features)
        maps = self.affine(features).unflatten(1, (-1, 4))
        jacobian = torch.einsum("bkhw,bkchw->bkc", heat, maps).unflatten(2, (2, 2))
        return Keypoints(expected_position(heat), jacobian)


class KeypointDetector(nn.Module):
    """Key points of an image: a quarter of its size through an hourglass to a KeypointReader."""

    def __init__(self, config: KeypointConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or KeypointConfig()
        self.shrink = AntiAliasDownsample(config.n_channels, config.step)
        self.hourglass = Hourglass(
            2, config.n_channels, width=config.width, max_width=config.max_width, n_blocks=config.n_blocks
        )
        self.reader = KeypointReader(config)

    def features(self, image: Tensor) -> Tensor:
        """The feature map (B, 35, H / 4, W / 4) of images (B, 3, H, W) RGB 0-1."""
        return self.hourglass(self.shrink(image))

    def forward(self, image: Tensor) -> Keypoints:
        """Key points of images (B, 3, 256, 256) RGB 0-1."""
        return self.reader(self.features(image))


PUBLISHED_NAMES = (
    *hourglass_names("predictor", "hourglass"),
    ("kp", "reader.position"),
    ("jacobian", "reader.affine"),
    ("down.weight", "shrink.kernel"),
)
PUBLISHED_READER_NAMES = (("kp", "position"), ("jacobian", "affine"), ("predictor", UNUSED), ("down", UNUSED))
"""The detector of EAMM's sound branch carries an hourglass that it never runs."""
