"""What the user knows of the speech: its text, or its phones with their times; the hearing follows it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from blender_addon.protocol.types import Phone

from ..audio.alignment import align
from ..audio.articulation import ARTICULATOR_INDEX
from ..audio.phones import PHONE_INDEX, PHONES, SILENCE, VOWELS
from ..audio.pronunciation import pronounce, split_words
from ..errors import InputError
from ..training.coarticulation import articulate_phones

if TYPE_CHECKING:
    from .speech import Listening

# Shares of what the text's phones ask for; the rest is what was heard of this speaker's own way.
MOVEMENT_SHARE, CLOSURE_SHARE, PHONE_SHARE = 0.5, 0.85, 0.9
POOREST_FIT = -2.6  # nepers per frame; a text that fits less is of another recording
NAMED_WORDS = 5  # unknown words that a notice names
SHORTEST_PHONE = 0.01  # seconds
NETWORK_RATE = 50.0  # Hz


def phones_of_text(
    text: str, language: str, listening: Listening, duration: float
) -> tuple[tuple[Phone, ...] | None, tuple[str, ...]]:
    """The phones of a transcript where they are heard, and what the user should know.

    None where the text fits the sound so badly that it is left aside. Raises InputError where it holds no words or
    more than the sound can hold.
    """
    words = pronounce(split_words(text), language)
    if not words:
        raise InputError("The transcript holds no words: give the text that is spoken.")
    notices = []
    unknown = sorted({word.text for word in words if not word.pronunciations})
    if unknown:
        named = ", ".join(f"'{word}'" for word in unknown[:NAMED_WORDS])
        more = ", …" if len(unknown) > NAMED_WORDS else ""
        notices.append(
            f"{len(unknown)} words of the transcript are not in the pronunciation dictionary ({named}{more}): "
            "there the lips follow the sound alone. With espeak-ng installed it tells how they are spoken."
        )
    aligned = align(words, listening.phones, NETWORK_RATE, duration)
    if aligned.fit < POOREST_FIT:
        notices.append("The transcript does not fit what is heard and is left aside: check that it is of this sound.")
        return None, tuple(notices)
    return aligned.phones, tuple(notices)


def check_phones(phones: Sequence[Phone], duration: float) -> tuple[Phone, ...]:
    """Phones in order that cover a sound, gaps filled with silence. Raises InputError for what cannot be played."""
    covered: list[Phone] = []
    at = 0.0
    for phone in phones:
        label = phone.label if phone.label == SILENCE else phone.label.upper().rstrip("012")
        if label not in PHONE_INDEX:
            raise InputError(f"Unknown phone '{phone.label}' at {phone.start:g} s: use ARPAbet, such as M, AA or sil.")
        if not (np.isfinite(phone.start) and np.isfinite(phone.end) and phone.end - phone.start >= SHORTEST_PHONE):
            raise InputError(
                f"Phone '{phone.label}' at {phone.start:g} s should last {SHORTEST_PHONE:g} s or more, "
                f"got {phone.end - phone.start:g} s."
            )
        if phone.start < at - 1e-4:
            raise InputError(f"Phone '{phone.label}' at {phone.start:g} s begins before the one ahead of it has ended.")
        if phone.start >= duration:
            break
        if phone.start > at + 1e-4:
            covered.append(Phone(at, phone.start, SILENCE))
        covered.append(Phone(max(phone.start, at), min(phone.end, duration), label))
        at = covered[-1].end
    if not covered or at < duration - 1e-4:
        covered.append(Phone(at, duration, SILENCE))
    return tuple(covered)


def with_text(listening: Listening, phones: tuple[Phone, ...]) -> Listening:
    """What is heard where the phones (covering it) are known: closures are theirs, movements half theirs."""
    moves, likely = _asked(phones, listening)
    share = np.full(moves.shape[1], MOVEMENT_SHARE)
    share[[ARTICULATOR_INDEX["closure"], ARTICULATOR_INDEX["labiodental"]]] = CLOSURE_SHARE
    return replace(
        listening,
        articulators=(listening.articulators + share * (moves - listening.articulators)).astype(np.float32),
        phones=(listening.phones + PHONE_SHARE * (likely - listening.phones)).astype(np.float32),
    )


def with_phones(listening: Listening, before: tuple[Phone, ...], after: tuple[Phone, ...]) -> Listening:
    """What would be heard were the phones at other times, or others: exactly the same where nothing is changed.

    The coarticulation model's movements for the new phones take the place of those for the old ones; what this
    speaker did beyond the model goes along with the phones that are kept.
    """
    if before == after:
        return listening
    old_moves, old_likely = _asked(before, listening)
    source = _times_before(before, after, np.arange(len(listening.stress)) / NETWORK_RATE) * NETWORK_RATE
    stress = _at(source, listening.stress)
    moved = replace(listening, stress=stress.astype(np.float32))
    new_moves, new_likely = _asked(after, moved)
    own = np.clip(_at(source, listening.articulators - old_moves) + new_moves, 0.0, 1.0)
    likely = np.clip(_at(source, listening.phones - old_likely) + new_likely, 0.0, 1.0)
    return replace(
        moved,
        articulators=own.astype(np.float32),
        phones=(likely / np.maximum(likely.sum(1, keepdims=True), 1e-6)).astype(np.float32),
    )


def _asked(phones: tuple[Phone, ...], listening: Listening) -> tuple[np.ndarray, np.ndarray]:
    """Articulators (n, 13) of the coarticulation model for phones, and the phones as probabilities (n, 42)."""
    n_frames = len(listening.stress)
    ends, labels = np.array([p.end for p in phones]), [p.label for p in phones]
    stress = np.full(len(phones), -1)
    for index, phone in enumerate(phones):
        rows = listening.stress[int(phone.start * NETWORK_RATE) : max(1, int(np.ceil(phone.end * NETWORK_RATE)))]
        if phone.label in VOWELS and len(rows):
            stress[index] = int(rows.mean() >= 0.5)
    moves = articulate_phones(ends, labels, stress, frame_rate=NETWORK_RATE, n_frames=n_frames)
    slot = np.searchsorted(ends, np.arange(n_frames) / NETWORK_RATE, side="right").clip(max=len(ends) - 1)
    likely = np.zeros((n_frames, len(PHONES)), np.float32)
    likely[np.arange(n_frames), np.array([PHONE_INDEX[label] for label in labels])[slot]] = 1.0
    return moves, likely


def _times_before(before: tuple[Phone, ...], after: tuple[Phone, ...], times: np.ndarray) -> np.ndarray:
    """Where times (n,) in the edited phones lay before: the phones that both have in the same order are the anchors."""
    labels = [[phone.label for phone in phones] for phones in (before, after)]
    matches = difflib.SequenceMatcher(None, *labels, autojunk=False).get_matching_blocks()
    anchors = {0.0: 0.0, max(after[-1].end, times[-1] + 1.0): max(before[-1].end, times[-1] + 1.0)}
    for old, new, length in matches:
        for index in range(length):
            anchors[after[new + index].start] = before[old + index].start
            anchors[after[new + index].end] = before[old + index].end
    places = np.array(sorted(anchors.items()))
    return np.interp(times, places[:, 0], np.maximum.accumulate(places[:, 1]))


def _at(positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (n, …) read between their rows at positions (m,)."""
    below = np.clip(positions.astype(int), 0, max(len(values) - 2, 0))
    share = np.clip(positions - below, 0.0, 1.0).reshape(-1, *[1] * (values.ndim - 1))
    return values[below] * (1.0 - share) + values[np.minimum(below + 1, len(values) - 1)] * share
