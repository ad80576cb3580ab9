"""Cepstra as pocketsphinx's acoustic model wants them, from this project's log-mels.

The bands are summed to SphinxBase's 25 (130-6800 Hz, pre-emphasis .97), noise is taken out as its fe_noise.c does
(minimum tracking with temporal masking, Kim and Stern 2012), then logarithm, cosine transform and lifter.
"""

from __future__ import annotations

import numba
import numpy as np

from .features import HIGHEST, LOWEST, N_MELS, SAMPLE_RATE, mel_frequencies, triangles
from .sphinx_model import N_CEPSTRA

N_BANDS, LOWEST_BAND, HIGHEST_BAND = 25, 130.0, 6800.0  # Hz
PRE_EMPHASIS, LIFTER = 0.97, 22
# Its noise floors suppose 16-bit samples under a Hamming window, ours are of full scale and divided by the window.
POWER_SCALE = 32768.0**2 * 0.375 * 0.025 * SAMPLE_RATE
SMOOTHING, SLOW, FAST, MASKING_DECAY, MASKED, MOST_GAIN, NEIGHBOURS = 0.7, 0.995, 0.5, 0.85, 0.2, 20.0, 4
REACH = 3  # frames on either side that the differences read


def _to_bands() -> np.ndarray:
    """Matrix (25, 80) from mel powers to SphinxBase's bands: what lies between two mel bands is interpolated."""
    edges = mel_frequencies(LOWEST_BAND, HIGHEST_BAND, N_BANDS + 2)
    hertz = np.arange(0.0, SAMPLE_RATE / 2, 5.0)
    filters = triangles(hertz, edges)
    emphasis = np.abs(1.0 - PRE_EMPHASIS * np.exp(-2j * np.pi * hertz / SAMPLE_RATE)) ** 2
    place = np.interp(hertz, mel_frequencies(LOWEST, HIGHEST, N_MELS + 2)[1:-1], np.arange(N_MELS))
    nearness = np.clip(1.0 - np.abs(place[:, None] - np.arange(N_MELS)), 0.0, None)
    return (filters / filters.sum(0) * emphasis[:, None]).T @ nearness


def _to_cepstra() -> np.ndarray:
    """Matrix (25, 13) from log powers to liftered cepstra."""
    order = np.arange(N_CEPSTRA)
    cosines = np.cos(np.pi * (np.arange(N_BANDS) + 0.5)[:, None] * order / N_BANDS) * np.sqrt(2.0 / N_BANDS)
    cosines[:, 0] = np.sqrt(1.0 / N_BANDS)
    return cosines * (1.0 + 0.5 * LIFTER * np.sin(np.pi * order / LIFTER))


_BANDS, _CEPSTRA = _to_bands(), _to_cepstra()


@numba.njit(cache=True)
def _denoise(power: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Band powers (n, 25) without their noise; state (4, 25) of smoothed power, noise, floor and peak is carried on."""
    n_frames, n_bands = power.shape
    out = np.empty_like(power)
    gain = np.empty(n_bands)
    smooth, noise, floor, peak = state
    for t in range(n_frames):
        for i in range(n_bands):
            smooth[i] = SMOOTHING * smooth[i] + (1.0 - SMOOTHING) * power[t, i]
            keep = SLOW if smooth[i] >= noise[i] else FAST
            noise[i] = keep * noise[i] + (1.0 - keep) * smooth[i]
            signal = max(smooth[i] - noise[i], 1.0)
            loud = signal
            peak[i] *= MASKING_DECAY
            if signal < MASKING_DECAY * peak[i]:
                signal = MASKED * peak[i]
            peak[i] = max(peak[i], loud)
            keep = SLOW if signal >= floor[i] else FAST
            floor[i] = keep * floor[i] + (1.0 - keep) * signal
            gain[i] = min(max(max(signal, floor[i]) / smooth[i], 1.0 / MOST_GAIN), MOST_GAIN)
        for i in range(n_bands):
            first, last = max(0, i - NEIGHBOURS), min(n_bands, i + NEIGHBOURS + 1)
            out[t, i] = power[t, i] * gain[first:last].mean()
    return out


class CepstraReader:
    """Cepstra of a recording whose log-mels come in blocks."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._state: np.ndarray | None = None

    def push(self, mels: np.ndarray) -> np.ndarray:
        """Reads the next log-mels (n_frames, 80), n_frames at least 1, and returns them as they are."""
        power = np.exp(mels.astype(np.float64)) @ _BANDS.T * POWER_SCALE
        if self._state is None:
            first = power[0]
            self._state = np.stack([first, first / MOST_GAIN, first / MOST_GAIN, np.zeros(N_BANDS)])
        self._parts.append((np.log(_denoise(power, self._state) + 1e-4) @ _CEPSTRA).astype(np.float32))
        return mels

    def cepstra(self) -> np.ndarray:
        """All cepstra (n, 13) float32 at 100 Hz, their mean taken out: it is the microphone's and the voice's."""
        whole = np.concatenate(self._parts)
        return whole - whole.mean(0)


def sphinx_cepstra(mels: np.ndarray) -> np.ndarray:
    """Cepstra (n, 13) float32 of a whole recording's log-mels (n, 80), their mean taken out."""
    reader = CepstraReader()
    reader.push(mels)
    return reader.cepstra()


def with_differences(cepstra: np.ndarray, every: int = 1) -> np.ndarray:
    """Cepstra, first and second differences (3 streams, n / every, 13) of cepstra (n, 13), every so many frames."""
    n_frames = len(cepstra)
    held = np.pad(cepstra, ((REACH, REACH), (0, 0)), mode="edge")

    def at(shift: int) -> np.ndarray:
        return held[REACH + shift : REACH + shift + n_frames : every]

    return np.stack([at(0), at(2) - at(-2), (at(3) - at(-1)) - (at(1) - at(-3))])
