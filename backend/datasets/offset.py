"""How late a clip's sound is: lips that speech predicts against lips that were tracked."""

from __future__ import annotations

import numpy as np

from blender_addon.protocol.types import Waveform

STEP = 0.02  # seconds between the lags that are tried
FURTHEST = 0.4  # seconds
LEAST_CORRELATION = 0.2  # below it lips and sound do not tell
INNER_LIPS = ((13, 14), (312, 317), (82, 87))  # of the 478 landmarks, upper and lower


def lip_opening(landmarks: np.ndarray) -> np.ndarray:
    """Opening of the inner lips (n_frames,) of landmarks (n_frames, 478, 3), as a share of the eyes' distance."""
    eyes = np.linalg.norm(landmarks[:, 468] - landmarks[:, 473], axis=-1)
    pairs = [np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=-1) for a, b in INNER_LIPS]
    return np.mean(pairs, axis=0) / np.maximum(eyes, 1e-6)


def predicted_opening(waveform: Waveform, frame_rate: float) -> np.ndarray:
    """Opening of the inner lips (n,) of the embedded head as the shipped speech network hears them, at frame_rate."""
    from backend.pipeline import articulate
    from bfm.coefficients import FULL_ACTIVATION_SD, IDENTITY_DIMS
    from bfm.sources.embedded import load_embedded_model

    expression = articulate(waveform, frame_rate).weights * np.float32(FULL_ACTIVATION_SD)
    return lip_opening(load_embedded_model().landmark_positions(np.zeros(IDENTITY_DIMS, np.float32), expression))


def estimate_offset(tracked: np.ndarray, predicted: np.ndarray, frame_rate: float) -> tuple[float, float]:
    """Seconds that the sound comes after the picture, and the correlation there; (0, 0) where nothing tells.

    tracked (n,), predicted (m,): openings at one frame rate. Correlation of what overlaps at lags up to FURTHEST,
    each lag needing half of the shorter series.
    """
    finest = round(1 / (STEP * frame_rate) + 0.5)
    tracked, predicted = (_finer(values, finest) for values in (tracked, predicted))
    rate = frame_rate * finest
    most = round(FURTHEST * rate)
    least = max(8, min(len(tracked), len(predicted)) // 2)
    scores = {lag: _correlation(tracked, predicted, lag, least) for lag in range(-most, most + 1)}
    best = max(scores, key=scores.get)
    if scores[best] < LEAST_CORRELATION:
        return 0.0, 0.0
    return best / rate, scores[best]


def _finer(values: np.ndarray, times: int) -> np.ndarray:
    """The series at a multiple of its rate."""
    return np.interp(np.arange((len(values) - 1) * times + 1) / times, np.arange(len(values)), values)


def _correlation(tracked: np.ndarray, predicted: np.ndarray, lag: int, least: int) -> float:
    """Pearson r of tracked[i] with predicted[i + lag], -1 where they overlap by less than least."""
    start, stop = max(0, -lag), min(len(tracked), len(predicted) - lag)
    if stop - start < least:
        return -1.0
    a, b = tracked[start:stop], predicted[start + lag : stop + lag]
    if a.std() < 1e-9 or b.std() < 1e-9:
        return -1.0
    return float(np.corrcoef(a, b)[0, 1])
