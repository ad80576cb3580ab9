"""Who is trained on and who is tested on: speaker-disjoint splits, the papers' sizes, a data set's own."""

from __future__ import annotations

import random
from collections.abc import Callable

from backend.datasets.layouts import ClipFile
from backend.errors import InputError

TRAIN, TEST = "train", "test"
DEFAULT_TEST_SHARE = 0.1


def _by_letter(speakers: list[str], n_test: int, rng: random.Random) -> set[str]:
    """n_test of the speakers, as many of each first letter (MEAD: M men, W women) as can be."""
    groups: dict[str, list[str]] = {}
    for speaker in rng.sample(speakers, len(speakers)):
        groups.setdefault(speaker[:1], []).append(speaker)
    chosen: list[str] = []
    while len(chosen) < n_test:
        for letter in sorted(groups):
            if groups[letter] and len(chosen) < n_test:
                chosen.append(groups[letter].pop())
    return set(chosen)


def _papers(n_train: int, n_test: int, paper: str) -> Callable[[list[ClipFile], int], dict[str, str | None]]:
    """A split of so many speakers, half of them men where the names tell; the papers do not say whom they took."""

    def split(clips: list[ClipFile], seed: int) -> dict[str, str | None]:
        rng = random.Random(seed)
        speakers = sorted({clip.speaker for clip in clips})
        if len(speakers) < n_train + n_test:
            raise InputError(
                f"{paper}'s split needs {n_train} + {n_test} speakers, got {len(speakers)}: use --split speakers."
            )
        test = _by_letter(speakers, n_test, rng)
        train = _by_letter([s for s in speakers if s not in test], n_train, rng)
        side = dict.fromkeys(train, TRAIN) | dict.fromkeys(test, TEST)
        return {clip.key: side.get(clip.speaker) for clip in clips}

    return split


def _speakers(clips: list[ClipFile], seed: int) -> dict[str, str | None]:
    """A tenth of the speakers, at least one, is tested on; with a single speaker every tenth clip."""
    rng = random.Random(seed)
    speakers = sorted({clip.speaker for clip in clips})
    if len(speakers) < 2:
        return {clip.key: TEST if len(clips) > 1 and i % 10 == 9 else TRAIN for i, clip in enumerate(clips)}
    test = _by_letter(speakers, max(1, round(DEFAULT_TEST_SHARE * len(speakers))), rng)
    return {clip.key: TEST if clip.speaker in test else TRAIN for clip in clips}


def _own(clips: list[ClipFile], _seed: int) -> dict[str, str | None]:
    """What the data set itself says."""
    if any(clip.split is None for clip in clips):
        raise InputError("This layout has no split of its own: use --split speakers, emospeaker or eamm.")
    return {clip.key: clip.split for clip in clips}


def _everything(clips: list[ClipFile], _seed: int) -> dict[str, str | None]:
    """All clips are trained on."""
    return {clip.key: TRAIN for clip in clips}


SPLITS: dict[str, Callable[[list[ClipFile], int], dict[str, str | None]]] = {
    "speakers": _speakers,
    "emospeaker": _papers(20, 4, "EmoSpeaker"),
    "eamm": _papers(34, 6, "EAMM"),
    "own": _own,
    "all": _everything,
}
DEFAULT_SPLITS = {"lrw": "own"}


def split_clips(clips: list[ClipFile], name: str, *, seed: int = 0) -> dict[str, str | None]:
    """The side (train, val, test; None: left out) of every clip by its key. Raises InputError where it cannot be."""
    if name not in SPLITS:
        raise InputError(f"Unknown split '{name}': use one of {', '.join(SPLITS)}.")
    return SPLITS[name](clips, seed)
