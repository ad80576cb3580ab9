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


def selfdrive(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP…", help="Videos of one person who speaks.")],
    size: Size = 256,
    emotion: Annotated[str | None, typer.Option(help="Of all clips, 'happy:2'; by their names if not given.")] = None,
    networks: Annotated[Path | None, typer.Option(help="Folder of networks that 'train … --data' made.")] = None,
    takes: Annotated[
        Path | None, typer.Option(help="Folder of other takes under the clips' names: EAMM's emotion videos.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder of the clips' KEY.npy, for networks trained with --features.")
    ] = None,
    inception: Inception = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the table, JSON and the videos.")] = None,
) -> None:
    """Make clips again from their first frame, sound, tracked pose and labelled emotion, and compare with them."""
    from backend.evaluation.selfdrive_report import report

    missing = [clip for clip in clips if not clip.is_file()]
    if missing:
        raise InputError(f"No video at '{missing[0]}': give videos of people who speak.")
    check_size(size, None)
    report(
        clips, size=size, out=out, networks=networks, takes=takes, label=emotion, inception=inception,
        features=features,
    )  # fmt: skip


def table(
    out: Annotated[Path, typer.Option("--out", help="The report: FILE.md with its pictures beside it, or FILE.html.")],
    results: Annotated[
        list[Path] | None, typer.Argument(metavar="RESULT…", help="JSON of 'evaluate selfdrive' or 'evaluate video'.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Other EmoSpeaker weights than the shipped ones.")] = None,
    utterances: Annotated[int, typer.Option(help="Held-out recordings for the fine-grained matrix.")] = 3,
) -> None:
    """Put results in the form of the papers' tables, with the published rows beside ours, and draw the figures."""
    from backend.evaluation.tables import report

    if utterances < 1:
        raise InputError(f"The utterances should be at least 1, got {utterances}.")
    report(results or [], out, weights=weights, n_utterances=utterances)


def study(
    out: Annotated[Path, typer.Option("--out", help="Folder for key.json and ratings.csv; a begun study goes on.")],
    videos: Annotated[Path | None, typer.Option(help="Folder with METHOD/CLIP.mp4.")] = None,
    scales: Annotated[str, typer.Option(help="emospeaker (four marks) or eamm (three); both name the emotion.")] = (
        "emospeaker"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the order.")] = 0,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 chooses a free one.")] = 0,
    analyse: Annotated[bool, typer.Option("--analyse", help="Print the means of the ratings in --out.")] = False,
) -> None:
    """Let people rate videos on a page of this machine, blinded and shuffled; or analyse their ratings."""
    from backend.evaluation.study import Study, as_table
    from backend.evaluation.study import analyse as analysed
    from backend.evaluation.study_page import make_server

    if analyse:
        print(as_table(analysed(out)))
        return
    if videos is None:
        raise InputError("Give the folder of the videos by --videos, or --analyse.")
    server = make_server(Study(videos, out, scales=scales, seed=seed), port)
    print(f"http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends it; ratings lie in {out / 'ratings.csv'})")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def check_size(size: int, end: float | None) -> None:
    """Raises InputError for sizes and ends that cannot be measured."""
    if not 64 <= size <= 1024:
        raise InputError(f"The size should be between 64 and 1024 pixels, got {size}.")
    if end is not None and end <= 0.0:
        raise InputError(f"The end should be above 0 seconds, got {end:g}.")


def add_to(evaluate: typer.Typer) -> None:
    """Adds the verbs to 'emorig evaluate'."""
    for verb in (video, selfdrive, table, study):
        evaluate.command()(verb)
