"""Trains the streaming speech network: it learns from the shipped whole-file network and from the corpus's labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.articulation import ARTICULATORS
from ..audio.features import ACTIVE_RANGE, FEATURE_RATE, measure_level, normalise
from ..audio.phones import PHONES
from ..audio.running_level import RunningLevel
from ..audio.sphinx_features import sphinx_cepstra
from ..inference.phone_evidence import phone_evidence
from ..inference.speech import load_network
from ..models.speech import SpeechNetwork, SpeechOutput
from ..models.streaming import StreamingNetwork, StreamingNetworkConfig
from .corpus import Clip, read_shard, shard_paths
from .run import TrainingPlan, run_training
from .speech import PHONE_WEIGHT, SpeechLoss, check_corpus, provenance
from .speech_data import CROP, Example, draw_clip, load_examples

N_ARTICULATORS = len(ARTICULATORS)
TEACHING_CHUNK = 3000  # feature frames that the whole-file network answers for in one pass
LABEL_SHARE = 0.4  # of the loss that asks for the corpus's labels; the rest asks for the whole-file network's answers
STREAMING_PLAN = TrainingPlan(steps=2500, batch=16, warm_up=100)
RUN_UP = 10  # network frames at a crop's start that are not asked: the recurrence has heard nothing yet


def usual_spectrum(clips: list[Clip]) -> np.ndarray:
    """Mean log-mels (80,) of the frames of speech beside each clip's loudness."""
    rows = []
    for clip in clips:
        mels = clip.mels.astype(np.float32)
        loudness = float(np.percentile(mels.mean(1), 98))
        rows.append((mels[mels.mean(1) > loudness - ACTIVE_RANGE] - loudness).mean(0))
    return np.mean(rows, axis=0).astype(np.float32)


