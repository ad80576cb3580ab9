"""The jobs of a batch: read from CSV, JSON lines or YAML, checked one by one, named by a template."""

from __future__ import annotations

import csv
import json
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.commands.scripts import read_script
from backend.errors import InputError
from blender_addon.protocol.options import ShotOptions

DEFAULT_NAME = "{index}_{audio}_{portrait}"
NAME_FIELDS = ("index", "name", "portrait", "audio", "emotion", "fps", "size", "seed")
MAX_NAME = 120
ALWAYS_WRITTEN = "emorig"
FIELDS = (
    "name", "portrait", "audio", "emotion", "start", "end", "fps", "size", "pose", "seed", "renderer", "layers",
    "formats", "consent", "mute", "layer_seeds", "transcript", "language", "phones", "hearing",
)  # fmt: skip
LIST_SEPARATOR = re.compile(r"[;\s]+")


@dataclass(frozen=True)
class BatchJob:
    """One shot of a batch. formats: names of further curve formats. portrait None: curves alone."""

    index: int
    name: str
    portrait: Path | None
    audio: Path
    emotion: str
    options: ShotOptions
    formats: tuple[str, ...]
    consent: str


@dataclass(frozen=True)
class RefusedJob:
    """A job that cannot be made as it stands, and why in one sentence."""

    index: int
    name: str
    reason: str


def read_jobs(path: Path, *, template: str = DEFAULT_NAME) -> tuple[list[BatchJob], list[RefusedJob]]:
    """The jobs of a file, in order, and those that are refused.

    Paths in it are relative to its folder. Raises InputError where the file itself cannot be read.
    """
    _check_template(template)
    jobs, refused, names = [], [], {}
    for index, row in enumerate(_rows(path), start=1):
        try:
            job = _job(index, row, folder=path.parent, template=template)
            if job.name in names:
                raise InputError(f"The name '{job.name}' is job {names[job.name]}'s already: choose another template.")
            names[job.name] = index
            jobs.append(job)
        except InputError as error:
            refused.append(RefusedJob(index, f"job {index}", str(error)))
    if not jobs and not refused:
        raise InputError(f"The jobs file '{path}' holds no job.")
    return jobs, refused


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    """The file's jobs as mappings, empty cells left out."""
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".yaml": _yaml_rows, ".yml": _yaml_rows}
    if path.suffix.lower() not in readers:
        raise InputError(f"A batch is a .csv, .jsonl or .yaml file, got '{path.name}'.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the jobs file '{path}': give the path of a text file in UTF-8.") from error
    for row in readers[path.suffix.lower()](text, path):
        if not isinstance(row, Mapping):
            raise InputError(f"Every job in '{path.name}' should be a set of fields, got {str(row)[:40]!r}.")
        yield {str(key).strip().lower(): value for key, value in row.items() if value not in (None, "")}


