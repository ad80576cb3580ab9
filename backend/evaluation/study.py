"""A user study on one's own machine: EmoSpeaker's four scales (Table IV), EAMM's three and its muted naming of the
emotion (Table 2), blinded and shuffled; ratings as CSV, means with confidence intervals.

Videos lie in a folder per method, METHOD/CLIP.mp4, as 'evaluate selfdrive --out' writes them. The page gives them
numbers; which method a number is stands in key.json alone, which the page never sees.
"""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.datasets.layouts import VIDEO_SUFFIXES, named_clip
from backend.errors import InputError, OutputError
from blender_addon.protocol.types import EMOTIONS

SCALES = {
    "emospeaker": ("lip synchronisation", "emotion accuracy", "video reality", "video quality"),
    "eamm": ("lip synchronization", "naturalness of facial expression", "video quality"),
}
NAMING = "emotion"
CHOICES = (*EMOTIONS, "neutral")
RATINGS = "ratings.csv"
FIELDS = ("rater", "number", "question", "answer")
CONFIDENCE, RESAMPLES = 0.95, 2000
LONGEST_NAME = 60


@dataclass(frozen=True)
class Trial:
    """One showing: its number on the page, the video, its method, clip and emotion (None: unknown)."""

    number: int
    video: Path
    method: str
    clip: str
    emotion: str | None


def make_trials(videos: Path, *, seed: int) -> list[Trial]:
    """All videos below a folder's methods, shuffled and numbered. Raises InputError where there are none."""
    found = [path for path in sorted(videos.glob("*/*")) if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if not found:
        raise InputError(f"No videos in '{videos}': expected METHOD/CLIP.mp4, as 'evaluate selfdrive --out' writes.")
    order = np.random.default_rng(seed).permutation(len(found))
    return [
        Trial(number, found[i], found[i].parent.name, found[i].stem, named_clip(found[i]).emotion)
        for number, i in enumerate(order, start=1)
    ]


class Study:
    """Questions, key and ratings in a folder; a study that was begun goes on with its own key.

    Raises InputError where the folder holds another study.
    """

    def __init__(self, videos: Path, out: Path, *, scales: str = "emospeaker", seed: int = 0) -> None:
        if scales not in SCALES:
            raise InputError(f"The scales should be one of {', '.join(SCALES)}, got '{scales}'.")
        self.trials = make_trials(videos, seed=seed)
        self.scales, self.out = SCALES[scales], out
        self._lock = threading.Lock()
        key = {
            "scales": scales, "seed": seed,
            "trials": {str(t.number): {"method": t.method, "clip": t.clip, "emotion": t.emotion} for t in self.trials},
        }  # fmt: skip
        path = out / "key.json"
        try:
            out.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                if json.loads(path.read_text(encoding="utf-8")) != key:
                    raise InputError(f"'{out}' holds another study: choose another --out.")
            else:
                path.write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"Cannot write to '{out}' ({error.strerror}): choose another folder.") from error

    def order_for(self, rater: str) -> list[int]:
        """The numbers in an order of the rater's own, which is the same when the page is loaded again."""
        rng = np.random.default_rng([ord(c) for c in rater] or [0])
        return [self.trials[i].number for i in rng.permutation(len(self.trials))]

    def questions(self) -> list[dict]:
        """What is asked of every video: the scales with sound first, then the emotion's name without sound."""
        scales = [{"question": scale, "muted": False, "answers": ["1", "2", "3", "4", "5"]} for scale in self.scales]
        return [*scales, {"question": NAMING, "muted": True, "answers": list(CHOICES)}]

    def rate(self, rater: str, number: int, question: str, answer: str) -> None:
        """Adds a rating to ratings.csv. Raises InputError for what was not asked."""
        asked = {q["question"]: q["answers"] for q in self.questions()}
        if not rater.strip() or len(rater) > LONGEST_NAME or any(c in rater for c in "\r\n"):
            raise InputError(f"The rater's name should have 1-{LONGEST_NAME} characters on one line.")
        if question not in asked or answer not in asked[question]:
            raise InputError(f"'{question}: {answer}' is not among the questions and answers of this study.")
        if not 1 <= number <= len(self.trials):
            raise InputError(f"The video's number should lie in 1-{len(self.trials)}, got {number}.")
        path = self.out / RATINGS
        with self._lock, path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(FIELDS)
            writer.writerow((_harmless(rater), number, question, answer))


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in "=+-@\t" else text


@dataclass(frozen=True)
class Summary:
    """Mean of a method's answers to a question with its confidence interval, and how many answers and raters."""

    method: str
    question: str
    mean: float
    low: float
    high: float
    n_answers: int
    n_raters: int


def analyse(folder: Path, *, seed: int = 0) -> list[Summary]:
    """Means by method and question; of the naming the share that was right. A rater's later answer counts.

    Intervals by resampling raters with their answers (bootstrap), so that raters who judge alike do not narrow them;
    with a single rater the answers are resampled. Raises InputError where there are no ratings.
    """
    try:
        key = json.loads((folder / "key.json").read_text(encoding="utf-8"))["trials"]
        with (folder / RATINGS).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        answers = {(r["rater"], r["number"], r["question"]): r["answer"] for r in rows}
        groups: dict[tuple[str, str], dict[str, list[float]]] = {}
        for (rater, number, question), answer in answers.items():
            trial = key[number]
            if question == NAMING:
                if trial["emotion"] is None:
                    continue
                value = float(answer == trial["emotion"])
            else:
                value = float(answer)
            groups.setdefault((trial["method"], question), {}).setdefault(rater, []).append(value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{folder}' holds no ratings that can be read ({error}): run the study first.") from error
    if not groups:
        raise InputError(f"There are no ratings in '{folder}' yet: run the study first.")
    rng = np.random.default_rng(seed)
    return [
        Summary(method, question, *_interval(list(by_rater.values()), rng), sum(map(len, by_rater.values())),
                len(by_rater))
        for (method, question), by_rater in sorted(groups.items())
    ]  # fmt: skip


def _interval(by_rater: list[list[float]], rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean of all answers and its confidence interval."""
    units = [np.array(values) for values in by_rater]
    if len(units) == 1:
        units = [np.array([value]) for value in by_rater[0]]
    sums, counts = np.array([u.sum() for u in units]), np.array([len(u) for u in units])
    drawn = rng.integers(len(units), size=(RESAMPLES, len(units)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def as_table(summaries: list[Summary]) -> str:
    """The analysis as Markdown."""
    lines = [
        "| method | question | mean | 95 % interval | answers | raters |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for s in summaries:
        named = f"{s.question} named rightly" if s.question == NAMING else s.question
        lines.append(
            f"| {s.method} | {named} | {s.mean:.2f} | {s.low:.2f}–{s.high:.2f} | {s.n_answers} | {s.n_raters} |"
        )
    return "\n".join(lines)
