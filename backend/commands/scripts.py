"""Reads what the user knows of the speech: a transcript and phones with their times."""

from __future__ import annotations

import json
import re
from pathlib import Path

from backend.errors import InputError
from blender_addon.protocol.options import Script
from blender_addon.protocol.types import Phone

SILENT_LABELS = {"", "sil", "sp", "spn", "pau", "<eps>", "#"}  # of aligners
_INTERVAL = re.compile(r'xmin\s*=\s*([\d.eE+-]+)\s*xmax\s*=\s*([\d.eE+-]+)\s*text\s*=\s*"([^"]*)"')
_TIER = re.compile(r'class\s*=\s*"IntervalTier"\s*name\s*=\s*"([^"]*)"')


def read_script(transcript: Path | None, language: str = "en", phones: Path | None = None) -> Script:
    """The script of a transcript's file and a file of phones, either of which may be absent. Raises InputError."""
    text = None if transcript is None else _read(transcript, "transcript", "a text file in UTF-8")
    return Script(text, language, () if phones is None else read_phones(phones))


def read_phones(path: Path) -> tuple[Phone, ...]:
    """Phones of a curves.json, of JSON [[start, end, label], …] in seconds, or of a Praat TextGrid. InputError."""
    text = _read(path, "phones", "a curves.json, a JSON list or a TextGrid")
    rows = _textgrid_rows(text) if path.suffix.lower() == ".textgrid" else _json_rows(text, path)
    try:
        phones = tuple(Phone(float(start), float(end), _label(str(label))) for start, end, label in rows)
    except (TypeError, ValueError) as error:
        raise InputError(f"The phones in '{path}' should be [start, end, label], times in seconds.") from error
    if not phones:
        raise InputError(f"'{path}' holds no phones: expected [[0.0, 0.12, \"M\"], …].")
    return phones


def _label(text: str) -> str:
    return "sil" if text.strip().lower() in SILENT_LABELS else text.strip()


def _json_rows(text: str, path: Path) -> list:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON ({error}): give a curves.json, a JSON list or a .TextGrid.") from error
    rows = document.get("phones") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise InputError(f"'{path}' holds no phones: expected [[0.0, 0.12, \"M\"], …] or a curves.json.")
    return rows


def _textgrid_rows(text: str) -> list[tuple[str, str, str]]:
    """Intervals of the tier named phones (Montreal Forced Aligner's name too), of the last tier where none is."""
    tiers = [(match.group(1).lower(), match.end()) for match in _TIER.finditer(text)]
    ends = [start for _, start in tiers[1:]] + [len(text)]
    if not tiers:
        return []
    chosen = next((i for i, (name, _) in enumerate(tiers) if "phone" in name), len(tiers) - 1)
    return _INTERVAL.findall(text, tiers[chosen][1], ends[chosen])


def _read(path: Path, what: str, expected: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the {what} '{path}': give {expected}.") from error
