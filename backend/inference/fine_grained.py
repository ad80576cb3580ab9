"""EmoSpeaker's fine-grained emotion matrix: intensity label (1-3) by window length at inference, and the way through.

A cell of the matrix is what EmoNet answers at one level with one window length. It was trained at one length; shorter
windows apply the label more often and strengthen the emotion. An intensity P in 0-1 follows a path through all
15 cells in the order of their measured intensity, interpolated between neighbours, so that the emotion grows evenly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD
from bfm.facs import AU_CHANNELS, EMOTION_AUS
from blender_addon.protocol.types import EMOTIONS

if TYPE_CHECKING:
    from .emospeaker import CoefficientNetworks

LEVELS = (1, 2, 3)
WINDOWS = (20, 15, 10, 5, 2)  # frames
SETTLING_FRAMES = 60  # after which a state no longer depends on where it started


@dataclass(frozen=True)
class FineGrainedPath:
    """The cells of each emotion as (level, window) in the order of their intensity, and P of each, rising to 1."""

    cells: dict[str, tuple[tuple[int, int], ...]]
    intensities: dict[str, np.ndarray]

    @classmethod
    def from_matrices(cls, matrices: dict[str, np.ndarray]) -> FineGrainedPath:
        """The path through matrices (3, 5) of measured intensity per emotion."""
        cells, intensities = {}, {}
        for label, matrix in matrices.items():
            order = np.argsort(matrix, axis=None, kind="stable")
            cells[label] = tuple((LEVELS[i // len(WINDOWS)], WINDOWS[i % len(WINDOWS)]) for i in order)
            intensities[label] = matrix.ravel()[order] / matrix.max()
        return cls(cells, intensities)

    @classmethod
    def from_json(cls, text: str) -> FineGrainedPath:
        """Reads {label: [[level, window, P], ...]}."""
        rows = json.loads(text)
        cells = {label: tuple((int(r[0]), int(r[1])) for r in rows[label]) for label in EMOTIONS}
        return cls(cells, {label: np.array([r[2] for r in rows[label]]) for label in EMOTIONS})

    def to_json(self) -> str:
        """The same path as JSON text."""
        return json.dumps(
            {
                label: [[*cell, round(float(p), 5)] for cell, p in zip(cells, self.intensities[label])]
                for label, cells in self.cells.items()
            }
        )

    def shares(self, label: str, wanted: np.ndarray) -> np.ndarray:
        """Share of each cell of the label's path (n, 15) at intensities wanted (n,); what is left to 1 is neutral."""
        knots = np.concatenate([[0.0], self.intensities[label]])
        wanted = np.clip(wanted, 0.0, 1.0)
        after = np.clip(np.searchsorted(knots, wanted, side="left"), 1, len(knots) - 1)
        span = np.maximum(knots[after] - knots[after - 1], 1e-9)
        beyond = (wanted - knots[after - 1]) / span
        shares = np.zeros((len(wanted), len(knots)))
        rows = np.arange(len(wanted))
        shares[rows, after] = beyond
        shares[rows, after - 1] = 1.0 - beyond
        return shares[:, 1:].astype(np.float32)


def emotional_states(networks: CoefficientNetworks, content: np.ndarray, emotion: np.ndarray) -> np.ndarray:
    """Changes of identity, texture and expression (n, 224) sd for content (n, C) and emotion weights (n, 7).

    Each label follows its own path by its weight; their displacements from neutral add.
    """
    total = np.zeros((len(content), networks.network.emotion.reference.in_features), np.float32)
    for column in np.flatnonzero(emotion.max(0, initial=0.0) > 0.0):
        label = EMOTIONS[column]
        cells, shares = networks.path.cells[label], networks.path.shares(label, emotion[:, column])
        for window in WINDOWS:
            of_window = [i for i, cell in enumerate(cells) if cell[1] == window]
            for first, last in _stretches(shares[:, of_window].any(1), window):
                used = [i for i in of_window if shares[first:last, i].any()]
                states = networks.states(content[first:last], label, tuple(cells[i][0] for i in used), window)
                for index, state in zip(used, states):
                    total[first:last] += shares[first:last, index, None] * state
    return total


def _stretches(wanted: np.ndarray, window: int) -> list[tuple[int, int]]:
    """First frame and end of the stretches in which frames are wanted (n,), each with the time a state takes to
    settle before it; windows lie where they lie in the whole."""
    stretches: list[tuple[int, int]] = []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(np.int8), [0]])))
    for first, last in edges.reshape(-1, 2):
        first = max(0, first - SETTLING_FRAMES) // window * window
        if stretches and first <= stretches[-1][1]:
            first = stretches.pop()[0]
        stretches.append((int(first), min(-(-int(last) // window) * window, len(wanted))))
    return stretches


def unit_strengths(label: str, displacement: np.ndarray) -> np.ndarray:
    """Mean intensity of each of an emotion's action units in channel weights (..., 64): (..., n_units).

    Contempt is one-sided: its units are measured on the stronger side alone by their sum.
    """
    units = []
    for unit in EMOTION_AUS[label]:
        columns = {CHANNEL_INDEX[name]: weight for name, weight in AU_CHANNELS[unit].items()}
        weights = np.array(list(columns.values()))
        units.append(displacement[..., list(columns)] @ weights / (weights @ weights))
    return np.stack(units, axis=-1)


def measure_matrix(networks: CoefficientNetworks, contents: list[np.ndarray], label: str) -> np.ndarray:
    """Mean intensity of the label's action units (3, 5, n_units) over utterances of content (n, C), as EmoNet says."""
    matrix = []
    for window in WINDOWS:
        means = [
            unit_strengths(label, networks.states(content, label, LEVELS, window)[..., -64:] / FULL_ACTIVATION_SD)
            for content in contents
        ]
        matrix.append(np.mean([strengths.mean(1) for strengths in means], axis=0))
    return np.stack(matrix, axis=1)
