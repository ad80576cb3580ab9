"""Face-vid2vid's detector of canonical 3D key points (Wang et al. 2021, appendix A.1)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from backend.models.blocks import DownBlock, UpBlock
from backend.models.coordinates import AntiAliasDownsample, expected_position, softmax_heatmap


@dataclass(frozen=True)
class KeypointDetectorConfig:
    """Sizes of the published network."""

    n_keypoints: int = 15
    width: int = 32
    max_width: int = 1024
    n_blocks: int = 5
    depth: int = 16
    step: int = 4
    temperature: float = 0.1


class KeypointDetector(nn.Module):
    """An image, a quarter as large, through a 2D encoder and a 3D decoder to one heat map per key point."""

    def __init__(self, config: KeypointDetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or KeypointDetectorConfig()
        widths = [min(config.max_width, config.width * 2**level) for level in range(config.n_blocks + 1)]
        self.shrink = AntiAliasDownsample(3, config.step)
        self.encoder = nn.ModuleList(
            DownBlock(2, 3 if i == 0 else widths[i], widths[i + 1]) for i in range(config.n_blocks)
        )
        self.lift = nn.Conv2d(widths[-1], widths[-1] * config.depth, 1)
        self.decoder = nn.ModuleList(UpBlock(3, widths[i + 1], widths[i]) for i in reversed(range(config.n_blocks)))
        self.head = nn.Conv3d(widths[0], config.n_keypoints, 3, padding=1)

    def heatmaps(self, image: Tensor) -> Tensor:
        """Heat maps (B, 15, 16, H / 4, W / 4) that sum to one, of images (B, 3, H, W) RGB 0-1."""
        x = self.shrink(image)
        for block in self.encoder:
            x = block(x)
        x = self.lift(x).unflatten(1, (-1, self.config.depth))
        for block in self.decoder:
            x = block(x)
        return softmax_heatmap(self.head(x), self.config.temperature)

    def forward(self, image: Tensor) -> Tensor:
        """Canonical key points (B, 15, 3), x y z within -1 to 1, of images (B, 3, H, W) RGB 0-1."""
        return expected_position(self.heatmaps(image))


PUBLISHED_NAMES = (
    *((f"predictor.down_blocks.down{i}", f"encoder.{i}") for i in range(5)),
    *((f"predictor.up_blocks.up{i}", f"decoder.{i}") for i in range(5)),
    ("predictor.conv", "lift"),
    ("kp", "head"),
    ("down.weight", "shrink.kernel"),
)
