"""The table of a reenactment: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.evaluation.clips import load_clip
from backend.evaluation.reenactment import BARE, REAL, RENDERED, STILL, Scores, evaluate_clip
from backend.native_logs import held_back

HEADINGS = {
    "mouth_error": ("mouth error", "{:.2f}"),
    "psnr": ("PSNR dB", "{:.2f}"),
    "ssim": ("SSIM", "{:.3f}"),
    "mouth_lmd": ("M-LMD px", "{:.2f}"),
    "face_lmd": ("F-LMD px", "{:.2f}"),
    "expression_lmd": ("F-LMD aligned px", "{:.2f}"),
    "cpbd": ("CPBD", "{:.3f}"),
    "jitter": ("jitter px", "{:.2f}"),
}
MEAN = "mean"

Table = dict[str, dict[str, Scores]]  # clip → what was measured → scores


def report(
    clips: list[Path],
    *,
    size: int,
    end: float | None = None,
    out: Path | None = None,
    refiner: Path | None = None,
    device: str = "cpu",
) -> None:
    """Evaluates the clips up to end (s) and prints the table; out: FILE.md, beside which FILE.json is written.

    refiner: weights in place of the shipped refiner's, on a device as load_refiner takes it.

    Raises InputError for clips that cannot be tracked, weights that cannot be read and another suffix.
    """
    from backend.commands.console import progress_bar
    from backend.portrait.refiner_network import load_refiner, shipped_refiner

    if out is not None and out.suffix != ".md":
        raise InputError(f"The table should be a .md file, got '{out.name}'.")
    network = shipped_refiner(device) if refiner is None else load_refiner(refiner, device=device)
    table: Table = {}
    with progress_bar("pictures") as step:
        done, total = 0, 6 * len(clips)

        def progress() -> None:
            nonlocal done
            done += 1
            step(done, total)

        for path in clips:
            with held_back():
                clip = load_clip(path, size, end=end)
                progress()
                table[clip.name] = evaluate_clip(clip, progress, refiner=network)
    text = markdown(table, size)
    print(text)
    if out is not None:
        _write(out, text)
        _write(out.with_suffix(".json"), json.dumps(as_document(table, size), indent=1))


def with_mean(table: Table) -> Table:
    """The table with the mean over its clips as a further row."""
    kinds = next(iter(table.values()))
    mean = {
        kind: Scores(*(float(np.mean([getattr(row[kind], f.name) for row in table.values()])) for f in fields(Scores)))
        for kind in kinds
    }
    return {**table, MEAN: mean}


def reach(row: dict[str, Scores]) -> dict[str, tuple[float, str, bool]]:
    """What is asked of the renderer beside the baselines: value, what it should be, and whether it is."""
    made, still, bare = row[RENDERED], row[STILL], row[BARE]
    asked = {
        "mouth error over the still photo's": (made.mouth_error / still.mouth_error, "<= 0.70"),
        "mouth error over the bare warp's": (made.mouth_error / bare.mouth_error, "< 1.00"),
        "M-LMD over the still photo's": (made.mouth_lmd / still.mouth_lmd, "<= 0.50"),
        "F-LMD over the still photo's": (made.face_lmd / still.face_lmd, "<= 0.50"),
        "PSNR above the still photo's, dB": (made.psnr - still.psnr, ">= 2.00"),
        "SSIM above the still photo's": (made.ssim - still.ssim, ">= 0.03"),
        "CPBD off the still photo's": (abs(made.cpbd / max(still.cpbd, 1e-9) - 1.0), "<= 0.10"),
    }
    return {name: (value, wanted, _holds(value, wanted)) for name, (value, wanted) in asked.items()}


def _holds(value: float, wanted: str) -> bool:
    sign, border = wanted.split()
    limit = float(border)
    return {"<=": value <= limit, "<": value < limit, ">=": value >= limit}[sign]


def markdown(table: Table, size: int) -> str:
    """The table as Markdown: a row per clip and picture, and what is asked of the mean."""
    head = ["clip", "", *(heading for heading, _ in HEADINGS.values())]
    lines = [f"Faces at {size} × {size} pixels.", "", _row(head), _row(["---"] * len(head))]
    whole = with_mean(table)
    for clip, kinds in whole.items():
        for kind, scores in kinds.items():
            lines.append(_row([clip, kind, *_cells(kind, scores)]))
    lines += ["", _row(["reach, on the mean", "measured", "asked", ""]), _row(["---"] * 4)]
    for name, (value, wanted, holds) in reach(whole[MEAN]).items():
        lines.append(_row([name, f"{value:.3f}", wanted, "reached" if holds else "missed"]))
    return "\n".join(lines)


def _cells(kind: str, scores: Scores) -> list[str]:
    """The real clip beside itself has only a sharpness and a jitter."""
    shown = {"cpbd", "jitter"} if kind == REAL else set(HEADINGS)
    return [form.format(getattr(scores, name)) if name in shown else "" for name, (_, form) in HEADINGS.items()]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def as_document(table: Table, size: int) -> dict:
    """The table for programs; what is infinite is left out."""
    clips = {
        clip: {kind: {k: v for k, v in asdict(scores).items() if np.isfinite(v)} for kind, scores in kinds.items()}
        for clip, kinds in with_mean(table).items()
    }
    asked = {
        name: {"measured": value, "asked": wanted, "reached": holds}
        for name, (value, wanted, holds) in reach(with_mean(table)[MEAN]).items()
    }
    return {"format": "emorig-reenactment", "version": 1, "size": size, "clips": clips, "reach": asked}


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