def teach(examples: list[Example], teacher: SpeechNetwork) -> list[Example]:
    """The examples with the teacher's answers as further columns: articulators (n, 13 + 13 + 42), float16.

    The columns are the labels' articulators, the teacher's, and the teacher's probabilities of the phones.
    """
    taught = []
    for example in examples:
        mels = example.mels.astype(np.float32)
        seen, evidence = normalise(mels, measure_level([mels])), phone_evidence(sphinx_cepstra(mels))
        parts = []
        for start in range(0, len(seen), TEACHING_CHUNK):
            heard = (seen[start : start + TEACHING_CHUNK], evidence[start // 2 : (start + TEACHING_CHUNK) // 2])
            with torch.inference_mode():
                out = teacher(*(torch.from_numpy(part[None]) for part in heard))
            parts.append(torch.cat([out.articulators[0], out.phone_logits[0].softmax(-1)], dim=1).numpy())
        columns = np.concatenate([example.articulators, np.concatenate(parts)], axis=1).astype(np.float16)
        taught.append(replace(example, articulators=columns))
    return taught


def _crop(clip: Example, spectrum: np.ndarray, delay: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """A crop (CROP + 2 delay, 80) as a stream hears it, and the targets, phones and stress of all but the delay."""
    room = 2 * delay
    mels = clip.mels.astype(np.float32)
    mels = np.concatenate([mels, np.repeat(mels[-1:], room, axis=0)])
    # A tenth of the crops begin with the clip, as a stream does.
    last = len(clip.articulators) - CROP // 2
    start = 0 if rng.random() < 0.1 else int(rng.integers(0, last + 1))
    rows, end = slice(start, start + CROP // 2), 2 * start + CROP + room
    seen, _ = RunningLevel.begin(spectrum).normalise(mels[:end])
    return seen[2 * start :], clip.articulators[rows], clip.phones[rows], clip.stress[rows]


def _batch(
    examples: list[Example], shares: np.ndarray, plan: TrainingPlan, step: int, *, spectrum: np.ndarray, delay: int
) -> tuple[Tensor, ...]:
    """The batch of a step, the same whenever it is made: mels, targets (B, T, 68), phones, stress."""
    rng = np.random.default_rng([plan.seed, step])
    drawn = [_crop(draw_clip(examples, shares, rng), spectrum, delay, rng) for _ in range(plan.batch)]
    kinds = (np.float32, np.float32, np.int64, np.int64)
    return tuple(torch.from_numpy(np.stack(column).astype(kind)) for column, kind in zip(zip(*drawn), kinds))


class DistillationLoss:
    """The labels' loss and the distance to the teacher's answers, past the run-up."""

    def __init__(self, labels: SpeechLoss, delay: int) -> None:
        self.labels, self.delay = labels, delay

    def __call__(self, network: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The weighted parts of the loss of the streaming network on a batch."""
        mels, *targets = batch
        targets, phones, stress = (field[:, RUN_UP:] for field in targets)
        moves, taught_moves, taught_phones = targets.split([N_ARTICULATORS, N_ARTICULATORS, len(PHONES)], dim=-1)
        output = network(mels)[0]
        fields = (output.articulators, output.phone_logits, output.stress_logits, output.closure_logits)
        answers = SpeechOutput(*(field[:, RUN_UP + self.delay :] for field in fields))
        asked = self.labels(answers, moves, phones, stress)
        taught = self.labels(answers, taught_moves, phones, stress)
        likely = -(taught_phones * answers.phone_logits.log_softmax(-1)).sum(-1).mean()
        taught = {name: taught[name] for name in ("shape", "speed", "closure")} | {"phone": PHONE_WEIGHT * likely}
        parts = {name: LABEL_SHARE * part for name, part in asked.items()}
        return parts | {f"taught {name}": (1.0 - LABEL_SHARE) * part for name, part in taught.items()}


def _begin(config: StreamingNetworkConfig, teacher: SpeechNetwork, spectrum: np.ndarray) -> StreamingNetwork:
    """A network whose first two convolutions are the teacher's, heard a little later."""
    network = StreamingNetwork(config)
    with torch.no_grad():
        network.usual_spectrum.copy_(torch.from_numpy(spectrum))
        if teacher.config.width == config.width:
            for own, other in ((network.first, teacher.stem[0]), (network.second, teacher.stem[2])):
                own.weight.copy_(other.weight)
                own.bias.copy_(other.bias)
    return network


def train_streaming(
    corpus: Path,
    weights: Path,
    *,
    plan: TrainingPlan,
    teacher: Path,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Trains on a corpus folder and a teacher's weights and writes weights (.safetensors).

    It goes on from the checkpoint beside them; the averaged weights are written every plan.save_every steps.
    progress(step, losses) is called every 50 steps. Raises InputError where the corpus or the teacher is missing.
    """
    corpus, weights = Path(corpus), Path(weights)
    check_corpus(corpus)
    spectrum = usual_spectrum([clip for path in shard_paths(corpus)[::5] for clip in read_shard(path)])
    heard = load_network(teacher)
    examples = teach(load_examples(corpus), heard)
    lengths = np.array([len(e.mels) for e in examples], float)
    config = StreamingNetworkConfig(n_articulators=len(ARTICULATORS), n_phones=len(PHONES))
    labels = SpeechLoss(
        np.concatenate([e.articulators[::7, :N_ARTICULATORS] for e in examples]).astype(np.float32).std(0)
    )
    loss = DistillationLoss(labels, config.delay)
    metadata = provenance(plan, config, corpus, hours=lengths.sum() / (3600 * FEATURE_RATE), verb="streaming")
    torch.manual_seed(plan.seed)
    network = _begin(config, heard, spectrum)
    shares = lengths / lengths.sum()

    def losses(step: int) -> dict[str, Tensor]:
        return loss(network, _batch(examples, shares, plan, step, spectrum=spectrum, delay=config.delay))

    run_training(network, losses, weights, plan=plan, metadata=metadata, progress=progress)
