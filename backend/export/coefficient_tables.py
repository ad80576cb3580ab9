"""The face coefficients themselves with named columns: CSV, one row per frame, and npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.errors import InputError, OutputError
from backend.export.decimals import shortest_rows
from backend.export.options import ExportOptions
from bfm.coefficients import EXPRESSION_CHANNELS, IDENTITY_DIMS, LIGHTING_DIMS, TEXTURE_DIMS, FaceCoefficients
from blender_addon.protocol.types import AnimationCurves

# Array → its columns. Expression, identity and texture are standard deviations, angles radians, translation decimetres.
PER_FRAME = {
    "expression": tuple(f"expression_{name}" for name in EXPRESSION_CHANNELS),
    "rotation": ("rotation_pitch", "rotation_yaw", "rotation_roll"),
    "translation": ("translation_x", "translation_y", "translation_z"),
    "head_rotation": ("head_pitch", "head_yaw", "head_roll"),
}
CONSTANT = {
    "identity": tuple(f"identity_{i}" for i in range(IDENTITY_DIMS)),
    "texture": tuple(f"texture_{i}" for i in range(TEXTURE_DIMS)),
    "lighting": tuple(f"lighting_{i}" for i in range(LIGHTING_DIMS)),
}


def write_csv(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the curves' coefficients, edits included; what is constant over the shot repeats on every row."""
    arrays = _arrays(curves)
    n_frames = curves.n_frames
    blocks = [arrays[name] for name in PER_FRAME]
    blocks += [np.broadcast_to(arrays[name], (n_frames, len(columns))) for name, columns in CONSTANT.items()]
    header = ",".join(
        ("time", *(column for columns in (*PER_FRAME.values(), *CONSTANT.values()) for column in columns))
    )
    times = (np.arange(n_frames) / curves.frame_rate).tolist()
    rows = [f"{t:.6f},{row}" for t, row in zip(times, shortest_rows(np.concatenate(blocks, axis=1)))]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", newline="")


def write_npz(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the coefficients' arrays, the names of the expression columns, the model's name and the frame rate."""
    arrays = _arrays(curves)
    with path.open("wb") as file:
        np.savez(file, **arrays, frame_rate=curves.frame_rate, expression_names=np.array(EXPRESSION_CHANNELS))


def read_csv(path: Path) -> AnimationCurves:
    """Curves of a coefficient table, carrying its coefficients. Raises InputError."""
    from backend.export.tables import read_csv as read_table

    table = read_table(path)
    column = {name: i for i, name in enumerate(table.names)}
    try:
        arrays = {k: table.weights[:, [column[c] for c in columns]] for k, columns in PER_FRAME.items()}
        arrays |= {k: table.weights[0, [column[c] for c in columns]] for k, columns in CONSTANT.items()}
    except KeyError as error:
        raise InputError(f"'{path.name}' lacks the column {error}: expected a coefficient table.") from error
    return curves_of_coefficients(arrays, table.frame_rate)


def read_npz(path: Path) -> AnimationCurves:
    """Curves of a coefficients.npz, carrying its coefficients. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = {name: stored[name] for name in stored.files}
        rate = float(data["frame_rate"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"'{path.name}' holds no face coefficients ({error}).") from error
    arrays = {name: str(value) if value.dtype.kind == "U" else value for name, value in data.items() if value.ndim < 3}
    arrays.pop("frame_rate"), arrays.pop("expression_names", None)
    return curves_of_coefficients(arrays, rate)


def curves_of_coefficients(arrays: dict[str, object], frame_rate: float) -> AnimationCurves:
    """Curves of coefficient arrays; the head turns by head_rotation, or relative to its first frame without it."""
    from backend.curves.convert import (
        arkit_weights,
        coefficients_from_mapping,
        coefficients_to_mapping,
        eye_rotations,
        quaternions,
    )
    from blender_addon.protocol.types import ARKIT_NAMES

    base: FaceCoefficients = coefficients_from_mapping(arrays, frame_rate)
    if base.n_frames == 0:
        raise InputError("These coefficients are empty: expected at least one frame.")
    head = arrays.get("head_rotation")
    head = base.rotation - base.rotation[:1] if head is None else np.asarray(head, np.float32)
    weights = arkit_weights(base.weights)
    left, right = eye_rotations(weights)
    return AnimationCurves(
        names=ARKIT_NAMES,
        weights=weights,
        frame_rate=frame_rate,
        head_rotation=quaternions(head),
        left_eye=left,
        right_eye=right,
        coefficients=coefficients_to_mapping(base, head_rotation=head),
    )


def _arrays(curves: AnimationCurves) -> dict[str, object]:
    """The coefficients' arrays of the curves, edits included. Raises OutputError where the curves carry none."""
    from backend.curves.convert import coefficients_from_curves, coefficients_to_mapping

    if curves.coefficients is None:
        raise OutputError("These curves carry no face coefficients to write: render or animate with EmoRig first.")
    edited = coefficients_from_curves(curves)
    carried = np.asarray(curves.coefficients["head_rotation"], np.float32)
    base = np.asarray(curves.coefficients["rotation"], np.float32)
    return coefficients_to_mapping(edited, head_rotation=carried + edited.rotation - base)
