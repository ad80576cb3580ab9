"""Trains the speech network on the synthesised corpus and writes its weights with their provenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..audio.articulation import ARTICULATORS
from ..audio.features import FEATURE_RATE
from ..audio.phones import BILABIALS, LABIODENTALS, PHONE_INDEX, PHONES
from ..errors import InputError
from ..inference.phone_evidence import N_EVIDENCE
from ..models.speech import SpeechNetwork, SpeechNetworkConfig, SpeechOutput
from .corpus import corpus_provenance, shard_paths
from .run import TrainingPlan, run_training
from .speech_data import Example, draw_example, load_examples

# How much an articulator's error counts beside the others; what is seen counts more than the tongue.
ARTICULATOR_WEIGHTS = (2.0, 1.5, 1.0, 1.5, 1.0, 1.2, 0.5, 0.4, 0.5, 0.5, 0.5)
CLOSURE_WEIGHT, PHONE_WEIGHT, STRESS_WEIGHT, SPEED_WEIGHT = 1.0, 0.35, 0.1, 4.0
LABIAL_PHONE_WEIGHT = 1.6


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
        torch.from_numpy(np.stack([e.evidence for e in drawn])),
        torch.from_numpy(np.stack([e.articulators for e in drawn]).astype(np.float32)),
        torch.from_numpy(np.stack([e.phones for e in drawn])),
        torch.from_numpy(np.stack([e.stress for e in drawn]).astype(np.int64)),
    )


def check_corpus(corpus: Path) -> None:
    """Raises InputError where there is nothing to train on."""
    if not shard_paths(corpus):
        raise InputError(f"No speech corpus in {corpus}: make one with 'emorig train synthesise' first.")


def provenance(plan: TrainingPlan, config, corpus: Path, *, hours: float, verb: str = "speech") -> dict[str, str]:
    """What the weights file says of itself; config: the network's dataclass, verb: the command that trains it."""
    return {
        "config": json.dumps(asdict(config)),
        "articulators": json.dumps(ARTICULATORS),
        "phones": json.dumps(PHONES),
        "plan": json.dumps(asdict(plan)),
        "seed": str(plan.seed),
        "command": f"emorig train {verb} --steps {plan.steps} --seed {plan.seed}",
        **corpus_provenance(corpus),
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
    check_corpus(corpus)
    examples = load_examples(corpus)
    lengths = np.array([len(e.mels) for e in examples], float)
    loss = SpeechLoss(np.concatenate([e.articulators[::7] for e in examples]).astype(np.float32).std(0))
    sizes = {"n_articulators": len(ARTICULATORS), "n_phones": len(PHONES), "n_evidence": N_EVIDENCE}
    config = SpeechNetworkConfig(**sizes)
    metadata = provenance(plan, config, corpus, hours=lengths.sum() / (3600 * FEATURE_RATE))
    torch.manual_seed(plan.seed)
    network = SpeechNetwork(config)

    def losses(step: int) -> dict[str, Tensor]:
        mels, evidence, moves, phones, stress = _batch(examples, lengths / lengths.sum(), plan, step)
        return loss(network(mels, evidence), moves, phones, stress)

    run_training(network, losses, weights, plan=plan, metadata=metadata, progress=progress)
