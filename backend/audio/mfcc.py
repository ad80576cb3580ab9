"""Mel-frequency cepstral coefficients as EAMM and SyncNet were trained on them, and EAMM's windows of them.

The recipe is that of the package python_speech_features: pre-emphasis, frames of 25 ms every 10 ms without a taper,
power spectrum of 512 points, 26 triangular filters between whole bins, logarithm, DCT-II, sine lifter of 22, and the
log energy of the frame in place of the first coefficient.
"""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16000  # Hz
FRAME, HOP, FFT_SIZE = 400, 160, 512  # samples
N_FILTERS, N_COEFFICIENTS, LIFTER = 26, 13, 22
PRE_EMPHASIS = 0.97
EAMM_PADDING = 1920  # samples of silence before and after
EAMM_ROWS, EAMM_HOP = 28, 4  # rows of MFCC per window, and from one video frame to the next at 25 per second
SYNCNET_COLUMNS, SYNCNET_HOP = 20, 4


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Coefficients (n_rows, 13) float64, 100 rows per second, of samples (n_samples,) at 16 kHz in any scale."""
    samples = np.asarray(samples, np.float64)
    emphasised = np.append(samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1])
    n_rows = 1 + max(0, -(-(len(emphasised) - FRAME) // HOP))
    padded = np.pad(emphasised, (0, (n_rows - 1) * HOP + FRAME - len(emphasised)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames, FFT_SIZE)) ** 2 / FFT_SIZE
    floor = np.finfo(float).eps
    energy = power.sum(1)
    banks = power @ _filters().T
    logs = np.log(np.where(banks == 0, floor, banks))
    cepstra = logs @ _cosines()
    cepstra *= 1.0 + LIFTER / 2.0 * np.sin(np.pi * np.arange(N_COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, floor, energy))
    return cepstra


def eamm_windows(samples: np.ndarray) -> np.ndarray:
    """Windows (n_frames, 28, 12) float32, 25 per second, of samples (n_samples,) within -1 to 1 at 16 kHz."""
    rows = mfcc(np.pad(samples, EAMM_PADDING))[:, 1:]
    n_frames = max(len(rows) // EAMM_HOP - 4 - 2, 0)
    starts = EAMM_HOP * np.arange(n_frames)
    return rows[starts[:, None] + np.arange(EAMM_ROWS)].astype(np.float32)


def syncnet_windows(samples: np.ndarray) -> np.ndarray:
    """Windows (n_frames, 1, 13, 20) float32, 25 per second, of samples (n_samples,) of 16-bit size at 16 kHz."""
    columns = mfcc(samples).T.astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(columns, SYNCNET_COLUMNS, axis=1)[:, ::SYNCNET_HOP]
    return np.ascontiguousarray(views.transpose(1, 0, 2)[:, None])


def _filters() -> np.ndarray:
    """Triangles (26, 257) between whole bins, equally wide in mel from 0 to 8000 Hz."""
    top = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    hertz = 700.0 * (10.0 ** (np.linspace(0.0, top, N_FILTERS + 2) / 2595.0) - 1.0)
    edges = np.floor((FFT_SIZE + 1) * hertz / SAMPLE_RATE)
    bins = np.arange(FFT_SIZE // 2 + 1)
    filters = np.zeros((N_FILTERS, len(bins)))
    for row, (low, middle, high) in zip(filters, zip(edges, edges[1:], edges[2:])):
        rising, falling = (bins >= low) & (bins < middle), (bins >= middle) & (bins < high)
        row[rising] = (bins[rising] - low) / (middle - low)
        row[falling] = (high - bins[falling]) / (high - middle)
    return filters


def _cosines() -> np.ndarray:
    """The orthonormal DCT-II (26, 13) of the logarithms."""
    angle = np.pi / N_FILTERS * np.outer(np.arange(N_FILTERS) + 0.5, np.arange(N_COEFFICIENTS))
    basis = np.cos(angle) * np.sqrt(2.0 / N_FILTERS)
    basis[:, 0] /= np.sqrt(2.0)
    return basis
