"""Sentences for the synthesisers: message catalogues of installed packages, and everyday talk by a small grammar."""

from __future__ import annotations

import gettext
import random
import re
from functools import lru_cache
from pathlib import Path

# Prose-rich catalogues of common Debian packages, by the name of their message domain.
CATALOGUES = (
    "glib20",
    "gtk20",
    "gtk20-properties",
    "gsettings-desktop-schemas",
    "wget",
    "git",
    "bash",
    "dpkg",
    "apt",
    "libapt-pkg6.0",
    "coreutils",
    "findutils",
    "tar",
    "grep",
    "sed",
    "gnupg2",
    "libexif-12",
    "shared-mime-info",
    "iso_639-2",
    "iso_3166-1",
    "appstream",
    "PackageKit",
    "at-spi2-core",
    "libgphoto2-6",
    "xkeyboard-config",
    "man-db",
    "man-db-gnulib",
    "psmisc",
    "procps-ng",
    "util-linux",
    "systemd",
    "postgres-15",
    "psql-15",
    "gettext-tools",
)
LOCALES = Path("/usr/share/locale")
_MARKUP = re.compile(r"[%{}<>|\\/_=\[\]@#$^*~`\"]|--|\b[A-Z]{2,}\b|\d")

_WHO = (
    "I",
    "we",
    "you",
    "they",
    "my brother",
    "her mother",
    "Bob",
    "Pam",
    "the people",
    "both of them",
    "nobody",
    "everybody",
    "my boss",
    "the boy",
    "your family",
    "Mary",
    "Peter",
    "the woman from Paris",
    "our neighbours",
)
_DID = (
    "bought",
    "made",
    "moved",
    "believed",
    "brought",
    "found",
    "loved",
    "missed",
    "saw",
    "painted",
    "broke",
    "promised",
    "forgot",
    "described",
    "opened",
    "put away",
    "picked up",
    "wanted",
    "remembered",
    "gave up",
)
_WHAT = (
    "a big brown box",
    "the map",
    "five apples",
    "some bread and butter",
    "a very old piano",
    "the whole story",
    "that beautiful movie",
    "a warm room",
    "the first chapter",
    "his own opinion",
    "a cup of coffee",
    "the bus to the market",
    "a vivid dream",
    "my favourite shoes",
    "your number",
    "this problem",
    "a good job",
    "the blue umbrella",
    "a thousand pieces",
    "the wrong door",
    "few words",
    "the window above the river",
)
_WHEN = (
    "",
    "yesterday",
    "before lunch",
    "in the evening",
    "five minutes ago",
    "for the first time",
    "maybe twice",
    "when the rain stopped",
    "with a smile",
    "on the way home",
    "after all these years",
    "by accident",
    "because it was cheap",
    "and never spoke about it",
    "in front of the museum",
    "without a thought",
)
_LEAD = (
    "",
    "Well,",
    "Oh,",
    "Maybe",
    "Honestly,",
    "You know,",
    "Of course",
    "I think",
    "I hope",
    "But",
    "And so",
    "Why is it that",
    "Did you know that",
    "Look,",
    "My goodness,",
    "Imagine,",
    "Please believe me,",
    "Hm,",
)
_TALK = (
    "What do you mean by that?",
    "Come over here and have a look.",
    "How are you doing today?",
    "That's amazing!",
    "I'm so happy to be home.",
    "Would you mind opening the window?",
    "No, I don't want to move.",
    "Thank you very much.",
    "Wow, what a view!",
    "Never mind, we'll buy more tomorrow.",
    "Could you pass me the salt and pepper, please?",
    "Who do you think you are?",
    "It was probably my fault.",
    "Give me five more minutes.",
    "Goodbye, and good luck.",
    "You were wonderful tonight.",
    "Few of us have ever been there.",
    "Move it a bit further up.",
)
_NUMBERS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "twenty",
    "thirty five",
    "a hundred",
    "a thousand",
    "a million",
)


def invented_sentence(rng: random.Random) -> str:
    """One English sentence of everyday talk."""
    draw = rng.random()
    if draw < 0.15:
        return rng.choice(_TALK)
    if draw < 0.22:
        return ", ".join(rng.choice(_NUMBERS) for _ in range(rng.randint(3, 6))) + "."
    words = [rng.choice(_LEAD), rng.choice(_WHO), rng.choice(_DID), rng.choice(_WHAT), rng.choice(_WHEN)]
    if rng.random() < 0.4:
        words += [rng.choice((", but", ", and", "because")), rng.choice(_WHO), rng.choice(_DID), rng.choice(_WHAT)]
    return " ".join(w for w in words if w).replace(" ,", ",") + rng.choice("...!?")


def _speakable(message: str) -> str | None:
    """A message as one plain sentence of 3-24 words, or None where it is not prose."""
    text = " ".join(message.split())
    if _MARKUP.search(text) or not 3 <= len(text.split()) <= 24 or len(text) > 200:
        return None
    return text


@lru_cache(maxsize=40)
def catalogue_sentences(language: str) -> tuple[str, ...]:
    """Sentences of the installed catalogues in a language such as 'de' ('en' reads their originals), sorted."""
    found: set[str] = set()
    for name in CATALOGUES:
        path = LOCALES / ("de" if language == "en" else language) / "LC_MESSAGES" / f"{name}.mo"
        if not path.is_file():
            continue
        with path.open("rb") as file:
            entries = gettext.GNUTranslations(file)._catalog
        for original, translated in entries.items():
            message = original if language == "en" else translated
            text = _speakable(message) if isinstance(message, str) else None
            if text:
                found.add(text)
    return tuple(sorted(found))


def english_sentence(rng: random.Random) -> str:
    """An English sentence, from the grammar or a catalogue by about halves."""
    messages = catalogue_sentences("en")
    return rng.choice(messages) if messages and rng.random() < 0.5 else invented_sentence(rng)


def foreign_sentence(language: str, rng: random.Random) -> str | None:
    """A sentence in another language, or None where no catalogue holds one."""
    messages = catalogue_sentences(language)
    return rng.choice(messages) if messages else None
