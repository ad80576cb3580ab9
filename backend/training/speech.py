"""Trains the speech network on the synthesised corpus and writes its weights with their provenance."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from ..audio.articulation import ARTICULATORS
from ..audio.features import FEATURE_RATE
from ..audio.phones import BILABIALS, LABIODENTALS, PHONE_INDEX, PHONES
from ..errors import InputError
from ..models.speech import SpeechNetwork, SpeechNetworkConfig, SpeechOutput
from .corpus import corpus_hash, shard_paths
from .speech_data import Example, draw_example, load_examples

# How much an articulator's error counts beside the others; what is seen counts more than the tongue.
ARTICULATOR_WEIGHTS = (2.0, 1.5, 1.0, 1.5, 1.0, 1.2, 0.5, 0.4, 0.5, 0.5, 0.5)
CLOSURE_WEIGHT, PHONE_WEIGHT, STRESS_WEIGHT, SPEED_WEIGHT = 1.0, 0.35, 0.1, 4.0
LABIAL_PHONE_WEIGHT = 1.6


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


def _learning_rate(plan: TrainingPlan, step: int) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    if step < plan.warm_up:
        return plan.learning_rate * (step + 1) / plan.warm_up
    share = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
    return plan.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0))))


class SpeechLoss:
    """Squared error of the articulators and of their speed, cross-entropy of closures, phones and stress."""

    def __init__(self, deviations: np.ndarray) -> None:
        """deviations (n_articulators,): standard deviations in the corpus, by which errors are divided."""
        scale = np.array(ARTICULATOR_WEIGHTS) / np.maximum(deviations[: len(ARTICULATOR_WEIGHTS)], 0.02) ** 2
        self.scale = torch.tensor(scale / np.sum(ARTICULATOR_WEIGHTS), dtype=torch.float32)
        labial = [PHONE_INDEX[p] for p in sorted(BILABIALS | LABIODENTALS)]
        self.phone_weights = torch.ones(len(PHONES))
        self.phone_weights[labial] = LABIAL_PHONE_WEIGHT

    def __call__(self, output: SpeechOutput, moves: Tensor, phones: Tensor, stress: Tensor) -> dict[str, Tensor]:
        """The weighted parts of the loss for targets moves (B, T, 13), phones (B, T), stress (B, T) with -1 unasked."""
        n_open = len(self.scale)
        error = output.articulators - moves
        shape = (error[..., :n_open] ** 2 * self.scale).sum(-1).mean()
        speed = error[:, 1:] - error[:, :-1]
        speed = (speed[..., :n_open] ** 2 * self.scale).sum(-1).mean() + 2.0 * (speed[..., n_open:] ** 2).mean()
        closure = functional.binary_cross_entropy_with_logits(output.closure_logits, moves[..., n_open:])
        phone = functional.cross_entropy(
            output.phone_logits.flatten(0, 1), phones.flatten(), weight=self.phone_weights, label_smoothing=0.02
        )
        asked = stress >= 0
        stressed = functional.binary_cross_entropy_with_logits(output.stress_logits[asked], stress[asked].float())
        return {
            "shape": shape,
            "speed": SPEED_WEIGHT * speed,
            "closure": CLOSURE_WEIGHT * closure,
            "phone": PHONE_WEIGHT * phone,
            "stress": STRESS_WEIGHT * (stressed if asked.any() else torch.zeros(())),
        }


def _batch(examples: list[Example], shares: np.ndarray, plan: TrainingPlan, step: int) -> tuple[Tensor, ...]:
    """The batch of a step, the same whenever it is made."""
    rng = np.random.default_rng([plan.seed, step])
    drawn = [draw_example(examples, shares, rng) for _ in range(plan.batch)]
    return (
        torch.from_numpy(np.stack([e.mels for e in drawn])),
        torch.from_numpy(np.stack([e.articulators for e in drawn]).astype(np.float32)),
        torch.from_numpy(np.stack([e.phones for e in drawn])),
        torch.from_numpy(np.stack([e.stress for e in drawn]).astype(np.int64)),
    )


def _write_weights(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes half-precision weights with their metadata under a temporary name, then renames."""
    temporary = path.with_suffix(f".{os.getpid()}.part")
    half = {name: value.detach().half().contiguous() for name, value in state.items()}
    save_file(half, str(temporary), metadata=metadata)
    temporary.replace(path)


def _check_corpus(corpus: Path) -> None:
    """Raises InputError where there is nothing to train on."""
    if not shard_paths(corpus):
        raise InputError(f"No speech corpus in {corpus}: make one with 'emorig train synthesise' first.")


class SpeechTraining:
    """The state of a run: network, optimiser, averaged weights and the step they have reached."""

    def __init__(self, plan: TrainingPlan, config: SpeechNetworkConfig) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = SpeechNetwork(config)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
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

    def advance(self, batch: tuple[Tensor, ...], loss: SpeechLoss) -> dict[str, float]:
        """One step on a batch; returns the parts of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = _learning_rate(self.plan, self.step)
        mels, moves, phones, stress = batch
        self.network.train()
        parts = loss(self.network(mels), moves, phones, stress)
        self.optimizer.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        share = min(self.plan.averaging, (self.step + 1) / (self.step + 10))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1.0 - share)
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}


def _provenance(plan: TrainingPlan, config: SpeechNetworkConfig, corpus: Path, hours: float) -> dict[str, str]:
    """What the weights file says of itself."""
    return {
        "config": json.dumps(asdict(config)),
        "articulators": json.dumps(ARTICULATORS),
        "phones": json.dumps(PHONES),
        "plan": json.dumps(asdict(plan)),
        "seed": str(plan.seed),
        "command": f"emorig train speech --steps {plan.steps} --seed {plan.seed}",
        "corpus_sha256": corpus_hash(corpus),
        "corpus_hours": f"{hours:.2f}",
    }


def train_speech(
    corpus: Path,
    weights: Path,
    *,
    plan: TrainingPlan,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Trains on a corpus folder and writes weights (.safetensors); goes on from the checkpoint beside them.

    The averaged weights are written every plan.save_every steps. progress(step, losses) is called every 50 steps.
    Raises InputError where the corpus is empty.
    """
    corpus, weights = Path(corpus), Path(weights)
    _check_corpus(corpus)
    examples = load_examples(corpus)
    lengths = np.array([len(e.mels) for e in examples], float)
    loss = SpeechLoss(np.concatenate([e.articulators[::7] for e in examples]).astype(np.float32).std(0))
    config = SpeechNetworkConfig(n_articulators=len(ARTICULATORS), n_phones=len(PHONES))
    metadata = _provenance(plan, config, corpus, lengths.sum() / (3600 * FEATURE_RATE))
    training = SpeechTraining(plan, config)
    checkpoint = weights.with_suffix(".checkpoint.pt")
    if checkpoint.is_file():
        training.resume(checkpoint)
    while training.step < plan.steps:
        parts = training.advance(_batch(examples, lengths / lengths.sum(), plan, training.step), loss)
        is_last = training.step == plan.steps
        if progress is not None and (training.step % 50 == 0 or is_last):
            progress(training.step, parts)
        if training.step % plan.save_every == 0 or is_last:
            _write_weights(weights, training.average, {**metadata, "step": str(training.step)})
            training.save(checkpoint)
