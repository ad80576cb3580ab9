"""The table of 'emorig evaluate video': a row per video, their mean, and what could not be measured and why."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from backend.checkpoints.store import MissingWeightsError
from backend.datasets.layouts import named_clip
from backend.errors import InputError
from backend.evaluation.frechet import WEIGHTS as INCEPTION_WEIGHTS
from backend.evaluation.frechet import Gaussian, InceptionFeatures, frechet_distance
from backend.evaluation.sound_sync import SoundSync
from backend.evaluation.video import VideoScores, compare_videos, paired_videos, see_video
from backend.native_logs import held_back

COLUMNS = {
    "psnr": ("PSNR dB", "{:.2f}"), "ssim": ("SSIM", "{:.3f}"), "cpbd": ("CPBD", "{:.3f}"),
    "mouth_lmd": ("M-LMD px", "{:.2f}"), "face_lmd": ("F-LMD px", "{:.2f}"), "jitter": ("jitter px", "{:.2f}"),
    "identity": ("identity", "{:.3f}"), "unit_error": ("AU error", "{:.3f}"),
    "lip_offset": ("lips offset s", "{:+.2f}"), "lip_correlation": ("lips r", "{:.2f}"),
    "sync_distance": ("SyncNet distance", "{:.2f}"), "sync_confidence": ("confidence", "{:.2f}"),
    "sync_offset": ("offset frames", "{:+.1f}"), "emotion_accuracy": ("emotion by AU", "{:.2f}"),
}  # fmt: skip
SOURCES = (
    "PSNR, SSIM (Wang et al. 2004) over whole frames; CPBD (Narvekar & Karam 2011); M-LMD of 20 mouth and F-LMD of 68 "
    "face points (Chen et al. 2019; EAMM §4.1) in pixels of this size; jitter: mean second difference of aligned "
    "landmarks; identity: cosine of the face model's fitted identities; AU error and emotion by action units measured "
    "from landmarks (EmoSpeaker's Tables I and II); lips: our speech network's lips against the tracked ones; SyncNet "
    "(Chung & Zisserman 2016); FID (Heusel et al. 2017)."
)
MEAN = "mean"


def public_networks(inception: Path | None) -> tuple[InceptionFeatures | None, SoundSync | None, list[str]]:
    """Inception's features and SyncNet as far as their weights are here, and a note for each that is not measured."""
    features = None if inception is None else InceptionFeatures(inception)
    notes, sync = [], None
    try:
        sync = SoundSync.installed()
    except MissingWeightsError:
        notes.append("SyncNet was not measured: its weights are not here ('emorig weights fetch syncnet').")
    if features is None:
        notes.append(f"FID was not measured: give the public weights {INCEPTION_WEIGHTS} by --inception.")
    return features, sync, notes


def measure_folders(
    real: Path, fake: Path, *, size: int, inception: Path | None = None, end: float | None = None, progress=None
) -> dict:
    """Measures all pairs of two folders: a document with rows, mean, fid, notes and what was passed over.

    The wanted emotion is read from MEAD's or CREMA-D's names. Raises InputError where nothing can be measured.
    """
    pairs = paired_videos(real, fake)
    features, sync, notes = public_networks(inception)
    seen = [Gaussian(features.n_features) for _ in range(2)] if features is not None else []
    rows: dict[str, VideoScores] = {}
    passed_over: dict[str, str] = {}
    for number, (true, made) in enumerate(pairs):
        try:
            with held_back():
                original = see_video(true, size=size, end=end)
                generated = see_video(made, size=size, shape=original.frames.shape[1:3], end=end)
                name = made.parent.name if made.stem == "video" else made.stem
                rows[name] = compare_videos(original, generated, emotion=named_clip(true).emotion, sync=sync)
            for gaussian, video in zip(seen, (original, generated)):
                gaussian.add(features(video.frames))
        except InputError as error:
            passed_over[made.name] = str(error)
        if progress is not None:
            progress(number + 1, len(pairs))
    if not rows:
        raise InputError(f"No video could be measured; the first reason: {next(iter(passed_over.values()))}")
    fid = frechet_distance(*seen) if seen and min(g.count for g in seen) > 1 else None
    return {
        "format": "emorig-evaluation", "version": 1, "size": size, "rows": {k: asdict(v) for k, v in rows.items()},
        "mean": mean_scores(list(rows.values())), "fid": fid, "notes": notes, "passed_over": passed_over,
    }  # fmt: skip


def mean_scores(rows: list[VideoScores]) -> dict[str, float | None]:
    """The mean of every measure over the videos that have it."""
    means: dict[str, float | None] = {}
    for field in fields(VideoScores):
        if field.name == "units":
            continue
        known = [value for row in rows if (value := getattr(row, field.name)) is not None]
        means[field.name] = float(np.mean(known)) if known else None
    return means


def markdown(document: dict) -> str:
    """The document as Markdown."""
    columns = [name for name in COLUMNS if document["mean"].get(name) is not None]
    lines = [
        f"{counted(len(document['rows']), 'video')}, shorter side {document['size']} pixels, 25 frames per second.", "",
        _row(["video", *(COLUMNS[name][0] for name in columns)]), _row(["---"] * (len(columns) + 1)),
    ]  # fmt: skip
    for name, scores in (*document["rows"].items(), (MEAN, document["mean"])):
        cells = ["" if scores[c] is None else COLUMNS[c][1].format(scores[c]) for c in columns]
        lines.append(_row([name, *cells]))
    real = document["mean"]
    lines += ["", f"Real videos: CPBD {real['real_cpbd']:.3f}, jitter {real['real_jitter']:.2f} px."]
    if document["fid"] is not None:
        lines.append(f"FID {document['fid']:.2f}.")
    lines += [f"Note: {note}" for note in document["notes"]]
    lines += [f"Passed over: {name}: {reason}" for name, reason in document["passed_over"].items()]
    return "\n".join([*lines, "", SOURCES])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def report(
    real: Path, fake: Path, *, size: int, out: Path | None, inception: Path | None = None, end: float | None = None
) -> None:
    """Measures and prints; out: FILE.md, beside which FILE.json is written. Raises InputError."""
    from backend.commands.console import progress_bar

    if out is not None and out.suffix != ".md":
        raise InputError(f"The table should be a .md file, got '{out.name}'.")
    with progress_bar("videos") as step:
        document = measure_folders(real, fake, size=size, inception=inception, end=end, progress=step)
    text = markdown(document)
    print(text)
    if out is not None:
        write_text(out, text)
        write_text(out.with_suffix(".json"), json.dumps(document, indent=1))


def counted(n: int, noun: str) -> str:
    """A number with its noun: 1 clip, 2 clips."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def write_text(path: Path, text: str) -> None:
    """Writes a text under a temporary name, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
