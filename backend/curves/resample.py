"""Curves at other moments: another frame rate, a part, another pace. Everything that they carry comes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backend.errors import InputError
from blender_addon.protocol.types import AnimationCurves, Phone

_PER_FRAME = ("expression", "rotation", "translation", "identity_change", "texture_change", "head_rotation")
MAX_RATE = 1000.0  # Hz


def resampled(curves: AnimationCurves, frame_rate: float) -> AnimationCurves:
    """The curves at another rate, sampled by time; the same object at the same rate. Raises InputError."""
    if not 0 < frame_rate <= MAX_RATE:
        raise InputError(f"The frame rate should lie above 0 and up to {MAX_RATE:g}, got {frame_rate:g}.")
    if frame_rate == curves.frame_rate:
        return curves
    # The new frames span what the old ones did: the last lies at or before the old last.
    n_frames = int(np.floor((curves.n_frames - 1) / curves.frame_rate * frame_rate + 1e-6)) + 1
    positions = np.arange(n_frames) * (curves.frame_rate / frame_rate)
    return replace(sampled_at(curves, positions), frame_rate=frame_rate, phones=curves.phones)


def warped(curves: AnimationCurves, pins: tuple[tuple[float, float], ...]) -> AnimationCurves:
    """The curves with the time of each pin (from s, to s) moved, stretched evenly between pins and kept outside them.

    Raises InputError where pins are not in order.
    """
    last = (curves.n_frames - 1) / curves.frame_rate
    ordered = sorted({(0.0, 0.0), *((float(a), float(b)) for a, b in pins)})
    if ordered[-1][0] < last:
        ordered.append((last, last + ordered[-1][1] - ordered[-1][0]))
    before, after = np.array(ordered).T
    if (before < 0).any() or (np.diff(before) <= 0).any() or (np.diff(after) <= 0).any():
        raise InputError("The pins of a time warp should be in order, both where they come from and where they go.")
    n_frames = int(np.floor(after[-1] * curves.frame_rate + 1e-6)) + 1
    times = np.interp(np.arange(n_frames) / curves.frame_rate, after, before)
    moved = sampled_at(curves, times * curves.frame_rate)
    phones = tuple(
        Phone(float(np.interp(p.start, before, after)), float(np.interp(p.end, before, after)), p.label)
        for p in curves.phones
    )
    return replace(moved, phones=phones)


def cut(curves: AnimationCurves, start: float, end: float | None = None) -> AnimationCurves:
    """The frames from start to before end (s), whose time starts at 0 again. Raises InputError where none are left."""
    first = max(int(np.ceil(start * curves.frame_rate - 1e-6)), 0)
    last = curves.n_frames if end is None else min(int(np.ceil(end * curves.frame_rate - 1e-6)), curves.n_frames)
    if first >= last:
        length = curves.n_frames / curves.frame_rate
        raise InputError(f"No frame lies between {start:g} s and {end} s: the curves last {length:g} s.")
    offset = first / curves.frame_rate
    kept = sampled_at(curves, np.arange(first, last, dtype=np.float64))
    stop = (last - first) / curves.frame_rate
    phones = tuple(
        Phone(max(p.start - offset, 0.0), min(p.end - offset, stop), p.label)
        for p in curves.phones
        if p.end > offset and p.start - offset < stop
    )
    return replace(kept, phones=phones)


def sampled_at(curves: AnimationCurves, positions: np.ndarray) -> AnimationCurves:
    """The curves at positions (n,) in frames of theirs, held beyond the ends; phones are left to the caller.

    Weights are interpolated linearly, rotations along the great circle between neighbours.
    """
    return replace(
        curves,
        weights=_linear(curves.weights, positions),
        **{turn: turned_at(getattr(curves, turn), positions) for turn in ("head_rotation", "left_eye", "right_eye")},
        layers={name: _linear(layer, positions) for name, layer in curves.layers.items()},
        phones=(),
        coefficients=_coefficients_at(curves.coefficients, positions),
    )


def _coefficients_at(coefficients: Mapping[str, object] | None, positions: np.ndarray) -> dict[str, object] | None:
    if coefficients is None:
        return None
    return {
        name: _linear(np.asarray(value), positions) if name in _PER_FRAME else value
        for name, value in coefficients.items()
    }


def _neighbours(n_frames: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames before and after each position, and how far it lies between them (0-1)."""
    inside = np.clip(positions, 0, n_frames - 1)
    # Positions that are whole but for rounding take the frame itself.
    inside = np.where(np.abs(inside - np.rint(inside)) < 1e-6, np.rint(inside), inside)
    before = np.floor(inside).astype(np.int64)
    return before, np.minimum(before + 1, n_frames - 1), (inside - before).astype(np.float32)


def _linear(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows of values (n_frames, k) at fractional positions."""
    before, after, share = _neighbours(len(values), positions)
    share = share[:, None]
    return (values[before] * (1 - share) + values[after] * share).astype(np.float32)


def turned_at(quaternions: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) of a sequence (n_frames, 4) at fractional positions, by spherical interpolation."""
    before, after, share = _neighbours(len(quaternions), positions)
    return between(quaternions[before], quaternions[after], share)


def between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Spherical interpolation (Shoemake 1985) of quaternions (n, 4), share (n,) from the first, the shorter way."""
    dot = np.einsum("ij,ij->i", first, second).astype(np.float64)
    second = np.where(dot[:, None] < 0, -second, second)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1.0, sine)
    a = np.where(near, 1.0 - share, np.sin((1.0 - share) * angle) / safe)[:, None]
    b = np.where(near, share, np.sin(share * angle) / safe)[:, None]
    return (a * first + b * second).astype(np.float32)
