"""What the streaming network makes of a whole recording: a second opinion beside the whole-file network's.

The two hear differently: one with all of the sound around a moment and the level of the whole recording, the other
with the past, a tenth of a second ahead and the level so far. What both believe is more often right.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..audio.articulation import ARTICULATOR_INDEX
from ..audio.features import count_frames, log_mels, warp_bands
from ..audio.phones import PHONE_INDEX, SILENCE
from ..audio.running_level import RunningLevel

SHARE = 0.3  # of the second opinion
SILENT = PHONE_INDEX[SILENCE]
SEALS = [ARTICULATOR_INDEX["closure"], ARTICULATOR_INDEX["labiodental"]]
Opinion = tuple[np.ndarray, np.ndarray, np.ndarray]
BLOCK = 3000  # feature frames (30 s) that one pass answers for


def in_one(first: Opinion, second: Opinion) -> Opinion:
    """Both opinions (articulators (n, 13), phones (n, 42), stress (n,)) as one, but silence where both hear it.

    A network that does not know a voice takes its words for noise; the other one often does know it.
    """
    moves, phones, stress = averaged(first, second, SHARE)
    silent = np.minimum(first[1][:, SILENT], second[1][:, SILENT])
    spoken = np.maximum(1.0 - phones[:, SILENT], 1e-6)
    phones = phones * ((1.0 - silent) / spoken)[:, None]
    phones[:, SILENT] = silent
    return moves, phones, stress


def averaged(first: Opinion, second: Opinion, share: float) -> Opinion:
    """The mean of two opinions, of the second by a share; that of seals lies nearer to the one that doubts.

    One hearing alone is often wrong about a closure: its mean is that of the square roots, squared.
    """
    moves, phones, stress = (a + np.float32(share) * (b - a) for a, b in zip(first, second, strict=True))
    roots = [np.sqrt(np.maximum(opinion[0][:, SEALS], 0.0)) for opinion in (first, second)]
    moves[:, SEALS] = (roots[0] + np.float32(share) * (roots[1] - roots[0])) ** 2
    return moves, phones, stress


@lru_cache(maxsize=2)
def load_streaming_network(path: Path):
    """The streaming network with its weights. Raises InputError where they are missing or do not fit."""
    from ..models.streaming import StreamingNetwork, StreamingNetworkConfig
    from .speech import read_weights

    config, state = read_weights(path)
    network = StreamingNetwork(StreamingNetworkConfig(**config))
    network.load_state_dict(state)
    return network.eval()


def second_opinion(samples: np.ndarray, path: Path, tracts: tuple[float, ...]) -> Opinion:
    """Articulators (n, 13), phones (n, 42) and stress (n,) at 50 Hz of samples (n_samples,) at 16 kHz.

    Heard as of several vocal tracts and averaged, block after block with the state carried on: no seams.
    """
    import torch

    network = load_streaming_network(path)
    n_frames, delay = -(-count_frames(len(samples)) // 2), network.config.delay
    level, state = RunningLevel.begin(network.usual_spectrum.numpy()), network.begin(len(tracts))
    parts = []
    last = 2 * (n_frames + delay)
    for start in range(0, last, BLOCK):
        seen, _ = level.normalise(log_mels(samples, start, min(start + BLOCK, last)))
        with torch.inference_mode():
            out, state = network(torch.from_numpy(np.stack([warp_bands(seen, tract) for tract in tracts])), state)
        parts.append(
            (
                out.articulators.mean(0).numpy(),
                out.phone_logits.softmax(-1).mean(0).numpy(),
                out.stress_logits.sigmoid().mean(0).numpy(),
            )
        )
    return tuple(np.concatenate(column)[delay:] for column in zip(*parts))
