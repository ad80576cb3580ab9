"""Trains EmoSpeaker's networks jointly (Algorithm 1, Eq. 8) on excerpts of talking faces and writes their weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from blender_addon.protocol.types import EMOTIONS

from ..audio.articulation import ARTICULATORS
from ..audio.frame_features import MFCC_STEPS, N_MFCC
from ..audio.phones import PHONES
from ..inference.emospeaker import CoefficientNetworks
from ..inference.fine_grained import FineGrainedPath, measure_matrix
from ..inference.head_style import N_STYLE
from ..models.emospeaker import N_EXPRESSION, EmoSpeaker, EmoSpeakerConfig
from ..models.emospeaker_audio import contrastive_loss
from .corpus import corpus_provenance
from .excerpts import Excerpt, SynthesisedFaces, stacked
from .run import run_training, write_weights
from .run_options import TrainingPlan
from .talking_clips import TalkingShard, prepare_shards, read_shards

# Eq. 8: alpha to epsilon.
LOSS_WEIGHTS = {"contrastive": 5.0, "expression": 5.0, "emotion": 3.0, "classes": 1.0, "pose": 1.0}
EXCERPT_FRAMES = 40  # eight windows of EmoNet, four of ExpNet, two of PoseNet
CALIBRATION_UTTERANCES, CALIBRATION_FRAMES = 8, 200
HELD_OUT_SHARDS = 20  # every twentieth shard is kept from training
SHIPPED_SIZES = {
    "n_mfcc": N_MFCC, "mfcc_steps": MFCC_STEPS, "expressions_per_frame": 2,
    "n_speech": 2 * (len(ARTICULATORS) + len(PHONES) + 2), "n_style": N_STYLE, "encoder_blocks": 1,
    "content_width": 96, "expression_width": 128, "emotion_width": 64, "pose_width": 64,
}  # fmt: skip
SHIPPED_PLAN = TrainingPlan(
    steps=1500, batch=16, learning_rate=2e-3, warm_up=200, weight_decay=1e-3, averaging=0.998, save_every=250
)
# The paper's: Adam at 1e-5 with weight decay .001; for networks of the published size and prepared MEAD.
PUBLISHED_PLAN = TrainingPlan(
    steps=500_000, batch=24, learning_rate=1e-5, warm_up=1, weight_decay=1e-3, averaging=0.999, save_every=1000
)


class Faces(Protocol):
    """Where excerpts come from."""

    def draw(self, rng: np.random.Generator) -> Excerpt: ...


def shipped_config() -> EmoSpeakerConfig:
    """The sizes of the networks that come with the program."""
    return EmoSpeakerConfig(**SHIPPED_SIZES)


def excerpt_batch(faces: Faces, plan: TrainingPlan, step: int) -> dict[str, Tensor]:
    """The batch of a step by Excerpt's field names, the same whenever it is made."""
    rng = np.random.default_rng([plan.seed, step])
    batch = stacked([faces.draw(rng) for _ in range(plan.batch)])
    return {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in vars(batch).items()}


