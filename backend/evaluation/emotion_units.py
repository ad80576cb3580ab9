"""Which emotion a face shows by its action units: the nearest of EmoSpeaker's Table II, without trained weights."""

from __future__ import annotations

import numpy as np

from bfm.facs import EMOTION_AUS
from blender_addon.protocol.types import EMOTIONS

CALM = 0.08
"""Mean intensity of an emotion's units below which a face counts as neutral."""
NEUTRAL = "neutral"


def emotion_scores(units: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """How well each emotion fits (n_frames,): the cosine of the units (n_frames, 17) with the emotion's."""
    place = {int(name.removeprefix("AU").lstrip("0") or 0): i for i, name in enumerate(names)}
    size = np.linalg.norm(units, axis=1) + 1e-6
    scores = {}
    for emotion in EMOTIONS:
        rows = [place[unit] for unit in EMOTION_AUS[emotion] if unit in place]
        scores[emotion] = units[:, rows].sum(1) / (np.sqrt(len(rows)) * size)
    return scores


def named_emotions(units: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """The emotion of every frame of units (n_frames, 17) 0-1, neutral where hardly any unit is active."""
    scores = emotion_scores(units, names)
    labels = list(scores)
    best = np.argmax(np.stack([scores[label] for label in labels], axis=1), axis=1)
    place = {int(name.removeprefix("AU").lstrip("0") or 0): i for i, name in enumerate(names)}
    found = []
    for row, index in zip(units, best):
        wanted = [place[unit] for unit in EMOTION_AUS[labels[index]] if unit in place]
        found.append(labels[index] if row[wanted].mean() >= CALM else NEUTRAL)
    return found


def emotion_accuracy(units: np.ndarray, names: tuple[str, ...], emotion: str) -> float:
    """Share of frames (0-1) that are named as the emotion (EAMM's Acc_emo, by action units)."""
    return float(np.mean([found == emotion for found in named_emotions(units, names)]))
