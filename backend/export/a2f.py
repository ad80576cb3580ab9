"""Audio2Face's blend shape JSON: names, rate and one row of weights per frame. It holds no head and no eyes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled
from backend.errors import InputError
from backend.export.decimals import json_rows
from backend.export.names import canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the channels under their own names; the rate is a whole number where it is one."""
    rate = int(curves.frame_rate) if curves.frame_rate.is_integer() else curves.frame_rate
    fields = {
        "exportFps": rate,
        "trackPath": options.audio.name if options.audio else "",
        "numPoses": len(curves.names),
        "numFrames": curves.n_frames,
        "facsNames": list(curves.names),
    }
    text = json.dumps(fields)[:-1] + ', "weightMat": ' + f"[{json_rows(curves.weights)}]}}"
    path.write_text(text, encoding="utf-8")


def read(path: Path) -> AnimationCurves:
    """Curves of Audio2Face's JSON, either generation's names. Raises InputError where its counts disagree."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(str(name) for name in document["facsNames"])
        weights = np.array(document["weightMat"], np.float32)
        rate = float(document.get("exportFps") or 60.0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path.name}' is no Audio2Face JSON ({type(error).__name__}: {error}).") from error
    if weights.shape != (document.get("numFrames", len(weights)), len(names)):
        raise InputError(f"'{path.name}' names {len(names)} shapes but its weights have shape {weights.shape}.")
    return assembled(canonical_names(names), weights, rate)
