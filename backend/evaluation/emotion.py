"""Does the emotion grow as it should, and do the lips survive it? The fine-grained matrix and closures under emotion.

emorig evaluate emotion [SOUND …]

The matrix is EmoNet's own output, with no later gain: the mean intensity of an emotion's action units over utterances,
for each intensity label (1-3) and window length. Cells that do not exceed their neighbour with a lower level or
a longer window are named. Without sounds, held-out recordings of festvox-ru are the utterances; only they have
the phone labels that closures are counted against.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EMOTIONS, Phone, Waveform

from ..errors import InputError
from ..inference.emospeaker import FaceSpeaker
from ..inference.fine_grained import LEVELS, WINDOWS, emotional_states, measure_matrix, unit_strengths
from ..inference.performance import perform
from ..inference.speech import Articulation
from .speech import FRAME_RATE, Closures, held_out_recordings, lip_measures, score_closures

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


def growth(speaker: FaceSpeaker, contents: list[np.ndarray], label: str) -> np.ndarray:
    """Mean intensity of the label's action units (11, n_units) at intensities 0, 0.1 … 1 over utterances."""
    rows = []
    for intensity in INTENSITIES:
        strengths = []
        for content in contents:
            emotion = np.zeros((len(content), len(EMOTIONS)), np.float32)
            emotion[:, EMOTIONS.index(label)] = intensity
            moved = emotional_states(speaker.networks, content, emotion)[:, -64:]
            strengths.append(unit_strengths(label, moved / 3.0).mean(0))
        rows.append(np.mean(strengths, axis=0))
    return np.array(rows)


def closures_under(
    label: str | None, spoken: list[tuple[Articulation, list[Phone]]], intensity: float = 1.0
) -> Closures:
    """Closures of the lips while an emotion is held over recordings with labelled phones; None is neutral."""
    openings, phones, offset = [], [], 0.0
    options = ShotOptions(frame_rate=FRAME_RATE)
    for articulation, said in spoken:
        emotion = np.zeros((len(articulation.weights), len(EMOTIONS)), np.float32)
        if label is not None:
            emotion[:, EMOTIONS.index(label)] = intensity
        performance = perform(articulation, emotion, options=options)
        face = replace(articulation, weights=performance.weights)
        openings.append(lip_measures(face)[:, 0])
        phones += [Phone(p.start + offset, p.end + offset, p.label) for p in said]
        offset += len(openings[-1]) / FRAME_RATE
    return score_closures(np.concatenate(openings), FRAME_RATE, phones)


def _print_matrices(console: Console, speaker: FaceSpeaker, contents: list[np.ndarray]) -> None:
    """The fine-grained matrix of every emotion and the cells and units that break its order."""
    table = Table("emotion", "level", *(f"{window} frames" for window in WINDOWS), title="Fine-grained emotion matrix")
    notes = []
    for label in EMOTIONS:
        matrix = measure_matrix(speaker.networks, contents, label)
        mean = matrix.mean(-1)
        for level, row in zip(LEVELS, mean):
            table.add_row(label if level == 1 else "", str(level), *(f"{v:.3f}" for v in row))
        notes += [f"{label}: {text}" for text in broken_cells(mean)]
    console.print(table)
    console.print("\n".join(f"breaks the order: {note}" for note in notes) or "No cell breaks the order.")


def _print_growth(console: Console, speaker: FaceSpeaker, contents: list[np.ndarray]) -> None:
    """The strength of every emotion at eleven intensities, and the units that do not grow."""
    table = Table("emotion", *(f"{v:.1f}" for v in INTENSITIES), title="Mean intensity of its action units")
    notes = []
    for label in EMOTIONS:
        grown = growth(speaker, contents, label)
        table.add_row(label, *(f"{v:.2f}" for v in grown.mean(1)))
        if not (np.diff(grown, axis=0) > 0).all():
            notes.append(label)
    console.print(table)
    console.print(f"does not grow strictly: {', '.join(notes)}" if notes else "Every action unit grows at every step.")


def _print_closures(console: Console, spoken: list[tuple[Articulation, list[Phone]]]) -> None:
    """Lip closures under every emotion at full strength beside neutral."""
    table = Table("emotion", "recall", "precision", "idle", title="Lip closures under emotion at full strength")
    for label in (None, *EMOTIONS):
        row = closures_under(label, spoken)
        table.add_row(label or "neutral", f"{row.recall:.3f}", f"{row.precision:.3f}", f"{row.idle:.3f}")
    console.print(table)


def report(sounds: list[Path], *, weights: Path | None = None) -> None:
    """Prints the matrix, the growth with intensity and, where phone labels are known, closures under emotion."""
    from ..audio.waveform import load_waveform
    from ..inference.emospeaker import CoefficientNetworks

    speaker = FaceSpeaker(networks=CoefficientNetworks(weights))
    recordings: list[tuple[Waveform, list[Phone]]] = [] if sounds else held_out_recordings(N_UTTERANCES)
    waveforms = [load_waveform(path) for path in sounds] or [waveform for waveform, _ in recordings]
    if not waveforms:
        raise InputError("No utterances: give sound files, or install the package festvox-ru.")
    articulations = [speaker.articulate(waveform, FRAME_RATE) for waveform in waveforms]
    contents = [articulation.content for articulation in articulations]
    console = Console(width=110)
    console.print(f"{len(waveforms)} utterances, {sum(w.duration for w in waveforms):.0f} s")
    _print_matrices(console, speaker, contents)
    _print_growth(console, speaker, contents)
    if recordings:
        _print_closures(console, [(a, said) for a, (_, said) in zip(articulations, recordings)])
