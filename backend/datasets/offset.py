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
    times = np.arange(len(tracked)) / frame_rate
    least = max(8, min(len(tracked), len(predicted)) // 2)
    lag, likeness = best_lag(times, tracked, predicted, frame_rate, least=least)
    return (lag, likeness) if likeness >= LEAST_CORRELATION else (0.0, 0.0)


def best_lag(
    times: np.ndarray, tracked: np.ndarray, predicted: np.ndarray, rate: float, *, least: int = 20
) -> tuple[float, float]:
    """The lag in seconds at which a predicted series (m,) at a rate suits a tracked one (n,) at times best, and the
    correlation there; lags at which fewer than least of the times are known by both count as 0.
    """
    lags = np.round(np.arange(-FURTHEST, FURTHEST + STEP / 2, STEP), 6)
    likeness = [correlation(times, tracked, predicted, rate, lag, least=least) for lag in lags]
    best = int(np.argmax(likeness))
    return float(lags[best]), likeness[best]


def correlation(
    times: np.ndarray, tracked: np.ndarray, predicted: np.ndarray, rate: float, lag: float, *, least: int = 20
) -> float:
    """Pearson r of a tracked series (n,) at times with a predicted one (m,) at a rate, read lag seconds later; 0 where
    fewer than least of the times are known by both (NaN: not tracked) or one of them is constant.
    """
    tracked = tracked.astype(np.float64)  # a constant series of float32 has a deviation of rounding
    moved = np.interp(times + lag, np.arange(len(predicted)) / rate, predicted, left=np.nan, right=np.nan)
    usable = np.isfinite(moved) & np.isfinite(tracked)
    if usable.sum() < least or moved[usable].std() < 1e-9 or tracked[usable].std() < 1e-9:
        return 0.0
    return float(np.corrcoef(moved[usable], tracked[usable])[0, 1])
