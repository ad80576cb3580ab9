"""The streaming speech network: the same opinions as the whole-file one, from sound that is still coming."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .speech import SpeechOutput


@dataclass(frozen=True)
class StreamingNetworkConfig:
    """Sizes of the network; kept in the weights file's metadata.

    delay: network frames (20 ms each) by which an answer follows the sound that it is about: all of its look-ahead
    but for the second of the two feature frames that a network frame reads and half an analysis window.
    """

    n_mels: int = 80
    n_articulators: int = 13
    n_phones: int = 42
    width: int = 160
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    recurrent_width: int = 192
    dropout: float = 0.05
    delay: int = 4


FIRST_KERNEL, SECOND_KERNEL, STRIDE = 5, 5, 2  # of the two convolutions that halve the rate


class CausalBlock(nn.Module):
    """A residual convolution over the past alone, (B, C, T) to the same, each frame normalised by itself."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = 2 * dilation
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Conv1d(width, width, 3, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.activation = nn.GELU(approximate="tanh")
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, T) after past (B, C, reach); returns the block's output and the past of the next call."""
        y = torch.cat([past, self.norm(x.transpose(1, 2)).transpose(1, 2)], dim=2)
        return x + self.mix(self.dropout(self.activation(self.spread(y)))), y[:, :, -self.reach :]


class StreamingNetwork(nn.Module):
    """Causal convolutions with a stride of two, causal dilated blocks, a forward GRU and three heads.

    The buffer usual_spectrum (n_mels,) is what speech's mean log-mels are beside its loudness before any was heard.
    """

    def __init__(self, config: StreamingNetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.first = nn.Conv1d(config.n_mels, width, FIRST_KERNEL)
        self.second = nn.Conv1d(width, width, SECOND_KERNEL, stride=STRIDE)
        self.activation = nn.GELU(approximate="tanh")
        self.blocks = nn.ModuleList(CausalBlock(width, d, config.dropout) for d in config.dilations)
        self.norm = nn.LayerNorm(width)
        self.recurrent = nn.GRU(width, config.recurrent_width, batch_first=True)
        features = width + config.recurrent_width
        self.phones = nn.Linear(features, config.n_phones)
        self.stress = nn.Linear(features, 1)
        self.motion = nn.Sequential(
            nn.Linear(features, 128), nn.GELU(approximate="tanh"), nn.Linear(128, config.n_articulators)
        )
        self.register_buffer("usual_spectrum", torch.zeros(config.n_mels))

    def begin(self, batch: int = 1) -> list[Tensor]:
        """The state before any sound: pasts of the convolutions and of the blocks, and of the GRU."""
        config = self.config
        pasts = [(config.n_mels, FIRST_KERNEL - 1), (config.width, SECOND_KERNEL - STRIDE)]
        pasts += [(config.width, block.reach) for block in self.blocks]
        state = [torch.zeros(batch, *size) for size in pasts]
        return [*state, torch.zeros(1, batch, config.recurrent_width)]

    def forward(self, mels: Tensor, state: list[Tensor] | None = None) -> tuple[SpeechOutput, list[Tensor]]:
        """Normalised log-mels (B, 2 T, n_mels) at 100 Hz after state to T outputs and the state of the next call.

        Output k has heard feature frames up to 2 k + 1 and is about network frame k - delay.
        """
        first, second, *pasts, hidden = self.begin(len(mels)) if state is None else state
        x = torch.cat([first, mels.transpose(1, 2)], dim=2)
        after = [x[:, :, -first.shape[2] :]]
        x = torch.cat([second, self.activation(self.first(x))], dim=2)
        after.append(x[:, :, -second.shape[2] :])
        x = self.activation(self.second(x))
        for block, past in zip(self.blocks, pasts):
            x, past = block(x, past)
            after.append(past)
        x = self.norm(x.transpose(1, 2))
        recalled, hidden = self.recurrent(x, hidden)
        x = torch.cat([x, recalled], dim=-1)
        motion = self.motion(x)
        closure_logits = motion[..., -2:]
        articulators = torch.cat([motion[..., :-2], closure_logits.sigmoid()], dim=-1)
        output = SpeechOutput(articulators, self.phones(x), self.stress(x).squeeze(-1), closure_logits)
        return output, [*after, hidden]
