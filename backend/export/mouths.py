"""Mouth switches for drawn animation: Rhubarb's shapes, and Preston Blair's for Moho and Papagayo."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

from backend.curves.assemble import MAX_FRAMES, assembled
from backend.errors import InputError
from backend.export.options import ExportOptions
from backend.export.visemes import VISEMES, viseme_segments, viseme_weights
from blender_addon.protocol.types import AnimationCurves

# Rhubarb: A closed, B teeth together, C open, D wide open, E rounded, F puckered, G teeth on the lip, H tongue up,
# X at rest.
RHUBARB = dict(zip(VISEMES, ("X", "A", "G", "B", "B", "B", "B", "B", "B", "E", "D", "C", "B", "E", "F")))
PRESTON_BLAIR = dict(
    zip(
        VISEMES,
        ("rest", "MBP", "FV", "etc", "etc", "etc", "etc", "etc", "etc", "etc", "AI", "E", "E", "O", "U"),
    )
)
SHORTEST = 0.04  # seconds; a drawn mouth that shows for less flickers
Cue = tuple[float, float, str]


def mouth_cues(curves: AnimationCurves, mouths: dict[str, str], *, tongue: str, glide: str) -> list[Cue]:
    """(start s, end s, mouth) that cover the whole performance, neighbours different, none shorter than SHORTEST.

    tongue: the mouth of L, glide: of W, which visemes do not tell apart.
    """
    duration = curves.n_frames / curves.frame_rate
    if curves.phones:
        own = {"L": tongue, "W": glide}
        segments = []
        for phone in curves.phones:
            parts = viseme_segments((phone,))
            segments += [(start, end, own.get(phone.label, mouths[viseme])) for start, end, viseme in parts]
    else:
        strongest = viseme_weights(curves).argmax(1)
        step = 1.0 / curves.frame_rate
        segments = [(i * step, (i + 1) * step, mouths[VISEMES[v]]) for i, v in enumerate(strongest.tolist())]
    return _merged(_covering(segments, mouths["sil"], duration))


def _covering(segments: list[Cue], rest: str, duration: float) -> list[Cue]:
    """Segments in time order without overlap, gaps filled with the mouth at rest."""
    cues, now = [], 0.0
    for start, end, mouth in sorted(segments):
        start, end = max(start, now), min(end, duration)
        if end <= start:
            continue
        if start > now + 1e-6:
            cues.append((now, start, rest))
        cues.append((start, end, mouth))
        now = end
    if now < duration - 1e-6:
        cues.append((now, duration, rest))
    return cues


def _merged(cues: list[Cue]) -> list[Cue]:
    """Neighbours of the same mouth joined; what is shorter than SHORTEST goes to the cue before it."""
    merged: list[Cue] = []
    for start, end, mouth in cues:
        short = end - start < SHORTEST - 1e-6
        if merged and (mouth == merged[-1][2] or short):
            merged[-1] = (merged[-1][0], end, merged[-1][2])
        else:
            merged.append((start, end, mouth))
    return merged


def write_rhubarb(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes Rhubarb Lip Sync's TSV, or its JSON for the suffix .json."""
    cues = mouth_cues(curves, RHUBARB, tongue="H", glide="F")
    if path.suffix.lower() == ".json":
        metadata = {"soundFile": str(options.audio or ""), "duration": round(cues[-1][1], 2)}
        rows = [{"start": round(a, 2), "end": round(b, 2), "value": mouth} for a, b, mouth in cues]
        path.write_text(json.dumps({"metadata": metadata, "mouthCues": rows}, indent=2) + "\n", encoding="utf-8")
        return
    lines = [f"{start:.2f}\t{mouth}" for start, _, mouth in cues] + [f"{cues[-1][1]:.2f}\tX"]
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="")


def write_moho(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes Moho's (Anime Studio's) switch track; frames count from 1 at the curves' rate."""
    rows = _frames(mouth_cues(curves, PRESTON_BLAIR, tongue="L", glide="WQ"), curves.frame_rate)
    rows.append((curves.n_frames + 1, "rest"))
    path.write_text("\n".join(["MohoSwitch1", *(f"{frame} {mouth}" for frame, mouth in rows)]) + "\n", encoding="ascii")


