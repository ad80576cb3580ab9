"""EmoSpeaker's coefficient networks: ExpNet (Eq. 4), EmoNet with its classifier (Eq. 5, 6) and PoseNet (Eq. 7).

Each answers for one window of content vectors and starts from reference coefficients, those of the frame before it;
the last frame's coefficients are the reference of the next window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RETENTION = math.exp(-1.0 / 6.0)  # per frame, where training starts from


def _window_summary(content: Tensor) -> Tensor:
    """The mean (B, C) over a window (B, W, C)."""
    return content.mean(1)


class ExpNet(nn.Module):
    """Content vectors and reference expression to the expression that speech makes (Eq. 4)."""

    def __init__(self, content_width: int, width: int, n_expression: int, per_frame: int) -> None:
        super().__init__()
        self.per_frame = per_frame
        self.start = nn.Linear(n_expression, width)
        self.recurrent = nn.GRU(content_width, width, batch_first=True)
        self.read = nn.Sequential(
            nn.Linear(content_width + width, 2 * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(2 * width, per_frame * n_expression),
        )

    def forward(self, content: Tensor, reference: Tensor) -> Tensor:
        """Content (B, W, C) and expression (B, 64) sd of the row before to expression (B, W * per_frame, 64) sd."""
        hidden, _ = self.recurrent(content, torch.tanh(self.start(reference))[None].contiguous())
        rows = self.read(torch.cat([content, hidden], dim=-1))
        return rows.unflatten(-1, (self.per_frame, -1)).flatten(1, 2)


class EmoNet(nn.Module):
    """Content, reference and a label with its intensity to identity, texture and a displacement of the expression.

    The state is [identity 80, texture 80, displacement 64], changes from the person's own in standard deviations. The
    label is applied once per window and adds an impulse; each frame retains a share of the reference. So a window
    ends at retention^W * reference + impulse: trained at one length W, the balance between the two makes shorter
    windows, which apply the label more often, a stronger emotion and longer ones a weaker one, by the ratio
    (1 - retention^trained) / (1 - retention^W). Inside a window the state moves evenly from the reference to its end.
    """

    def __init__(self, content_width: int, width: int, n_emotions: int, n_state: int) -> None:
        super().__init__()
        self.reference = nn.Linear(n_state, width, bias=False)
        self.retention = nn.Linear(content_width, width)
        self.impulse = nn.Sequential(
            nn.Linear(content_width + 2 * n_emotions + 1, 2 * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(2 * width, width),
        )
        self.read = nn.Linear(width, n_state, bias=False)
        nn.init.orthogonal_(self.reference.weight)
        with torch.no_grad():
            self.read.weight.copy_(self.reference.weight.T)
            self.retention.weight.mul_(0.1)
            self.retention.bias.fill_(math.log(RETENTION / (1.0 - RETENTION)))

    def forward(self, content: Tensor, reference: Tensor, emotion: Tensor, intensity: Tensor) -> Tensor:
        """Content (B, W, C), reference (B, S), emotion (B, n_emotions) (zeros when neutral), intensity (B,) 0-1.

        Returns the state (B, W, S) of every frame.
        """
        kept = torch.sigmoid(self.retention(content)).log().sum(1).exp()
        strength = intensity[:, None]
        label = torch.cat([_window_summary(content), emotion, emotion * strength, strength], dim=-1)
        end = self.read(kept * self.reference(reference) + self.impulse(label))
        n_frames = content.shape[1]
        share = torch.arange(1, n_frames + 1, dtype=content.dtype, device=content.device) / n_frames
        return reference[:, None] + share[:, None] * (end - reference)[:, None]


class EmotionClassifier(nn.Module):
    """Names the emotion of [identity, texture] (B, 160): logits (B, n_emotions + 1), neutral last (Eq. 6)."""

    def __init__(self, n_inputs: int, n_emotions: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, width), nn.GELU(approximate="tanh"), nn.Linear(width, n_emotions + 1)
        )

    def forward(self, identity_texture: Tensor) -> Tensor:
        """(B, n_inputs) to logits (B, n_emotions + 1)."""
        return self.layers(identity_texture)


class PoseNet(nn.Module):
    """Content, reference pose, label and intensity to rotation and translation (Eq. 7).

    It predicts the pose's velocity, so that a window continues where the one before ended. style (B, W, n_style): slow
    seeded oscillations that choose among the ways a head may move to the same words; none in the published network.
    """

    def __init__(self, content_width: int, width: int, n_emotions: int, n_style: int, n_pose: int = 6) -> None:
        super().__init__()
        self.start = nn.Linear(n_pose + 2 * n_emotions + 1, width)
        self.recurrent = nn.GRU(content_width + n_style, width, batch_first=True)
        self.velocity = nn.Sequential(
            nn.Linear(width + n_pose, width), nn.GELU(approximate="tanh"), nn.Linear(width, n_pose)
        )

    def forward(self, content: Tensor, reference: Tensor, emotion: Tensor, intensity: Tensor, style: Tensor) -> Tensor:
        """Content (B, W, C), reference (B, 6), emotion (B, n_emotions), intensity (B,), style: pose (B, W, 6).

        Rotation in units of 0.1 rad, translation in units of 0.1 dm.
        """
        strength = intensity[:, None]
        start = self.start(torch.cat([reference, emotion, emotion * strength, strength], dim=-1))
        hidden, _ = self.recurrent(torch.cat([content, style], dim=-1), torch.tanh(start)[None].contiguous())
        anchor = reference[:, None].expand(-1, content.shape[1], -1)
        return reference[:, None] + self.velocity(torch.cat([hidden, anchor], dim=-1)).cumsum(1)
