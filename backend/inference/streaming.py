"""Speech to lips while it is spoken: samples go in as they come, frames come out 0.15 s behind them.

An answer never depends on sound later than LOOK_AHEAD after it, nor on the size of the pieces that the sound comes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blender_addon.protocol.types import Waveform

from ..audio.articulation import ARTICULATOR_INDEX, ARTICULATORS, to_channels
from ..audio.decoding import best_path, find_accents, merge_phones
from ..audio.features import (
    FEATURE_RATE,
    HOP,
    QUIETEST,
    SAMPLE_RATE,
    WINDOW,
    count_frames,
    log_mels,
    measure_level,
    warp_bands,
)
from ..audio.phones import BILABIALS, PHONE_INDEX, SILENCE
from ..audio.running_level import RunningLevel
from ..errors import InputError
from ..weights import NETWORKS
from .second_opinion import load_streaming_network
from .speech import (
    CLOSURE_GAIN,
    LOUDNESS_RANGE,
    NETWORK_RATE,
    SMOOTHING,
    Articulation,
    decide_closure,
    effort_of,
    feature_chunks,
    resampled_sound,
)
from .threads import one_thread

STEP = 2 * HOP  # samples at 16 kHz, one network frame
VOCAL_TRACTS = (0.92, 1.0, 1.09)  # times as short as the speaker's; the opinions are averaged
SMOOTHED_BEFORE, SMOOTHED_AFTER = 2, 1  # network frames on either side that smooth an answer
SETTLING = 0.05  # seconds, time constant of loudness and stress in vocal effort
RESTING = 0.045  # seconds, time constant of the mouth's rest in pauses
HEARD_ABOVE = QUIETEST + 0.2  # level under which nothing has been said yet
DC_POLE = 0.995  # of the filter that takes out a constant offset, at 13 Hz
_NO_ANSWERS = (np.zeros((0, len(ARTICULATORS))), np.zeros((0, len(PHONE_INDEX))), (), ())
_PHONE_COLUMNS = sorted(PHONE_INDEX[p] for p in BILABIALS)


@dataclass(frozen=True)
class Answers:
    """What the network said of some network frames: articulators (n, 13), phones (n, 42), stress, loudness (n,)."""

    articulators: np.ndarray
    phones: np.ndarray
    stress: np.ndarray
    loudness: np.ndarray


@dataclass(frozen=True)
class StreamedFrames:
    """Frames that are ready: weights (n, 64) channels 0-1, activity (n,) 0-1, and the network's answers behind them.

    first: index of the first of them; frame i is at i / frame_rate seconds of the sound pushed.
    """

    first: int
    weights: np.ndarray
    activity: np.ndarray
    answers: Answers


class StreamingArticulator:
    """Turns sound that is still coming into lips, jaw and tongue.

    push() takes any number of samples and returns the frames that they complete; finish() returns the rest.
    """

    def __init__(self, frame_rate: float, *, sample_rate: int = SAMPLE_RATE, weights: Path | None = None) -> None:
        """Frames at frame_rate Hz from samples at sample_rate Hz. Raises InputError for rates that are not above 0."""
        if not frame_rate > 0:
            raise InputError(f"The frame rate should be above 0 frames per second, got {frame_rate:g}.")
        if not sample_rate > 0:
            raise InputError(f"The sample rate should be above 0 Hz, got {sample_rate:g}.")
        self.frame_rate = float(frame_rate)
        self._network = load_streaming_network(Path(weights) if weights is not None else NETWORKS["streaming"].path)
        self._delay = self._network.config.delay
        self._resample = None if sample_rate == SAMPLE_RATE else _Resampler(sample_rate)
        self._level = RunningLevel.begin(self._network.usual_spectrum.numpy())
        self._state = self._network.begin(len(VOCAL_TRACTS))
        self._samples = np.zeros(WINDOW // 2, np.float32)  # frame 0 is centred at the first sample
        self._offset = np.zeros(1)
        self._n_samples, self._n_steps, self._n_frames = 0, 0, 0
        self._loudness: list[float] = []
        self._shaper = _Shaper()
        self._shaped: list[np.ndarray] = []  # articulators and activity of network frames from _first_shaped on
        self._first_shaped = 0
        self._finished = False

    @property
    def look_ahead(self) -> float:
        """Seconds of sound after a frame that can change it, at most."""
        frames = self._delay + SMOOTHED_AFTER + 1  # and one that interpolation reads
        return frames / NETWORK_RATE + 1 / FEATURE_RATE + 0.5 * WINDOW / SAMPLE_RATE

    def push(self, samples: np.ndarray) -> StreamedFrames:
        """The frames that become ready with samples (n_samples,) in [-1, 1]. Raises InputError after finish()."""
        if self._finished:
            raise InputError("The stream is finished: begin another.")
        samples = np.nan_to_num(np.asarray(samples, np.float32).reshape(-1), posinf=0.0, neginf=0.0)
        if self._resample is not None:
            samples = self._resample(samples)
        self._n_samples += len(samples)
        return self._advance(np.clip(samples, -1.0, 1.0), None)

    def finish(self) -> StreamedFrames:
        """The frames that remain: max(1, round(duration * frame_rate)) in all."""
        rest = np.zeros(0, np.float32) if self._resample is None else self._resample.rest()
        self._n_samples += len(rest)
        self._finished = True
        n_frames = max(1, round(self._n_samples / SAMPLE_RATE * self.frame_rate))
        silence = np.zeros(round((self._delay + 4) * STEP + SAMPLE_RATE / self.frame_rate) + WINDOW, np.float32)
        return self._advance(np.concatenate([rest, silence]), n_frames)

    @one_thread()
    def _advance(self, samples: np.ndarray, n_frames: int | None) -> StreamedFrames:
        """The frames that samples (n,) at 16 kHz make ready, up to n_frames of the whole stream."""
        from scipy.signal import lfilter

        level, self._offset = lfilter((1.0, -1.0), (1.0, -DC_POLE), samples, zi=self._offset)
        self._samples = np.concatenate([self._samples, level.astype(np.float32)])
        answers = []
        # A step reads two windows, HOP apart.
        while len(self._samples) >= WINDOW + HOP:
            answer = self._step(self._samples[: WINDOW + HOP])
            self._samples = self._samples[STEP:]
            if answer is not None:
                answers.append(answer)
        columns = zip(*answers) if answers else _NO_ANSWERS
        return self._read(n_frames, Answers(*(np.array(column, np.float32) for column in columns)))

    def _step(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float] | None:
        """One network frame: samples (560,); the answer about the frame _delay before it, None while that is none."""
        import torch

        mels = _two_mels(samples)
        seen, level = self._level.normalise(mels)
        loud = float(np.clip(1.0 + (mels[0].mean() - level[0]) / LOUDNESS_RANGE, 0.0, 1.0))
        self._loudness.append(loud if level[0] > HEARD_ABOVE else -1.0)
        heard = torch.from_numpy(np.stack([warp_bands(seen, tract) for tract in VOCAL_TRACTS]))
        with torch.inference_mode():
            out, self._state = self._network(heard, self._state)
            phones = out.phone_logits[:, 0].softmax(-1).mean(0).numpy()
            moves = out.articulators[:, 0].mean(0).numpy()
            stress = float(out.stress_logits[:, 0].sigmoid().mean())
        self._n_steps += 1
        if self._n_steps <= self._delay:
            return None
        loud = self._loudness.pop(0)
        if loud < 0.0:
            phones = np.zeros_like(phones)
            phones[PHONE_INDEX[SILENCE]] = 1.0
        answer = (moves, phones, stress, max(loud, 0.0))
        shaped = self._shaper(answer)
        if shaped is not None:
            self._shaped.append(shaped)
        return answer

    def _read(self, n_frames: int | None, answers: Answers) -> StreamedFrames:
        """The frames between the shaped network frames, and forgets those that no later frame reads."""
        newest = self._first_shaped + len(self._shaped) - 1
        first = self._n_frames
        last = max(first, int(np.floor(newest / NETWORK_RATE * self.frame_rate + 1e-6)) + 1)
        last = last if n_frames is None else min(last, n_frames)
        if last <= first:
            nothing = np.zeros((0, len(ARTICULATORS)), np.float32)
            return StreamedFrames(first, to_channels(nothing), np.zeros(0, np.float32), answers)
        rows = np.stack(self._shaped)
        times = np.arange(first, last) / self.frame_rate
        moves = _at(times, rows, self._first_shaped)
        # A closure between two frames is given to the later one as well.
        before = _at(times - min(0.25 / self.frame_rate, 0.010), rows, self._first_shaped)
        for name in ("closure", "labiodental"):
            column = ARTICULATOR_INDEX[name]
            moves[:, column] = np.maximum(moves[:, column], before[:, column])
        self._n_frames = last
        kept = max(0, int((last / self.frame_rate - 0.010) * NETWORK_RATE) - 1 - self._first_shaped)
        self._shaped, self._first_shaped = self._shaped[kept:], self._first_shaped + kept
        activity = np.clip(moves[:, -1], 0.0, 1.0).astype(np.float32)
        return StreamedFrames(first, to_channels(moves[:, :-1]), activity, answers)


class _Shaper:
    """Network answers to articulators for the screen, one after another: the whole-file shaping with what is known."""

    def __init__(self) -> None:
        offsets = np.arange(-SMOOTHED_BEFORE, SMOOTHED_AFTER + 1)
        kernel = np.exp(-0.5 * (offsets / (SMOOTHING * NETWORK_RATE)) ** 2)
        self._kernel = kernel / kernel.sum()
        self._rows: list[np.ndarray] = []
        self._effort, self._rest = np.zeros(2), 0.0
        self._has_begun = False

    def __call__(self, answer: tuple[np.ndarray, np.ndarray, float, float]) -> np.ndarray | None:
        """Articulators and activity (14,) of the frame before the answer's, None for the first."""
        moves, phones, stress, loudness = answer
        moves = moves.astype(np.float64)
        support = phones[_PHONE_COLUMNS].sum()
        for name, helped in (("closure", support), ("labiodental", 0.0)):
            column = ARTICULATOR_INDEX[name]
            moves[column] = decide_closure(moves[column], helped)
        speaking = 1.0 - phones[PHONE_INDEX[SILENCE]]
        row = np.concatenate([moves, [speaking, speaking * (0.4 + 0.6 * loudness), loudness, stress]])
        is_first = not self._rows
        self._rows = [row] * len(self._kernel) if is_first else [*self._rows[1:], row]
        return None if is_first else self._shape()

    def _shape(self) -> np.ndarray:
        row = self._kernel @ np.stack(self._rows)
        moves, speaking, active = row[: len(ARTICULATORS)], row[-4], row[-3]
        share = 1.0 - np.exp(-1.0 / (SETTLING * NETWORK_RATE))
        self._effort = row[-2:].copy() if not self._has_begun else self._effort + share * (row[-2:] - self._effort)
        self._has_begun = True
        moves[[ARTICULATOR_INDEX[name] for name in ("jaw", "lower_lip", "upper_lip")]] *= effort_of(*self._effort)
        for name in ("closure", "labiodental"):
            moves[ARTICULATOR_INDEX[name]] = min(CLOSURE_GAIN * moves[ARTICULATOR_INDEX[name]], 1.0)
        share = 1.0 - np.exp(-1.0 / (RESTING * NETWORK_RATE))
        wanted = min(speaking / 0.5, 1.0)
        # The mouth opens with the sound and comes to rest after it.
        self._rest = max(wanted, self._rest + share * (wanted - self._rest))
        return np.append(moves * self._rest, active)


