"""Lips as numbers: opening, width and chin drop of a head or of a filmed speaker, closures against labels, jitter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blender_addon.protocol.types import Phone

from ..audio.phones import BILABIALS, LABIODENTALS, SILENCE
from ..datasets import offset

FRAME_RATE = 60.0  # Hz
LEAST_RATE = 100.0  # Hz that openings are read at
REACH = 0.03  # seconds between a closure and its phone
LONGEST_CLOSURE = 0.25  # seconds; longer is a mouth that hangs shut
SHUT_SHARE = 0.15  # of the 90th percentile of the opening in speech
INNER_LIPS = ((13, 14), (312, 317), (82, 87), (311, 402), (81, 178))  # of the 478 landmarks, upper and lower
CORNERS, JAW = (61, 291), (1, 152)


@dataclass(frozen=True)
class Closures:
    """Shares 0-1: bilabials met by a brief closure, closures that meet a labial, other speech with shut lips."""

    recall: float
    precision: float
    idle: float
    offset: float  # seconds from the middle of the phone to the middle of the closure, median


def lip_measures(weights: np.ndarray) -> np.ndarray:
    """Inner-lip opening, mouth width, chin drop (n_frames, 3) of the embedded head under weights (n_frames, 64), dm."""
    from bfm.coefficients import FULL_ACTIVATION_SD, IDENTITY_DIMS
    from bfm.sources.embedded import load_embedded_model

    expression = weights * np.float32(FULL_ACTIVATION_SD)
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
    """How well the closures of an opening (n_frames,) beyond rest agree with labelled phones.

    Lips that stay shut from speech into a pause are one closure, which counts where most of it lies in speech.
    """
    rate = max(frame_rate, LEAST_RATE)
    time = np.arange(0.0, (len(opening) - 1) / frame_rate + 1e-9, 1.0 / rate)
    opening = np.interp(time, np.arange(len(opening)) / frame_rate, opening)
    spoken = _within(time, [p for p in phones if p.label != SILENCE], 0.0)
    targets = [p for p in phones if p.label in BILABIALS | LABIODENTALS]
    labial = _within(time, targets, 0.05)
    shut = opening <= SHUT_SHARE * np.percentile(opening[spoken], 90)
    closures = [(time[a], time[b]) for a, b in _runs(shut) if spoken[a : b + 1].mean() > 0.5]
    brief = [run for run in closures if run[1] - run[0] <= LONGEST_CLOSURE]
    heard = [run for a, b in _runs(shut & spoken) if (run := (time[a], time[b]))[1] - run[0] <= LONGEST_CLOSURE]

    def meets(run: tuple[float, float], phone: Phone) -> bool:
        return run[0] <= phone.end + REACH and run[1] >= phone.start - REACH

    wanted = [p for p in phones if p.label in BILABIALS]
    met = [next((r for r in heard if meets(r, p)), None) for p in wanted]
    offsets = [sum(r) / 2 - (p.start + p.end) / 2 for r, p in zip(met, wanted) if r is not None]
    return Closures(
        recall=len(offsets) / max(1, len(wanted)),
        precision=sum(any(meets(r, p) for p in targets) for r in brief) / max(1, len(closures)),
        idle=float((shut & spoken & ~labial).sum() / max(1, (spoken & ~labial).sum())),
        offset=float(np.median(offsets)) if offsets else float("nan"),
    )


def _within(time: np.ndarray, phones: list[Phone], reach: float) -> np.ndarray:
    """Which moments (n,) lie within reach seconds of one of the phones."""
    found = np.zeros(len(time), bool)
    for phone in phones:
        found |= (time >= phone.start - reach) & (time <= phone.end + reach)
    return found


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
    return offset.correlation(times, real, predicted, FRAME_RATE, lag)


def best_lag(times: np.ndarray, real: np.ndarray, predicted: np.ndarray) -> float:
    """The lag in seconds, within 0.4 s, at which a predicted opening suits the tracked one (n,) best."""
    return offset.best_lag(times, real, predicted, FRAME_RATE)[0]


def third_difference(times: np.ndarray, series: np.ndarray) -> float:
    """Mean absolute third difference per s^3 of a series (n,) in its standard deviations, read at even steps."""
    usable = np.isfinite(series)
    step = float(np.median(np.diff(times)))
    even = np.interp(np.arange(times[usable][0], times[usable][-1], step), times[usable], series[usable])
    return float(np.abs(np.diff(even, 3)).mean() / step**3 / max(even.std(), 1e-9))
