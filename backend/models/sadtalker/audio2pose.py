"""SadTalker's PoseVAE: sound, a style and noise to head poses (Zhang et al. 2023, §3.3)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.sadtalker.audio_encoder import EMBEDDING, AudioEncoder, encoder_names
from backend.models.state_names import UNUSED

N_POSE = 6


@dataclass(frozen=True)
class Audio2PoseConfig:
    """Sizes of the published network."""

    block: int = 32  # frames at once
    latent: int = 64
    hidden: int = 128
    n_styles: int = 46


class ResidualConv(nn.Module):
    """Two convolutions behind batch norm and ReLU, added to a convolution of the input; the first has the stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.skip = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.skip_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())
        return y + self.skip_norm(self.skip(x))


class ResidualUNet(nn.Module):
    """A U-net that halves and doubles time only: (B, 1, T, 6) to (B, 1, T, 6) within 0-1, T a multiple of 8."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, padding=1),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            nn.Conv2d(widths[0], widths[0], 3, padding=1),
        )
        self.first_skip = nn.Conv2d(1, widths[0], 3, padding=1)
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(ResidualConv(a, b, (2, 1)) for a, b in pairs)
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(b, b, (2, 1), (2, 1)) for _, b in reversed(pairs))
        self.up = nn.ModuleList(ResidualConv(a + b, a, (1, 1)) for a, b in reversed(pairs))
        self.last = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + self.first_skip(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for enlarge, block in zip(self.enlarge, self.up):
            x = block(torch.cat([enlarge(x), skips.pop()], dim=1))
        return self.last(x).sigmoid()


class Audio2Pose(nn.Module):
    """The decoder half of a conditional VAE over blocks of 32 frames; its encoder is of use in training only."""

    def __init__(self, config: Audio2PoseConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or Audio2PoseConfig()
        self.encoder = AudioEncoder()
        self.styles = nn.Parameter(torch.zeros(config.n_styles, config.latent))
        self.reduce = nn.Linear(EMBEDDING, N_POSE)
        size = config.block * N_POSE
        self.hidden = nn.Linear(config.latent + N_POSE + size, config.hidden)
        self.expand = nn.Linear(config.hidden, size)
        self.unet = ResidualUNet()
        self.head = nn.Linear(N_POSE, N_POSE)

    def forward(self, mels: Tensor, reference: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Motion (B, T, 6), rotation and translation relative to the reference, of mel windows (B, T, 1, 80, 16).

        reference (B, 6): pose of the source; style (B,): 0-45; noise (n_blocks, B, 64): standard normal, n_blocks =
        count_blocks(T). The first frame does not move. A last, shorter block is taken from a full one that ends there.
        """
        n_frames, block = mels.shape[1], self.config.block
        moving = n_frames - 1
        embedded = self.encoder.embed(mels[:, 1:])
        parts = [reference.new_zeros(len(reference), 1, N_POSE)]
        for index in range(self.count_blocks(n_frames)):
            first = index * block
            if first + block <= moving:
                sound, kept = embedded[:, first : first + block], block
            else:
                sound, kept = self._last(embedded), moving - first
            parts.append(self.decode(sound, reference, style, noise[index])[:, block - kept :])
        return torch.cat(parts, dim=1)

    def count_blocks(self, n_frames: int) -> int:
        """How many blocks, each with a noise vector of its own, n_frames frames take."""
        return -(-(n_frames - 1) // self.config.block)

    def _last(self, embedded: Tensor) -> Tensor:
        """The last 32 embeddings, the first one repeated in front where there are fewer."""
        block = self.config.block
        missing = max(block - embedded.shape[1], 0)
        return torch.cat([embedded[:, :1].expand(-1, missing, -1), embedded[:, -block:]], dim=1)

    def decode(self, sound: Tensor, reference: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Motion (B, 32, 6) of one block: sound (B, 32, 512), reference (B, 6), style (B,), noise (B, 64)."""
        latent = noise + self.styles[style]
        x = torch.cat([reference, latent, self.reduce(sound).flatten(1)], dim=1)
        x = self.expand(self.hidden(x).relu()).sigmoid()
        return self.head(self.unet(x.view(-1, 1, self.config.block, N_POSE)).squeeze(1))


def _residual_names(published: str, ours: str) -> tuple[tuple[str, str], ...]:
    parts = {
        "conv_block.0": "norm1", "conv_block.2": "conv1", "conv_block.3": "norm2", "conv_block.5": "conv2",
        "conv_skip.0": "skip", "conv_skip.1": "skip_norm",
    }  # fmt: skip
    return tuple((f"{published}.{theirs}", f"{ours}.{name}") for theirs, name in parts.items())


_UNET = "netG.decoder.resunet"
PUBLISHED_NAMES = (
    ("netG.encoder", UNUSED),
    ("netD_motion", UNUSED),
    *encoder_names("audio_encoder.audio_encoder", "encoder"),
    ("netG.decoder.classbias", "styles"),
    ("netG.decoder.linear_audio", "reduce"),
    ("netG.decoder.MLP.L0", "hidden"),
    ("netG.decoder.MLP.L1", "expand"),
    ("netG.decoder.pose_linear", "head"),
    (f"{_UNET}.input_layer", "unet.first"),
    (f"{_UNET}.input_skip.0", "unet.first_skip"),
    *_residual_names(f"{_UNET}.residual_conv_1", "unet.down.0"),
    *_residual_names(f"{_UNET}.residual_conv_2", "unet.down.1"),
    *_residual_names(f"{_UNET}.bridge", "unet.down.2"),
    *((f"{_UNET}.upsample_{i + 1}.upsample", f"unet.enlarge.{i}") for i in range(3)),
    *(row for i in range(3) for row in _residual_names(f"{_UNET}.up_residual_conv{i + 1}", f"unet.up.{i}")),
    (f"{_UNET}.output_layer.0", "unet.last"),
)
