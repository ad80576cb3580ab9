"""'emorig evaluate table': what was measured in the form of the papers' tables, their rows beside ours and marked,
with the fine-grained matrix and action units over intensity as pictures.
"""

from __future__ import annotations

import base64
import html
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.evaluation.published_tables import MATRIX, OURS, TABLES, WINDOWS, PublishedTable
from backend.evaluation.selfdrive_report import FORMAT as SELFDRIVE
from backend.evaluation.video_report import COLUMNS, SOURCES, counted, write_text
from bfm.facs import EMOTION_AUS

HEADINGS = {"fid": ("FID", "{:.2f}"), **COLUMNS}
FRAME_RATE = 25.0  # Hz
PANELS_ACROSS = 4
PUBLISHED, MEASURED = "published", "measured here"


@dataclass(frozen=True)
class Block:
    """A part of the report: heading, rows of cells with the header first, a remark, and a picture (PNG) or none."""

    heading: str
    rows: tuple[tuple[str, ...], ...]
    remark: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Measured:
    """Means by method, and where they come from."""

    means: dict[str, dict[str, float | None]]
    test_set: str


def read_measured(paths: list[Path]) -> Measured:
    """The means of documents of 'evaluate selfdrive' and 'evaluate video'. Raises InputError for other files."""
    means: dict[str, dict[str, float | None]] = {}
    clips: list[str] = []
    for path in paths:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] == SELFDRIVE:
                for name, entry in document["methods"].items():
                    means[name] = {**entry["mean"], "fid": entry["fid"]}
                clips += document["clips"]
            elif document["format"] == "emorig-evaluation":
                means[path.stem] = {**document["mean"], "fid": document["fid"]}
                clips += list(document["rows"])
            else:
                raise KeyError("format")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"'{path}' is no result ({error}): give the .json of 'evaluate selfdrive' or 'evaluate video'."
            ) from error
    return Measured(means, f"{counted(len(set(clips)), 'clip')}: {', '.join(sorted(set(clips)))}")


def comparison(table: PublishedTable, wanted: tuple[str, ...], measured: Measured) -> Block:
    """A paper's table with our rows that answer it below the published ones."""
    head = ("method", *(HEADINGS[name][0] for name in table.columns), "test set", "")
    rows = [head]
    for name, values in table.rows.items():
        cells = ("" if v is None else HEADINGS[c][1].format(v) for c, v in zip(table.columns, values, strict=True))
        rows.append((name, *cells, table.test_set, PUBLISHED))
    for name, mean in measured.means.items():
        if not any(name.startswith(w[:-1]) if w.endswith("*") else name == w for w in wanted):
            continue
        cells = ("" if mean.get(c) is None else HEADINGS[c][1].format(mean[c]) for c in table.columns)
        rows.append((name, *cells, measured.test_set, MEASURED))
    remark = "Published rows are the paper's own, on its own test set and network: context, not a comparison."
    return Block(f"{table.paper}, {table.name}", tuple(rows), remark)


def matrix_block(matrices: dict[str, np.ndarray]) -> Block:
    """The fine-grained matrix: published recognition probabilities, and the strength of our action units (3, 5)."""
    rows = [("emotion and level", *(f"FL {window}" for window in WINDOWS), "what", "")]
    for label, cells in MATRIX.items():
        for level, values in enumerate(cells, start=1):
            rows.append((f"{label} {level}", *(f"{v:.3f}" for v in values), "recognition probability", PUBLISHED))
    for label, matrix in matrices.items():
        for level, values in enumerate(matrix, start=1):
            rows.append((f"{label} {level}", *(f"{v:.3f}" for v in values), "mean action units", MEASURED))
    remark = "Both should grow down and to the right; they measure different things."
    return Block("EmoSpeaker, Table VII and Figure 9", tuple(rows), remark, heat_maps(matrices))


def units_block(grown: dict[str, tuple[tuple[str, ...], np.ndarray]], intensities: np.ndarray) -> Block:
    """Each emotion's action units (n_intensities, n_units) over intensity, as in Figure 8."""
    rows = [("emotion", "unit", *(f"P {p:.2g}" for p in intensities))]
    for label, (names, values) in grown.items():
        rows += [(label, unit, *(f"{v:.2f}" for v in column)) for unit, column in zip(names, values.T, strict=True)]
    return Block(
        "EmoSpeaker, Figure 8",
        tuple(rows),
        "Mean intensity of the units, 1 at full intensity; at P = 1 some go beyond.",
        unit_bars(grown, intensities),
    )


def heat_maps(matrices: dict[str, np.ndarray]) -> bytes:
    """A heat map per emotion, as a PNG."""
    figure, rows, columns = _panels(len(matrices))
    most = max(float(matrix.max()) for matrix in matrices.values())
    for place, (label, matrix) in enumerate(matrices.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.imshow(matrix, cmap="viridis", vmin=0.0, vmax=most, aspect="auto")
        axes.set_title(label, fontsize=9)
        axes.set_xticks(range(len(WINDOWS)), [str(w) for w in WINDOWS], fontsize=7)
        axes.set_yticks(range(3), ["1", "2", "3"], fontsize=7)
        for (row, column), value in np.ndenumerate(matrix):
            color = "black" if value > 0.6 * most else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=color)
        if place == 1:
            axes.set_ylabel("level", fontsize=8)
        axes.set_xlabel("window, frames", fontsize=8)
    return _png(figure)


