"""Downloads a published file from its project's address: resumed, checked, imported, or nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.checkpoints.importing import Imported
from backend.checkpoints.registry import PublishedFile
from backend.checkpoints.store import read_ledger, record, sha256_of, weights_folder
from backend.errors import InputError

BLOCK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without an answer


@dataclass(frozen=True)
class Offer:
    """What an address offers: bytes (None where it does not say), and the mark that tells its version."""

    address: str
    size: int | None
    mark: str


def offer(file: PublishedFile, address: str | None = None) -> Offer:
    """Asks an address, the project's own where none is given, what it has. Raises InputError."""
    if address is None:
        if file.address is None:
            raise InputError(f"'{file.name}' is published nowhere: train it, then run 'emorig weights import FILE'.")
        if file.by_hand:
            raise InputError(
                f"'{file.file}' lies behind a page for people: download it from {file.address} in a browser, "
                "then run 'emorig weights import FILE'."
            )
        address = file.address
    if not address.startswith(("https://", "http://")):
        raise InputError(f"The address should start with https:// or http://, got '{address}'.")
    with _asked(urllib.request.Request(address, method="HEAD"), file) as answer:
        size = answer.headers.get("Content-Length")
        if size == "0":
            raise InputError(f"{address} offers an empty file: ask {file.project}, or give another --address.")
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return Offer(address, None if size is None else int(size), mark)


def fetch(file: PublishedFile, offered: Offer, *, progress: Callable[[int, int], None] = lambda *_: None) -> Imported:
    """Downloads and imports a file; a download that broke off goes on where it stopped.

    The hash must be the published one, or the one that was recorded at the first download. Raises InputError; a file
    that fails a check is deleted.
    """
    from backend.checkpoints.importing import import_file

    folder = weights_folder() / "downloads"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write to '{folder}' ({error.strerror}): set EMORIG_WEIGHTS to a folder.") from error
    part = folder / f"{file.file}.part"
    _download(file, offered, part, progress)
    found = sha256_of(part)
    expected = file.sha256 or read_ledger().get(file.name, {}).get("source_sha256")
    if expected and found != expected:
        _forget(part)
        raise InputError(
            f"'{file.file}' from {offered.address} has the sha256 {found}, expected {expected}: it was changed or "
            "tampered with, and was deleted; ask its project before you use it."
        )
    whole = folder / file.file
    os.replace(part, whole)
    try:
        imported = import_file(whole, name=file.name)
        record(file.name, address=offered.address)
    finally:
        whole.unlink(missing_ok=True)
        _forget(part)
    return imported


def _download(file: PublishedFile, offered: Offer, part: Path, progress: Callable[[int, int], None]) -> None:
    """Fills the part file up to its full size. Raises InputError, keeping what came for the next time."""
    done = _resumable(part, offered)
    request = urllib.request.Request(offered.address)
    if done:
        request.add_header("Range", f"bytes={done}-")
    if offered.size is None or done < offered.size:
        with _asked(request, file) as answer:
            resumes = answer.status == 206
            done = done if resumes else 0
            with part.open("ab" if resumes else "wb") as target:
                done = _copied(answer, target, done, offered, progress)
    if offered.size is not None and done != offered.size:
        if done > offered.size:
            _forget(part)
        raise InputError(
            f"The download of '{file.file}' broke off at {done / 1e6:.1f} of {offered.size / 1e6:.1f} MB: run the "
            "command again, it goes on from there."
        )


def _copied(answer, target, done: int, offered: Offer, progress: Callable[[int, int], None]) -> int:
    """Bytes in the part file after copying what comes; a broken connection ends it."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        while block := answer.read(BLOCK):
            target.write(block)
            done += len(block)
            progress(done, offered.size or 0)
    return done


def _resumable(part: Path, offered: Offer) -> int:
    """Bytes of an earlier download of the same version; what belongs to another is deleted."""
    note = part.with_suffix(".json")
    said = {"address": offered.address, "mark": offered.mark, "size": offered.size}
    try:
        same = json.loads(note.read_text(encoding="utf-8")) == said
    except (OSError, ValueError):
        same = False
    if not same:
        part.unlink(missing_ok=True)
        note.write_text(json.dumps(said), encoding="utf-8")
    return part.stat().st_size if part.is_file() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".json").unlink(missing_ok=True)


def _asked(request: urllib.request.Request, file: PublishedFile):
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        raise InputError(
            f"{request.full_url} answers {error.code} ({error.reason}): '{file.file}' is not there."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"Cannot reach {request.full_url} ({reason}): connect to a network, or run 'emorig weights import FILE'."
        ) from error
