"""The report of a batch: HTML pages with thumbnails, the sound against the lips, and what a person should look at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from backend.batch.ledger import DONE, Entry
from backend.batch.shot import REVIEW, THUMBNAILS
from backend.errors import OutputError

JOBS_PER_PAGE = 250
WIDTH, HEIGHT = 560, 84  # of a plot, pixels
WIDEST_MM = 20.0  # lip aperture at the plot's upper edge

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem;
       background: #fbfbfa; color: #1d1d1f }
h1 { font-size: 1.35rem; margin: 0 0 .3rem } nav a { margin-right: .8rem }
.sum { color: #555; margin-bottom: 1.6rem }
.job { display: grid; grid-template-columns: minmax(0, 1fr) 580px; gap: .4rem 1.4rem; padding: 1rem 0;
       border-top: 1px solid #ddd }
.job h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere } .job img { max-width: 100%; border-radius: 4px }
.state { font-weight: 600; padding: .05rem .5rem; border-radius: 9px; font-size: .8rem; margin-left: .5rem }
.done { background: #dcefe0; color: #1b5e2a } .failed, .refused { background: #f7dada; color: #8c1d1d }
.flag { color: #9a5b00; margin: .15rem 0 } .flag::before { content: "⚑ " } .reason { color: #8c1d1d }
.small { color: #777; font-size: .8rem } svg { background: #fff; border: 1px solid #e3e3e3; border-radius: 4px }
@media (prefers-color-scheme: dark) { body { background: #17181a; color: #e4e4e4 } .sum, .small { color: #9a9a9a }
  .job { border-color: #333 } svg { background: #1f2023; border-color: #333 } a { color: #8ab4ff } }
@media (max-width: 900px) { .job { grid-template-columns: 1fr } }
"""


def write_report(folder: Path, entries: Sequence[Entry], *, root: Path) -> tuple[Path, ...]:
    """Writes report.html and further pages into folder, what needs a look first. root: where the jobs' folders lie.

    Raises OutputError.
    """
    ordered = sorted(entries, key=lambda entry: (entry.state == DONE, not entry.flags, entry.index))
    pieces = [ordered[i : i + JOBS_PER_PAGE] for i in range(0, len(ordered), JOBS_PER_PAGE)] or [[]]
    paths = tuple(folder / _page_name(number) for number in range(len(pieces)))
    try:
        for number, (path, piece) in enumerate(zip(paths, pieces)):
            partial = path.with_name(f".{path.name}.part")
            partial.write_text("".join(_page(piece, entries, number, len(pieces), root)), encoding="utf-8")
            os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"The report cannot be written to '{folder}' ({error.strerror}).") from error
    return paths


def _page_name(number: int) -> str:
    return "report.html" if number == 0 else f"report-{number + 1}.html"


def _page(piece: Sequence[Entry], entries: Sequence[Entry], number: int, n_pages: int, root: Path) -> Iterator[str]:
    done = sum(entry.state == DONE for entry in entries)
    flagged = sum(bool(entry.flags) for entry in entries)
    seconds = sum(entry.seconds for entry in entries)
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    yield f"<title>Batch: {done} of {len(entries)} done</title><style>{STYLE}</style>"
    yield f"<h1>{done} of {len(entries)} shots done, {flagged} to look at</h1>"
    yield (
        f'<p class="sum">{len(entries) - done} failed or refused · {seconds / 60:.1f} minutes of work · grey: the '
        f"sound's loudness · blue: the lips' opening, 0–{WIDEST_MM:.0f} mm · red: p, b or m with open lips</p>"
    )
    if n_pages > 1:
        links = (f'<a href="{_page_name(i)}">{i + 1}</a>' for i in range(n_pages))
        yield f"<nav>{''.join(links)}</nav>"
    for entry in piece:
        yield from _job(entry, root / entry.name, root)


def _job(entry: Entry, folder: Path, root: Path) -> Iterator[str]:
    name = escape(entry.name)
    yield f'<section class="job"><div><h2>{name}<span class="state {entry.state}">{entry.state}</span></h2>'
    if entry.reason:
        yield f'<p class="reason">{escape(entry.reason)}</p>'
    for flag in entry.flags:
        yield f'<p class="flag">{escape(flag)}</p>'
    review = _review(folder) if entry.state == DONE else {}
    for notice in review.get("notices", ()):
        yield f'<p class="small">{escape(str(notice))}</p>'
    link = quote(os.path.relpath(folder, root))
    if "video.mp4" in entry.files:
        yield f'<p><a href="{link}/video.mp4">video.mp4</a> · <a href="{link}/">files</a></p>'
    made = f"same as {escape(entry.source)}" if entry.source else f"{entry.seconds:.1f} s on {escape(entry.worker)}"
    if entry.state == DONE:
        yield f'<p class="small">job {entry.index} · {made}</p>'
    yield "</div><div>"
    if THUMBNAILS in entry.files:
        yield f'<img src="{link}/{THUMBNAILS}" alt="frames of {name}" loading="lazy">'
    if review:
        yield _plot(review)
    yield "</div></section>\n"


def _review(folder: Path) -> dict:
    try:
        record = json.loads((folder / REVIEW).read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}
    except (OSError, ValueError):
        return {}


def _plot(review: dict) -> str:
    """The sound's loudness, the lips' opening and the bilabials that stayed open, as one SVG."""
    aperture, loudness, rate = review["aperture_mm"], review["loudness"], review["frame_rate"]
    n_frames = max(len(aperture), 2)

    def x(frame: float) -> float:
        return round(frame / (n_frames - 1) * WIDTH, 1)

    def y(share: float) -> float:
        return round(HEIGHT * (1 - min(max(share, 0.0), 1.0)), 1)

    area = " ".join(f"{x(i)},{y(v)}" for i, v in enumerate(loudness))
    line = " ".join(f"{x(i)},{y(v / WIDEST_MM)}" for i, v in enumerate(aperture))
    marks = "".join(
        f'<line x1="{x(time * rate)}" x2="{x(time * rate)}" y1="0" y2="{HEIGHT}" stroke="#d33" stroke-width="1.5"/>'
        for time in review["open_bilabials"]
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="loudness and lip opening"><polygon points="0,{HEIGHT} {area} {WIDTH},{HEIGHT}" fill="#9a9aa2" '
        f'opacity=".4"/>{marks}<polyline points="{line}" fill="none" stroke="#2f6fdf" stroke-width="1.5"/></svg>'
    )
