"""Does the mouth do what is said? The speech networks beside baselines, on recordings that they never heard.

emorig evaluate speech [--recordings 40] [--labelled FOLDER] [CLIP …]

Recordings have phone labels; a clip is a video of a real speaker, whose lips are tracked and compared with the embedded
head's once the offset of sound and picture is estimated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from blender_addon.protocol.options import Script, ShotOptions
from blender_addon.protocol.types import EMOTIONS, EmotionTrack, Phone, Waveform

from ..audio.features import SAMPLE_RATE
from ..export.visemes import GLIDES, OF_PHONE
from ..weights import NETWORKS
from . import listeners, recordings
from .lips import (
    FRAME_RATE,
    Closures,
    best_lag,
    correlation,
    lip_measures,
    score_closures,
    third_difference,
    track_clip,
)
from .listeners import Lips, Listener
from .recordings import Recording

MEASURES = ("opening", "width", "jaw")
LONG_SECONDS = 600.0  # of sound whose memory is measured


@dataclass(frozen=True)
class Scores:
    """Closures, and the shares of the time in which the viseme and the phone heard are those said (None: no phones)."""

    closures: Closures
    visemes: float | None
    phones: float | None


def viseme_of(phone: str) -> str:
    """The viseme of a phone; of a diphthong its first."""
    return GLIDES[phone][0] if phone in GLIDES else OF_PHONE.get(phone, "sil")


def agreement(heard: tuple[Phone, ...], said: tuple[Phone, ...], name: Callable[[str], str] = str) -> float:
    """Share of the time in which what is heard has the same name as what is said."""
    times = np.arange(0.0, said[-1].end, 0.01)

    def at(phones: tuple[Phone, ...]) -> np.ndarray:
        ends = np.array([p.end for p in phones])
        labels = np.array([name(p.label) for p in phones])
        return labels[np.searchsorted(ends, times, side="right").clip(max=len(ends) - 1)]

    return float(np.mean(at(heard) == at(said)))


def score(heard: list[Lips], said: list[Recording]) -> Scores:
    """Scores of the lips of recordings put end to end."""
    phones: list[Phone] = []
    offset = 0.0
    for lips, recording in zip(heard, said):
        phones += [Phone(p.start + offset, p.end + offset, p.label) for p in recording.phones]
        offset += len(lips.measures) / FRAME_RATE
    opening = np.concatenate([lips.measures[:, 0] for lips in heard])
    closures = score_closures(opening, FRAME_RATE, phones)
    if any(lips.phones is None for lips in heard):
        return Scores(closures, None, None)
    shares = [
        np.mean([agreement(lips.phones, recording.phones, name) for lips, recording in zip(heard, said)])
        for name in (viseme_of, str)
    ]
    return Scores(closures, *map(float, shares))


def compared(weights: Path | None, streaming_weights: Path | None = None) -> dict[str, Listener]:
    """What is measured side by side, by name."""
    shipped = streaming_weights or NETWORKS["streaming"].path
    live = {"streaming network": listeners.streaming(shipped)} if shipped.is_file() else {}
    return {
        "network": listeners.product(weights),
        **live,
        "pocketsphinx allphone + coarticulation": listeners.allphone,
        "loudness as opening": listeners.loudness,
    }


def evaluate_recordings(said: list[Recording], ways: dict[str, Listener]) -> dict[str, Scores]:
    """The scores of each way on the same recordings, and of the network with the transcript where texts are known."""
    scores = {name: score([listen(r.waveform) for r in said], said) for name, listen in ways.items()}
    if said and all(recording.text for recording in said):
        told = [listeners.product(script=Script(recording.text))(recording.waveform) for recording in said]
        scores["network with the transcript"] = score(told, said)
    known = [listeners.of_phones(recording.phones, recording.waveform.duration) for recording in said]
    return scores | {"coarticulation of the labels": score(known, said)}


def evaluate_conditions(said: list[Recording], listen: Listener) -> dict[str, Scores]:
    """The scores of one way on the recordings as they are and under each condition."""
    clean = {"clean": score([listen(recording.waveform) for recording in said], said)}
    for condition in recordings.CONDITIONS:
        worse = [recordings.under(recording, condition, seed) for seed, recording in enumerate(said)]
        clean[condition] = score([listen(recording.waveform) for recording in worse], worse)
    return clean


def evaluate_emotions(said: list[Recording]) -> dict[str, Closures]:
    """Closures of the whole performance, neutral and under each emotion at full strength."""
    from ..inference.performance import perform
    from ..pipeline import articulate

    spoken = [articulate(recording.waveform, FRAME_RATE) for recording in said]
    found = {}
    for emotion in ("neutral", *EMOTIONS):
        track = EmotionTrack.parse(f"{emotion}:1")
        options = ShotOptions(frame_rate=FRAME_RATE)
        acted = [perform(s, track.sample(FRAME_RATE, len(s.weights)), options=options) for s in spoken]
        found[emotion] = score([Lips(lip_measures(a.weights), None) for a in acted], said).closures
    return found


def evaluate_clip(path: Path, ways: dict[str, Listener]) -> dict[str, dict[str, float]]:
    """Correlations with a real speaker's lips at each way's best lag, and its unrest beside the speaker's."""
    from ..audio.waveform import load_waveform

    waveform = load_waveform(path)
    times, real = track_clip(path)
    found = {}
    for name, listen in ways.items():
        measures = listen(waveform).measures
        lag = best_lag(times, real[:, 0], measures[:, 0])
        row = {MEASURES[i]: correlation(times, real[:, i], measures[:, i], lag) for i in range(measures.shape[1])}
        at_frames = np.interp(times, np.arange(len(measures)) / FRAME_RATE, measures[:, 0])
        unrest = third_difference(times, at_frames) / third_difference(times, real[:, 0])
        found[name] = {**row, "unrest": unrest, "lag": lag}
    return found


