"""How a training run is carried out beside its plan: optimiser, schedule, precision, checks, samples and logs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train; steps may be raised later, the run then goes on."""

    steps: int = 5200
    batch: int = 24
    learning_rate: float = 2e-3
    warm_up: int = 200
    weight_decay: float = 0.01
    averaging: float = 0.998
    seed: int = 0
    save_every: int = 250


Schedule = Callable[[TrainingPlan, int], float]
MakeOptimizer = Callable[[nn.Module, TrainingPlan], torch.optim.Optimizer]


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    if step < plan.warm_up:
        return plan.learning_rate * (step + 1) / plan.warm_up
    share = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
    return plan.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0))))


def constant_rate(plan: TrainingPlan, _step: int) -> float:
    """The same rate throughout (EmoSpeaker §IV.A)."""
    return plan.learning_rate


def linear_decay(plan: TrainingPlan, step: int) -> float:
    """Evenly down to a tenth (EAMM §3.3: 2e-4 to 2e-5)."""
    return plan.learning_rate * (1.0 - 0.9 * min(1.0, step / max(1, plan.steps - 1)))


def adamw(network: nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    """AdamW: weights decay apart from the gradient."""
    return torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)


def adam(network: nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    """Adam with betas .9 and .999, the weight decay within the gradient (EmoSpeaker §IV.A)."""
    return torch.optim.Adam(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)


def adam_adversarial(network: nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    """Adam with betas .5 and .999 (Siarohin et al. 2019; Wang et al. 2021)."""
    return torch.optim.Adam(
        network.parameters(), lr=plan.learning_rate, betas=(0.5, 0.999), weight_decay=plan.weight_decay
    )


@dataclass(frozen=True)
class RunOptions:
    """What a plan does not say.

    clip: norm that gradients are brought down to, None: as they are. accumulation: batches whose gradients make one
    step. precision: autocast's type, None: float32 throughout.
    held_out: the loss on what is not trained on, measured whenever weights are saved; after patience such checks
    without a lower one the run ends early. sample: a picture (H, W, 3) uint8 of what the network makes, kept then, too.
    logs: TensorBoard's events are written beside the weights. stored: the type in which weights are written.
    """

    optimizer: MakeOptimizer = adamw
    schedule: Schedule = learning_rate
    clip: float | None = 1.0
    accumulation: int = 1
    precision: torch.dtype | None = None
    held_out: Callable[[], float] | None = None
    patience: int | None = None
    sample: Callable[[], np.ndarray] | None = None
    logs: bool = False
    report_every: int = 50
    stored: torch.dtype = torch.float16
