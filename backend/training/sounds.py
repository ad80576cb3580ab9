"""Sounds that nobody speaks: music, applause, breaths and household noise, made by code, to be told from speech."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, lfilter

from ..audio.features import SAMPLE_RATE
from ..audio.phones import SILENCE
from .engines import UNKNOWN_STRESS, Utterance

SECONDS = 8.0
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10))


def _note(rng: np.random.Generator, frequency: float, seconds: float, timbre: np.ndarray, decay: float) -> np.ndarray:
    """One tone with partials of strengths timbre, fading by decay per second, with some vibrato."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    vibrato = rng.uniform(0, 0.4) * np.sin(2 * np.pi * rng.uniform(4, 7) * time) / 6
    phase = 2 * np.pi * frequency * time + vibrato
    partials = [s * np.sin((k + 1) * phase) for k, s in enumerate(timbre) if (k + 1) * frequency < SAMPLE_RATE / 2]
    attack = np.minimum(time / rng.uniform(0.004, 0.08), 1.0) * np.minimum((seconds - time) / 0.02, 1.0)
    return np.sum(partials, axis=0) * np.exp(-decay * time) * attack


def music(rng: np.random.Generator) -> np.ndarray:
    """A few bars: chords or a melody by one or two instruments, sometimes with drums, (n_samples,) at 16 kHz."""
    sound = np.zeros(int(SECONDS * SAMPLE_RATE))
    scale, root, beat = _SCALES[rng.integers(3)], rng.uniform(45, 60), rng.uniform(0.18, 0.7)
    for _ in range(rng.integers(1, 3)):
        timbre = rng.uniform(0.1, 1.0, 12) * np.exp(-rng.uniform(0.1, 0.9) * np.arange(12))
        decay, voices, octave = rng.uniform(0.0, 5.0), int(rng.integers(1, 5)), 12 * rng.integers(-1, 3)
        for start in np.arange(0.0, SECONDS - beat, beat):
            for _ in range(voices):
                pitch = root + octave + scale[rng.integers(len(scale))]
                tone = _note(rng, 440.0 * 2 ** ((pitch - 69) / 12), beat * rng.uniform(0.6, 1.0), timbre, decay)
                at = int(start * SAMPLE_RATE)
                sound[at : at + len(tone)] += tone[: len(sound) - at]
    if rng.random() < 0.5:
        for start in np.arange(0.0, SECONDS - 0.2, beat):
            hit = rng.standard_normal(3200) * np.exp(-np.arange(3200) / rng.uniform(150, 900))
            at = int(start * SAMPLE_RATE)
            sound[at : at + 3200] += rng.uniform(0.3, 2.0) * hit
    return sound


def noise(rng: np.random.Generator) -> np.ndarray:
    """Bursts of band-limited noise over a quieter bed: breaths, applause, steps, rustling, (n_samples,) at 16 kHz."""
    n_samples = int(SECONDS * SAMPLE_RATE)
    sound = rng.uniform(0.005, 0.1) * rng.standard_normal(n_samples)
    for _ in range(int(rng.choice([2, 5, 12, 60]))):
        length = int(rng.uniform(0.02, 0.8) * SAMPLE_RATE)
        low = rng.uniform(80, 2500)
        band = butter(2, [low, min(low * rng.uniform(1.5, 8), 7800)], "band", fs=SAMPLE_RATE)
        swell = np.sin(np.linspace(0, np.pi, length)) ** rng.uniform(0.3, 3.0)
        at = int(rng.integers(0, n_samples - length))
        sound[at : at + length] += rng.uniform(0.2, 2.0) * swell * lfilter(*band, rng.standard_normal(length))
    return sound


def wordless(rng: np.random.Generator) -> Utterance:
    """Eight seconds without speech, all labelled silence."""
    sound = (music if rng.random() < 0.65 else noise)(rng)
    sound *= rng.uniform(0.05, 0.8) / max(np.abs(sound).max(), 1e-6)
    ends, stress = np.array([SECONDS]), np.array([UNKNOWN_STRESS], np.int8)
    return Utterance(sound.astype(np.float32), SAMPLE_RATE, ends, (SILENCE,), stress)
