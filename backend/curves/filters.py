"""Filters that an animator reaches for: smooth, mirror, amplitude, offset, clamp, and thinning with an error bound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numba import njit

from backend.errors import InputError
from blender_addon.protocol.layers import turned_by, with_eyes
from blender_addon.protocol.types import AnimationCurves

# What must reach its end for the eye to believe it: lips meet, lids shut. Smoothing may not round these off.
CLOSURES = ("mouthClose", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper", "eyeBlinkLeft",
            "eyeBlinkRight")  # fmt: skip
JAW = "jawOpen"
CLOSED = 0.02  # jawOpen less mouthClose under this is a closed mouth
PEAK = 0.05  # a rise above both neighbours' valley by less is ripple, not a closure
MIRRORED_TURN = np.array([1.0, 1.0, -1.0, -1.0], np.float32)  # reflection in the plane x = 0


def smoothed(
    curves: AnimationCurves, seconds: float, *, channels: Iterable[str] | None = None, keep_closures: bool = True
) -> AnimationCurves:
    """The curves under a Gaussian of a standard deviation in seconds; closures keep their depth and moment.

    A closure is a peak of CLOSURES, or a moment at which the jaw and mouthClose leave no gap.
    """
    if not seconds >= 0:
        raise InputError(f"The smoothing should be 0 s or more, got {seconds:g}.")
    if seconds == 0 or curves.n_frames < 2:
        return curves
    chosen = _columns(curves, channels)
    sigma = seconds * curves.frame_rate
    before = curves.weights[:, chosen]
    after = _gaussian(before, sigma)
    if keep_closures:
        after = _closures_kept(tuple(curves.names[i] for i in chosen), before, after, sigma)
    return _with_change(curves, chosen, after)


def mirrored(curves: AnimationCurves) -> AnimationCurves:
    """The performance in a mirror: left and right change sides, in channels and in rotations."""
    swap = {"Left": "Right", "Right": "Left"}
    order = []
    for name in curves.names:
        side = next((s for s in swap if name.endswith(s)), None)
        other = name if side is None else name[: -len(side)] + swap[side]
        order.append(curves.names.index(other) if other in curves.names else curves.names.index(name))
    return replace(
        curves,
        weights=curves.weights[:, order],
        layers={name: layer[:, order] for name, layer in curves.layers.items()},
        head_rotation=curves.head_rotation * MIRRORED_TURN,
        left_eye=curves.right_eye * MIRRORED_TURN,
        right_eye=curves.left_eye * MIRRORED_TURN,
    )


def amplified(
    curves: AnimationCurves, factor: float, *, channels: Iterable[str] | None = None, head: bool = False
) -> AnimationCurves:
    """The curves times a factor, clipped to 0-1; with head, the head's rotation too."""
    if not (np.isfinite(factor) and factor >= 0):
        raise InputError(f"The amplitude should be 0 or more, got {factor}.")
    chosen = _columns(curves, channels)
    changed = _with_change(curves, chosen, curves.weights[:, chosen] * np.float32(factor))
    return replace(changed, head_rotation=turned_by(curves.head_rotation, factor)) if head else changed


def offset(curves: AnimationCurves, amount: float, *, channels: Iterable[str]) -> AnimationCurves:
    """Named channels raised by an amount, clipped to 0-1."""
    chosen = _columns(curves, channels)
    return _with_change(curves, chosen, curves.weights[:, chosen] + np.float32(amount))


def clamped(
    curves: AnimationCurves, low: float, high: float, *, channels: Iterable[str] | None = None
) -> AnimationCurves:
    """Channels held between low and high."""
    if not 0 <= low <= high <= 1:
        raise InputError(f"A clamp should have 0 <= low <= high <= 1, got {low:g} and {high:g}.")
    chosen = _columns(curves, channels)
    return _with_change(curves, chosen, np.clip(curves.weights[:, chosen], low, high))


