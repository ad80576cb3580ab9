"""Puts a shot's files where the user wants them: all of them or none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from backend.curves.convert import coefficients_to_mapping
from backend.errors import OutputError
from backend.export.emorig_json import curves_to_json
from bfm.coefficients import EXPRESSION_CHANNELS, FaceCoefficients
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

VERSION = "0.1.0"


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A temporary folder inside folder; its files move to folder when the block ends well, else they vanish.

    Raises OutputError where folder cannot be made or written.
    """
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    except OSError as error:
        raise OutputError(
            f"Cannot write to the output folder '{folder}' ({error.strerror}): choose another one."
        ) from error
    try:
        yield partial
        for path in sorted(partial.iterdir()):
            os.replace(path, folder / path.name)
    except OSError as error:
        raise OutputError(
            f"Writing to '{folder}' failed ({error.strerror or error}): nothing was left there."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if created and not any(folder.iterdir()):
            folder.rmdir()


def write_curves(path: Path, curves: AnimationCurves) -> None:
    """Writes curves.json at path."""
    path.write_text(curves_to_json(curves), encoding="utf-8")


def write_coefficients(path: Path, coefficients: FaceCoefficients) -> None:
    """Writes the coefficients' arrays with the names of the expression columns as .npz."""
    arrays = coefficients_to_mapping(coefficients)
    np.savez_compressed(
        path, **arrays, frame_rate=coefficients.frame_rate, expression_names=np.array(EXPRESSION_CHANNELS)
    )


def write_settings(
    path: Path,
    *,
    portrait: Path | bytes | None,
    audio: Path | bytes,
    emotion: EmotionTrack | None,
    options: ShotOptions,
    notices: tuple[str, ...],
) -> None:
    """Writes settings.json: everything that is needed to make the shot again, and what made each column."""
    from backend.weights import shipped_networks

    document = {
        "program": "emorig",
        "version": VERSION,
        "portrait": _fingerprint(portrait),
        "audio": _fingerprint(audio),
        "emotion": None if emotion is None else json.loads(emotion.to_json())["keys"],
        "options": {
            "fps": options.frame_rate,
            "size": options.size,
            "pose": options.pose,
            "layers": dict(options.strengths),
            "seed": options.seed,
            "renderer": options.renderer,
            "start": options.start,
            "end": options.end,
        },
        "networks": shipped_networks(),
        "notices": list(notices),
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _fingerprint(source: Path | bytes | None) -> dict[str, object] | None:
    """Name, size and sha256 of an input."""
    if source is None:
        return None
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    name = None if isinstance(source, bytes) else Path(source).name
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