def _csv_rows(text: str, path: Path) -> Iterator[Mapping[str, object]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    unknown = [str(name) for name in reader.fieldnames or () if str(name).strip().lower() not in FIELDS]
    if unknown:
        raise InputError(f"Unknown columns in '{path.name}': {', '.join(unknown)}; known: {', '.join(FIELDS)}.")
    for row in reader:
        if None in row:
            raise InputError(f"Line {reader.line_num} of '{path.name}' has more cells than the heading: quote commas.")
        yield row


def _json_rows(text: str, path: Path) -> Iterator[object]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(f"Line {number} of '{path.name}' is not JSON: {error}.") from error


def _yaml_rows(text: str, path: Path) -> Iterator[object]:
    """A list of jobs, or a mapping with 'defaults' and 'jobs'."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"'{path.name}' is not YAML: {str(error).splitlines()[0]}.") from error
    defaults, jobs = {}, document
    if isinstance(document, dict):
        defaults, jobs = document.get("defaults") or {}, document.get("jobs")
    if not isinstance(jobs, list) or not isinstance(defaults, dict):
        raise InputError(f"'{path.name}' should be a list of jobs, or 'defaults' and 'jobs'.")
    for job in jobs:
        yield defaults | job if isinstance(job, dict) else job


def _job(index: int, row: Mapping[str, object], *, folder: Path, template: str) -> BatchJob:
    """One job of its fields. Raises InputError."""
    unknown = [name for name in row if name not in FIELDS]
    if unknown:
        raise InputError(f"Unknown field '{unknown[0]}': use {', '.join(FIELDS)}.")
    if "audio" not in row:
        raise InputError("A job needs audio: give the path of a recording.")
    portrait = _file(row.get("portrait"), folder, "portrait")
    audio = _file(row["audio"], folder, "audio")
    options = ShotOptions(
        frame_rate=_number(row, "fps", 25.0),
        size=None if "size" not in row else int(_number(row, "size", 0)),
        pose=str(row.get("pose", "natural")),
        strengths=_strengths(row.get("layers")),
        muted=tuple(_list(row.get("mute") or ())),
        seed=int(_number(row, "seed", 0)),
        seeds={name: int(value) for name, value in _strengths(row.get("layer_seeds")).items()},
        script=read_script(
            _file(row.get("transcript"), folder, "transcript"),
            str(row.get("language", "en")),
            _file(row.get("phones"), folder, "phones"),
        ),
        hearing=str(row.get("hearing", "whole")),
        renderer=None if portrait is None else str(row.get("renderer", "warp")),
        start=_number(row, "start", 0.0),
        end=None if "end" not in row else _number(row, "end", 0.0),
    )
    emotion = _emotion(str(row.get("emotion", "neutral:0")), folder)
    values = {
        "index": f"{index:04d}",
        "name": str(row.get("name", "")),
        "portrait": "curves" if portrait is None else portrait.stem,
        "audio": audio.stem,
        "emotion": emotion,
        "fps": f"{options.frame_rate:g}",
        "size": str(options.size or "full"),
        "seed": str(options.seed),
    }
    chosen = values["name"] if values["name"] and template == DEFAULT_NAME else template.format_map(values)
    formats = _formats(row.get("formats"))
    return BatchJob(index, _safe(chosen), portrait, audio, emotion, options, formats, str(row.get("consent", "")))


def _file(value: object, folder: Path, what: str) -> Path | None:
    if value is None:
        return None
    path = folder / str(value)
    if not path.is_file():
        raise InputError(f"There is no {what} '{value}' beside the jobs file.")
    return path


def _number(row: Mapping[str, object], name: str, default: float) -> float:
    value = row.get(name, default)
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"The field '{name}' should be a number, got '{value}'.") from error


def _strengths(value: object) -> dict[str, float]:
    """Layers' strengths of a mapping or of 'lips=1.2 brows=0'."""
    if value is None:
        return {}
    pairs = value.items() if isinstance(value, Mapping) else [p.split("=", 1) for p in _list(value)]
    try:
        return {str(name): float(strength) for name, strength in pairs}
    except (TypeError, ValueError) as error:
        raise InputError(f"Layers are written NAME=STRENGTH, got '{value}'.") from error


def _list(value: object) -> list[str]:
    items = value if isinstance(value, list | tuple) else LIST_SEPARATOR.split(str(value))
    return [str(item) for item in items if str(item)]


def _formats(value: object) -> tuple[str, ...]:
    from backend.export.formats import FORMATS

    names = () if value is None else tuple(_list(value))
    for name in names:
        if name not in FORMATS or not FORMATS[name].writer:
            raise InputError(f"Unknown format '{name}': use {', '.join(FORMATS)}.")
    return tuple(dict.fromkeys(name for name in names if name != ALWAYS_WRITTEN))


def _emotion(text: str, folder: Path) -> str:
    """The emotion as the pipeline reads it, files made independent of the folder. Raises InputError."""
    from backend.pipeline import read_emotion

    prefix, text = ("video:", text[6:]) if text.startswith("video:") else ("", text)
    if prefix or text.endswith(".json"):
        text = str(_file(text, folder, "emotion file"))
    read_emotion(prefix + text)
    return prefix + text


def _check_template(template: str) -> None:
    """Raises InputError for a template with anything but plain known fields."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise InputError(f"The template '{template}' cannot be read: {error}.") from error
    for name in fields:
        if name not in NAME_FIELDS:
            raise InputError(f"Unknown field '{name}' in the template: use {', '.join(NAME_FIELDS)}.")


def _safe(name: str) -> str:
    """A folder's name on any system, below the batch's own folder."""
    plain = re.sub(r"[^\w.-]+", "-", name, flags=re.UNICODE).strip("-.")[:MAX_NAME]
    if not plain:
        raise InputError(f"The name '{name}' has no letter or digit: choose another template.")
    return plain
