"""EmoRig's own curve file: emorig-curves JSON, exact enough that an unedited file renders the same video."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.export.decimals import json_matrix
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves, Phone

FORMAT = "emorig-curves"
VERSION = 1


def curves_to_json(curves: AnimationCurves) -> str:
    """The curves as JSON text; float32 values are written so that they read back bit for bit."""
    carried = curves.coefficients or {}
    arrays = {name: getattr(curves, name) for name in ("weights", "head_rotation", "left_eye", "right_eye")}
    layers, numbers = dict(curves.layers), {k: v for k, v in carried.items() if not isinstance(v, str)}
    with ThreadPoolExecutor() as pool:  # most of it is Arrow's work, which runs side by side
        texts = iter(list(pool.map(json_matrix, [*arrays.values(), *layers.values(), *numbers.values()])))
    matrices, layers, numbers = (dict(zip(group, texts)) for group in (arrays, layers, numbers))
    coefficients = {k: numbers[k] if k in numbers else json.dumps(v) for k, v in carried.items()}
    return _members(
        {
            "format": json.dumps(FORMAT),
            "version": json.dumps(VERSION),
            "frame_rate": json.dumps(curves.frame_rate),
            "names": json.dumps(list(curves.names)),
            **matrices,
            "layers": _members(layers),
            "phones": json.dumps([[p.start, p.end, p.label] for p in curves.phones]),
            "coefficients": "null" if curves.coefficients is None else _members(coefficients),
        }
    )


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


def _members(texts: dict[str, str]) -> str:
    """A JSON object of values that are JSON already."""
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}"


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes emorig-curves JSON."""
    path.write_text(curves_to_json(curves), encoding="utf-8")


read = load_curves
