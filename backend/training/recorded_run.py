"""What trainers on recorded clips share: settings from the command line, the run's options, held-out losses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backend.errors import InputError
from backend.training.processes import Processes, joined
from backend.training.recorded import Recordings
from backend.training.run import Losses, Progress, run_training
from backend.training.run_options import RunOptions, TrainingPlan

HELD_OUT_BATCHES = 4
HELD_OUT_FIRST = 1 << 40  # numbers of batches that training never reaches
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class RunSettings:
    """What the command line says of a run; None: as the plan has it. small: 64 pixels and quarter width."""

    data: Path
    out: Path
    small: bool = False
    steps: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    accumulation: int = 1
    precision: str = "float32"
    patience: int | None = None
    save_every: int | None = None
    device: str = "auto"
    seed: int = 0
    vgg: Path | None = None

    def plan(self, published: TrainingPlan, small: TrainingPlan) -> TrainingPlan:
        """The plan with what was chosen. Raises InputError for what cannot be."""
        chosen = {name: getattr(self, name) for name in ("steps", "batch", "learning_rate", "save_every")}
        plan = replace(
            small if self.small else published, seed=self.seed, **{k: v for k, v in chosen.items() if v is not None}
        )
        for name in ("steps", "batch", "save_every"):
            if getattr(plan, name) < 1:
                raise InputError(f"The {name.replace('_', ' ')} should be at least 1, got {getattr(plan, name)}.")
        if self.accumulation < 1 or not plan.learning_rate > 0:
            raise InputError(
                f"Accumulated batches should be at least 1 and the learning rate above 0, got {self.accumulation} and "
                f"{plan.learning_rate:g}."
            )
        if self.precision not in PRECISIONS:
            raise InputError(f"The precision should be one of {', '.join(PRECISIONS)}, got '{self.precision}'.")
        return plan

    def command(self, name: str, plan: TrainingPlan, *more: str) -> str:
        """The command that makes the same weights."""
        parts = [f"emorig train {name}", "--small" * self.small, f"--steps {plan.steps}", f"--batch {plan.batch}"]
        parts += [f"--accumulate {self.accumulation}" * (self.accumulation > 1)]
        parts += [f"--precision {self.precision}" * (self.precision != "float32"), *more, f"--seed {plan.seed}"]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Trainee:
    """What is trained: a network, its losses by the batch's number on a split, and how a sample is drawn.

    losses(number, is_held_out): with held-out clips where there are any.
    """

    name: str
    network: nn.Module
    losses: Callable[[int, bool], dict[str, Tensor]]
    metadata: dict[str, str]
    sample: Callable[[], np.ndarray] | None = None


def train_recorded(
    trainee: Trainee,
    recordings: Recordings,
    weights: Path,
    *,
    settings: RunSettings,
    plan: TrainingPlan,
    options: RunOptions,
    processes: Processes,
    more: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Runs a training on recorded clips and writes weights with who made them, how and of what."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        **trainee.metadata, **recordings.facts, "plan": json.dumps(asdict(plan)), "seed": str(plan.seed),
        "command": settings.command(trainee.name, plan, *more), "processes": str(processes.world),
    }  # fmt: skip

    def held_out() -> float:
        batches = (trainee.losses(HELD_OUT_FIRST + i, True) for i in range(HELD_OUT_BATCHES))
        return float(np.mean([float(sum(parts.values())) for parts in batches]))

    options = replace(
        options,
        accumulation=settings.accumulation,
        precision=PRECISIONS[settings.precision],
        held_out=held_out if recordings.test is not None else None,
        patience=settings.patience if recordings.test is not None else None,
        sample=trainee.sample,
        logs=True,
        report_every=10,
        stored=torch.float32,
    )
    if settings.patience is not None and recordings.test is None:
        raise InputError("Stopping early needs clips to test on: prepare with a split that has some, or leave it out.")
    trainee.network.to(processes.device)
    losses: Losses = lambda number: trainee.losses(number, False)  # noqa: E731
    return run_training(
        trainee.network, losses, weights, plan=plan, metadata=metadata, options=options, processes=processes,
        progress=progress,
    )  # fmt: skip


def with_processes(settings: RunSettings, train: Callable[[Processes], None]) -> None:
    """Trains in this process, or together with those that torchrun started."""
    if settings.device not in ("auto", "cpu", "cuda"):
        raise InputError(f"The device should be auto, cpu or cuda, got '{settings.device}'.")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device here: use --device cpu.")
    with joined(settings.device) as processes:
        train(processes)
