"""EAMM's implicit emotion displacement learner: a frame of an emotion video moves the key points of the face (§3.2)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.blocks import Hourglass, hourglass_names
from backend.models.coordinates import AntiAliasDownsample
from backend.models.eamm.keypoints import Keypoints
from backend.models.residual import BasicBlock, resnet_names
from backend.models.state_names import UNUSED

N_FREQUENCIES = 10
DISPLACED = (1, 4, 6)
"""The face's key points, which the first three displacements move; a fourth output is not used."""


@dataclass(frozen=True)
class EmotionConfig:
    """Sizes of the published network; displaced: the key points that the first displacements move."""

    n_keypoints: int = 10
    width: int = 32
    max_width: int = 1024
    n_blocks: int = 5
    step: int = 4
    n_emotions: int = 8
    n_displaced: int = 4
    displaced: tuple[int, ...] = DISPLACED


def positional_encoding(points: Tensor) -> Tensor:
    """[p, sin p, cos p, sin 2p, cos 2p … cos 512p] of points (…, n): (…, 21 n) (Mildenhall et al. 2020, without π)."""
    parts = [points]
    for power in range(N_FREQUENCIES):
        parts += [torch.sin(points * 2.0**power), torch.cos(points * 2.0**power)]
    return torch.cat(parts, dim=-1)


class EmotionDisplacement(nn.Module):
    """An emotion's feature by a ResNet-18 over an hourglass, joined with encoded key points to four displacements."""

    def __init__(self, config: EmotionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EmotionConfig()
        self.shrink = AntiAliasDownsample(3, config.step)
        self.hourglass = Hourglass(2, 3, width=config.width, max_width=config.max_width, n_blocks=config.n_blocks)
        self.conv = nn.Conv2d(self.hourglass.out_channels, 64, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        self.layers = nn.ModuleList(
            nn.Sequential(BasicBlock(a, b, stride=1 if i == 0 else 2), BasicBlock(b, b))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.classifier = nn.Linear(512, config.n_emotions)
        encoded = config.n_keypoints * 6 * (2 * N_FREQUENCIES + 1)
        self.points = nn.Sequential(nn.Linear(encoded, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU())
        self.joined = nn.Sequential(
            nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU()
        )
        self.displace = nn.Sequential(
            nn.Conv1d(1, 2, 4, 2, 1), nn.MaxPool1d(2), nn.ReLU(),
            nn.Conv1d(2, config.n_displaced, 4, 2, 1), nn.ReLU(), nn.Conv1d(config.n_displaced, config.n_displaced, 3),
        )  # fmt: skip

    def feature(self, frame: Tensor) -> Tensor:
        """The emotion's feature (B, 512) of frames (B, 3, 256, 256) RGB 0-1."""
        x = self.pool(self.norm(self.conv(self.hourglass(self.shrink(frame)))).relu())
        for layer in self.layers:
            x = layer(x)
        return x.mean((2, 3))

    def emotion_logits(self, feature: Tensor) -> Tensor:
        """Logits (B, 8) of the emotion's label."""
        return self.classifier(feature)

    def forward(self, feature: Tensor, keypoints: Keypoints) -> Keypoints:
        """Displacements (B, 4, …) of the key points' values and Jacobians, by an emotion's feature (B, 512) and the
        key points (B, 10, …) that speech gives.
        """
        packed = torch.cat([keypoints.value, keypoints.jacobian.flatten(2)], dim=-1)
        points = self.points(positional_encoding(packed).flatten(1))
        moved = self.displace(self.joined(torch.cat([feature, points], dim=1))[:, None])
        return Keypoints(moved[..., :2], moved[..., 2:].unflatten(-1, (2, 2)))


PUBLISHED_NAMES = (
    *hourglass_names("predictor", "hourglass"),
    ("down.weight", "shrink.kernel"),
    ("conv1", "conv"),
    ("bn1", "norm"),
    *(row for i in range(4) for row in resnet_names(f"layer{i + 1}", f"layers.{i}")),
    ("classify.last_fc", "classifier"),
    ("fc_p", "points"),
    ("fc_all", "joined"),
    ("final", "displace"),
    ("fc", UNUSED),
    ("fc_n", UNUSED),
    ("final_4", UNUSED),
    ("final_10", UNUSED),
)
