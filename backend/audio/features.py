"""Sound to log-mel features: 80 bands, 100 frames per second, frame i centred at i / 100 s."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft

SAMPLE_RATE = 16000  # Hz
FEATURE_RATE = 100  # Hz
HOP = SAMPLE_RATE // FEATURE_RATE  # samples
WINDOW = 400  # samples, 25 ms
FFT_SIZE = 512
N_MELS = 80
LOWEST, HIGHEST = 60.0, 7600.0  # Hz
POWER_FLOOR = 1e-10  # of full scale: under the rounding noise of 16-bit sound
ACTIVE_RANGE = 8.0  # nepers of power below the loud frames (35 dB) that still count as speech
FLOOR_RANGE = 10.0  # nepers of power below the loud frames (43 dB) that the network can see
QUIETEST = np.log(1e-7)  # mean log power of a frame at about -60 dB full scale: nothing is said below it


@dataclass(frozen=True)
class SpeechFeatures:
    """values (n_frames, n_dims) float32 at frame_rate Hz; kind names what they are."""

    values: np.ndarray
    frame_rate: float
    kind: str = "log-mel"


@dataclass(frozen=True)
class Level:
    """How loud a recording is: loudness (nepers of power) of its loud frames, mean log-mels (80,) of its speech.

    contrast: nepers between its loud frames and its quietest; 10 dB of steady noise leave 2 to 3, a room 4 and more.
    """

    loudness: float
    spectrum: np.ndarray
    contrast: float

    @property
    def is_silent(self) -> bool:
        """True where even the loudest frames lie under -60 dB of full scale."""
        return self.loudness < QUIETEST


def _mel(frequency: np.ndarray | float) -> np.ndarray:
    """Frequency in Hz on O'Shaughnessy's mel scale."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency) / 700.0)


def mel_frequencies(lowest: float, highest: float, count: int) -> np.ndarray:
    """Frequencies (count,) in Hz, evenly spaced on the mel scale from lowest to highest."""
    return 700.0 * (10.0 ** (np.linspace(_mel(lowest), _mel(highest), count) / 2595.0) - 1.0)


def triangles(hertz: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangular filters (n, m) at frequencies (n,), each from one of the edges (m + 2,) to the next but one."""
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0.0, None)


def mel_filters() -> np.ndarray:
    """Triangular filters (257, 80) float32, each summing to one so that white noise is flat."""
    edges = mel_frequencies(LOWEST, HIGHEST, N_MELS + 2)
    bins = np.arange(FFT_SIZE // 2 + 1) * SAMPLE_RATE / FFT_SIZE
    filters = triangles(bins, edges)
    narrow = filters.sum(0) < 0.5  # the lowest bands are thinner than a bin
    filters[:, narrow] += np.clip(1.0 - np.abs(bins[:, None] - edges[1:-1][narrow]) * FFT_SIZE / SAMPLE_RATE, 0, None)
    return (filters / filters.sum(0)).astype(np.float32)


_FILTERS = mel_filters()
_TAPER = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
_SCALE = 1.0 / float((_TAPER**2).sum())


def count_frames(n_samples: int) -> int:
    """Number of feature frames of n_samples samples at 16 kHz."""
    return max(1, -(-n_samples // HOP))


def log_mels(samples: np.ndarray, start: int = 0, end: int | None = None) -> np.ndarray:
    """Log-mel power (end - start, 80) float32, nepers of full scale, of samples (n_samples,) at 16 kHz.

    start, end: feature frames; a part equals the same rows of the whole.
    """
    end = count_frames(len(samples)) if end is None else end
    first, last = start * HOP - WINDOW // 2, (end - 1) * HOP + WINDOW // 2
    part = np.asarray(samples[max(0, first) : max(0, last)], np.float32)
    part = np.pad(part, (max(0, -first), max(0, last - max(0, first) - len(part))))
    frames = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::HOP]
    spectrum = rfft(frames * _TAPER, FFT_SIZE)  # scipy's stays in single precision, numpy's does not
    power = (spectrum.real**2 + spectrum.imag**2) * np.float32(_SCALE)
    return np.log(power @ _FILTERS + np.float32(POWER_FLOOR))


def measure_level(blocks: Iterable[np.ndarray]) -> Level:
    """The level of a recording whose log-mels come in blocks (n_frames, 80).

    Loudness is the 95th percentile of the frames' mean log power, their quietest the 5th; the spectrum is the mean over
    the frames within 35 dB of the former, so that neither pauses nor a recording's gain change what the network sees.
    """
    edges = np.linspace(np.log(POWER_FLOOR) - 1.0, 12.0, 700)
    counts, sums = np.zeros(len(edges) + 1), np.zeros((N_MELS, len(edges) + 1))
    for block in blocks:
        slot = np.searchsorted(edges, block.mean(1))
        counts += np.bincount(slot, minlength=len(counts))
        sums += [np.bincount(slot, weights=band, minlength=len(counts)) for band in block.T]
    total = np.cumsum(counts)
    quiet, loudness = (
        float(edges[min(int(np.searchsorted(total, part * total[-1])), len(edges) - 1)]) for part in (0.05, 0.95)
    )
    active = np.arange(len(counts)) >= np.searchsorted(edges, loudness - ACTIVE_RANGE)
    spectrum = sums[:, active].sum(1) / max(counts[active].sum(), 1.0)
    return Level(loudness, spectrum.astype(np.float32), loudness - quiet)


def normalise(mels: np.ndarray, level: Level) -> np.ndarray:
    """Log-mels (n_frames, 80) relative to the recording's level, limited below, about -2 to 2, float32.

    The recording's long-term spectrum is taken out only by half: it carries the microphone, but also the voice.
    """
    lowest = level.spectrum.mean() - FLOOR_RANGE
    reference = 0.5 * (level.spectrum + level.spectrum.mean())
    return (0.25 * (np.maximum(mels, lowest) - reference)).astype(np.float32)


def warp_bands(mels: np.ndarray, factor: float) -> np.ndarray:
    """Features (n_frames, 80) as of a vocal tract shorter by factor: what lay at f Hz is read at f * factor."""
    hertz = mel_frequencies(LOWEST, HIGHEST, N_MELS + 2)[1:-1]
    source = np.interp(_mel(np.clip(hertz / factor, hertz[0], hertz[-1])), _mel(hertz), np.arange(N_MELS))
    below = np.minimum(source.astype(int), N_MELS - 2)
    share = (source - below).astype(mels.dtype)
    return mels[:, below] * (1 - share) + mels[:, below + 1] * share
