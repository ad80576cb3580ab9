"""Puts a shot's files where the user wants them: all of them or none."""

from __future__ import annotations

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
from backend.export.emorig_json import write_json
from backend.provenance.label import Marking, provenance_record, shot_settings
from bfm.coefficients import EXPRESSION_CHANNELS, FaceCoefficients
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack


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
    write_json(curves, path)


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
    video: Path | None,
    marking: Marking,
) -> None:
    """Writes settings.json: everything that is needed to make the shot again, what made each column, how it is marked.

    video: the finished video beside it, or None where there is none.
    """
    from backend.weights import COLUMN_SOURCES, shipped_networks

    document = shot_settings(portrait, audio, emotion=emotion, options=options) | {
        "networks": shipped_networks(),
        "columns": COLUMN_SOURCES,
        "notices": list(notices),
        "provenance": provenance_record(video, marking=marking),
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
