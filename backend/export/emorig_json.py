"""EmoRig's own curve file: emorig-curves JSON, exact enough that an unedited file renders the same video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from backend.errors import InputError
from blender_addon.protocol.types import AnimationCurves, Phone

FORMAT = "emorig-curves"
VERSION = 1


def curves_to_json(curves: AnimationCurves) -> str:
    """The curves as JSON text; float32 values are written so that they read back bit for bit."""
    coefficients = None
    if curves.coefficients is not None:
        coefficients = {k: v if isinstance(v, str) else _rows(v) for k, v in curves.coefficients.items()}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "frame_rate": curves.frame_rate,
        "names": list(curves.names),
        "weights": _rows(curves.weights),
        "head_rotation": _rows(curves.head_rotation),
        "left_eye": _rows(curves.left_eye),
        "right_eye": _rows(curves.right_eye),
        "layers": {name: _rows(layer) for name, layer in curves.layers.items()},
        "phones": [[p.start, p.end, p.label] for p in curves.phones],
        "coefficients": coefficients,
    }
    return json.dumps(document, separators=(",", ":"))


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


def _rows(array: object) -> list:
    """Nested lists of the shortest decimal numbers that read back as the same float32."""
    values = np.asarray(array, np.float32)
    # repr of a float32 is its shortest exact form; through float64 it would grow to 17 digits.
    flat = [float(str(v)) for v in values.ravel()]
    return np.array(flat, np.float64).reshape(values.shape).tolist()
