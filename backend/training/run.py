"""A training run by step count: averaged weights, checkpoints to go on from, several processes, early stop, logs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from backend.errors import InputError, OutputError
from backend.training.processes import ALONE, Processes
from backend.training.run_logs import RunLogs
from backend.training.run_options import RunOptions, TrainingPlan
from backend.weights import write_tensors

Losses = Callable[[int], dict[str, Tensor]]  # the weighted losses of the batch of a number, the same whenever asked
Progress = Callable[[int, dict[str, float]], None]


def write_weights(
    path: Path, state: dict[str, Tensor], metadata: dict[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Writes weights, by default in half precision, with their metadata under a temporary name, then renames.

    Raises OSError or SafetensorError where they cannot be written, and leaves nothing then.
    """
    temporary = path.with_suffix(f".{os.getpid()}.part")
    kept = {
        name: (value.detach().to(dtype) if value.is_floating_point() else value.detach()).contiguous().cpu()
        for name, value in state.items()
    }
    try:
        write_tensors(kept, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Step(nn.Module):
    """The losses of a batch as a module that holds the network, so that gradients can be shared between processes."""

    def __init__(self, network: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.network = network
        self._losses = losses

    def forward(self, number: int) -> dict[str, Tensor]:
        return self._losses(number)


class TrainingRun:
    """The state of a run: network, optimiser, averaged weights and the step they have reached."""

    def __init__(
        self, network: nn.Module, plan: TrainingPlan, options: RunOptions | None = None, processes: Processes = ALONE
    ) -> None:
        self.plan, self.options, self.processes = plan, options or RunOptions(), processes
        self.network = network
        self.optimizer = self.options.optimizer(network, plan)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step = 0
        self.best, self.waited = float("inf"), 0
        self.recent: list[dict[str, float]] = []
        self._shared: nn.Module | None = None

    @property
    def is_over(self) -> bool:
        """Whether all steps are done or the held-out loss has stopped falling."""
        patience = self.options.patience
        return self.step >= self.plan.steps or (patience is not None and self.waited >= patience)

    def resume(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint file. Raises InputError where it is of another network."""
        saved = torch.load(checkpoint, weights_only=True, map_location=self.processes.device)
        try:
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"'{checkpoint.name}' was made by a run of other sizes: choose another --out or delete it."
            ) from error
        self.average, self.step = saved["average"], saved["step"]
        self.best, self.waited = saved.get("best", float("inf")), saved.get("waited", 0)
        self.recent = saved.get("recent", [])
        if "random" in saved:
            torch.set_rng_state(saved["random"].cpu())

    def save(self, checkpoint: Path) -> None:
        """Writes a checkpoint under a temporary name, then renames. Raises OSError, and leaves nothing then."""
        temporary = checkpoint.with_suffix(".part")
        state = {
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average,
            "step": self.step, "best": self.best, "waited": self.waited, "recent": self.recent,
            "random": torch.get_rng_state(),
        }  # fmt: skip
        try:
            torch.save(state, temporary)
            temporary.replace(checkpoint)
        except RuntimeError as error:  # torch's word for a file that cannot be written
            raise OSError(f"the checkpoint could not be written: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def advance(self, losses: Losses) -> dict[str, float]:
        """One step on the sum of the losses of this step's batches; returns their means.

        Batches are numbered over all steps, accumulations and processes, so that two processes learn what one that
        accumulates two batches does.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.schedule(self.plan, self.step)
        self.network.train()
        self.optimizer.zero_grad()
        n_parts, totals = self.options.accumulation, {}
        for part in range(n_parts):
            number = (self.step * n_parts + part) * self.processes.world + self.processes.rank
            with self._alone_until(part == n_parts - 1):
                with self._precision():
                    parts = self._step(losses)(number)
                (sum(parts.values()) / n_parts).backward()
            for name, value in parts.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / n_parts
        if not all(abs(value) < float("inf") for value in totals.values()):
            raise InputError(f"The losses of step {self.step} are not finite ({totals}): take a lower learning rate.")
        if self.options.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.optimizer.step()
        self._follow()
        self.step += 1
        return totals

    def check(self, loss: float) -> None:
        """Notes a held-out loss."""
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)

    def _step(self, losses: Losses) -> nn.Module:
        if self._shared is None:
            step = _Step(self.network, losses)
            self._shared = (
                DistributedDataParallel(step, find_unused_parameters=True) if self.processes.world > 1 else step
            )
        return self._shared

    def _alone_until(self, is_last: bool) -> contextlib.AbstractContextManager:
        """Gradients are shared between processes with the last batch of a step only."""
        shares = isinstance(self._shared, DistributedDataParallel)
        return self._shared.no_sync() if shares and not is_last else contextlib.nullcontext()

    def _precision(self) -> contextlib.AbstractContextManager:
        precision = self.options.precision
        if precision is None:
            return contextlib.nullcontext()
        return torch.autocast(self.processes.device.type, precision)

    def _follow(self) -> None:
        """Moves the averaged weights towards the network's."""
        share = min(self.plan.averaging, (self.step + 1) / (self.step + 10))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1.0 - share)
            else:
                self.average[name].copy_(value)


def run_training(
    network: nn.Module,
    losses: Losses,
    weights: Path,
    *,
    plan: TrainingPlan,
    metadata: dict[str, str],
    options: RunOptions | None = None,
    processes: Processes = ALONE,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Trains a network by losses(number) up to plan.steps and returns the averaged weights.

    They are also written to weights (.safetensors) every plan.save_every steps, with a checkpoint beside them from
    which a stopped run goes on exactly. Every options.report_every steps the losses' means go to the .losses.csv beside
    them and progress(step, losses) is called. Raises InputError where the losses are no numbers any more, OutputError
    where the files cannot be written; what was written before stays, and the run goes on from there.
    """
    options = options or RunOptions()
    run = TrainingRun(network, plan, options, processes)
    checkpoint = weights.with_suffix(".checkpoint.pt")
    if checkpoint.is_file():
        run.resume(checkpoint)
    with _writing(weights, checkpoint):
        logs = RunLogs(weights, step=run.step, events=options.logs) if processes.is_first else None
    while not run.is_over:
        run.recent.append(run.advance(losses))
        is_last = run.step == plan.steps
        with _writing(weights, checkpoint):
            if run.step % options.report_every == 0 or is_last:
                _report(run, logs, progress)
            if run.step % plan.save_every == 0 or is_last:
                _keep(run, weights, checkpoint, metadata, logs)
    if logs is not None:
        with _writing(weights, checkpoint):
            logs.close()
    return run.average


@contextlib.contextmanager
def _writing(weights: Path, checkpoint: Path) -> Iterator[None]:
    """Says in one sentence that a file cannot be written, and from where the run goes on. Raises OutputError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        whence = "goes on from its last checkpoint" if checkpoint.is_file() else "starts anew"
        raise OutputError(
            f"'{weights.name}' cannot be written in '{weights.parent}' ({reason}): make room, then the same command "
            f"{whence}."
        ) from error


def _report(run: TrainingRun, logs: RunLogs | None, progress: Progress | None) -> None:
    """Tells the means of the losses since the last report."""
    own = {name: sum(parts[name] for parts in run.recent) / len(run.recent) for name in run.recent[0]}
    means = run.processes.mean(own)
    run.recent.clear()
    if logs is not None:
        logs.losses(run.step, means)
        logs.number("learning_rate", run.step, run.options.schedule(run.plan, run.step - 1))
        if progress is not None:
            progress(run.step, means)


def _keep(run: TrainingRun, weights: Path, checkpoint: Path, metadata: dict[str, str], logs: RunLogs | None) -> None:
    """Checks the held-out loss, then writes weights, checkpoint and a sample."""
    options = run.options
    if options.held_out is not None:
        run.network.eval()
        with torch.no_grad():
            loss = run.processes.first_says(options.held_out())
        run.check(loss)
        if logs is not None:
            logs.number("held_out", run.step, loss)
    if logs is not None:
        facts = {**metadata, "step": str(run.step)}
        if options.held_out is not None:
            facts["held_out"] = f"{loss:.6g}"
        write_weights(weights, run.average, facts, options.stored)
        if options.sample is not None:
            run.network.eval()
            with torch.no_grad():
                logs.sample(run.step, options.sample())
        run.save(checkpoint)
    run.processes.wait()