def emospeaker_losses(network: EmoSpeaker, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The five weighted parts of Eq. 8 on a batch of excerpts (see Excerpt for shapes).

    ExpNet, EmoNet and PoseNet run over all windows of the excerpt, each from its own last frame.
    """
    config = network.config
    codes = network.codes(batch["features"])
    content, emotion, intensity = codes[-1], batch["emotion"], batch["intensity"]
    expression = network.express(content, batch["expression"][:, 0])
    state = network.feel(content, batch["state"][:, 0], emotion, intensity)
    pose = network.turn(content, batch["pose"][:, 0], emotion, intensity, batch["style"])
    parts = {
        "contrastive": _contrast(network, codes, batch["units"]),
        "expression": functional.mse_loss(expression, batch["expression"][:, 1:]) * N_EXPRESSION,
        "emotion": functional.mse_loss(state, batch["state"][:, 1:]) * state.shape[-1],
        "classes": _classification(network, state, emotion, config.emotion_window),
        "pose": functional.mse_loss(pose, batch["pose"][:, 1:]) * pose.shape[-1],
    }
    return {name: LOSS_WEIGHTS[name] * part for name, part in parts.items()}


def _contrast(network: EmoSpeaker, codes: tuple[Tensor, ...], units: Tensor) -> Tensor:
    """Eq. 3 over all windows of the batch."""
    length = network.config.contrast_window

    def windows(values: Tensor) -> Tensor:
        whole = values[:, : length * (values.shape[1] // length)]
        return whole.unflatten(1, (-1, length)).flatten(2).flatten(0, 1)

    measured = windows((units - network.unit_mean) * network.unit_scale)
    decoded = tuple(windows(network.decoupler.au_decoder(code)) for code in codes)
    return contrastive_loss(measured, decoded, network.config.temperature)


def _classification(network: EmoSpeaker, state: Tensor, emotion: Tensor, window: int) -> Tensor:
    """Eq. 6 on [identity, texture] at the end of every window; neutral is the last class."""
    rows = slice(window - 1, None, window)
    named = torch.where(emotion.sum(-1) > 0, emotion.argmax(-1), network.config.n_emotions)
    logits = network.classifier(state[:, rows, :-N_EXPRESSION].flatten(0, 1))
    return functional.cross_entropy(logits, named[:, rows].flatten())


def measure_scales(network: EmoSpeaker, faces: Faces, seed: int, n_excerpts: int = 200) -> None:
    """Sets the network's input and unit normalisation from excerpts."""
    rng = np.random.default_rng([seed, 1 << 30])
    drawn = [faces.draw(rng) for _ in range(n_excerpts)]
    for name, field in (("feature", "features"), ("unit", "units")):
        values = np.concatenate([getattr(excerpt, field) for excerpt in drawn])
        spread = np.maximum(values.std(0), 0.05)
        getattr(network, f"{name}_mean").copy_(torch.from_numpy(values.mean(0)))
        getattr(network, f"{name}_scale").copy_(torch.from_numpy(1.0 / spread))


def listen_to_corpus(corpus: Path, *, seed: int, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder in the corpus where what the speech network hears of it is kept; made where it is missing."""
    prepared = corpus / "talking"
    prepare_shards(corpus, prepared, seed=seed, progress=progress)
    return prepared


def train_emospeaker(
    corpus: Path,
    weights: Path,
    *,
    plan: TrainingPlan = SHIPPED_PLAN,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Trains on a corpus folder and writes weights (.safetensors); goes on from the checkpoint beside them.

    What listen_to_corpus has not done yet is done first. progress(step, losses) is called every 50 steps.
    Raises InputError where the corpus is empty.
    """
    corpus, weights = Path(corpus), Path(weights)
    prepared = listen_to_corpus(corpus, seed=plan.seed)
    shards = [shard for number, shard in enumerate(read_shards(prepared)) if number % HELD_OUT_SHARDS]
    config = shipped_config()
    faces = SynthesisedFaces(shards, config, EXCERPT_FRAMES)
    metadata = {
        "config": json.dumps(asdict(config)),
        "plan": json.dumps(asdict(plan)),
        "loss_weights": json.dumps(LOSS_WEIGHTS),
        "seed": str(plan.seed),
        "command": f"emorig train emospeaker --steps {plan.steps} --seed {plan.seed}",
        **corpus_provenance(corpus),
        "corpus_hours": f"{sum(shard.n_frames for shard in shards) / 90000:.2f}",
    }
    network = train_on(faces, config, weights, plan=plan, metadata=metadata, progress=progress)
    held_out = read_shards(prepared)[::HELD_OUT_SHARDS]
    path = calibrate(network, [held_out[i % len(held_out)] for i in range(CALIBRATION_UTTERANCES)])
    write_weights(weights, network.state_dict(), {**metadata, "step": str(plan.steps), "fine_grained": path.to_json()})


def calibrate(network: EmoSpeaker, shards: list[TalkingShard]) -> FineGrainedPath:
    """The way of an intensity through the fine-grained matrix, by the mean strength of each emotion's action units
    over an excerpt of each shard."""
    networks = CoefficientNetworks.holding(network)
    contents = []
    for index, shard in enumerate(shards):
        start = 2 * CALIBRATION_FRAMES * (index // 2) % max(1, shard.n_frames - CALIBRATION_FRAMES)
        rows = (shard.mfcc[4 * start :].astype(np.float32), shard.speech[2 * start :].astype(np.float32))
        contents.append(networks.encode(*rows, CALIBRATION_FRAMES))
    return FineGrainedPath.from_matrices(
        {label: measure_matrix(networks, contents, label).mean(-1) for label in EMOTIONS}
    )


def train_on(
    faces: Faces,
    config: EmoSpeakerConfig,
    weights: Path,
    *,
    plan: TrainingPlan,
    metadata: dict[str, str],
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> EmoSpeaker:
    """Trains networks of a size on faces and writes their weights; returns them with the averaged weights."""
    torch.manual_seed(plan.seed)
    network = EmoSpeaker(config)
    measure_scales(network, faces, plan.seed)

    def losses(step: int) -> dict[str, Tensor]:
        return emospeaker_losses(network, excerpt_batch(faces, plan, step))

    network.load_state_dict(run_training(network, losses, weights, plan=plan, metadata=metadata, progress=progress))
    return network.eval()
