"""Trains the refiner on made-up people: warped squares in, the difference to the true ones out.

The sensor's noise is laid over what goes in and not asked back, so that the network neither adds grain nor takes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.models.refiner import Refiner, RefinerConfig
from backend.portrait.refine import exposure
from backend.training.refiner_data import Pairs, corpus_hash, load_corpus, make_corpus, unpacked
from backend.training.run import run_training
from backend.training.run_options import TrainingPlan

PLAN = TrainingPlan(steps=1500, batch=8, learning_rate=2e-3, warm_up=20, averaging=0.98, save_every=25)
EDGES = 1.0  # weight of the error in the picture's slopes beside that in its values
MOUTH = 2.0  # how much more an error between the lips and on them counts
MIRRORED = [3, 6]  # guides that change their sign in a mirror: the normals' x


def train_refiner(
    corpus: Path,
    weights: Path,
    *,
    faces: int,
    plan: TrainingPlan = PLAN,
    making: Callable[[int, int], None] | None = None,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Makes what is missing of a corpus of so many faces, trains on it and writes weights (.safetensors).

    A stopped run goes on, both in the corpus and from the checkpoint beside the weights. making(done, shards) and
    progress(step, losses) say how far it is.
    """
    pairs = load_corpus(make_corpus(corpus, faces=faces, seed=plan.seed, progress=making))
    config = RefinerConfig(side=pairs.crop.shape[-1])
    torch.manual_seed(plan.seed)
    network = Refiner(config).to(memory_format=torch.channels_last)
    metadata = {
        "config": json.dumps(asdict(config)),
        "plan": json.dumps(asdict(plan)),
        "seed": str(plan.seed),
        "command": f"emorig train refiner --faces {faces} --steps {plan.steps} --seed {plan.seed}",
        "corpus_sha256": corpus_hash(pairs),
        "corpus_pairs": str(len(pairs.crop)),
    }

    def losses(step: int) -> dict[str, Tensor]:
        crop, guides, wanted, counts = draw_batch(pairs, plan, step)
        return refiner_loss(network(crop, guides), wanted, counts)

    run_training(network, losses, weights, plan=plan, metadata=metadata, progress=progress)


def draw_batch(pairs: Pairs, plan: TrainingPlan, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Crop (B, 3, S, S), guides (B, 12, S, S), wanted residual (B, 3, S, S) and how much each pixel counts
    (B, 1, S, S) of a step, the same whenever it is drawn.
    """
    rng = np.random.default_rng([plan.seed, step])
    chosen = np.sort(rng.choice(len(pairs.crop), plan.batch, replace=len(pairs.crop) < plan.batch))
    crop, truth = (values[chosen].astype(np.float32) / np.float32(255.0) for values in (pairs.crop, pairs.truth))
    guides, counts = unpacked(pairs.guides[chosen]), pairs.window[chosen, None].astype(np.float32) / np.float32(255.0)
    counts = counts * (1.0 + MOUTH * guides[:, -2:-1])
    turned = rng.random(plan.batch) < 0.5
    for values in (crop, truth, guides, counts):
        values[turned] = values[turned][..., ::-1]
    guides[np.ix_(turned, MIRRORED)] *= -1.0
    gains = exposure(guides[:, :3]) * rng.uniform(0.9, 1.1, (plan.batch, 3, 1, 1)).astype(np.float32)
    crop, truth = crop * gains, truth * gains
    wanted = truth - crop
    photo = guides[:, :3] * gains
    strength = rng.uniform(0.0, 0.03, (plan.batch, 1, 1, 1))
    crop = crop + (strength * rng.normal(size=crop.shape)).astype(np.float32)
    guides[:, :3] = photo + (strength * rng.normal(size=photo.shape)).astype(np.float32)
    return tuple(torch.from_numpy(np.ascontiguousarray(v)) for v in (crop, guides, wanted, counts))


def refiner_loss(predicted: Tensor, wanted: Tensor, counts: Tensor) -> dict[str, Tensor]:
    """Mean absolute errors of values and of slopes, both weighted by counts, in hundredths of full brightness."""
    error = predicted - wanted
    total = counts.mean()
    values = (functional.l1_loss(predicted, wanted, reduction="none") * counts).mean() / total
    across = ((error[..., 1:] - error[..., :-1]).abs() * counts[..., 1:]).mean() / total
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * counts[..., 1:, :]).mean() / total
    return {"values": 100.0 * values, "slopes": 100.0 * EDGES * (across + down)}