def evaluate_speed(waveform: Waveform) -> dict[str, float]:
    """Times real time of the whole-file network on a minute, milliseconds of a streaming step, memory of 10 minutes."""
    from ..inference.speech import SpeechArticulator
    from ..inference.streaming import STEP, StreamingArticulator

    minute = np.resize(waveform.samples, round(60.0 * waveform.sample_rate))
    articulator = SpeechArticulator()
    articulator.articulate(waveform, 25.0)
    started = time.perf_counter()
    articulator.articulate(Waveform(minute, waveform.sample_rate), 25.0)
    found = {"times real time": 60.0 / (time.perf_counter() - started)}
    if (NETWORKS["streaming"].path).is_file():
        stream, taken = StreamingArticulator(25.0), []
        for start in range(0, min(len(minute), 10 * SAMPLE_RATE), STEP):
            started = time.perf_counter()
            stream.push(minute[start : start + STEP])
            taken.append(time.perf_counter() - started)
        found |= {"streaming step, ms, median": 1000 * float(np.median(taken))}
        found |= {"streaming step, ms, 99th percentile": 1000 * float(np.percentile(taken[5:], 99))}
    return found | {"memory of 10 minutes, MB": _peak_memory(LONG_SECONDS)}


def _peak_memory(seconds: float) -> float:
    """Peak resident MB of a fresh process that turns so many seconds of sound into lips."""
    import subprocess
    import sys

    program = (
        "import numpy as np, resource\n"
        "from backend.inference.speech import SpeechArticulator\n"
        "from blender_addon.protocol.types import Waveform\n"
        f"sound = 0.1 * np.random.default_rng(0).standard_normal({round(seconds * SAMPLE_RATE)})\n"
        f"SpeechArticulator().articulate(Waveform(np.clip(sound, -1, 1), {SAMPLE_RATE}), 25.0)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return float(said.split()[-1])


def report(
    clips: list[Path],
    *,
    n_recordings: int = 40,
    weights: Path | None = None,
    streaming_weights: Path | None = None,
    labelled: Path | None = None,
) -> None:
    """Prints the tables: labelled recordings, conditions, emotions, clips, speed; what is not installed is named."""
    console, ways = Console(), compared(weights, streaming_weights)
    sets = {
        f"held-out Russian, {_acquaintance(weights)}": (recordings.russian(n_recordings), "festvox-ru"),
        "English, unheard speakers": (recordings.english(), "pocketsphinx-testdata"),
    }
    if labelled is not None:
        sets[f"recordings in {labelled.name}"] = (recordings.labelled(labelled), "")
    for title, (said, package) in sets.items():
        if said:
            _print_scores(console, f"{title}: {_bilabials(said)} bilabials", evaluate_recordings(said, ways))
        else:
            console.print(f"No {title}: install {package}." if package else f"Nothing labelled in {labelled}.")
    hard = [recording for said, _ in sets.values() for recording in said[:12]]
    if hard:
        _print_scores(console, "Under noise, in a room, by telephone", evaluate_conditions(hard, ways["network"]))
        _print_emotions(console, evaluate_emotions(hard))
    if clips:
        _print_clips(console, {path.name: evaluate_clip(path, ways) for path in clips})
    sound = hard[0].waveform if hard else Waveform(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    console.print(*(f"{what}: {value:.1f}" for what, value in evaluate_speed(sound).items()), sep="\n")


def _acquaintance(weights: Path | None) -> str:
    """Whether the networks were trained on festvox-ru's speaker."""
    from safetensors import safe_open

    files = (
        [weights] if weights is not None else [NETWORKS[name].path for name in ("speech", "streaming", "emospeaker")]
    )
    for path in files:
        with safe_open(str(path), framework="pt") as file:
            if "--without russian" not in (file.metadata() or {}).get("corpus_command", ""):
                return "a speaker of the training"
    return "a speaker that no network was trained on"


def _bilabials(said: list[Recording]) -> int:
    return sum(phone.label in {"P", "B", "M"} for recording in said for phone in recording.phones)


def _print_scores(console: Console, title: str, scores: dict[str, Scores]) -> None:
    table = Table("", "recall", "precision", "idle", "offset ms", "visemes", "phones", title=title)
    for name, row in scores.items():
        closures = row.closures
        shares = ("–" if v is None else f"{v:.2f}" for v in (row.visemes, row.phones))
        figures = (f"{v:.2f}" for v in (closures.recall, closures.precision, closures.idle))
        table.add_row(name, *figures, f"{1000 * closures.offset:.0f}", *shares)
    console.print(table)


def _print_emotions(console: Console, found: dict[str, Closures]) -> None:
    table = Table("", "recall", "precision", "idle", title="Closures under emotion at full strength")
    for name, row in found.items():
        table.add_row(name, *(f"{v:.2f}" for v in (row.recall, row.precision, row.idle)))
    console.print(table)


def _print_clips(console: Console, found: dict[str, dict[str, dict[str, float]]]) -> None:
    columns = (*MEASURES, "unrest", "lag")
    title = "Correlation with tracked lips at the best lag; unrest: third difference, 1 = the speaker's"
    table = Table("clip", "", *columns, title=title)
    for clip, rows in found.items():
        for name, row in rows.items():
            table.add_row(clip, name, *(f"{row[c]:.2f}" if c in row else "–" for c in columns))
    for name in next(iter(found.values())):
        there = [c for c in columns if all(c in rows[name] for rows in found.values())]
        means = {c: np.mean([rows[name][c] for rows in found.values()]) for c in there}
        table.add_row("mean", name, *(f"{means[c]:.2f}" if c in means else "–" for c in columns))
    console.print(table)
