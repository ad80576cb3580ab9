"""Does the emotion grow as it should? EmoNet's fine-grained matrix, and its growth with the intensity.

emorig evaluate emotion [SOUND …]

The matrix is EmoNet's own output, with no later gain: the mean intensity of an emotion's action units over utterances,
for each intensity label (1-3) and window length. Cells that do not exceed their neighbour with a lower level or
a longer window are named. Without sounds, held-out recordings of festvox-ru are the utterances. What emotion leaves
of the lips' closures stands in 'evaluate speech'.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from blender_addon.protocol.types import EMOTIONS

from ..errors import InputError
from ..inference.emospeaker import CoefficientNetworks, FaceSpeaker
from ..inference.fine_grained import LEVELS, WINDOWS, FineGrainedPath, measure_matrix
from .recordings import russian

FRAME_RATE = 25.0  # Hz
N_UTTERANCES = 20
INTENSITIES = np.linspace(0.0, 1.0, 11)


def broken_cells(matrix: np.ndarray) -> list[str]:
    """Cells of a matrix (3, 5) that do not exceed the next lower level or the next longer window, named."""
    broken = []
    for i, level in enumerate(LEVELS):
        for j, window in enumerate(WINDOWS):
            if i and not matrix[i, j] > matrix[i - 1, j]:
                broken.append(f"level {level} at {window} frames is not above level {LEVELS[i - 1]}")
            if j and not matrix[i, j] > matrix[i, j - 1]:
                broken.append(f"level {level}: {window} frames is not above {WINDOWS[j - 1]}")
    return broken


def growth(path: FineGrainedPath, matrix: np.ndarray, label: str) -> np.ndarray:
    """Mean intensity of the label's units (11, n_units) at intensities 0, 0.1 … 1, of its matrix (3, 5, n_units).

    A held intensity is a mix of neighbouring cells' states, so its strengths are the same mix of the cells' strengths.
    """
    cells = [matrix[LEVELS.index(level), WINDOWS.index(window)] for level, window in path.cells[label]]
    return path.shares(label, INTENSITIES) @ np.array(cells)


def _print_matrices(console: Console, matrices: dict[str, np.ndarray]) -> None:
    """The fine-grained matrix of every emotion and the cells that break its order."""
    table = Table("emotion", "level", *(f"{window} frames" for window in WINDOWS), title="Fine-grained emotion matrix")
    notes = []
    for label, matrix in matrices.items():
        for level, row in zip(LEVELS, matrix.mean(-1)):
            table.add_row(label if level == 1 else "", str(level), *(f"{v:.3f}" for v in row))
        notes += [f"{label}: {text}" for text in broken_cells(matrix.mean(-1))]
    console.print(table)
    console.print("\n".join(f"breaks the order: {note}" for note in notes) or "No cell breaks the order.")


def _print_growth(console: Console, grown: dict[str, np.ndarray]) -> None:
    """The strength of every emotion at eleven intensities, and those whose units do not all grow."""
    table = Table("emotion", *(f"{v:.1f}" for v in INTENSITIES), title="Mean intensity of its action units")
    for label, strengths in grown.items():
        table.add_row(label, *(f"{v:.2f}" for v in strengths.mean(1)))
    console.print(table)
    notes = [label for label, strengths in grown.items() if not (np.diff(strengths, axis=0) > 0).all()]
    console.print(f"does not grow strictly: {', '.join(notes)}" if notes else "Every action unit grows at every step.")


def report(sounds: list[Path], *, weights: Path | None = None) -> None:
    """Prints the matrix and the growth with intensity. Raises InputError where there is nothing to listen to."""
    from ..audio.waveform import load_waveform

    networks = CoefficientNetworks(weights)
    speaker = FaceSpeaker(networks=networks)
    waveforms = [load_waveform(path) for path in sounds] or [recording.waveform for recording in russian(N_UTTERANCES)]
    if not waveforms:
        raise InputError("No utterances: give sound files, or install the package festvox-ru.")
    contents = [speaker.articulate(waveform, FRAME_RATE).content for waveform in waveforms]
    console = Console(width=110)
    console.print(f"{len(waveforms)} utterances, {sum(w.duration for w in waveforms):.0f} s")
    matrices = {label: measure_matrix(networks, contents, label) for label in EMOTIONS}
    _print_matrices(console, matrices)
    _print_growth(console, {label: growth(networks.path, matrix, label) for label, matrix in matrices.items()})