def write_papagayo(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes a Papagayo project with one voice; each stretch of speech between rests is a phrase of one word."""
    if not float(curves.frame_rate).is_integer():
        raise InputError(f"Papagayo knows whole frame rates only, not {curves.frame_rate:g}: use --fps.")
    cues = mouth_cues(curves, PRESTON_BLAIR, tongue="L", glide="WQ")
    words: list[list[tuple[int, str]]] = []
    speaking = False
    for frame, mouth in _frames(cues, curves.frame_rate):
        if mouth == "rest" and not speaking:
            continue
        if not speaking:
            words.append([])
        # A rest belongs to the word that it ends.
        words[-1].append((frame, mouth))
        speaking = mouth != "rest"
    names = [f"speech{i}" for i in range(1, len(words) + 1)]
    sound = options.audio.name if options.audio else ""
    lines = ["lipsync version 1", sound, f"{curves.frame_rate:.0f}", str(curves.n_frames), "1"]
    lines += ["\tVoice 1", "\t" + "|".join(names), f"\t{len(words)}"]
    for i, word in enumerate(words):
        start, end = word[0][0], word[-1][0]
        lines += [f"\t\t{names[i]}", f"\t\t{start}", f"\t\t{end}", "\t\t1"]
        lines.append(f"\t\t\t{names[i]} {start} {end} {len(word)}")
        lines += [f"\t\t\t\t{frame} {mouth}" for frame, mouth in word]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def _frames(cues: list[Cue], frame_rate: float) -> list[tuple[int, str]]:
    """(frame counted from 1, mouth) of cues; where two fall on one frame the later is shown."""
    frames = {int(np.floor(start * frame_rate + 0.5)) + 1: mouth for start, _, mouth in cues}
    return sorted(frames.items())


RHUBARB_RATE = 100.0  # Rhubarb writes hundredths of a second


def read_rhubarb(path: Path) -> AnimationCurves:
    """Curves, 1 while a mouth shows, of Rhubarb's TSV or JSON. Raises InputError."""
    text = path.read_text(encoding="utf-8")
    try:
        if text.lstrip().startswith("{"):
            document = json.loads(text)
            rows = [(float(cue["start"]), str(cue["value"])) for cue in document["mouthCues"]]
            rows.append((float(document["metadata"]["duration"]), "X"))
        else:
            rows = [(float(line.split("\t")[0]), line.split("\t")[1]) for line in text.splitlines() if line]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"'{path.name}' is no Rhubarb output ({type(error).__name__}: {error}).") from error
    return _shown(path, [(round(time * RHUBARB_RATE), mouth) for time, mouth in rows], RHUBARB_RATE, RHUBARB)


def read_moho(path: Path) -> AnimationCurves:
    """Curves of a Moho switch track, which knows no frame rate: 24, Moho's own. Raises InputError."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0].strip() != "MohoSwitch1":
        raise InputError(f"'{path.name}' is no Moho switch track: its first line should be MohoSwitch1.")
    return _shown(path, _switches(path, lines[1:]), 24.0, PRESTON_BLAIR)


def read_papagayo(path: Path) -> AnimationCurves:
    """Curves of the first voice of a Papagayo project. Raises InputError."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0].strip() != "lipsync version 1" or len(lines) < 5 or not lines[2].strip().isdigit():
        raise InputError(f"'{path.name}' is no Papagayo project: its first line should be 'lipsync version 1'.")
    rows = _switches(path, [line for line in lines if line.startswith("\t\t\t\t")])
    rows = [(0, "rest"), *rows, (int(lines[3]), "rest")]
    return _shown(path, rows, float(lines[2]), PRESTON_BLAIR)


def _switches(path: Path, lines: list[str]) -> list[tuple[int, str]]:
    """(frame from 0, mouth) of lines 'frame mouth' that count from 1."""
    rows = []
    for line in filter(str.strip, lines):
        frame, _, mouth = line.strip().partition(" ")
        if not frame.isdigit() or not mouth:
            raise InputError(f"'{path.name}' holds the line '{line.strip()}': expected a frame and a mouth.")
        rows.append((int(frame) - 1, mouth))
    return rows


def _shown(path: Path, rows: list[tuple[int, str]], frame_rate: float, mouths: dict[str, str]) -> AnimationCurves:
    """Curves that are 1 while a mouth shows; the last row ends the one before it."""
    known = tuple(dict.fromkeys([*mouths.values(), "H"] if mouths is RHUBARB else [*mouths.values(), "L", "WQ"]))
    frames = [frame for frame, _ in rows]
    if len(rows) < 2 or frames[0] < 0 or any(b < a for a, b in itertools.pairwise(frames)) or frames[-1] > MAX_FRAMES:
        raise InputError(f"'{path.name}' holds no cues in time order.")
    for _, mouth in rows:
        if mouth not in known:
            raise InputError(f"'{path.name}' shows the mouth '{mouth}': expected one of {', '.join(known)}.")
    weights = np.zeros((frames[-1], len(known)), np.float32)
    for (start, mouth), (end, _) in itertools.pairwise(rows):
        weights[start:end, known.index(mouth)] = 1.0
    return assembled(known, weights, frame_rate)
