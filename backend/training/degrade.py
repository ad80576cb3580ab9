"""What rooms, telephones and cheap microphones do to speech, on the waveform."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve, resample_poly

from ..audio.features import SAMPLE_RATE


def change_speed(samples: np.ndarray, sample_rate: int, speed: float) -> np.ndarray:
    """Samples at 16 kHz played speed times as fast: another vocal tract and pitch, float32."""
    down = round(100 * speed)
    common = np.gcd(SAMPLE_RATE * 100, sample_rate * down)
    return resample_poly(samples, SAMPLE_RATE * 100 // common, sample_rate * down // common).astype(np.float32)


def reverberate(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds a room of 0.15-0.9 s reverberation: exponentially decaying noise behind the direct sound."""
    decay = rng.uniform(0.15, 0.9)
    n_taps = int(decay * SAMPLE_RATE)
    time = np.arange(n_taps) / SAMPLE_RATE
    tail = rng.standard_normal(n_taps) * np.exp(-6.9 * time / decay)
    tail[: int(rng.uniform(0.001, 0.02) * SAMPLE_RATE)] = 0.0
    tail *= rng.uniform(0.3, 1.2) / max(np.sqrt((tail**2).sum()), 1e-6)
    tail[0] = 1.0
    return fftconvolve(samples, tail)[: len(samples)].astype(np.float32)


def through_telephone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keeps about 300-3400 Hz and rounds to 8-bit mu-law (ITU-T G.711)."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    low, high = rng.uniform(150, 350), rng.uniform(3000, 4000)
    gain = 1 / (1 + (low / np.maximum(frequency, 1.0)) ** 6) / (1 + (frequency / high) ** 16)
    band = np.fft.irfft(spectrum * gain, len(samples))
    peak = max(np.abs(band).max(), 1e-6)
    squeezed = np.sign(band) * np.log1p(255 * np.abs(band) / peak) / np.log(256)
    squeezed = np.round(squeezed * 127) / 127
    return (np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256)) / 255 * peak).astype(np.float32)


def overdrive(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clips the loudest parts, hard or softly."""
    limit = np.abs(samples).max() * rng.uniform(0.15, 0.6) + 1e-6
    clipped = np.clip(samples, -limit, limit) if rng.random() < 0.5 else limit * np.tanh(samples / limit)
    return clipped.astype(np.float32)


def degrade(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples (n_samples,) at 16 kHz as one to three of these leave them."""
    chosen = rng.choice(3, size=rng.choice([1, 2], p=[0.75, 0.25]), replace=False, p=[0.55, 0.27, 0.18])
    for index in sorted(chosen):
        samples = (reverberate, through_telephone, overdrive)[index](samples, rng)
    return samples
