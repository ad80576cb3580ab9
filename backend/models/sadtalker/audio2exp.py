"""SadTalker's ExpNet: sound and a reference expression to expression coefficients (Zhang et al. 2023, §3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backend.models.sadtalker.audio_encoder import EMBEDDING, AudioEncoder, encoder_names

N_EXPRESSION = 64


class Audio2Exp(nn.Module):
    """A sound encoder and one linear layer over [sound, reference expression, blink]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AudioEncoder()
        self.head = nn.Linear(EMBEDDING + N_EXPRESSION + 1, N_EXPRESSION)

    def forward(self, mels: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """Expression (B, T, 64) sd of mel windows (B, T, 1, 80, 16), the source's expression (B, T, 64) sd and how far
        the eyes are shut (B, T, 1) 0-1.
        """
        return self.head(torch.cat([self.encoder.embed(mels), reference, blink], dim=-1))


PUBLISHED_NAMES = (*encoder_names("audio_encoder", "encoder"), ("mapping1", "head"))
