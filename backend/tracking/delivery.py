"""What emorig track writes: curves in any format, coefficients, and action units as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from backend.delivery import staged, write_coefficients
from backend.errors import InputError
from backend.export.formats import format_for
from backend.export.options import ExportOptions
from backend.export.verbs import deliver_curves
from backend.native_logs import held_back
from backend.tracking.tracker import TrackedFace, track_video

POOR_FIT = 0.03
"""Mean distance of fitted landmarks as a share of the eyes' distance over which a track is doubtful."""


def track_to_files(
    video: Path, out: Path, *, start: float = 0.0, end: float | None = None, coefficients: Path | None = None,
    units: Path | None = None, format: str | None = None,
) -> None:  # fmt: skip
    """Tracks a video and writes its curves to out, and where wanted coefficients (.npz) and action units (.csv).

    Raises InputError for videos that cannot be tracked and suffixes that are unknown.
    """
    wanted = format_for(out, format)
    for path, suffix in ((coefficients, ".npz"), (units, ".csv")):
        if path is not None and path.suffix.lower() != suffix:
            raise InputError(f"'{path.name}' should end in {suffix}.")
    if not video.is_file():
        raise InputError(f"There is no video '{video}': give the path of one.")
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"The part to track should have 0 <= start < end, got {start:g} to {end}.")
    with held_back():
        tracked = track_video(video, start=start, end=end)
    deliver_curves(tracked.curves, out, name=wanted, options=ExportOptions())
    if coefficients is not None:
        with staged(coefficients.parent) as folder:
            write_coefficients(folder / coefficients.name, tracked.coefficients)
        print(coefficients)
    if units is not None:
        with staged(units.parent) as folder:
            (folder / units.name).write_text(units_table(tracked), encoding="ascii")
        print(units)
    missing = int((~tracked.track.found).sum())
    if missing:
        print(f"emorig: the face was bridged in {missing} of {len(tracked.track.found)} frames.", file=sys.stderr)
    residual = float(tracked.fit.residual.mean())
    if residual > POOR_FIT:
        text = f"the face fits only within {residual:.1%} of the distance between the eyes; look at the curves"
        print(f"emorig: {text}.", file=sys.stderr)


def units_table(tracked: TrackedFace) -> str:
    """CSV text: time in seconds, whether the face was seen, residual, then every action unit 0–1."""
    header = ",".join(("time", "found", "residual", *tracked.unit_names))
    times = np.arange(len(tracked.units)) / tracked.curves.frame_rate
    rows = [
        f"{time:.6f},{int(found)},{residual:.5f}," + ",".join(f"{value:.4f}" for value in values)
        for time, found, residual, values in zip(
            times, tracked.track.found, tracked.fit.residual, tracked.units, strict=True
        )
    ]
    return "\n".join([header, *rows]) + "\n"
