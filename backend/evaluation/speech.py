"""Does the mouth do what is said? The speech network on recordings it never heard, beside the sound's loudness.

emorig evaluate speech [--recordings 40] [CLIP …]

Recordings are the held-out ones of festvox-ru, with phone labels. A clip is a video of a real speaker, whose lips are
tracked and compared with the embedded head's. Loudness as the mouth's opening is the baseline of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from blender_addon.protocol.types import Phone, Waveform

from ..audio.features import FEATURE_RATE, SAMPLE_RATE, log_mels
from ..audio.phones import BILABIALS, LABIODENTALS, SILENCE
from ..inference.speech import Articulation, SpeechArticulator

FRAME_RATE = 60.0  # Hz
REACH = 0.03  # seconds between a closure and its phone
LONGEST_CLOSURE = 0.25  # seconds; longer is a mouth that hangs shut
SHUT_SHARE = 0.15  # of the 90th percentile of the opening in speech
LAGS = np.arange(-0.4, 0.4001, 0.02)  # seconds that sound and picture of a file may differ by
INNER_LIPS = ((13, 14), (312, 317), (82, 87), (311, 402), (81, 178))  # of the 478 landmarks, upper and lower
CORNERS, JAW = (61, 291), (1, 152)


@dataclass(frozen=True)
class Closures:
    """Shares 0-1: bilabials met by a brief closure, closures that meet a labial, other speech with shut lips."""

    recall: float
    precision: float
    idle: float
    offset: float  # seconds from the middle of the phone to the middle of the closure, median


def lip_measures(articulation: Articulation) -> np.ndarray:
    """Inner-lip opening, mouth width and chin drop of the embedded head under the weights, dm (n_frames, 3)."""
    from bfm.coefficients import FULL_ACTIVATION_SD, IDENTITY_DIMS
    from bfm.sources.embedded import load_embedded_model

    expression = articulation.weights * np.float32(FULL_ACTIVATION_SD)
    points = load_embedded_model().landmark_positions(np.zeros(IDENTITY_DIMS, np.float32), expression)
    return measure_landmarks(points)


def measure_landmarks(points: np.ndarray) -> np.ndarray:
    """Inner-lip opening, mouth width and chin drop (n_frames, 3) of landmarks (n_frames, 478, 3), in their unit."""

    def distance(a: int, b: int) -> np.ndarray:
        return np.linalg.norm(points[:, a] - points[:, b], axis=-1)

    opening = np.mean([distance(*pair) for pair in INNER_LIPS], axis=0)
    return np.stack([opening, distance(*CORNERS), distance(*JAW)], axis=1)


def _runs(shut: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.diff(np.concatenate([[0], shut.astype(int), [0]]))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1))


def score_closures(opening: np.ndarray, frame_rate: float, phones: list[Phone]) -> Closures:
    """How well the closures of an opening (n_frames,) beyond rest agree with labelled phones."""
    time = np.arange(len(opening)) / frame_rate
    spoken, labial = np.zeros(len(opening), bool), np.zeros(len(opening), bool)
    for phone in phones:
        if phone.label != SILENCE:
            spoken |= (time >= phone.start) & (time <= phone.end)
        if phone.label in BILABIALS | LABIODENTALS:
            labial |= (time >= phone.start - 0.05) & (time <= phone.end + 0.05)
    shut = (opening <= SHUT_SHARE * np.percentile(opening[spoken], 90)) & spoken
    runs = [(time[a], time[b]) for a, b in _runs(shut)]
    brief = [run for run in runs if run[1] - run[0] <= LONGEST_CLOSURE]
    wanted = [p for p in phones if p.label in BILABIALS]
    targets = [p for p in phones if p.label in BILABIALS | LABIODENTALS]

    def meets(run: tuple[float, float], phone: Phone) -> bool:
        return run[0] <= phone.end + REACH and run[1] >= phone.start - REACH

    met = [next((r for r in brief if meets(r, p)), None) for p in wanted]
    offsets = [sum(r) / 2 - (p.start + p.end) / 2 for r, p in zip(met, wanted) if r is not None]
    return Closures(
        recall=len(offsets) / max(1, len(wanted)),
        precision=sum(any(meets(r, p) for p in targets) for r in brief) / max(1, len(runs)),
        idle=float((shut & ~labial).sum() / max(1, (spoken & ~labial).sum())),
        offset=float(np.median(offsets)) if offsets else float("nan"),
    )


def held_out_recordings(n_recordings: int) -> list[tuple[Waveform, list[Phone]]]:
    """Recordings of festvox-ru that are never trained on, with their phones; empty where it is not installed."""
    from ..training.engines import read_russian
    from ..training.synthesise import held_out_russian

    names = held_out_russian()
    chosen = names[:: max(1, len(names) // max(1, n_recordings))][:n_recordings]
    found = []
    for name in chosen:
        spoken = read_russian(name)
        assert spoken.sample_rate == SAMPLE_RATE
        starts = np.concatenate([[0.0], spoken.ends[:-1]])
        phones = [Phone(float(a), float(b), p) for a, b, p in zip(starts, spoken.ends, spoken.phones)]
        found.append((Waveform(np.clip(spoken.samples, -1, 1), SAMPLE_RATE), phones))
    return found


def loudness_opening(waveform: Waveform) -> np.ndarray:
    """The baseline (n_frames,) at FRAME_RATE: the loudness of the sound, 0 at its softest."""
    loud = np.exp(0.5 * log_mels(waveform.samples).mean(1))
    times = np.arange(max(1, round(waveform.duration * FRAME_RATE))) / FRAME_RATE
    return np.interp(times, np.arange(len(loud)) / FEATURE_RATE, loud - loud.min())


def phone_accuracy(heard: tuple[Phone, ...], said: list[Phone]) -> float:
    """Share of the time in which the phone heard is the one said."""
    times = np.arange(0.0, said[-1].end, 0.01)

    def at(phones) -> np.ndarray:
        ends = np.array([p.end for p in phones])
        return np.array([p.label for p in phones])[np.searchsorted(ends, times, side="right").clip(max=len(ends) - 1)]

    return float(np.mean(at(heard) == at(said)))


def evaluate_recordings(articulator: SpeechArticulator, n_recordings: int) -> dict[str, Closures | float]:
    """Closures of the network's lips and of loudness, and phone accuracy, over held-out recordings put end to end."""
    openings, loud, phones, accuracy, offset = [], [], [], [], 0.0
    for waveform, said in held_out_recordings(n_recordings):
        articulation = articulator.articulate(waveform, FRAME_RATE)
        openings.append(lip_measures(articulation)[:, 0])
        loud.append(loudness_opening(waveform))
        accuracy.append(phone_accuracy(articulation.phones, said))
        phones += [Phone(p.start + offset, p.end + offset, p.label) for p in said]
        offset += len(openings[-1]) / FRAME_RATE
    return {
        "network": score_closures(np.concatenate(openings), FRAME_RATE, phones),
        "loudness": score_closures(np.concatenate(loud), FRAME_RATE, phones),
        "phone accuracy": float(np.mean(accuracy)),
    }


