"""Gaussian mixtures of phones: how well each phone explains a frame, whatever its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STREAM_WEIGHT = 0.33  # of the log likelihoods: the streams are not independent, and mixtures are too sure of themselves
BLOCK = 32  # frames whose fits stay in the cache
LEAST = -8.0  # nepers: no phone is thought less likely


class PhoneMixtures(nn.Module):
    """Fixed semi-continuous models (Huang and Jack 1989): per phone one codebook of Gaussians for each stream.

    means, variances (streams, P, K, D), log_weights (streams, P, states, K): nothing here learns.
    """

    def __init__(self, means: Tensor, variances: Tensor, log_weights: Tensor) -> None:
        super().__init__()
        inverse = 1.0 / variances
        squares = -0.5 * inverse
        constant = -0.5 * ((means**2 * inverse).sum(-1) + torch.log(2 * torch.pi * variances).sum(-1))
        # log N(x) = [x, x^2] . [mean / variance, -1 / (2 variance)] + constant
        self.register_buffer("forms", torch.cat([means * inverse, squares], dim=-1).flatten(1, 2).transpose(1, 2))
        self.register_buffer("constants", constant.flatten(1, 2))
        self.register_buffer("weights", log_weights.exp().transpose(2, 3).contiguous())
        self.n_densities = means.shape[2]

    def forward(self, streams: Tensor) -> Tensor:
        """Streams (S, T, D) to the phones' log probabilities (T, P), of the likeliest mix of a phone's states."""
        return torch.cat([self._answer(part) for part in streams.split(BLOCK, dim=1)])

    def _answer(self, streams: Tensor) -> Tensor:
        total = 0.0
        for values, form, constant, weights in zip(streams, self.forms, self.constants, self.weights):
            fit = torch.addmm(constant, torch.cat([values, values**2], dim=-1), form)
            fit = fit.unflatten(1, (-1, self.n_densities))  # (T, P, K)
            best = fit.amax(-1, keepdim=True)
            mixed = torch.bmm(fit.sub_(best).exp_().transpose(0, 1), weights)  # (P, T, states)
            total = total + torch.log(mixed + 1e-30) + best.transpose(0, 1)
        likelihoods = STREAM_WEIGHT * total.logsumexp(-1).T
        return likelihoods.log_softmax(-1).clamp(min=LEAST)
