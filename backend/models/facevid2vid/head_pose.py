"""Head pose and deformation of key points: the heads' outputs, their meaning, and the network that reads them off a
photo (Wang et al. 2021, eq. 1 and appendix A.1; after Hopenet, Ruiz et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.residual import Bottleneck

N_BINS = 66
DEGREES_PER_BIN = 3.0
FIRST_BIN = -99.0  # degrees
PUBLISHED_PI = 3.14
"""Published networks were trained with this value."""


@dataclass(frozen=True)
class HeadMotion:
    """What moves canonical key points: logits of yaw, pitch and roll (B, 66), translation (B, 3), and deformation
    (B, 3 * n_keypoints) per key point x y z.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    translation: Tensor
    deformation: Tensor


def degrees(logits: Tensor) -> Tensor:
    """The expected angle (B,) in degrees of bins' logits (B, 66)."""
    bins = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)
    return (logits.softmax(dim=1) * bins).sum(1) * DEGREES_PER_BIN + FIRST_BIN


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Matrices (B, 3, 3) R_pitch(x) R_yaw(y) R_roll(z) of angles (B,) in degrees."""
    yaw, pitch, roll = (angle / 180 * PUBLISHED_PI for angle in (yaw, pitch, roll))
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*values: Tensor) -> Tensor:
        return torch.stack(values, dim=1).view(-1, 3, 3)

    about_x = matrix(one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos())
    about_y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    about_z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return about_x @ about_y @ about_z


def transform(
    canonical: Tensor, motion: HeadMotion, *, yaw: Tensor | None = None, pitch: Tensor | None = None,
    roll: Tensor | None = None, deforms: bool = True,
) -> Tensor:  # fmt: skip
    """Key points (B, 15, 3) of a head motion: canonical ones turned, moved up or down and deformed.

    yaw, pitch, roll (B,): degrees that replace the motion's own. Only the vertical translation is used.
    """
    turn = rotation(
        degrees(motion.yaw) if yaw is None else yaw,
        degrees(motion.pitch) if pitch is None else pitch,
        degrees(motion.roll) if roll is None else roll,
    )
    vertical = motion.translation * motion.translation.new_tensor([0.0, 1.0, 0.0])
    points = canonical @ turn.transpose(1, 2) + vertical[:, None]
    return points + motion.deformation.view_as(points) if deforms else points


def motion_heads(features: int, n_keypoints: int) -> nn.ModuleDict:
    """One linear layer per field of HeadMotion, of features (B, features)."""
    sizes = {"yaw": N_BINS, "pitch": N_BINS, "roll": N_BINS, "translation": 3, "deformation": 3 * n_keypoints}
    return nn.ModuleDict({name: nn.Linear(features, n) for name, n in sizes.items()})


@dataclass(frozen=True)
class HeadPoseConfig:
    """Sizes of the published network."""

    n_keypoints: int = 15
    width: int = 64


class HeadPoseEstimator(nn.Module):
    """A ResNet that reads head pose and deformation off an image; training uses it, inference from coefficients not."""

    def __init__(self, config: HeadPoseConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or HeadPoseConfig()
        self.stem = _conv(3, config.width, 7, stride=2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        channels = config.width
        for stage, n_blocks in enumerate((3, 3, 5, 2)):
            width = config.width * 2 ** (stage + 2)
            widen = _conv(channels, width, 1)
            first = [Bottleneck(width, width // 4, width, stride=2, bias=True, projects=True)] if stage else []
            rest = [Bottleneck(width, width // 4, width, bias=True) for _ in range(n_blocks)]
            self.stages.append(nn.Sequential(widen, *first, *rest))
            channels = width
        self.heads = motion_heads(channels, config.n_keypoints)

    def forward(self, image: Tensor) -> HeadMotion:
        """The head motion of images (B, 3, H, W) RGB 0-1."""
        x = self.pool(self.stem(image))
        for stage in self.stages:
            x = stage(x)
        x = x.mean((2, 3))
        return HeadMotion(**{name: head(x) for name, head in self.heads.items()})


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def _blocks(published: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Rows for one residual block."""
    rows = [("skip", "project.0"), ("norm4", "project.1"), ("conv*", "conv*"), ("norm*", "norm*")]
    return tuple((f"{published}.{theirs}", f"{ours}.{name}") for theirs, name in rows)


# The published estimator reads yaw off the head that it calls roll, and roll off the one that it calls yaw.
PUBLISHED_NAMES = (
    ("conv1", "stem.0"),
    ("norm1", "stem.1"),
    *((f"conv{i + 2}", f"stages.{i}.0.0") for i in range(4)),
    *((f"norm{i + 2}", f"stages.{i}.0.1") for i in range(4)),
    *(row for i in range(3) for row in _blocks(f"block1.b1_{i}", f"stages.0.{i + 1}")),
    *(row for i in (1, 2, 3) for row in _blocks(f"block{2 * i}", f"stages.{i}.1")),
    *(
        row
        for s in (1, 2, 3)
        for i in range(5)
        for row in _blocks(f"block{2 * s + 1}.b{2 * s + 1}_{i}", f"stages.{s}.{i + 2}")
    ),
    ("fc_roll", "heads.yaw"),
    ("fc_pitch", "heads.pitch"),
    ("fc_yaw", "heads.roll"),
    ("fc_t", "heads.translation"),
    ("fc_exp", "heads.deformation"),
)
