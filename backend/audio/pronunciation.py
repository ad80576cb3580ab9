"""Words to phones: the pronunciation dictionary that comes with pocketsphinx, and espeak-ng for what it lacks.

espeak-ng (GPL-3) is asked as a program of its own, where it is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..training.phone_names import from_ipa
from .phones import PHONE_INDEX

ENGLISH = "en"
ESPEAK_TIMEOUT = 30.0  # seconds
_CAPTION_TIMES = re.compile(r"^(WEBVTT.*|\d+|[\d:.,]+ --> .*)$", re.MULTILINE)  # of .srt and .vtt files
_ASIDE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")  # stage directions and tags, not spoken


@dataclass(frozen=True)
class Word:
    """A word of a transcript and its pronunciations as phones; none where it is unknown."""

    text: str
    pronunciations: tuple[tuple[str, ...], ...]


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation, stage directions and the times of captions."""
    text = _ASIDE.sub(" ", _CAPTION_TIMES.sub(" ", unicodedata.normalize("NFC", text))).replace("’", "'").lower()
    words = (word.strip("'-") for word in re.split(r"[^\w'-]+|_", text))
    return [word for word in words if word]


def pronounce(words: Iterable[str], language: str = ENGLISH) -> list[Word]:
    """Words with their pronunciations.

    English is looked up in the dictionary and espeak-ng tells what is not there; other languages are espeak-ng's.
    Raises InputError where another language is asked for and espeak-ng is missing or does not know it.
    """
    words = list(words)
    is_english = language.split("-")[0].lower() == ENGLISH
    known = _dictionary() if is_english else {}
    asked = sorted({word for word in words if not _look_up(word, known)})
    spoken = _ask_espeak(asked, language, is_needed=not is_english) if asked else {}
    return [Word(word, _look_up(word, known) or spoken.get(word, ())) for word in words]


def _look_up(word: str, known: dict[str, tuple[tuple[str, ...], ...]]) -> tuple[tuple[str, ...], ...]:
    """Pronunciations of a word, of its parts where it is hyphened, or of what its 's is added to."""
    if word in known:
        return known[word]
    parts = [part for part in word.split("-") if part]
    if len(parts) > 1 and all(part in known for part in parts):
        return (tuple(phone for part in parts for phone in known[part][0]),)
    if word.endswith("'s") and word[:-2] in known:
        return tuple((*phones, "Z") for phones in known[word[:-2]])
    return ()


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, tuple[tuple[str, ...], ...]]:
    """Word to its pronunciations, most usual first."""
    from pocketsphinx import get_model_path

    found: dict[str, list[tuple[str, ...]]] = {}
    path = Path(get_model_path()) / "en-us" / "cmudict-en-us.dict"
    for line in path.read_text(encoding="utf-8").splitlines():
        name, *phones = line.split()
        if phones and all(phone in PHONE_INDEX for phone in phones):
            found.setdefault(name.partition("(")[0], []).append(tuple(phones))
    return {word: tuple(ways) for word, ways in found.items()}


def _ask_espeak(words: list[str], language: str, *, is_needed: bool) -> dict[str, tuple[tuple[str, ...], ...]]:
    """espeak-ng's pronunciation of words; nothing where it is not installed. Raises InputError where it is needed."""
    program = shutil.which("espeak-ng")
    if program is None:
        if is_needed:
            raise InputError(f"A transcript in '{language}' needs the program espeak-ng: install it, or leave it out.")
        return {}
    try:
        said = subprocess.run(
            [program, "-q", "--ipa=1", "--sep=_", "-v", language, "--stdin"],
            input="\n\n".join(f"{word}." for word in words), capture_output=True, text=True, timeout=ESPEAK_TIMEOUT,
            check=True,
        ).stdout  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        if is_needed:
            raise InputError(
                f"espeak-ng does not speak '{language}': see 'espeak-ng --voices' for its codes."
            ) from error
        return {}
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if len(lines) != len(words):
        return {word: ways for word in words if (ways := _ask_one(program, word, language))}
    spoken = {word: _phones_of(line) for word, line in zip(words, lines)}
    return {word: (phones,) for word, phones in spoken.items() if phones}


def _ask_one(program: str, word: str, language: str) -> tuple[tuple[str, ...], ...]:
    """espeak-ng's pronunciation of one word, none where it fails."""
    said = subprocess.run(
        [program, "-q", "--ipa=1", "--sep=_", "-v", language, word], capture_output=True, text=True,
        timeout=ESPEAK_TIMEOUT, check=False,
    ).stdout  # fmt: skip
    phones = _phones_of(said)
    return (phones,) if phones else ()


def _phones_of(line: str) -> tuple[str, ...]:
    """Phones of a line of espeak-ng's IPA, phonemes apart by underscores."""
    return tuple(phone for part in re.split(r"[_\s]+", line) for phone in from_ipa(part))
