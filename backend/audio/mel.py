"""Mel spectrograms as Wav2Lip and SadTalker were trained on them, and SadTalker's window for every video frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SAMPLE_RATE = 16000  # Hz
FFT_SIZE, HOP = 800, 200  # samples
N_MELS = 80
LOWEST, HIGHEST = 55.0, 7600.0  # Hz
PRE_EMPHASIS = 0.97
REFERENCE_DECIBEL, LOWEST_DECIBEL, LIMIT = 20.0, -100.0, 4.0
VIDEO_RATE = 25.0  # frames per second
WINDOW = 16  # columns, 0.2 s


def pre_emphasis(samples: np.ndarray) -> np.ndarray:
    """Samples (n_samples,), each less 0.97 times the one before."""
    return np.append(samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1])


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Slaney's filters (80, 401)."""
    from librosa.filters import mel

    return mel(sr=SAMPLE_RATE, n_fft=FFT_SIZE, n_mels=N_MELS, fmin=LOWEST, fmax=HIGHEST)


def mel_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Decibels of the magnitude (80, n_samples // 200 + 1) scaled to -4 … 4, of samples (n_samples,) at 16 kHz."""
    padded = np.pad(pre_emphasis(np.asarray(samples, np.float64)), FFT_SIZE // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SIZE)[::HOP]
    taper = np.hanning(FFT_SIZE + 1)[:-1]
    magnitude = np.abs(np.fft.rfft(frames * taper, axis=1))
    decibel = 20.0 * np.log10(np.maximum(1e-5, mel_filters() @ magnitude.T)) - REFERENCE_DECIBEL
    scaled = 2 * LIMIT * (decibel - LOWEST_DECIBEL) / -LOWEST_DECIBEL - LIMIT
    return np.clip(scaled, -LIMIT, LIMIT)


def window_starts(n_frames: int) -> np.ndarray:
    """First mel column (n_frames,) of every video frame's window: two frames before it, truncated towards zero."""
    return np.array([int(80.0 * ((i - 2) / VIDEO_RATE)) for i in range(n_frames)])


def sadtalker_windows(samples: np.ndarray) -> np.ndarray:
    """Windows (n_frames, 80, 16) float32, 25 per second, of samples (n_samples,) at 16 kHz; columns beyond either end
    repeat the last one there.
    """
    n_frames = int(len(samples) / (SAMPLE_RATE / VIDEO_RATE))
    mels = mel_spectrogram(samples[: int(n_frames * SAMPLE_RATE / VIDEO_RATE)])
    columns = (window_starts(n_frames)[:, None] + np.arange(WINDOW)).clip(0, mels.shape[1] - 1)
    return np.ascontiguousarray(mels[:, columns].transpose(1, 0, 2), np.float32)
