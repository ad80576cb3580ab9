"""What EmoSpeaker's audio encoder hears of a video frame: MFCC steps around it, and a speech network's opinions."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from .features import FEATURE_RATE

N_MFCC = 12
MFCC_STEPS = 28  # of 10 ms around a frame's centre, as EAMM
SPEECH_RATE = FEATURE_RATE // 2  # Hz, of the speech network's opinions


def cepstra(mels: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstral coefficients (n, 12) float32 of normalised log-mels (n, 80) at 100 Hz."""
    return dct(mels, axis=1, norm="ortho")[:, :N_MFCC].astype(np.float32)


def speech_rows(articulators: np.ndarray, phones: np.ndarray, stress: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """The speech network's opinions at 50 Hz side by side: (n, 57) of (n, 13), (n, 42), (n,) and (n,)."""
    return np.concatenate([articulators, phones, stress[:, None], loudness[:, None]], axis=1).astype(np.float32)


def frame_features(
    mfcc: np.ndarray, speech: np.ndarray, *, frame_rate: float, per_frame: int, start: int, end: int
) -> np.ndarray:
    """Features (end - start, 28 * 12 + per_frame * 57) of the frames start to end, frame i at i / frame_rate s.

    mfcc (n, 12) at 100 Hz, speech (n, 57) at 50 Hz; per_frame rows of it are read at even steps from each frame on.
    Speech may have no columns at all (n, 0). Before the beginning and after the end the first and last rows are held.
    """
    frames = np.arange(start, end) / frame_rate
    steps = np.arange(MFCC_STEPS) - MFCC_STEPS // 2
    heard = np.rint(frames * FEATURE_RATE).astype(int)[:, None] + steps
    moments = frames[:, None] + np.arange(per_frame) / (frame_rate * per_frame)
    rows = np.rint(moments * SPEECH_RATE).astype(int)
    cepstral = mfcc[heard.clip(0, len(mfcc) - 1)].reshape(len(frames), MFCC_STEPS * mfcc.shape[1])
    said = speech[rows.clip(0, len(speech) - 1)].reshape(len(frames), per_frame * speech.shape[1])
    return np.concatenate([cepstral, said], axis=1).astype(np.float32)
