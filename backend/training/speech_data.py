"""Training examples for the speech network: crops of the corpus under noise, other microphones, breaths and music."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.features import FEATURE_RATE, N_MELS, POWER_FLOOR, measure_level, normalise, warp_bands
from ..audio.phones import PHONES
from ..audio.sphinx_features import sphinx_cepstra
from ..inference.phone_evidence import phone_evidence
from .coarticulation import articulate_phones
from .corpus import Clip, read_shard, shard_paths

NETWORK_RATE = FEATURE_RATE // 2  # Hz
CROP = 256  # feature frames
AUGMENTED_SHARE = 0.6
WARPED_SHARE = 0.6  # examples by a longer or shorter vocal tract (Jaitly and Hinton 2013)
MASKED_SHARE = 0.3  # examples that lose a few neighbouring bands (Park et al. 2019, SpecAugment)
DEAF_SHARE = 0.15  # examples that have the phones' evidence alone, without which the few voices of the corpus would do
SOUND_ALONE_SHARE = 0.03  # examples of noise, breaths or music without speech


@dataclass(frozen=True)
class Example:
    """mels (n_frames, 80) at 100 Hz; articulators (n, 13), phones (n,), stress (n,) (-1 = do not ask) at 50 Hz.

    evidence (n, 42): of the phones, as phone_evidence gives it; None until it is drawn.
    """

    mels: np.ndarray
    articulators: np.ndarray
    phones: np.ndarray
    stress: np.ndarray
    evidence: np.ndarray | None = None


def _label(clip: Clip) -> Example:
    """A clip with its frame-wise targets."""
    n_frames = -(-len(clip.mels) // 2)
    names = [PHONES[i] for i in clip.labels]
    moves = articulate_phones(clip.ends, names, clip.stress, frame_rate=NETWORK_RATE, n_frames=n_frames)
    slot = np.searchsorted(clip.ends, np.arange(n_frames) / NETWORK_RATE, side="right")
    inside = slot < len(clip.ends)
    slot = np.minimum(slot, len(clip.ends) - 1)
    phones = np.where(inside, clip.labels[slot], 0)
    asked = inside & (clip.labels[slot] >= PHONES.index("AA"))
    return Example(
        clip.mels,
        moves.astype(np.float16),
        phones.astype(np.int64),
        np.where(asked, clip.stress[slot], -1).astype(np.int8),
    )


def load_examples(folder: Path) -> list[Example]:
    """All clips of a corpus with their targets."""
    return [_label(clip) for path in shard_paths(folder) for clip in read_shard(path)]


def _coloured(rng: np.random.Generator, n_frames: int) -> np.ndarray:
    """Stationary noise of a random smooth spectrum with the ripple of a periodogram, log power (n_frames, 80)."""
    slope = rng.uniform(-3.5, 1.0) * np.linspace(-0.5, 0.5, N_MELS) * 2
    ripple = np.interp(np.arange(N_MELS), np.linspace(0, N_MELS - 1, 7), rng.normal(0, 0.8, 7))
    grain = np.log(rng.gamma(np.linspace(1.2, 6.0, N_MELS), size=(n_frames, N_MELS)) + 1e-3)
    drift = np.interp(np.arange(n_frames), np.linspace(0, n_frames, 4), rng.normal(0, 0.4, 4))
    return slope + ripple + grain + drift[:, None]


def _music(rng: np.random.Generator, n_frames: int) -> np.ndarray:
    """Chords that change every 0.2-0.8 s with beats, log power (n_frames, 80)."""
    out = np.full((n_frames, N_MELS), -9.0, np.float64)
    centres = 700.0 * (10.0 ** (np.linspace(65.0, 2800.0, N_MELS) / 2595.0) - 1.0)
    position = 0
    while position < n_frames:
        length = int(rng.uniform(20, 80))
        power = np.full(N_MELS, 1e-4)
        for _ in range(rng.integers(1, 5)):
            fundamental = 55.0 * 2 ** rng.uniform(0, 4.2)
            partials = fundamental * np.arange(1, 14)
            strength = np.exp(-rng.uniform(0.15, 0.6) * np.arange(13))
            nearness = np.exp(-0.5 * ((np.log(centres[:, None]) - np.log(partials)) / 0.05) ** 2)
            power += nearness @ strength
        envelope = np.exp(-np.arange(length) * rng.uniform(0.0, 0.06))[: n_frames - position]
        out[position : position + length] = np.log(power) + np.log(envelope + 1e-3)[:, None]
        position += length
    return out + rng.normal(0, 0.25, out.shape)


def _breath(rng: np.random.Generator) -> np.ndarray:
    """One breath: noise shaped by an open mouth, swelling over 0.15-0.6 s, log power (n, 80)."""
    n_frames = int(rng.uniform(15, 60))
    swell = np.log(np.sin(np.linspace(0.05, np.pi - 0.05, n_frames)) + 1e-3)
    centre, width = rng.uniform(20, 65), rng.uniform(8, 30)
    band = -0.5 * ((np.arange(N_MELS) - centre) / width) ** 2
    grain = np.log(rng.gamma(3.0, size=(n_frames, N_MELS)) / 3.0 + 1e-2)
    return 1.5 * swell[:, None] + band + 0.5 * grain


def _add(mels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Log power of two sounds together."""
    return np.logaddexp(mels, other)


