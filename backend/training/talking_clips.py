"""Talking faces for EmoSpeaker out of the synthesised corpus: what is heard, and what the lips do.

The frozen speech network listens to every clip, augmented as in its own training; its opinions and the cepstra are
EmoSpeaker's input. The lips are the coarticulation model's movements of the known phones. Where they seal is left to
the speech network, so that the two never disagree about a closure. Kept per shard: a stopped preparation goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from ..audio.decoding import best_path, find_accents, merge_phones
from ..audio.features import FEATURE_RATE, measure_level, normalise, warp_bands
from ..audio.frame_features import SPEECH_RATE, cepstra, speech_rows
from ..audio.phones import PHONES
from ..audio.sphinx_features import sphinx_cepstra
from ..errors import InputError
from ..inference.phone_evidence import phone_evidence
from ..inference.speech import LOUDNESS_RANGE, Listening, SpeechArticulator, shape_articulators, speaking_share
from .coarticulation import articulate_phones
from .corpus import Clip, read_shard, shard_paths
from .speech_data import augment

AUGMENTED_SHARE = 0.5
TRACTS = (-0.12, 0.12)  # natural logarithm of how much shorter the vocal tract is
STEPS_PER_FRAME = 4  # 10 ms steps of a frame at 25 Hz; clips are cut to whole frames
FROM_PHONES = 11  # of the 13 articulators; the last two are closures, which the speech network decides


@dataclass(frozen=True)
class TalkingShard:
    """Some minutes of utterances put end to end.

    mfcc (2 n, 12) at 100 Hz; speech (n, 57), lips (n, 13) articulators, speaking (n,), effort (n,) and accents (n,)
    0-1 at 50 Hz (the strength of the accent at its moment, else 0); mood (n, 2): emotion or NEUTRAL, and its level.
    """

    mfcc: np.ndarray
    speech: np.ndarray
    lips: np.ndarray
    speaking: np.ndarray
    effort: np.ndarray
    accents: np.ndarray
    mood: np.ndarray

    @property
    def n_frames(self) -> int:
        """Number of frames at 25 Hz."""
        return len(self.speech) // 2


def prepare_shards(corpus: Path, out_dir: Path, *, seed: int, progress: Callable[[int, int], None] | None = None):
    """Listens to every shard of a corpus and keeps the result in out_dir; progress(done, total) after each.

    Raises InputError where there is no corpus.
    """
    paths = shard_paths(corpus)
    if not paths:
        raise InputError(f"No speech corpus in {corpus}: make one with 'emorig train synthesise' first.")
    out_dir.mkdir(parents=True, exist_ok=True)
    articulator = SpeechArticulator()
    for number, path in enumerate(paths):
        target = out_dir / path.name.replace("shard", "talking")
        if not target.is_file():
            _write(target, listen_to_shard(articulator, read_shard(path), np.random.default_rng([seed, number, 7])))
        if progress is not None:
            progress(number + 1, len(paths))


def read_shards(folder: Path) -> list[TalkingShard]:
    """All prepared shards of a folder, in order."""
    shards = []
    for path in sorted(folder.glob("talking_*.npz")):
        with np.load(path) as data:
            shards.append(TalkingShard(**{field.name: data[field.name] for field in fields(TalkingShard)}))
    return shards


def listen_to_shard(articulator: SpeechArticulator, clips: list[Clip], rng: np.random.Generator) -> TalkingShard:
    """The clips of a shard as the speech network hears them, half of them augmented, and the lips that go with them."""
    heard = []
    for clip in clips:
        mels = clip.mels.astype(np.float64)
        if rng.random() < AUGMENTED_SHARE:
            babble = clips[int(rng.integers(len(clips)))].mels
            mels = augment(mels, _is_silent(clip), rng, babble)
        heard.append(_hear_clip(articulator, replace(clip, mels=mels), rng))
    return TalkingShard(*(np.concatenate(column) for column in zip(*heard)))


def _hear_clip(articulator: SpeechArticulator, clip: Clip, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The arrays of TalkingShard for one clip, heard as of a random vocal tract."""
    import torch

    n_steps = STEPS_PER_FRAME * (len(clip.mels) // STEPS_PER_FRAME)
    mels = clip.mels[:n_steps]
    level = measure_level([mels])
    seen, evidence = normalise(mels, level), phone_evidence(sphinx_cepstra(mels))
    tract = float(np.exp(rng.uniform(*TRACTS)))
    with torch.inference_mode():
        out = articulator.network(torch.from_numpy(warp_bands(seen, tract)[None]), torch.from_numpy(evidence[None]))
    listening = Listening(
        out.articulators[0].numpy(),
        out.phone_logits.softmax(-1)[0].numpy(),
        out.stress_logits.sigmoid()[0].numpy(),
        np.clip(1.0 + (mels.mean(1)[::2] - level.loudness) / LOUDNESS_RANGE, 0.0, 1.0).astype(np.float32),
    )
    n_rows = len(listening.stress)
    phones = merge_phones(best_path(np.log(listening.phones + 1e-6)), SPEECH_RATE, n_rows / SPEECH_RATE)
    names = [PHONES[index] for index in clip.labels]
    said = articulate_phones(clip.ends, names, clip.stress, frame_rate=SPEECH_RATE, n_frames=n_rows)
    moves = np.concatenate([said[:, :FROM_PHONES], listening.articulators[:, FROM_PHONES:]], axis=1)
    speaking = speaking_share(listening, phones)
    accents = np.zeros(n_rows, np.float32)
    times = find_accents(phones, listening.stress, listening.loudness, SPEECH_RATE)
    rows = np.minimum((times * SPEECH_RATE).astype(int), n_rows - 1)
    accents[rows] = listening.stress[rows] * listening.loudness[rows]
    effort = speaking * listening.loudness * (0.6 + 0.4 * listening.stress)
    half = np.float16
    return (
        cepstra(seen).astype(half),
        speech_rows(listening.articulators, listening.phones, listening.stress, listening.loudness).astype(half),
        shape_articulators(replace(listening, articulators=moves), speaking).astype(half),
        speaking.astype(half),
        effort.astype(half),
        accents.astype(half),
        np.tile(np.int8([clip.emotion, clip.level]), (n_rows, 1)),
    )


def _is_silent(clip: Clip) -> np.ndarray:
    """Whether nothing is said at each step of 10 ms (n,)."""
    slot = np.searchsorted(clip.ends, np.arange(len(clip.mels)) / FEATURE_RATE, side="right")
    return clip.labels[slot.clip(max=len(clip.ends) - 1)] == 0


def _write(path: Path, shard: TalkingShard) -> None:
    """Writes a shard under a temporary name, then renames."""
    temporary = path.with_suffix(f".{os.getpid()}.part")
    with temporary.open("wb") as file:
        np.savez(file, **{field.name: getattr(shard, field.name) for field in fields(TalkingShard)})
    temporary.replace(path)
