"""EmoRig's own curve file: emorig-curves JSON, exact enough that an unedited file renders the same video."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.export.decimals import json_numbers, json_rows
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves, Phone

FORMAT = "emorig-curves"
VERSION = 1
BLOCK_ROWS, AHEAD = 2000, 12  # rows of a matrix per piece of text, and pieces made before they are written


def curves_to_json(curves: AnimationCurves) -> str:
    """The curves as JSON text; float32 values are written so that they read back bit for bit."""
    return "".join(_pieces(curves))


def write_json(curves: AnimationCurves, path: Path) -> None:
    """Writes the curves as JSON piece by piece: an hour of them would not fit into memory twice."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_pieces(curves))


def _pieces(curves: AnimationCurves) -> Iterator[str]:
    """The JSON text in pieces; matrices become text beside one another, a few pieces ahead of the reader."""
    with ThreadPoolExecutor() as pool:  # most of it is Arrow's work, which runs side by side
        waiting: deque[Future[str] | str] = deque()
        for piece in _work(curves):
            waiting.append(piece if isinstance(piece, str) else pool.submit(piece))
            if len(waiting) > AHEAD:
                yield _done(waiting.popleft())
        while waiting:
            yield _done(waiting.popleft())


def _done(piece: Future[str] | str) -> str:
    return piece if isinstance(piece, str) else piece.result()


def _work(curves: AnimationCurves) -> Iterator[str | Callable[[], str]]:
    """The JSON text in order: short pieces as they are, blocks of rows as functions that write them."""
    yield f'{{"format":{json.dumps(FORMAT)},"version":{VERSION},"frame_rate":{json.dumps(curves.frame_rate)}'
    yield f',"names":{json.dumps(list(curves.names))}'
    for name in ("weights", "head_rotation", "left_eye", "right_eye"):
        yield f',"{name}":'
        yield from _matrix(getattr(curves, name))
    yield ',"layers":'
    yield from _members(curves.layers)
    yield f',"phones":{json.dumps([[p.start, p.end, p.label] for p in curves.phones])},"coefficients":'
    yield from ["null"] if curves.coefficients is None else _members(curves.coefficients)
    yield "}"


def _members(values: Mapping[str, object]) -> Iterator[str | Callable[[], str]]:
    """A JSON object of texts and arrays."""
    yield "{"
    for index, (name, value) in enumerate(values.items()):
        yield f"{',' if index else ''}{json.dumps(name)}:"
        yield from [json.dumps(value)] if isinstance(value, str) else _matrix(value)
    yield "}"


def _matrix(values: object) -> Iterator[str | Callable[[], str]]:
    """A JSON array of numbers, or of rows of them, in blocks of rows."""
    values = np.asarray(values, np.float32)
    if values.ndim == 1:
        yield partial(json_numbers, values)
        return
    yield "["
    for start in range(0, len(values), BLOCK_ROWS):
        if start:
            yield ","
        yield partial(json_rows, values[start : start + BLOCK_ROWS])
    yield "]"


def curves_from_json(text: str) -> AnimationCurves:
    """Reads emorig-curves JSON. Raises InputError in one sentence for anything else."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"The curve file is not JSON ({error}).") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f'The curve file should say "format": "{FORMAT}".')
    if document.get("version") != VERSION:
        raise InputError(
            f"The curve file has version {document.get('version')}, this program reads {VERSION}: update EmoRig."
        )
    try:
        coefficients = document.get("coefficients")
        if coefficients is not None:
            coefficients = {k: v if isinstance(v, str) else np.array(v, np.float32) for k, v in coefficients.items()}
        return AnimationCurves(
            names=tuple(document["names"]),
            weights=document["weights"],
            frame_rate=document["frame_rate"],
            head_rotation=document["head_rotation"],
            left_eye=document["left_eye"],
            right_eye=document["right_eye"],
            layers=document.get("layers") or {},
            phones=tuple(Phone(float(a), float(b), str(c)) for a, b, c in document.get("phones") or ()),
            coefficients=coefficients,
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"The curve file is incomplete or misshapen ({type(error).__name__}: {error}).") from error


def load_curves(path: Path | str) -> AnimationCurves:
    """Reads an emorig-curves file. Raises InputError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the curve file '{path}': give the path of a curves.json.") from error
    return curves_from_json(text)


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes emorig-curves JSON."""
    write_json(curves, path)


read = load_curves
