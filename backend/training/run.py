"""A training run by step count: optimiser, averaged weights, checkpoints to go on from, and provenance."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

REPORT_EVERY = 50  # steps


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


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    if step < plan.warm_up:
        return plan.learning_rate * (step + 1) / plan.warm_up
    share = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
    return plan.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0))))


def write_weights(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes half-precision weights with their metadata under a temporary name, then renames."""
    temporary = path.with_suffix(f".{os.getpid()}.part")
    half = {name: value.detach().half().contiguous() for name, value in state.items()}
    save_file(half, str(temporary), metadata=metadata)
    temporary.replace(path)


class TrainingRun:
    """The state of a run: network, optimiser, averaged weights and the step they have reached."""

    def __init__(self, network: nn.Module, plan: TrainingPlan) -> None:
        self.plan = plan
        self.network = network
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step = 0

    def resume(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint file."""
        saved = torch.load(checkpoint, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average, self.step = saved["average"], saved["step"]

    def save(self, checkpoint: Path) -> None:
        """Writes a checkpoint under a temporary name, then renames."""
        temporary = checkpoint.with_suffix(".part")
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "average": self.average, "step": self.step}, temporary)
        temporary.replace(checkpoint)

    def advance(self, losses: Callable[[int], dict[str, Tensor]]) -> dict[str, float]:
        """One step on the sum of the losses of this step; returns them."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.plan, self.step)
        self.network.train()
        parts = losses(self.step)
        self.optimizer.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        share = min(self.plan.averaging, (self.step + 1) / (self.step + 10))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1.0 - share)
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}


def run_training(
    network: nn.Module,
    losses: Callable[[int], dict[str, Tensor]],
    weights: Path,
    *,
    plan: TrainingPlan,
    metadata: dict[str, str],
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains a network by losses(step) up to plan.steps and returns the averaged weights.

    They are also written to weights (.safetensors) every plan.save_every steps, with a checkpoint beside them from
    which a stopped run goes on. Every 50 steps the losses' means go to the .losses.csv beside them and progress(step,
    losses) is called.
    """
    run = TrainingRun(network, plan)
    checkpoint = weights.with_suffix(".checkpoint.pt")
    if checkpoint.is_file():
        run.resume(checkpoint)
    recent: list[dict[str, float]] = []
    while run.step < plan.steps:
        recent.append(run.advance(losses))
        is_last = run.step == plan.steps
        if run.step % REPORT_EVERY == 0 or is_last:
            means = {name: sum(parts[name] for parts in recent) / len(recent) for name in recent[0]}
            _note_losses(weights.with_suffix(".losses.csv"), run.step, means)
            recent.clear()
            if progress is not None:
                progress(run.step, means)
        if run.step % plan.save_every == 0 or is_last:
            write_weights(weights, run.average, {**metadata, "step": str(run.step)})
            run.save(checkpoint)
    return run.average


def _note_losses(path: Path, step: int, losses: dict[str, float]) -> None:
    """Appends a row of losses to a table."""
    with path.open("a", encoding="utf-8") as file:
        if file.tell() == 0:
            file.write(",".join(("step", *losses)) + "\n")
        file.write(",".join((str(step), *(f"{value:.5f}" for value in losses.values()))) + "\n")