class _Resampler:
    """Samples of another rate at 16 kHz, in pieces."""

    def __init__(self, sample_rate: int) -> None:
        import av

        self._rate = int(sample_rate)
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """What samples (n,) complete."""
        import av

        if not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate = self._rate
        return self._joined(self._resampler.resample(frame))

    def rest(self) -> np.ndarray:
        """What remains at the end."""
        return self._joined(self._resampler.resample(None))

    @staticmethod
    def _joined(frames) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray().reshape(-1) for frame in frames)])


def articulate_streaming(waveform: Waveform, frame_rate: float, *, weights: Path | None = None) -> Articulation:
    """A whole waveform through the streaming network, as a live user would have seen it.

    The phones, accents and EmoSpeaker's content are made at the end, from the answers of the stream.
    """
    from .emospeaker import count_content, heard_cepstra, rows_of, shipped_networks

    stream = StreamingArticulator(frame_rate, sample_rate=waveform.sample_rate, weights=weights)
    parts = [stream.push(waveform.samples), stream.finish()]
    answers = Answers(
        *(np.concatenate([getattr(p.answers, name) for p in parts]) for name in Answers.__dataclass_fields__)
    )
    phones = merge_phones(best_path(np.log(answers.phones + 1e-6)), NETWORK_RATE, waveform.duration)
    networks, samples = shipped_networks(), resampled_sound(waveform)
    level = measure_level(log_mels(samples, *chunk) for chunk in feature_chunks(count_frames(len(samples))))
    n_content = count_content(waveform.duration, networks.frame_rate)
    return Articulation(
        weights=np.concatenate([p.weights for p in parts]),
        phones=phones,
        activity=np.concatenate([p.activity for p in parts]),
        accents=find_accents(phones, answers.stress, answers.loudness, NETWORK_RATE),
        frame_rate=float(frame_rate),
        content=networks.encode(heard_cepstra(samples, level), rows_of(answers), n_content),
    )


def _two_mels(samples: np.ndarray) -> np.ndarray:
    """Log-mels (2, 80) of the two windows in samples (560,)."""
    lead = -(WINDOW // 2) % HOP  # log_mels centres its frames at multiples of HOP
    first = (lead + WINDOW // 2) // HOP
    return log_mels(np.concatenate([np.zeros(lead, np.float32), samples]), first, first + 2)


def _at(times: np.ndarray, rows: np.ndarray, first: int) -> np.ndarray:
    """Rows (n, k) at 50 Hz, the first at network frame first, read at times (m,) in seconds; held at both ends."""
    position = np.clip(times * NETWORK_RATE - first, 0.0, len(rows) - 1)
    below = np.minimum(position.astype(int), max(len(rows) - 2, 0))
    share = (position - below)[:, None]
    return rows[below] * (1.0 - share) + rows[np.minimum(below + 1, len(rows) - 1)] * share