def track_clip(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) s and opening, width, chin drop (n, 3) of a speaker's tracked lips, in units of the upper face."""
    import av
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True)
    times, rows = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            image = frame.to_ndarray(format="rgb24")
            found = mesh.process(image).multi_face_landmarks
            times.append(float(frame.pts * stream.time_base))
            if not found:
                rows.append(np.full(3, np.nan))
                continue
            scale = np.array([image.shape[1], image.shape[0], image.shape[1]])
            points = np.array([[m.x, m.y, m.z] for m in found[0].landmark]) * scale
            face = np.linalg.norm(points[10] - points[168]) + np.linalg.norm(points[168] - points[2])
            rows.append(measure_landmarks(points[None])[0] / face)
    mesh.close()
    return np.array(times), np.array(rows)


def correlation(times: np.ndarray, real: np.ndarray, predicted: np.ndarray, lag: float) -> float:
    """Pearson r of a tracked series (n,) at times with a predicted one at FRAME_RATE moved by lag seconds."""
    own = np.arange(len(predicted)) / FRAME_RATE
    moved = np.interp(times + lag, own, predicted, left=np.nan, right=np.nan)
    usable = np.isfinite(moved) & np.isfinite(real)
    if usable.sum() < 20 or moved[usable].std() < 1e-9:
        return 0.0
    return float(np.corrcoef(moved[usable], real[usable])[0, 1])


def evaluate_clip(articulator: SpeechArticulator, path: Path) -> dict[str, float]:
    """Correlations with a real speaker's lips at the best lag, of the network and (opening only) of loudness."""
    from ..audio.waveform import load_waveform

    waveform = load_waveform(path)
    lips = lip_measures(articulator.articulate(waveform, FRAME_RATE))
    times, real = track_clip(path)
    lag = max(LAGS, key=lambda shift: correlation(times, real[:, 0], lips[:, 0], shift))
    loud = loudness_opening(waveform)
    result = {
        name: correlation(times, real[:, i], lips[:, i], lag) for i, name in enumerate(("opening", "width", "jaw"))
    }
    return {**result, "loudness": max(correlation(times, real[:, 0], loud, shift) for shift in LAGS), "lag": float(lag)}


def report(clips: list[Path], *, n_recordings: int = 40, weights: Path | None = None) -> None:
    """Prints the table of closures on held-out recordings, where they are installed, and that of the clips' lips."""
    articulator, console = SpeechArticulator(weights), Console()
    if held_out_recordings(1):
        scores = evaluate_recordings(articulator, n_recordings)
        table = Table("", "recall", "precision", "idle", "offset ms", title="Lip closures, held-out recordings")
        for name in ("network", "loudness"):
            row = scores[name]
            table.add_row(
                name, *(f"{v:.2f}" for v in (row.recall, row.precision, row.idle)), f"{1000 * row.offset:.0f}"
            )
        console.print(table, f"phone accuracy {scores['phone accuracy']:.2f}")
    else:
        console.print("No held-out recordings: the package festvox-ru is not installed.")
    table = Table("clip", "opening", "width", "jaw", "loudness", "lag s", title="Correlation with tracked lips")
    for path in clips:
        row = evaluate_clip(articulator, path)
        table.add_row(path.name, *(f"{row[k]:.2f}" for k in ("opening", "width", "jaw", "loudness", "lag")))
    if clips:
        console.print(table)
