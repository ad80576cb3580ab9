"""'emorig evaluate selfdrive': every method on every clip, their means as Markdown and JSON, and the videos."""

from __future__ import annotations

import io
import json
import wave
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backend.audio.waveform import load_sound
from backend.datasets.clip import PreparedClip
from backend.datasets.layouts import VIDEO_SUFFIXES, ClipFile
from backend.datasets.measuring import Measuring, prepare_clip, shifted
from backend.errors import InputError
from backend.evaluation.frechet import Gaussian, frechet_distance
from backend.evaluation.selfdrive import drive_clip, labelled_file, load_driven, warp_methods
from backend.evaluation.video import FRAME_RATE, VideoScores
from backend.evaluation.video_report import COLUMNS, SOURCES, counted, mean_scores, public_networks, write_text
from backend.native_logs import held_back
from backend.video import VIDEO_SAMPLE_RATE

FORMAT = "emorig-selfdrive"
REAL = "real"  # the folder of the clips themselves, cut as those made are


def measure_clips(
    clips: list[Path],
    *,
    size: int,
    networks: Path | None = None,
    takes: Path | None = None,
    label: str | None = None,
    inception: Path | None = None,
    heard: Path | None = None,
    videos: Path | None = None,
    progress=None,
) -> dict:
    """Measures all methods on the clips: a document with rows by method and clip, means, notes and passed-over clips.

    takes: a folder with other takes under the clips' names, whose pictures give EAMM the emotion, with sound or
    without. heard: a folder with KEY.npy of the features that another program makes of the clips' sound. videos: a
    folder for METHOD/CLIP.mp4. Raises InputError where nothing can be measured.
    """
    from backend.evaluation.selfdrive_networks import FEATURES_FILE, FEATURES_ROW, trained_methods

    methods = warp_methods(size)
    if networks is not None:
        methods |= trained_methods(networks, size, takes=_takes(clips, takes, size), features=heard)
    features, sync, notes = public_networks(inception)
    if networks is not None and heard is None and (networks / FEATURES_FILE).is_file():
        notes.append(f"'{FEATURES_ROW}' was not measured: give the clips' features by --features.")
    rows: dict[str, dict[str, VideoScores]] = {name: {} for name in methods}
    seen: dict[str, Gaussian] = {}
    passed_over: dict[str, str] = {}
    for number, path in enumerate(clips):
        file = labelled_file(path, label)
        try:
            with held_back():
                clip = load_driven(path, size=size, label=label)
        except InputError as error:
            passed_over[path.name] = str(error)
            continue
        if features is not None:
            seen.setdefault("real", Gaussian(features.n_features)).add(features(clip.real.frames))
        sound = b""
        if videos is not None:
            sound = sound_in_step(file.sound or path, clip.prepared.label.offset, len(clip.real.frames) / FRAME_RATE)
            _write_video(videos / REAL / f"{file.key}.mp4", clip.real.frames, sound)
        for name, scores, frames in drive_clip(clip, methods, sync=sync):
            if isinstance(scores, str):
                passed_over[f"{path.name}, {name}"] = scores
            else:
                rows[name][file.key] = scores
            if features is not None and frames is not None:
                seen.setdefault(name, Gaussian(features.n_features)).add(features(frames))
            if videos is not None and frames is not None:
                _write_video(videos / _file_name(name) / f"{file.key}.mp4", frames, sound)
        if progress is not None:
            progress(number + 1, len(clips))
    rows = {name: scores for name, scores in rows.items() if scores}
    if not rows:
        raise InputError(f"No clip could be measured; the first reason: {next(iter(passed_over.values()))}")
    fids = {name: frechet_distance(seen["real"], seen[name]) for name in rows if name in seen}
    return {
        "format": FORMAT, "version": 1, "size": size,
        "clips": sorted({clip for scores in rows.values() for clip in scores}),
        "methods": {
            name: {
                "mean": mean_scores(list(scores.values())), "fid": fids.get(name),
                "rows": {clip: asdict(value) for clip, value in scores.items()},
            }
            for name, scores in rows.items()
        },
        "notes": notes, "passed_over": passed_over,
    }  # fmt: skip