def _loudness(mels: np.ndarray) -> float:
    """Mean log power of the loud frames."""
    return float(np.percentile(mels.mean(1), 90))


def augment(mels: np.ndarray, is_silence: np.ndarray, rng: np.random.Generator, babble: np.ndarray) -> np.ndarray:
    """Log-mels (n_frames, 80) with breaths in pauses, noise, babble or music, and another microphone's response."""
    n_frames = len(mels)
    loud = _loudness(mels)
    if rng.random() < 0.35 and is_silence.any():
        breath = _breath(rng)
        places = np.flatnonzero(np.convolve(is_silence, np.ones(len(breath)), "valid") >= len(breath) - 4)
        if len(places):
            at = int(rng.choice(places))
            mels = mels.copy()
            mels[at : at + len(breath)] = _add(mels[at : at + len(breath)], breath + loud - rng.uniform(1.0, 5.0))
    if rng.random() < 0.75:
        kind = rng.choice(3, p=[0.7, 0.12, 0.18])
        if kind == 0:
            other = _coloured(rng, n_frames)
        elif kind == 1:
            other = np.resize(babble, (n_frames, N_MELS)).astype(np.float64)
        else:
            other = _music(rng, n_frames)
        ratio = rng.uniform(1.0, 7.5) if kind == 0 else rng.uniform(2.5, 7.5)  # nepers: 4-33 dB
        mels = _add(mels, other - _loudness(other) + loud - ratio)
    knots = rng.normal(0, 0.6, 6) * rng.uniform(0, 1)
    response = np.interp(np.arange(N_MELS), np.linspace(0, N_MELS - 1, 6), knots)
    if rng.random() < 0.25:
        response[rng.integers(45, 70) :] -= rng.uniform(2, 10)
    drift = np.interp(np.arange(n_frames), np.linspace(0, n_frames, 3), rng.normal(0, 0.4, 3))
    return np.maximum(mels + response + drift[:, None], np.log(POWER_FLOOR))


def draw_clip(examples: list[Example], shares: np.ndarray, rng: np.random.Generator) -> Example:
    """A clip of at least CROP feature frames under augmentation, log-mels as they are; short clips are joined."""
    picked = int(rng.choice(len(examples), p=shares))
    parts = [examples[picked]]
    while sum(len(p.articulators) for p in parts) < CROP // 2:
        parts.append(examples[(picked + len(parts)) % len(examples)])
    # a clip of odd length ends in half a network frame
    mels = np.concatenate([p.mels[: 2 * (len(p.mels) // 2)] for p in parts]).astype(np.float64)
    moves, phones, stress = (
        np.concatenate([getattr(p, name)[: len(p.mels) // 2] for p in parts])
        for name in ("articulators", "phones", "stress")
    )
    while len(mels) < CROP:
        mels, moves = np.concatenate([mels, mels[-2:]]), np.concatenate([moves, moves[-1:]])
        phones, stress = np.append(phones, phones[-1]), np.append(stress, stress[-1])
    if rng.random() < SOUND_ALONE_SHARE:
        loud = _loudness(mels)
        mels = rng.choice([_coloured, _music])(rng, len(mels)) + loud
        moves, phones, stress = np.zeros_like(moves), np.zeros_like(phones), np.full_like(stress, -1)
    elif rng.random() < AUGMENTED_SHARE:
        babble = examples[int(rng.integers(len(examples)))].mels
        mels = augment(mels, np.repeat(phones == 0, 2), rng, babble)
    if rng.random() < WARPED_SHARE:
        mels = warp_bands(mels, float(np.exp(rng.uniform(-0.17, 0.17))))
    return Example(mels, moves, phones, stress)


def draw_example(examples: list[Example], shares: np.ndarray, rng: np.random.Generator) -> Example:
    """A crop of CROP feature frames, normalised over its whole clip; clips are joined where one is too short."""
    clip = draw_clip(examples, shares, rng)
    mels = normalise(clip.mels, measure_level([clip.mels]))
    cepstra = sphinx_cepstra(clip.mels)
    if rng.random() < MASKED_SHARE:
        lowest, n_bands = int(rng.integers(0, N_MELS - 4)), int(rng.integers(4, 13))
        mels[:, lowest : lowest + n_bands] = 0.0
    start = int(rng.integers(0, len(clip.articulators) - CROP // 2 + 1))
    if rng.random() < DEAF_SHARE:
        mels[:] = 0.0
    rows, frames = slice(start, start + CROP // 2), slice(2 * start, 2 * start + CROP)
    return Example(
        mels[frames], clip.articulators[rows], clip.phones[rows], clip.stress[rows], phone_evidence(cepstra[frames])
    )
