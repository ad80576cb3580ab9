"""A picture of a performance: waveform, phones, emotion and curves over one time axis, as PNG or as one HTML page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from backend.delivery import staged
from backend.errors import InputError, OutputError
from backend.export.formats import read_curves
from blender_addon.protocol.types import AnimationCurves, Waveform

N_LIVELIEST = 10
ROW_INCHES, WIDTH_INCHES = 0.62, 14.0
SECONDS_PER_PAGE = 9.0  # a longer performance gets a wider picture, one page's width for each
MAX_WIDTH_INCHES = 200.0
INK, SOFT = "#22313f", "#9fb3c8"
FAINT_EMOTION = 0.15  # below, an emotion is only what another one shares with it
GROUPS = (
    ("jaw and lips", ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthPressLeft")),
    ("smile and frown", ("mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "cheekSquintLeft")),
    ("brows", ("browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight")),
    ("eyes", ("eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeSquintLeft")),
)


def plot_file(source: Path, out: Path, *, audio: Path | None, channels: tuple[str, ...]) -> None:
    """Draws a file's curves to .png, .svg or .html. Raises InputError."""
    if out.suffix.lower() not in (".png", ".svg", ".html"):
        raise OutputError(f"Cannot draw a '{out.suffix or out.name}': name a .png, .svg or .html file.")
    curves, _ = read_curves(source)
    for channel in channels:
        if channel not in curves.names:
            raise InputError(f"These curves have no channel '{channel}'.")
    waveform = None
    if audio is not None:
        from backend.audio.waveform import load_waveform

        waveform = load_waveform(audio)
    with staged(out.parent) as folder:
        (folder / out.name).write_bytes(draw(curves, out.suffix.lower(), waveform=waveform, channels=channels))
    print(out)


def draw(
    curves: AnimationCurves, suffix: str, *, waveform: Waveform | None = None, channels: tuple[str, ...] = ()
) -> bytes:
    """The picture's bytes as .png, .svg, or .html with the picture inside."""
    figure = _figure(curves, waveform, _groups(curves, channels))
    data = io.BytesIO()
    if suffix == ".png":
        figure.savefig(data, format="png", dpi=100)
        return data.getvalue()
    figure.savefig(data, format="svg")
    if suffix == ".svg":
        return data.getvalue()
    picture = base64.b64encode(data.getvalue()).decode("ascii")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>EmoRig curves</title>'
        "<style>body{margin:0;font:14px sans-serif;background:#fff}div{overflow-x:auto}</style>"
        f'<div><img alt="Curves over time" src="data:image/svg+xml;base64,{picture}"></div></html>\n'
    ).encode()


def _groups(curves: AnimationCurves, channels: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Titles and channels of the rows: the user's own, or the face's parts, or what moves most in foreign names."""
    if channels:
        return [(channel, (channel,)) for channel in channels]
    groups = [(title, tuple(n for n in names if n in curves.names)) for title, names in GROUPS]
    groups = [group for group in groups if group[1]]
    if groups:
        return groups
    liveliest = np.argsort(-np.ptp(curves.weights, axis=0))[:N_LIVELIEST]
    return [(curves.names[i], (curves.names[i],)) for i in liveliest]


def _figure(curves: AnimationCurves, waveform: Waveform | None, groups: list[tuple[str, tuple[str, ...]]]):
    """A matplotlib figure with one row per thing, all on the same seconds."""
    from matplotlib.figure import Figure

    duration = curves.n_frames / curves.frame_rate
    heights = [1.2] * (waveform is not None) + [0.5] * bool(curves.phones) + [1.0] * _has_emotion(curves)
    heights += [1.6] * len(groups) + [1.2]
    width = min(max(WIDTH_INCHES * duration / SECONDS_PER_PAGE, WIDTH_INCHES), MAX_WIDTH_INCHES)
    figure = Figure(figsize=(width, 1.0 + ROW_INCHES * sum(heights)), layout="constrained")
    rows = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    times = np.arange(curves.n_frames) / curves.frame_rate
    if waveform is not None:
        _draw_waveform(rows.pop(0), waveform)
    if curves.phones:
        _draw_phones(rows.pop(0), curves)
    if _has_emotion(curves):
        _draw_emotion(rows.pop(0), curves, times)
    for title, names in groups:
        row = rows.pop(0)
        for name in names:
            row.plot(times, curves.column(name), linewidth=1.2, label=name)
        _finish(row, title)
        row.set_ylim(-0.03, 1.05)
    row = rows.pop(0)
    for axis, angle in zip(("pitch", "yaw", "roll"), _head_degrees(curves).T):
        row.plot(times, angle, linewidth=1.2, label=axis)
    _finish(row, "head, degrees")
    row.set_xlim(0, max(duration, 1e-3))
    row.set_xlabel("seconds")
    return figure


def _has_emotion(curves: AnimationCurves) -> bool:
    return "emotion" in curves.layers and bool(np.abs(curves.layers["emotion"]).max(initial=0.0) > 1e-3)


def _finish(row, title: str) -> None:
    row.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    row.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False, borderaxespad=0.2)
    row.grid(alpha=0.25)
    row.spines[["top", "right"]].set_visible(False)
    row.tick_params(labelsize=8)


def _draw_waveform(row, waveform: Waveform) -> None:
    step = max(len(waveform.samples) // 6000, 1)
    usable = waveform.samples[: len(waveform.samples) // step * step].reshape(-1, step)
    times = np.arange(len(usable)) * step / waveform.sample_rate
    row.fill_between(times, usable.min(1), usable.max(1), color=SOFT, linewidth=0)
    row.set_yticks([])
    row.set_ylabel("sound", rotation=0, ha="right", va="center", fontsize=9, color=INK)
    row.spines[["top", "right", "left"]].set_visible(False)


def _draw_phones(row, curves: AnimationCurves) -> None:
    for index, phone in enumerate(curves.phones):
        silent = phone.label == "sil"
        row.axvspan(phone.start, phone.end, color="#ffffff" if silent else "#e8eef4", linewidth=0)
        row.axvline(phone.start, color=SOFT, linewidth=0.5)
        if not silent:
            middle = 0.5 * (phone.start + phone.end)
            row.text(
                middle,
                0.7 if index % 2 else 0.3,
                phone.label,
                ha="center",
                va="center",
                fontsize=6,
                clip_on=True,
                color=INK,
            )
    row.set_ylim(0, 1)
    row.set_yticks([])
    row.set_ylabel("phones", rotation=0, ha="right", va="center", fontsize=9, color=INK)
    row.spines[["top", "right", "left"]].set_visible(False)


def _draw_emotion(row, curves: AnimationCurves, times: np.ndarray) -> None:
    from backend.curves.solve import emotion_amounts

    for name, amount in emotion_amounts(curves).items():
        if amount.max(initial=0.0) > FAINT_EMOTION:
            row.fill_between(times, 0, amount, alpha=0.35, linewidth=0, label=name)
    _finish(row, "emotion")
    row.set_ylim(0, 1.05)


def _head_degrees(curves: AnimationCurves) -> np.ndarray:
    from backend.export.angles import LIVE_LINK_DEGREES

    return LIVE_LINK_DEGREES.angles(curves.head_rotation)
