"""The command line's verbs that judge generated videos as the papers do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.errors import InputError

Inception = Annotated[Path | None, typer.Option(help="Public Inception weights (pt_inception-2015-12-05) for FID.")]
Size = Annotated[int, typer.Option(help="Shorter side in pixels at which both are compared.")]
End = Annotated[float | None, typer.Option(help="Seconds of each video from its start; all by default.")]


def video(
    real: Annotated[Path, typer.Option("--real", help="Folder of the real videos.")],
    fake: Annotated[Path, typer.Option("--fake", help="Folder of the generated ones, of the same names.")],
    size: Size = 256,
    end: End = None,
    inception: Inception = None,
    out: Annotated[Path | None, typer.Option("--out", help="FILE.md for the table; FILE.json is written too.")] = None,
) -> None:
    """Compare generated videos with real ones: the papers' measures of pictures, lips, sound, emotion and identity."""
    from backend.evaluation.video_report import report

    check_size(size, end)
    report(real, fake, size=size, out=out, inception=inception, end=end)


def check_size(size: int, end: float | None) -> None:
    """Raises InputError for sizes and ends that cannot be measured."""
    if not 64 <= size <= 1024:
        raise InputError(f"The size should be between 64 and 1024 pixels, got {size}.")
    if end is not None and end <= 0.0:
        raise InputError(f"The end should be above 0 seconds, got {end:g}.")


def add_to(evaluate: typer.Typer) -> None:
    """Adds the verbs to 'emorig evaluate'."""
    for verb in (video,):
        evaluate.command()(verb)
