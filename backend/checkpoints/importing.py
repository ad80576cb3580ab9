"""Brings published files into the folder of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.checkpoints.reading import SUFFIXES, read_checkpoint
from backend.checkpoints.recognising import recognise
from backend.checkpoints.registry import PublishedFile
from backend.checkpoints.store import keep, sha256_of
from backend.errors import InputError


@dataclass(frozen=True)
class Imported:
    """A published file that was brought in, and where it lies now."""

    file: PublishedFile
    path: Path


def import_file(path: Path, *, name: str | None = None) -> Imported:
    """Reads, checks and keeps one published file. name: what it is, where names and shapes do not tell.

    Raises InputError; nothing is kept then.
    """
    file, states = recognise(read_checkpoint(path), path, name)
    return Imported(file, keep(file, states, source=path, source_sha256=sha256_of(path)))


def import_folder(folder: Path) -> tuple[list[Imported], list[str]]:
    """Keeps every published file below a folder; gives these and one sentence for each file that was passed over.

    Raises InputError where none is known.
    """
    candidates = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in SUFFIXES)
    imported, passed = [], []
    for path in candidates:
        try:
            imported.append(import_file(path))
        except InputError as error:
            passed.append(str(error))
    if not imported:
        reason = f" ({passed[0]})" if passed else ""
        raise InputError(f"No published weights were found in '{folder}'{reason}: give their file or folder.")
    return imported, passed
