"""Forced alignment: where in the sound the words of a known text are, by the speech network's phone opinions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blender_addon.protocol.types import Phone

from ..errors import InputError
from .phones import PHONE_INDEX, PHONES, SILENCE
from .pronunciation import Word

FLOOR = 0.002  # probability of a phone that the network does not hear at all
KIN_SHARE = 0.5  # of the probability of a phone that is often taken for another
FREE_COST = 0.35  # nepers per frame that an unknown word's best phone loses against known ones
PAUSE_COST = 1.5  # nepers that a pause between two words must gain
BEAM = 160.0  # nepers under the best path at which one is given up
# What dictionaries and hearing call differently: flaps, reduced vowels, voicing.
KIN = {
    "T": ("DX", "D"), "D": ("DX", "T"), "AH": ("IH", "UH", "EH"), "IH": ("AH", "IY"), "IY": ("IH",), "UW": ("UX", "UH"),
    "AO": ("AA", "OW"), "AA": ("AO", "AH"), "S": ("Z",), "Z": ("S",), "DH": ("D", "TH"), "TH": ("DH",), "P": ("B",),
    "B": ("P",), "F": ("V",), "V": ("F",), "G": ("K",), "K": ("G",), "ER": ("R", "AH"), "R": ("ER",), "UH": ("AH",),
    "NG": ("N",), "CH": ("SH",), "JH": ("CH",), "SH": ("CH",), "EH": ("AE", "IH"), "AE": ("EH",),
}  # fmt: skip
FREE = "any"  # the state of an unknown word, which may be any phone


@dataclass(frozen=True)
class Aligned:
    """Phones that cover the sound, and how well they fit: mean nepers per spoken frame, 0 at best."""

    phones: tuple[Phone, ...]
    fit: float


@dataclass
class _Graph:
    """States in an order in which predecessors come first: label, word, and the states that lead to each."""

    labels: list[str]
    words: list[int]
    before: list[list[int]]

    def add(self, label: str, word: int, before: Sequence[int]) -> int:
        self.labels.append(label)
        self.words.append(word)
        self.before.append(list(before))
        return len(self.labels) - 1


def _graph(words: Sequence[Word]) -> tuple[_Graph, list[int], list[int]]:
    """The states of a text, those that may begin and those that may end; silence may lie between words."""
    graph = _Graph([], [], [])
    first = graph.add(SILENCE, -1, [])
    begins, ends = [first], [first]
    for index, word in enumerate(words):
        open_ends = []
        for phones in word.pronunciations or ((FREE,),):
            state = graph.add(phones[0], index, ends)
            if index == 0:
                begins.append(state)
            for phone in phones[1:]:
                state = graph.add(phone, index, [state])
            open_ends.append(state)
        pause = graph.add(SILENCE, -1, open_ends)
        ends = [*open_ends, pause]
    return graph, begins, ends


def _emissions(probabilities: np.ndarray) -> tuple[np.ndarray, int]:
    """Log-likelihood (n_frames, n_phones + 1) of each phone with its kin, then of any phone; and that last column."""
    raised = probabilities.astype(np.float64).copy()
    for phone, others in KIN.items():
        for other in others:
            raised[:, PHONE_INDEX[phone]] += KIN_SHARE * probabilities[:, PHONE_INDEX[other]]
    logs = np.log(np.minimum(raised, 1.0) + FLOOR)
    spoken = np.delete(logs, PHONE_INDEX[SILENCE], axis=1)
    return np.concatenate([logs, spoken.max(1, keepdims=True) - FREE_COST], axis=1), logs.shape[1]


def align(words: Sequence[Word], probabilities: np.ndarray, frame_rate: float, duration: float) -> Aligned:
    """The phones of words in a sound whose phone probabilities (n_frames, 42) at frame_rate Hz are known.

    Viterbi's path through the pronunciations with optional pauses; a boundary lies where the two phones are as
    likely as one another, between frames. Raises InputError where the text is longer than the sound can hold.
    """
    graph, begins, ends = _graph(words)
    logs, free = _emissions(probabilities)
    columns = np.array([free if label == FREE else PHONE_INDEX[label] for label in graph.labels])
    path = _viterbi(logs, columns, graph, begins, ends)
    if path is None:
        raise InputError(
            f"The transcript's {len(words)} words do not fit into {duration:.1f} s of sound: is it of this recording?"
        )
    return _read(path, graph, logs, columns, frame_rate, duration)


def _viterbi(logs: np.ndarray, columns: np.ndarray, graph: _Graph, begins: list[int], ends: list[int]):
    """The best state of each frame (n_frames,), None where no path reaches the end."""
    n_frames, n_states = len(logs), len(columns)
    width = max(1, max(len(b) for b in graph.before))
    before = np.full((n_states, width), n_states)
    for state, states in enumerate(graph.before):
        before[state, : len(states)] = states
    cost = np.where(np.array([label == SILENCE for label in graph.labels]), PAUSE_COST, 0.0)
    score = np.full(n_states + 1, -np.inf)
    score[begins] = logs[0, columns[begins]]
    windows, steps = [], []
    low, high = 0, n_states
    for frame in range(1, n_frames):
        alive = np.flatnonzero(score[:n_states] > score.max() - BEAM)
        low, high = int(alive[0]), min(n_states, int(alive[-1]) + 2 * _REACH)
        rows = before[low:high]
        entering = score[rows] - cost[low:high, None]
        best = entering.argmax(1)
        entered = entering[np.arange(len(rows)), best]
        stays = score[low:high] >= entered
        windows.append(low)
        steps.append(np.where(stays, -1, best).astype(np.int8))
        moved = np.where(stays, score[low:high], entered) + logs[frame, columns[low:high]]
        score = np.full(n_states + 1, -np.inf)
        score[low:high] = moved
    final = ends[int(np.argmax(score[ends]))]
    if not np.isfinite(score[final]):
        return None
    path = np.zeros(n_frames, int)
    path[-1] = final
    for frame in range(n_frames - 1, 0, -1):
        state = path[frame]
        step = steps[frame - 1][state - windows[frame - 1]]
        path[frame - 1] = state if step < 0 else before[state, step]
    return path


_REACH = 64  # states ahead of the foremost that one frame can reach: a word's alternatives lie side by side


def _read(
    path: np.ndarray, graph: _Graph, logs: np.ndarray, columns: np.ndarray, frame_rate: float, duration: float
) -> Aligned:
    """A path of states as phones; a free state is read as the phones that are most likely in it."""
    spoken = np.array([PHONE_INDEX[SILENCE] != columns[s] for s in path])
    fit = float(logs[np.arange(len(path)), columns[path]][spoken].mean()) if spoken.any() else 0.0
    labels = np.array([columns[state] for state in path])
    is_free = labels == logs.shape[1] - 1
    labels[is_free] = logs[is_free, 1:-1].argmax(1) + 1  # any phone but silence, which is the first
    turns = np.flatnonzero((np.diff(path) != 0) | (np.diff(labels) != 0))
    edges = [0.0]
    for turn in turns:
        here, there = labels[turn], labels[turn + 1]
        lead = logs[turn, here] - logs[turn, there]
        lag = logs[turn + 1, there] - logs[turn + 1, here]
        share = lead / (lead + lag) if lead > 0.0 and lag > 0.0 else 0.5
        edges.append((turn + float(np.clip(share, 0.1, 0.9))) / frame_rate)
    edges.append(duration)
    starts = np.concatenate([[0], turns + 1])
    phones = [
        Phone(a, min(b, duration), PHONES[labels[i]]) for a, b, i in zip(edges, edges[1:], starts) if a < duration
    ]
    return Aligned(tuple(phones), fit)
