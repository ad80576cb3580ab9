"""EmoSpeaker's visual attribute-guided audio decoupler: three audio encoders in sequence and one shared AU decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = ("low", "mid", "high")


class CausalBlock(nn.Module):
    """A residual convolution over the present and past frames, (B, T, C) to the same."""

    def __init__(self, width: int, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Conv1d(width, width, reach)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        y = functional.pad(self.norm(x).transpose(1, 2), (self.reach - 1, 0))
        return x + self.mix(functional.gelu(self.spread(y).transpose(1, 2), approximate="tanh"))


class AudioEncoder(nn.Module):
    """One level: features of a frame (B, T, n_inputs) to the level's code (B, T, width).

    It hears the past; what lies ahead it knows only as far as the features of a frame reach (140 ms of MFCC).
    """

    def __init__(self, n_inputs: int, width: int, n_blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(n_inputs, width)
        self.blocks = nn.Sequential(*(CausalBlock(width) for _ in range(n_blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_inputs) to (B, T, width)."""
        return self.norm(self.blocks(self.enter(x)))


class AuDecoder(nn.Module):
    """Maps the code of any level (B, T, width) to the intensities of action units (B, T, n_units) (Eq. 2)."""

    def __init__(self, width: int, n_units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.GELU(approximate="tanh"), nn.Linear(width, n_units))

    def forward(self, code: Tensor) -> Tensor:
        """(B, T, width) to (B, T, n_units)."""
        return self.layers(code)


class AudioDecoupler(nn.Module):
    """Low, mid and high encoders, each over the code of the one below; the highest code is the content vector."""

    def __init__(self, n_inputs: int, width: int, n_units: int, n_blocks: int) -> None:
        super().__init__()
        self.low = AudioEncoder(n_inputs, width, n_blocks)
        self.mid = AudioEncoder(width, width, n_blocks)
        self.high = AudioEncoder(width, width, n_blocks)
        self.au_decoder = AuDecoder(width, n_units)

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of the three levels (B, T, width) of features (B, T, n_inputs), low first."""
        low = self.low(features)
        mid = self.mid(low)
        return low, mid, self.high(mid)

    def forward(self, features: Tensor) -> Tensor:
        """The content vector (B, T, width) of features (B, T, n_inputs)."""
        return self.encode(features)[-1]


def contrastive_loss(units: Tensor, decoded: tuple[Tensor, ...], temperature: float) -> Tensor:
    """Eq. 3: the measured units (K, D) of K windows against what the shared decoder makes of each level, (K, D) each.

    A window's positive is its own low level; every window's low, mid and high level are the candidates, so that the
    emotion stays in the low code and leaves the high one. Similarity is the cosine.
    """
    anchor = functional.normalize(units, dim=-1)
    logits = [anchor @ functional.normalize(level, dim=-1).T / temperature for level in decoded]
    positive = logits[0].diagonal()
    return (torch.cat(logits, dim=1).logsumexp(1) - positive).mean()
