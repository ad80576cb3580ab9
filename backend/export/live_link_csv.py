"""Live Link Face CSV, as Epic's app records it and as Unreal's Live Link Face importer reads it.

63 columns in the app's order (not Apple's: JawRight and MouthRight come before their Left). The timecode's last field
counts sixtieths of a second whatever the frame rate is. Angles are radians as in backend/export/angles.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled, on_even_grid, rate_of_times
from backend.errors import InputError
from backend.export.angles import LIVE_LINK, LIVE_LINK_DEGREES
from backend.export.decimals import fixed_rows
from backend.export.names import canonical_name
from backend.export.options import ExportOptions
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, channel_subset

ANGLE_COLUMNS = tuple(
    f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")
)
_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
# The app's order: Apple's enumeration with Right before Left for the jaw and the mouth.
CSV_CHANNELS = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
HEADER = ",".join(
    ("Timecode", "BlendshapeCount", *(name[0].upper() + name[1:] for name in CSV_CHANNELS), *ANGLE_COLUMNS)
)
N_VALUES = len(ARKIT_NAMES) + len(ANGLE_COLUMNS)
TIMECODE_BASE = 60  # frames per second in the timecode's last field, always
DIGITS = 10
_FILE_NAME = re.compile(r"[^_]+_[^_]+_[^_]+(_cal|_raw|_neutral)?")
_TIMECODE = re.compile(r"(\d{1,3}):([0-5]?\d):([0-5]?\d):(\d{1,2}(?:\.\d+)?)")


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the curves; channels they lack are 0."""
    values = live_link_values(curves, CSV_CHANNELS, degrees=options.degrees)
    codes = timecodes(curves.n_frames, curves.frame_rate)
    rows = [f"{code},{N_VALUES},{row}" for code, row in zip(codes, fixed_rows(values, DIGITS))]
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="ascii", newline="")


def live_link_values(curves: AnimationCurves, channels: tuple[str, ...], *, degrees: bool = False) -> np.ndarray:
    """(n_frames, 61): the channels in the given order, then yaw, pitch, roll of the head, left and right eye."""
    convention = LIVE_LINK_DEGREES if degrees else LIVE_LINK
    turns = [
        convention.angles(turn)[:, [1, 0, 2]] for turn in (curves.head_rotation, curves.left_eye, curves.right_eye)
    ]
    return np.concatenate([channel_subset(curves.names, curves.weights, channels), *turns], axis=1)


def timecodes(n_frames: int, frame_rate: float) -> list[str]:
    """hh:mm:ss:ff.zzz of frames 0 … n_frames - 1, from 00:00:00:00.000; ff counts sixtieths of a second."""
    # In thousandths of a sixtieth, so that rounding carries into the seconds.
    ticks = np.rint(np.arange(n_frames) / frame_rate * TIMECODE_BASE * 1000).astype(np.int64)
    seconds, frames = np.divmod(ticks, TIMECODE_BASE * 1000)
    return [
        f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}:{f // 1000:02d}.{f % 1000:03d}"
        for s, f in zip(seconds.tolist(), frames.tolist())
    ]


def advise(path: Path) -> str | None:
    """What Unreal would make of the file's name, where it does not keep to the importer's rule."""
    if _FILE_NAME.fullmatch(path.stem):
        return None
    example = f"Shot_1_{path.stem.replace('_', '')}.csv"
    return f"Unreal takes the subject from the file's name: call it SLATE_TAKE_SUBJECT.csv, for example {example}."


def read(path: Path) -> AnimationCurves:
    """Reads a capture or an export. Raises InputError, naming the row, for what Unreal's importer would refuse."""
    names, codes, values = read_rows(path)
    times = np.array([seconds_of(code, row) for row, code in enumerate(codes, start=2)])
    times -= times[0]
    rate = rate_of_times(times)
    values = on_even_grid(times, values, rate)
    column = {name: i for i, name in enumerate(names)}
    channels = tuple(name for name in names if name in ARKIT_NAMES)
    turns = []
    for part in ("Head", "LeftEye", "RightEye"):
        wanted = [f"{part}{angle}" for angle in ("Pitch", "Yaw", "Roll")]
        turns.append(values[:, [column[w] for w in wanted]] if set(wanted) <= set(column) else None)
    # Radians never pass a full turn; a file that does holds degrees.
    known = [turn for turn in turns if turn is not None]
    largest = max((np.abs(turn).max(initial=0.0) for turn in known), default=0.0)
    convention = LIVE_LINK_DEGREES if largest > 2 * np.pi else LIVE_LINK
    head, left, right = (None if turn is None else convention.quaternions(turn) for turn in turns)
    weights = values[:, [column[name] for name in channels]]
    return assembled(channels, weights, rate, head=head, left_eye=left, right_eye=right)


def read_rows(path: Path) -> tuple[tuple[str, ...], list[str], np.ndarray]:
    """Channel names (ARKit spelling, and the angles'), timecodes and values (n_frames, n_columns) of a file's rows."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = lines[0].split(",") if lines else []
    if len(header) < 3 or header[0].lower() != "timecode" or header[1].lower() != "blendshapecount":
        raise InputError(f"'{path.name}' is no Live Link Face CSV: its header should start Timecode,BlendshapeCount.")
    angle = {name.lower(): name for name in ANGLE_COLUMNS}
    names = tuple(angle.get(name.lower(), canonical_name(name)) for name in header[2:])
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"'{path.name}' has the column '{name}' twice: keep one.")
    if not any(name in ARKIT_NAMES for name in names):
        raise InputError(f"'{path.name}' has none of ARKit's 52 columns.")
    codes, rows = [], []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split(",")
        if len(cells) != len(header):
            raise InputError(f"'{path.name}' row {number} has {len(cells)} cells, its header {len(header)}.")
        codes.append(cells[0])
        try:
            rows.append([float(cell) for cell in cells[2:]])
        except ValueError as error:
            raise InputError(f"'{path.name}' row {number} holds a cell that is no number ({error}).") from error
    if not rows:
        raise InputError(f"'{path.name}' has a header but no frames.")
    values = np.array(rows)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"'{path.name}' row {row + 2}, column '{header[column + 2]}' is not a finite number.")
    return names, codes, values


def seconds_of(code: str, row: int) -> float:
    """Seconds of a timecode hh:mm:ss:ff.zzz. Raises InputError naming the row."""
    found = _TIMECODE.fullmatch(code.strip())
    if not found or float(found.group(4)) >= TIMECODE_BASE:
        raise InputError(f"Row {row} has the timecode '{code}': expected hh:mm:ss:ff.zzz with ff under 60.")
    hours, minutes, seconds, frames = (float(part) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + frames / TIMECODE_BASE
