"""Which clips a data set holds, and whom and what they show, read from the names that each data set gives its files.

MEAD      M030/video/front/sad/level_3/001.mp4 with M030/audio/sad/level_3/001.m4a; or flat, M030_sad_3_001.mp4
CREMA-D   1001_DFA_ANG_HI.flv (or .mp4)
HDTF      RD_Radio31_000.mp4: speaker RD_Radio31; no emotion
LRW       ABOUT/train/ABOUT_00001.mp4: the word, its own split; speakers are not named
RAVDESS   Actor_01/01-01-03-02-01-01-12.mp4: modality, channel, emotion, intensity, statement, repetition, actor
folder    any videos; a speaker per folder; labels.csv beside them may name speaker, emotion and level
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".mpg", ".m4v")
SOUND_SUFFIXES = (".m4a", ".wav", ".mp3", ".flac")
NEUTRAL = "neutral"
LEVELS = (1, 2, 3)  # MEAD's intensities


@dataclass(frozen=True)
class ClipFile:
    """One clip of a data set. key: its name in the shards; level: 1–3, 0 where emotion is neutral or None (unknown).

    split: the data set's own (train, val, test), None where it has none. sound: a file of its own, None: the video's.
    """

    key: str
    video: Path
    speaker: str
    emotion: str | None
    level: int
    split: str | None = None
    sound: Path | None = None


@dataclass(frozen=True)
class Misnamed:
    """A video whose name does not follow the layout."""

    video: Path
    reason: str


Found = ClipFile | Misnamed

_MEAD_EMOTIONS = {
    "angry": "angry", "contempt": "contempt", "disgusted": "disgusted", "fear": "fear", "happy": "happy",
    "neutral": NEUTRAL, "sad": "sad", "surprised": "surprised",
}  # fmt: skip
_CREMA_EMOTIONS = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": NEUTRAL, "SAD": "sad"}
_CREMA_LEVELS = {"LO": 1, "MD": 2, "HI": 3, "XX": 2, "X": 2}  # XX: not specified
_RAVDESS_EMOTIONS = {
    "01": NEUTRAL, "02": NEUTRAL, "03": "happy", "04": "sad", "05": "angry", "06": "fear", "07": "disgusted",
    "08": "surprised",
}  # fmt: skip
_RAVDESS_LEVELS = {"01": 2, "02": 3}  # normal, strong
_MEAD_FLAT = re.compile(r"([MW]\d{3})_(?:front_)?([a-z]+)_(?:level_?)?([123])_(\d{3})$")
_MEAD_FOLDERS = re.compile(r"(?:^|/)([MW]\d{3})/video/(\w+)/([a-z]+)/level_([123])/(\d{3})$")
_CREMA = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})$")
_HDTF = re.compile(r"((?:RD|WDA|WRA)_.+?)_(\d{3})$")
_LRW = re.compile(r"(?:^|/)([A-Z']+)/(train|val|test)/\1_(\d{5})$")
_RAVDESS = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)$")


def _mead(root: Path, video: Path) -> Found:
    name = _without_suffix(root, video)
    folders, flat = _MEAD_FOLDERS.search(name), _MEAD_FLAT.search(video.stem)
    if folders:
        speaker, view, emotion, level, number = folders.groups()
        if view != "front":
            return Misnamed(video, f"view '{view}': only the front view is used")
        base = video.parents[4] / "audio" / emotion / f"level_{level}"
        sound = next((p for s in SOUND_SUFFIXES if (p := base / f"{number}{s}").is_file()), None)
    elif flat:
        (speaker, emotion, level, number), sound = flat.groups(), None
    else:
        return Misnamed(video, "expected M030/video/front/sad/level_3/001 or M030_sad_3_001")
    if emotion not in _MEAD_EMOTIONS:
        return Misnamed(video, f"unknown emotion '{emotion}'")
    label = _MEAD_EMOTIONS[emotion]
    return ClipFile(
        f"{speaker}_{emotion}_{level}_{number}", video, speaker, label, 0 if label == NEUTRAL else int(level),
        sound=sound,
    )  # fmt: skip


def _crema_d(_root: Path, video: Path) -> Found:
    match = _CREMA.search(video.stem)
    if match is None or match[3] not in _CREMA_EMOTIONS or match[4] not in _CREMA_LEVELS:
        return Misnamed(video, "expected 1001_DFA_ANG_HI")
    emotion = _CREMA_EMOTIONS[match[3]]
    return ClipFile(video.stem, video, match[1], emotion, 0 if emotion == NEUTRAL else _CREMA_LEVELS[match[4]])


def _hdtf(_root: Path, video: Path) -> Found:
    match = _HDTF.search(video.stem)
    if match is None:
        return Misnamed(video, "expected RD_Radio31_000")
    return ClipFile(video.stem, video, match[1], None, 0)


def _lrw(root: Path, video: Path) -> Found:
    match = _LRW.search(_without_suffix(root, video))
    if match is None:
        return Misnamed(video, "expected ABOUT/train/ABOUT_00001")
    # The same number under two splits is another clip.
    return ClipFile(f"{match[2]}_{video.stem}", video, f"{match[2]}_{video.stem}", None, 0, split=match[2])


def _ravdess(_root: Path, video: Path) -> Found:
    match = _RAVDESS.search(video.stem)
    if match is None or match[3] not in _RAVDESS_EMOTIONS or match[4] not in _RAVDESS_LEVELS:
        return Misnamed(video, "expected 01-01-03-02-01-01-12")
    modality, _channel, emotion, level, _statement, _repetition, actor = match.groups()
    if modality != "01":
        return Misnamed(video, f"modality {modality}: only 01, picture with sound, is used")
    label = _RAVDESS_EMOTIONS[emotion]
    return ClipFile(video.stem, video, f"actor_{actor}", label, 0 if label == NEUTRAL else _RAVDESS_LEVELS[level])


def _folder(root: Path, video: Path) -> Found:
    inside = video.relative_to(root)
    key = re.sub(r"[^\w-]+", "_", str(inside.with_suffix("")))
    speaker = inside.parts[0] if len(inside.parts) > 1 else video.stem
    return ClipFile(key, video, speaker, None, 0)


LAYOUTS: dict[str, Callable[[Path, Path], Found]] = {
    "mead": _mead, "crema-d": _crema_d, "hdtf": _hdtf, "lrw": _lrw, "ravdess": _ravdess, "folder": _folder,
}  # fmt: skip


def named_clip(video: Path) -> ClipFile:
    """A single video with what its name or folders tell in MEAD's or CREMA-D's manner, else nothing."""
    whole = video.absolute()
    for layout in (_mead, _crema_d):
        found = layout(Path(whole.anchor), whole)
        if isinstance(found, ClipFile):
            return found
    return ClipFile(video.stem, video, video.stem, None, 0)


def find_clips(root: Path, layout: str) -> list[Found]:
    """Every video below root, by name. Raises InputError for an unknown layout, a missing folder or no videos."""
    if layout not in LAYOUTS:
        raise InputError(f"Unknown layout '{layout}': use one of {', '.join(LAYOUTS)}.")
    if not root.is_dir():
        raise InputError(f"There is no folder '{root}': give the folder of the data set.")
    videos = sorted(p for p in root.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    if not videos:
        raise InputError(f"No videos below '{root}': expected {', '.join(VIDEO_SUFFIXES)}.")
    labels = _labels(root) if layout == "folder" else {}
    found = [_labelled(LAYOUTS[layout](root, video), labels.get(str(video.relative_to(root)))) for video in videos]
    return list(_without_repeats(found))


def _without_repeats(found: list[Found]) -> Iterator[Found]:
    """Clips of one key only once; the later one is said to be misnamed."""
    seen: dict[str, Path] = {}
    for clip in found:
        if isinstance(clip, ClipFile):
            if clip.key in seen:
                yield Misnamed(clip.video, f"the same clip as '{seen[clip.key].name}'")
                continue
            seen[clip.key] = clip.video
        yield clip


def _labels(root: Path) -> dict[str, dict[str, str]]:
    """Rows of root's labels.csv by their file, empty where there is none. Raises InputError for a wrong table."""
    table = root / "labels.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or "file" not in rows[0]:
        raise InputError("labels.csv should have the columns file, speaker, emotion, level; 'file' is missing.")
    return {row["file"]: row for row in rows}


def _labelled(clip: Found, row: dict[str, str] | None) -> Found:
    """The clip with what labels.csv says of it."""
    if row is None or isinstance(clip, Misnamed):
        return clip
    emotion = row.get("emotion") or None
    if emotion is not None and emotion not in _MEAD_EMOTIONS.values():
        return Misnamed(clip.video, f"labels.csv: unknown emotion '{emotion}'")
    level = (row.get("level") or "").strip() or "0"
    if level not in {"0", "1", "2", "3"}:
        return Misnamed(clip.video, f"labels.csv: the level should be 1, 2 or 3, got '{level}'")
    unlevelled = emotion in (None, NEUTRAL)
    return ClipFile(
        clip.key, clip.video, row.get("speaker") or clip.speaker, emotion, 0 if unlevelled else int(level) or 2
    )


def _without_suffix(root: Path, video: Path) -> str:
    """The video's path below root, without its suffix, with slashes."""
    return video.relative_to(root).with_suffix("").as_posix()