def kept_frames(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Which frames (n_frames, n_columns) bool to keep so that straight lines between them stay within tolerance.

    Per column, each key is followed by the furthest frame that the running cone of admissible slopes still reaches;
    first and last frames are always kept. tolerance 0 keeps every frame but those on a straight line.
    """
    if len(values) == 0:
        return np.zeros(values.shape, bool)
    columns = np.ascontiguousarray(values.T, np.float64)
    return np.stack([_kept_in_column(column, float(tolerance)) for column in columns], axis=1)


@njit(cache=True)
def _kept_in_column(values: np.ndarray, tolerance: float) -> np.ndarray:
    """kept_frames of one column (n_frames,)."""
    n_frames = len(values)
    kept = np.zeros(n_frames, np.bool_)
    kept[0] = kept[n_frames - 1] = True
    anchor, low, high = 0, -np.inf, np.inf
    for frame in range(1, n_frames):
        slope = (values[frame] - values[anchor]) / (frame - anchor)
        if slope < low - 1e-12 or slope > high + 1e-12:
            anchor, low, high = frame - 1, -np.inf, np.inf
            kept[anchor] = True
        length = frame - anchor
        low = max(low, (values[frame] - tolerance - values[anchor]) / length)
        high = min(high, (values[frame] + tolerance - values[anchor]) / length)
    return kept


def _columns(curves: AnimationCurves, channels: Iterable[str] | None) -> list[int]:
    """Column numbers of the named channels, all for None. Raises InputError for one that is missing."""
    if channels is None:
        return list(range(len(curves.names)))
    chosen = []
    for name in channels:
        if name not in curves.names:
            raise InputError(f"These curves have no channel '{name}'.")
        chosen.append(curves.names.index(name))
    return chosen


def _with_change(curves: AnimationCurves, chosen: list[int], columns: np.ndarray) -> AnimationCurves:
    """The curves with some columns set, clipped to 0-1; eyes follow where a gaze channel was among them."""
    weights = curves.weights.copy()
    weights[:, chosen] = np.clip(columns, 0.0, 1.0)
    changed = replace(curves, weights=weights)
    looks = any(curves.names[i].startswith("eyeLook") for i in chosen)
    return with_eyes(changed) if looks and not np.array_equal(weights, curves.weights) else changed


def _gaussian(values: np.ndarray, sigma: float) -> np.ndarray:
    """Columns smoothed with a Gaussian of sigma frames, the ends held."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values.astype(np.float64), sigma, axis=0, mode="nearest").astype(np.float32)


def _closures_kept(names: tuple[str, ...], before: np.ndarray, after: np.ndarray, sigma: float) -> np.ndarray:
    """Smoothed columns that return to what they were at each closure, over a narrow bell around it."""
    kept = after.copy()
    for i, name in enumerate(names):
        if name in CLOSURES:
            _return_at(kept[:, i], before[:, i], _peaks(before[:, i]), sigma)
    if JAW in names and "mouthClose" in names:
        jaw, close = names.index(JAW), names.index("mouthClose")
        gap = before[:, jaw] - before[:, close]
        shut = np.flatnonzero(gap < CLOSED)
        for i in (jaw, close):
            _return_at(kept[:, i], before[:, i], shut, sigma)
    return kept


def _peaks(values: np.ndarray) -> np.ndarray:
    """Frames at which a curve peaks by more than PEAK above its surroundings."""
    from scipy.signal import find_peaks

    padded = np.concatenate([[0.0], values, [0.0]])
    found = find_peaks(padded, prominence=PEAK, plateau_size=1)
    plateaus = zip(found[1]["left_edges"], found[1]["right_edges"])
    frames = [np.arange(left, right + 1) for left, right in plateaus]
    return (np.concatenate(frames) if frames else np.zeros(0, np.int64)) - 1


def _return_at(smooth: np.ndarray, sharp: np.ndarray, frames: np.ndarray, sigma: float) -> None:
    """Blends smooth back to sharp at frames, in place, with a bell of a third of the smoothing's width."""
    if len(frames) == 0:
        return
    distance = np.full(len(smooth), np.inf)
    everywhere = np.arange(len(smooth))
    right = np.searchsorted(frames, everywhere)
    for side in (np.clip(right, 0, len(frames) - 1), np.clip(right - 1, 0, len(frames) - 1)):
        distance = np.minimum(distance, np.abs(frames[side] - everywhere))
    share = np.exp(-0.5 * (distance / max(sigma / 3.0, 0.5)) ** 2)
    smooth += (share * (sharp - smooth)).astype(np.float32)