def unit_bars(grown: dict[str, tuple[tuple[str, ...], np.ndarray]], intensities: np.ndarray) -> bytes:
    """Bars of every unit at every intensity, an emotion per panel, as a PNG."""
    figure, rows, columns = _panels(len(grown))
    for place, (label, (names, values)) in enumerate(grown.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        width = 0.8 / len(intensities)
        for step, strength in enumerate(intensities):
            at = np.arange(len(names)) + (step - (len(intensities) - 1) / 2) * width
            axes.bar(at, values[step], width, color=str(0.85 - 0.75 * step / max(1, len(intensities) - 1)),
                     label=f"{strength:.2g}")  # fmt: skip
        axes.set_title(label, fontsize=9)
        axes.set_xticks(range(len(names)), names, fontsize=6, rotation=60)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_ylim(0.0, max(1.0, float(max(v.max() for _, v in grown.values()))))
        if place == 1:
            axes.set_ylabel("intensity of the unit", fontsize=8)
            axes.legend(title="P", fontsize=6, title_fontsize=7)
    return _png(figure)


def _panels(n: int):
    """A figure for n panels, and its rows and columns."""
    from matplotlib.figure import Figure

    columns = min(n, PANELS_ACROSS)
    rows = -(-n // columns)
    return Figure(figsize=(2.6 * columns + 0.6, 2.6 * rows), layout="constrained"), rows, columns


def _png(figure) -> bytes:
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=130)
    return packed.getvalue()


def emotion_blocks(weights: Path | None, n_utterances: int) -> list[Block]:
    """Matrix and units of EmoNet's weights over the sentence that the package ships, or held-out recordings."""
    from backend.evaluation.emotion import growth
    from backend.inference.emospeaker import CoefficientNetworks, FaceSpeaker
    from backend.inference.fine_grained import measure_matrix

    networks = CoefficientNetworks(weights)
    contents = [FaceSpeaker(networks=networks).articulate(w, FRAME_RATE).content for w in _utterances(n_utterances)]
    matrices = {label: measure_matrix(networks, contents, label) for label in networks.path.cells}
    picked = np.array([0, 2, 5, 7, 10])
    grown = {
        label: (tuple(f"AU{unit}" for unit in EMOTION_AUS[label]), growth(networks.path, matrix, label)[picked])
        for label, matrix in matrices.items()
    }
    return [
        matrix_block({label: matrix.mean(-1) for label, matrix in matrices.items()}),
        units_block(grown, picked / 10.0),
    ]


def _utterances(n: int):
    from backend.audio.waveform import load_waveform
    from backend.evaluation.recordings import russian

    recordings = [recording.waveform for recording in russian(n)]
    return recordings or [load_waveform(Path(__file__).resolve().parents[1] / "media" / "sentence.flac")]


def as_markdown(blocks: list[Block], folder: Path) -> str:
    """The report as Markdown, its pictures written into folder."""
    lines = ["# Beside the papers' tables", ""]
    for number, block in enumerate(blocks, start=1):
        lines += [f"## {block.heading}", ""]
        head, *rows = block.rows
        lines += ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
        lines += ["", block.remark, ""]
        if block.picture is not None:
            name = f"figure_{number}.png"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(block.picture)
            lines += [f"![{block.heading}]({name})", ""]
    return "\n".join([*lines, SOURCES])


def as_html(blocks: list[Block]) -> str:
    """The report as one page that needs no other file."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Beside the papers' tables</title><style>",
        "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}",
        "table{border-collapse:collapse;font-size:13px}td,th{border:1px solid #bbb;padding:.2em .5em;text-align:right}",
        "td:first-child,th:first-child{text-align:left}tr.published{color:#666;background:#f3f3f3}img{max-width:100%}",
        "</style><h1>Beside the papers' tables</h1>",
    ]
    for block in blocks:
        parts.append(f"<h2>{html.escape(block.heading)}</h2><table>")
        for number, row in enumerate(block.rows):
            tag = "th" if number == 0 else "td"
            kind = ' class="published"' if row[-1] == PUBLISHED else ""
            parts.append(f"<tr{kind}>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
        parts.append(f"</table><p>{html.escape(block.remark)}</p>")
        if block.picture is not None:
            code = base64.b64encode(block.picture).decode()
            parts.append(f'<img alt="{html.escape(block.heading)}" src="data:image/png;base64,{code}">')
    return "".join([*parts, f"<p><small>{html.escape(SOURCES)}</small></p></html>"])


def report(results: list[Path], out: Path, *, weights: Path | None = None, n_utterances: int = 3) -> None:
    """Writes the report to out, .md or .html. Raises InputError for another suffix or results that cannot be read."""
    if out.suffix not in (".md", ".html"):
        raise InputError(f"The report should be a .md or .html file, got '{out.name}'.")
    measured = read_measured(results)
    blocks = [comparison(table, OURS[name], measured) for name, table in TABLES.items()]
    blocks += emotion_blocks(weights, n_utterances)
    write_text(out, as_markdown(blocks, out.parent) if out.suffix == ".md" else as_html(blocks))
    print(out)
