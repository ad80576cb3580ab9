"""The data set's card: what it holds, of whom, and what was passed over and why."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from backend.datasets.layouts import NEUTRAL
from backend.datasets.measuring import NO_SOUND, SILENT

CARD_FILE, NUMBERS_FILE = "CARD.md", "dataset.json"
UNKNOWN = "unlabelled"


def write_card(out: Path, described: dict, indexes: list[dict], misnamed: list[tuple[str, str]]) -> dict:
    """Writes dataset.json and CARD.md into out and returns the numbers. Raises OSError.

    indexes: of every shard; misnamed: (file, reason) of videos whose names do not follow the layout.
    """
    kept = [clip for index in indexes for clip in index["kept"]]
    skipped = [(entry["video"], entry["reason"]) for index in indexes for entry in index["skipped"]] + misnamed
    numbers = {
        **described,
        "clips": len(kept),
        "hours": sum(clip["seconds"] for clip in kept) / 3600.0,
        "splits": {side: _side(kept, side) for side in sorted({clip["split"] for clip in kept})},
        "emotions": _emotions(kept),
        "units_from": dict(Counter(_units_source(clip) for clip in kept)),
        "without_sound": sum(not clip["has_sound"] for clip in kept),
        "median_offset": _median([clip["offset"] for clip in kept if clip["offset_correlation"] > 0]),
        "offset_unknown": sum(clip["has_sound"] and clip["offset_correlation"] <= 0 for clip in kept),
        "median_residual": _median([clip["residual"] for clip in kept]),
        "skipped": [{"video": video, "reason": reason} for video, reason in skipped],
    }
    for name, text in ((NUMBERS_FILE, json.dumps(numbers, indent=1)), (CARD_FILE, _text(numbers))):
        partial = out / f".{name}.{os.getpid()}.part"
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, out / name)
        finally:
            partial.unlink(missing_ok=True)
    return numbers


def _side(kept: list[dict], side: str) -> dict:
    clips = [clip for clip in kept if clip["split"] == side]
    speakers = sorted({clip["speaker"] for clip in clips})
    return {
        "clips": len(clips), "hours": sum(c["seconds"] for c in clips) / 3600.0, "n_speakers": len(speakers),
        "speakers": speakers if len(speakers) <= 100 else [*speakers[:100], "…"],
    }  # fmt: skip


def _emotions(kept: list[dict]) -> dict[str, dict[str, int]]:
    """Clips by emotion and level."""
    counts: dict[str, Counter] = {}
    for clip in kept:
        counts.setdefault(clip["emotion"] or UNKNOWN, Counter())[str(clip["level"])] += 1
    return {emotion: dict(sorted(counts[emotion].items())) for emotion in sorted(counts)}


def _units_source(clip: dict) -> str:
    return clip["units_source"] if clip["units_source"] == "landmarks" else "OpenFace"


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _text(numbers: dict) -> str:
    """The card as Markdown."""
    lines = [
        f"# Prepared data set: {numbers['layout']}",
        "",
        f"{numbers['clips']} clips, {numbers['hours']:.2f} hours, {numbers['frame_rate']:g} frames per second, "
        f"pictures of {numbers['size']} pixels. Split '{numbers['split']}', seed {numbers['seed']}.",
        "",
        "| split | clips | hours | speakers |",
        "|---|---|---|---|",
    ]
    for side, row in numbers["splits"].items():
        lines.append(f"| {side} | {row['clips']} | {row['hours']:.2f} | {row['n_speakers']} |")
    lines += ["", "| emotion | level 1 | level 2 | level 3 | without level |", "|---|---|---|---|---|"]
    for emotion, levels in numbers["emotions"].items():
        counts = [levels.get(level, 0) for level in ("1", "2", "3", "0")]
        lines.append(f"| {emotion} | " + " | ".join(str(n) for n in counts) + " |")
    sources = ", ".join(f"{source} ({n})" for source, n in numbers["units_from"].items()) or "none"
    lines += ["", f"Action units from {sources}."]
    if numbers["median_offset"] is not None:
        lines.append(
            f"Sound came {1000 * numbers['median_offset']:.0f} ms after the picture (median; taken out of every clip); "
            f"{numbers['offset_unknown']} clips did not tell and were left as they are."
        )
    if numbers["without_sound"]:
        lines.append(
            f"{numbers['without_sound']} clips have no sound: face-vid2vid, MappingNet, EAMM's motion stage and the "
            "refiner learn from their pictures, and EmoSpeaker takes the speakers' own faces from them; what learns "
            "from sound passes them over."
        )
    n_silent = sum(entry["reason"] in (NO_SOUND, SILENT) for entry in numbers["skipped"])
    if n_silent:
        lines.append(
            f"{n_silent} clips without sound were passed over; 'emorig prepare --with-silent' keeps them for the "
            "networks that need pictures alone."
        )
    if numbers["median_residual"] is not None:
        lines.append(
            f"The face fits within {numbers['median_residual']:.1%} of the distance between the eyes (median)."
        )
    lines += ["", f"## Passed over: {len(numbers['skipped'])}", ""]
    reasons = Counter(entry["reason"].split("(")[0].strip() for entry in numbers["skipped"])
    lines += [f"- {n} × {reason}" for reason, n in reasons.most_common()]
    lines += ["", "The rights to the clips stay with those who recorded and published them.", ""]
    if NEUTRAL not in numbers["emotions"]:
        lines.insert(-2, "No neutral clips: emotions cannot be told from the speakers' own faces.")
    return "\n".join(lines)