def _takes(clips: list[Path], folder: Path | None, size: int) -> dict[str, PreparedClip]:
    """Another take for every clip's key that the folder has one for. Raises InputError where none is there."""
    if folder is None:
        return {}
    found = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in VIDEO_SUFFIXES}
    chosen = {path: found[path.stem] for path in clips if path.stem in found}
    if not chosen:
        raise InputError(f"No take in '{folder}' has the name of a clip: name them alike.")
    with held_back():
        return {
            labelled_file(path, None).key: prepare_clip(
                ClipFile(take.stem, take, take.stem, None, 0), "test", Measuring(FRAME_RATE, size, keeps_silent=True)
            )
            for path, take in chosen.items()
        }


def _file_name(method: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in method).strip("_")


def _write_video(path: Path, frames: np.ndarray, sound: bytes) -> None:
    """Writes frames with a sound file's bytes."""
    from backend.video import VideoWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1:3]
    with VideoWriter(
        path, width=width, height=height, frame_rate=FRAME_RATE, audio=sound, end=len(frames) / FRAME_RATE
    ) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))


def sound_in_step(source: Path, offset: float, seconds: float) -> bytes:
    """The sound of a file moved earlier by offset (s, later where it is negative) as a WAV of a length in seconds,
    silence where there is none. Raises AudioError.
    """
    n_samples = round(seconds * VIDEO_SAMPLE_RATE)
    sound = load_sound(source, end=max(0.0, offset) + seconds, sample_rate=VIDEO_SAMPLE_RATE, layout="stereo")
    moved = shifted(sound, offset, n_samples, VIDEO_SAMPLE_RATE)
    packed = io.BytesIO()
    with wave.open(packed, "wb") as file:
        file.setnchannels(len(moved))
        file.setsampwidth(2)
        file.setframerate(VIDEO_SAMPLE_RATE)
        file.writeframes(np.round(np.clip(moved.T, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    return packed.getvalue()


def markdown(document: dict) -> str:
    """The means by method as Markdown."""
    means = {name: entry["mean"] for name, entry in document["methods"].items()}
    columns = [name for name in COLUMNS if any(mean.get(name) is not None for mean in means.values())]
    lines = [
        f"{counted(len(document['clips']), 'clip')} ({', '.join(document['clips'])}), "
        f"{document['size']} pixels: the first frame, "
        "the clip's sound, its tracked pose and its labelled emotion. T: tracked, P: predicted.", "",
        _row(["method", "FID", *(COLUMNS[name][0] for name in columns)]), _row(["---"] * (len(columns) + 2)),
    ]  # fmt: skip
    for name, entry in document["methods"].items():
        fid = "" if entry["fid"] is None else f"{entry['fid']:.1f}"
        mean = entry["mean"]
        lines.append(_row([name, fid, *("" if mean[c] is None else COLUMNS[c][1].format(mean[c]) for c in columns)]))
    lines += ["", *(f"Note: {note}" for note in document["notes"])]
    lines += [f"Passed over: {name}: {reason}" for name, reason in document["passed_over"].items()]
    return "\n".join([*lines, "", SOURCES])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def report(
    clips: list[Path],
    *,
    size: int,
    out: Path | None,
    networks: Path | None = None,
    takes: Path | None = None,
    label: str | None = None,
    inception: Path | None = None,
    features: Path | None = None,
) -> None:
    """Measures and prints; out: a folder for selfdrive.md, selfdrive.json and the videos. Raises InputError."""
    from backend.commands.console import progress_bar

    with progress_bar("clips") as step:
        document = measure_clips(
            clips, size=size, networks=networks, takes=takes, label=label, inception=inception, heard=features,
            videos=None if out is None else out / "videos", progress=step,
        )  # fmt: skip
    text = markdown(document)
    print(text)
    if out is not None:
        write_text(out / "selfdrive.md", text)
        write_text(out / "selfdrive.json", json.dumps(document, indent=1))
