"""The speech network: log-mels to articulators, phones and stress."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SpeechNetworkConfig:
    """Sizes of the network; kept in the weights file's metadata."""

    n_mels: int = 80
    n_articulators: int = 13
    n_phones: int = 42
    n_evidence: int = 0
    width: int = 160
    dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    recurrent_width: int = 96
    dropout: float = 0.1


@dataclass(frozen=True)
class SpeechOutput:
    """Per network frame (50 Hz): articulators (B, T, n_articulators), logits of phones (B, T, n_phones), stress (B, T).

    closure_logits (B, T, 2) are the unsquashed last two articulators.
    """

    articulators: Tensor
    phone_logits: Tensor
    stress_logits: Tensor
    closure_logits: Tensor


class DilatedBlock(nn.Module):
    """A residual convolution over time, (B, C, T) to the same, each frame normalised by itself."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.activation = nn.GELU(approximate="tanh")
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) to (B, C, T)."""
        y = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.mix(self.dropout(self.activation(self.spread(y))))


class SpeechNetwork(nn.Module):
    """Convolutions with a stride of two, dilated residual convolutions, a bidirectional GRU and three heads."""

    def __init__(self, config: SpeechNetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.stem = nn.Sequential(
            nn.Conv1d(config.n_mels, width, 5, padding=2),
            nn.GELU(approximate="tanh"),
            nn.Conv1d(width, width, 5, stride=2, padding=2),
            nn.GELU(approximate="tanh"),
        )
        self.evidence = nn.Linear(config.n_evidence, width) if config.n_evidence else None
        self.blocks = nn.Sequential(*(DilatedBlock(width, d, config.dropout) for d in config.dilations))
        self.norm = nn.LayerNorm(width)
        self.recurrent = nn.GRU(width, config.recurrent_width, batch_first=True, bidirectional=True)
        features = width + 2 * config.recurrent_width
        self.phones = nn.Linear(features, config.n_phones)
        self.stress = nn.Linear(features, 1)
        self.motion = nn.Sequential(
            nn.Linear(features, 128), nn.GELU(approximate="tanh"), nn.Linear(128, config.n_articulators)
        )

    def forward(self, mels: Tensor, evidence: Tensor | None = None) -> SpeechOutput:
        """Normalised log-mels (B, T, n_mels) at 100 Hz to T / 2 (rounded up) outputs, frame k at k / 50 s.

        evidence (B, T / 2, n_evidence): what a network that was built for it hears beside them.
        """
        x = self.stem(mels.transpose(1, 2)).transpose(1, 2)
        if self.evidence is not None:
            x = x + self.evidence(evidence)
        x = self.blocks(x.transpose(1, 2)).transpose(1, 2)
        x = self.norm(x)
        x = torch.cat([x, self.recurrent(x)[0]], dim=-1)
        motion = self.motion(x)
        closure_logits = motion[..., -2:]
        articulators = torch.cat([motion[..., :-2], closure_logits.sigmoid()], dim=-1)
        return SpeechOutput(articulators, self.phones(x), self.stress(x).squeeze(-1), closure_logits)
