"""What emorig export, import and validate do."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from backend.curves.filters import amplified, clamped, mirrored, offset, smoothed
from backend.curves.join import joined
from backend.curves.layers import with_layer_of
from backend.curves.resample import cut, resampled, warped
from backend.delivery import staged
from backend.errors import InputError
from backend.export.formats import FORMATS, format_for, read_curves, write_curves
from backend.export.names import canonical_names, read_name_map
from backend.export.options import ExportOptions
from blender_addon.protocol.layers import combined
from blender_addon.protocol.types import AnimationCurves


@dataclass(frozen=True)
class CurveEdits:
    """What emorig edit does in order: take layers, join, cut, layers, gains, offsets, limits, smooth, warp, mirror.

    strengths: layer → 0 or more. gains: channel (or 'all') → factor. offsets: channel → amount. limits: channel (or
    'all') → lowest and highest value. smoothing, start, end: seconds. taken: layer → file that it comes from. then:
    files to join. pins: moment → where it goes, seconds. frame_rate: to sample the result at, last.
    """

    strengths: dict[str, float] = field(default_factory=dict)
    smoothing: float = 0.0
    mirror: bool = False
    gains: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    start: float = 0.0
    end: float | None = None
    then: tuple[Path, ...] = ()
    taken: dict[str, Path] = field(default_factory=dict)
    pins: tuple[tuple[float, float], ...] = ()
    frame_rate: float | None = None

    def apply(self, curves: AnimationCurves) -> AnimationCurves:
        """The edited curves. Raises InputError."""
        for name, path in self.taken.items():
            curves = with_layer_of(curves, name, read_curves(path)[0])
        for path in self.then:
            curves = joined(curves, read_curves(path)[0])
        if self.start > 0 or self.end is not None:
            curves = cut(curves, self.start, self.end)
        if self.strengths:
            curves = combined(curves, self.strengths)
        for channel, factor in self.gains.items():
            everything = channel == "all"
            curves = amplified(curves, factor, channels=None if everything else (channel,), head=everything)
        for channel, amount in self.offsets.items():
            curves = offset(curves, amount, channels=(channel,))
        for channel, (low, high) in self.limits.items():
            curves = clamped(curves, low, high, channels=None if channel == "all" else (channel,))
        curves = smoothed(curves, self.smoothing)
        curves = warped(curves, self.pins) if self.pins else curves
        curves = mirrored(curves) if self.mirror else curves
        return curves if self.frame_rate is None else resampled(curves, self.frame_rate)


def edit_file(source: Path, out: Path, *, edits: CurveEdits) -> None:
    """Reads curves, edits them and writes them to out in the format of its suffix."""
    wanted = format_for(out)
    deliver_curves(edits.apply(read_curves(source)[0]), out, name=wanted, options=ExportOptions())


def export_file(
    source: Path, out: Path, *, options: ExportOptions, name: str | None = None, source_name: str | None = None,
    frame_rate: float | None = None, name_map: Path | None = None, strengths: dict[str, float] | None = None,
) -> None:  # fmt: skip
    """Reads curves of any readable format and writes them to out, at another rate or under other names if wanted."""
    wanted = format_for(out, name)
    curves, _ = read_curves(source, name=source_name)
    if strengths:
        curves = combined(curves, strengths)
    if frame_rate is not None:
        curves = resampled(curves, frame_rate)
    if name_map is not None:
        curves = read_name_map(name_map).apply(curves)
    deliver_curves(curves, out, name=wanted, options=options)


def import_file(
    source: Path, out: Path, *, name: str | None = None, frame_rate: float | None = None,
    name_map: Path | None = None,
) -> None:  # fmt: skip
    """Reads a performance captured or made elsewhere into curves with ARKit's names, and writes them to out."""
    wanted = format_for(out)
    curves, _ = read_curves(source, name=name)
    if name_map is not None:
        curves = read_name_map(name_map).apply(curves)
    curves = _with_arkit_names(curves)
    if frame_rate is not None:
        curves = resampled(curves, frame_rate)
    deliver_curves(curves, out, name=wanted, options=ExportOptions())


def validate_file(path: Path, *, name: str | None = None) -> int:
    """Prints what an engine would see in a file; 0 where nothing needs a look, 1 where something does."""
    from backend.export.validation import report_on

    report = report_on(path, name=name)
    for what, value in report.facts:
        print(f"{what:>13}: {value}")
    for warning in report.warnings:
        print(f"      warning: {warning}")
    return 1 if report.warnings else 0


def list_formats() -> None:
    """Prints every format with its suffixes, and whether it is written, read or both."""
    for name, item in FORMATS.items():
        ways = "/".join(way for way, has in (("write", item.writer), ("read", item.reader)) if has)
        print(f"{name:>16}  {' '.join(item.suffixes):<17} {ways:<10}  {item.summary}")


def deliver_curves(curves: AnimationCurves, out: Path, *, name: str, options: ExportOptions) -> None:
    """Writes curves to out, whole or not at all, and names the file."""
    with staged(out.parent) as folder:
        advice = write_curves(curves, folder / out.name, name=name, options=options)
    if advice:
        print(f"emorig: {advice}", file=sys.stderr)
    print(out)


def _with_arkit_names(curves: AnimationCurves) -> AnimationCurves:
    """The curves under ARKit's spellings. Raises InputError where none of them is an ARKit channel."""
    from blender_addon.protocol.types import ARKIT_NAMES

    names = canonical_names(curves.names)
    if not set(names) & set(ARKIT_NAMES):
        raise InputError(f"None of the channels ('{curves.names[0]}', …) is one of ARKit's 52: rename them with --map.")
    return replace(curves, names=names)
