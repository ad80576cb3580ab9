"""Curves as plain tables: CSV and Parquet with a time column and named columns, and npz with everything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled, on_even_grid, rate_of_times
from backend.errors import InputError
from backend.export.decimals import shortest_rows
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves, Phone

TURNS = ("head_rotation", "left_eye", "right_eye")
TURN_COLUMNS = tuple(f"{turn}_{axis}" for turn in TURNS for axis in "wxyz")
_LAYER, _COEFFICIENT = "layer/", "coefficients/"


def write_csv(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes time (s), every channel, and the quaternions w x y z of head and eyes, exact for float32."""
    names, values = _table(curves)
    times = [f"{t:.6f}" for t in (np.arange(curves.n_frames) / curves.frame_rate).tolist()]
    rows = [f"{t},{row}" for t, row in zip(times, shortest_rows(values))]
    path.write_text("\n".join([",".join(("time", *names)), *rows]) + "\n", encoding="utf-8", newline="")


def read_csv(path: Path) -> AnimationCurves:
    """Reads what write_csv wrote, or any CSV with a time column in seconds and channels. Raises InputError."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    if len(header) < 2 or header[0] != "time":
        raise InputError(f"'{path.name}' is no curve table: its first column should be 'time' in seconds.")
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"'{path.name}' row {number} has {len(row)} cells, its header {len(header)}.")
    try:
        values = np.array(rows, np.float64).reshape(len(rows), len(header))
    except ValueError as error:
        raise InputError(f"'{path.name}' holds a cell that is no number ({error}).") from error
    return _curves(path.name, header[1:], values[:, 0], values[:, 1:], None)


def write_parquet(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the same columns as write_csv as float32 Parquet; frame rate and phones are in the file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, values = _table(curves)
    times = np.arange(curves.n_frames) / curves.frame_rate
    columns = [pa.array(times), *(pa.array(np.ascontiguousarray(column)) for column in values.T)]
    phones = json.dumps([[p.start, p.end, p.label] for p in curves.phones])
    metadata = {"frame_rate": repr(curves.frame_rate), "phones": phones}
    table = pa.table(columns, names=["time", *names]).replace_schema_metadata(metadata)
    pq.write_table(table, path, compression="snappy")


def read_parquet(path: Path) -> AnimationCurves:
    """Reads what write_parquet wrote. Raises InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        values = np.stack([column.to_numpy() for column in table.columns], axis=1).astype(np.float64)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise InputError(f"'{path.name}' is no Parquet table of numbers ({str(error).splitlines()[0]}).") from error
    if table.column_names[0] != "time":
        raise InputError(f"'{path.name}' is no curve table: its first column should be 'time' in seconds.")
    stated = (table.schema.metadata or {}).get(b"frame_rate")
    return _curves(path.name, table.column_names[1:], values[:, 0], values[:, 1:], float(stated) if stated else None)


def write_npz(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes every array of the curves, its layers, phones and coefficients with their names."""
    arrays = {name: getattr(curves, name) for name in ("weights", *TURNS)}
    arrays |= {f"{_LAYER}{name}": layer for name, layer in curves.layers.items()}
    arrays |= {f"{_COEFFICIENT}{name}": np.asarray(value) for name, value in (curves.coefficients or {}).items()}
    arrays["phone_times"] = np.array([(p.start, p.end) for p in curves.phones], np.float64).reshape(-1, 2)
    arrays["phone_labels"] = np.array([p.label for p in curves.phones], np.str_)
    with path.open("wb") as file:
        np.savez(file, names=np.array(curves.names), frame_rate=curves.frame_rate, **arrays)


def read_npz(path: Path) -> AnimationCurves:
    """Reads what write_npz wrote. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = {name: stored[name] for name in stored.files}
        phones = zip(data["phone_times"].tolist(), data["phone_labels"].tolist())
        coefficients = {
            name.removeprefix(_COEFFICIENT): str(value) if value.dtype.kind == "U" else value
            for name, value in data.items()
            if name.startswith(_COEFFICIENT)
        }
        return AnimationCurves(
            names=tuple(data["names"].tolist()),
            weights=data["weights"],
            frame_rate=float(data["frame_rate"]),
            **{turn: data[turn] for turn in TURNS},
            layers={k.removeprefix(_LAYER): v for k, v in data.items() if k.startswith(_LAYER)},
            phones=tuple(Phone(start, end, label) for (start, end), label in phones),
            coefficients=coefficients or None,
        )
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"'{path.name}' is no curve archive ({error}).") from error


def _table(curves: AnimationCurves) -> tuple[tuple[str, ...], np.ndarray]:
    """Column names and values (n_frames, n_columns) of channels and quaternions."""
    for name in curves.names:
        if "," in name or '"' in name or "\n" in name or name in TURN_COLUMNS or name == "time":
            raise InputError(f"A table cannot have a channel called '{name}': rename it with --map.")
    values = np.concatenate([curves.weights, *(getattr(curves, turn) for turn in TURNS)], axis=1)
    return (*curves.names, *TURN_COLUMNS), values


def _curves(
    file: str, names: list[str], times: np.ndarray, values: np.ndarray, frame_rate: float | None
) -> AnimationCurves:
    """Curves of a table's columns; quaternions where it has them."""
    if len(values) == 0:
        raise InputError(f"'{file}' has a header but no frames.")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"'{file}' row {row + 2}, column '{names[column]}' is not a finite number.")
    rate = frame_rate or rate_of_times(times)
    values = on_even_grid(times, values, rate)
    column = {name: i for i, name in enumerate(names)}
    turns = {}
    for turn in TURNS:
        wanted = [f"{turn}_{axis}" for axis in "wxyz"]
        turns[turn] = values[:, [column[w] for w in wanted]] if set(wanted) <= set(column) else None
    channels = tuple(name for name in names if name not in TURN_COLUMNS)
    weights = values[:, [column[name] for name in channels]]
    return assembled(
        channels, weights, rate, head=turns["head_rotation"], left_eye=turns["left_eye"], right_eye=turns["right_eye"]
    )
