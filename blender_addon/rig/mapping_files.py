"""A mesh's mapping table as a preset: a small JSON file in the add-on's user folder. No bpy."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..protocol.errors import InputError

SUFFIX = ".json"
FORMAT = "emorig-mapping"
Row = tuple[str, str, float, float]


def preset_names(folder: Path) -> list[str]:
    """The presets in a folder, by name."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def save_preset(folder: Path, name: str, rows: Iterable[Row]) -> Path:
    """Writes rows of (shape, curve, gain, offset) under a name, complete or not at all. Raises InputError."""
    stem = re.sub(r"[^\w\- ]+", "_", name).strip()
    if not stem:
        raise InputError("A mapping preset needs a name of letters or digits.")
    table = [{"shape": s, "curve": c, "gain": g, "offset": o} for s, c, g, o in rows]
    if not table:
        raise InputError("The mapping table is empty: fill it before it is saved.")
    path = folder / f"{stem}{SUFFIX}"
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"format": FORMAT, "version": 1, "rows": table}, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"Cannot write the preset '{path}' ({error.strerror or error}).") from error
    return path


def load_preset(folder: Path, name: str) -> list[Row]:
    """The rows of a preset. Raises InputError for one that is missing or damaged."""
    path = folder / f"{name}{SUFFIX}"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        rows = [(str(r["shape"]), str(r["curve"]), float(r["gain"]), float(r["offset"])) for r in document["rows"]]
        if not all(math.isfinite(gain) and math.isfinite(offset) for _s, _c, gain, offset in rows):
            raise ValueError("a gain or offset that is no number")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The mapping preset '{path}' cannot be read: save it again.") from error
    return rows
