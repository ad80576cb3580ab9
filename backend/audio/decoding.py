"""Phones and accents out of the speech network's frame-wise opinions."""

from __future__ import annotations

import numpy as np

from blender_addon.protocol.types import Phone

from .phones import PHONES, SILENCE, VOWELS

SWITCH_COST = 2.2  # nepers that a change of phone must gain
SHORTEST_PAUSE = 0.05  # seconds
ACCENT_SHARE = 0.5  # stress probability from which a vowel may carry an accent
ACCENT_GAP = 0.28  # seconds between accents


def best_path(log_probabilities: np.ndarray) -> np.ndarray:
    """The phone index of each frame (n_frames,) that maximises the sum of log_probabilities (n_frames, n_phones).

    Each change of phone costs SWITCH_COST (Viterbi 1967, with uniform transitions).
    """
    n_frames, n_phones = log_probabilities.shape
    came_from = np.zeros((n_frames, n_phones), np.int16)
    stay = np.arange(n_phones)
    score = log_probabilities[0].astype(np.float64)
    for frame in range(1, n_frames):
        best = int(score.argmax())
        switched = score[best] - SWITCH_COST
        came_from[frame] = np.where(score >= switched, stay, best)
        score = np.maximum(score, switched) + log_probabilities[frame]
        score -= score.max()
    path = np.zeros(n_frames, np.int64)
    path[-1] = int(score.argmax())
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path


def merge_phones(path: np.ndarray, frame_rate: float, duration: float) -> tuple[Phone, ...]:
    """Runs of one phone in path (n_frames,) as phones that cover 0 to duration seconds."""
    cuts = np.flatnonzero(np.diff(path)) + 1
    edges = np.concatenate([[0.0], (cuts - 0.5) / frame_rate, [duration]])
    labels = path[np.concatenate([[0], cuts])]
    spans = zip(edges[:-1], edges[1:], labels)
    return tuple(Phone(float(a), float(min(b, duration)), PHONES[i]) for a, b, i in spans if a < duration)


def find_accents(phones: tuple[Phone, ...], stress: np.ndarray, loudness: np.ndarray, frame_rate: float) -> np.ndarray:
    """Times (k,) s of the stressed vowels that stand out, ACCENT_GAP apart; stress and loudness (n_frames,) are 0-1."""
    candidates = []
    for phone in phones:
        if phone.label not in VOWELS:
            continue
        rows = slice(int(phone.start * frame_rate), max(int(phone.start * frame_rate) + 1, int(phone.end * frame_rate)))
        if rows.start >= len(stress):
            continue
        share = float(stress[rows].mean())
        if share >= ACCENT_SHARE:
            weight = share * float(loudness[rows].mean()) * min(phone.end - phone.start, 0.2) ** 0.5
            candidates.append((weight, phone.start + 0.4 * (phone.end - phone.start)))
    kept: list[float] = []
    for _, time in sorted(candidates, reverse=True):
        if all(abs(time - other) >= ACCENT_GAP for other in kept):
            kept.append(time)
    return np.array(sorted(kept), np.float32)


def silence_column() -> int:
    """Index of silence among the phones."""
    return PHONES.index(SILENCE)
