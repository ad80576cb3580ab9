"""Trains the speech network on the synthesised corpus and writes its weights with their provenance."""

from __future__ import annotations

import json
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

    steps: int = 5000
    batch: int = 32
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
    return plan.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + np.cos(np.pi * min(share, 1.0))))


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
    torch.manual_seed(plan.seed)
    examples = load_examples(corpus)
    lengths = np.array([len(e.mels) for e in examples], float)
    deviations = np.concatenate([e.articulators[::7] for e in examples]).astype(np.float32).std(0)
    config = SpeechNetworkConfig(n_articulators=len(ARTICULATORS), n_phones=len(PHONES))
    network = SpeechNetwork(config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    metadata = {
        "config": json.dumps(asdict(config)),
        "articulators": json.dumps(ARTICULATORS),
        "phones": json.dumps(PHONES),
        "plan": json.dumps(asdict(plan)),
        "seed": str(plan.seed),
        "command": f"emorig train speech --steps {plan.steps} --seed {plan.seed}",
        "corpus_sha256": corpus_hash(corpus),
        "corpus_hours": f"{lengths.sum() / 360000:.2f}",
    }
    loss = SpeechLoss(deviations)
    checkpoint = weights.with_suffix(".checkpoint.pt")
    first = 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        average, first = saved["average"], saved["step"]
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(plan, step)
        mels, moves, phones, stress = _batch(examples, lengths / lengths.sum(), plan, step)
        network.train()
        parts = loss(network(mels), moves, phones, stress)
        optimizer.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        share = min(plan.averaging, (step + 1) / (step + 10))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1.0 - share)
        if progress is not None and (step % 50 == 0 or step + 1 == plan.steps):
            progress(step, {name: float(value.detach()) for name, value in parts.items()})
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            _write_weights(weights, average, {**metadata, "step": str(step + 1)})
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
            temporary = checkpoint.with_suffix(".part")
            torch.save({**state, "step": step + 1}, temporary)
            temporary.replace(checkpoint)
