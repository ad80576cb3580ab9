"""Speech to lips, jaw and tongue at any frame rate, by the shipped speech network."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blender_addon.protocol.options import Script
from blender_addon.protocol.types import Phone, Waveform

from ..audio.articulation import ARTICULATOR_INDEX, ARTICULATORS, to_channels
from ..audio.decoding import best_path, find_accents, merge_phones
from ..audio.features import (
    FEATURE_RATE,
    SAMPLE_RATE,
    Level,
    count_frames,
    log_mels,
    measure_level,
    normalise,
    warp_bands,
)
from ..audio.phones import BILABIALS, PHONE_INDEX, SILENCE
from ..audio.sphinx_features import CepstraReader
from ..errors import InputError
from ..weights import NETWORKS
from .phone_evidence import N_EVIDENCE, phone_evidence
from .script import check_phones, phones_of_text, with_phones, with_text
from .second_opinion import Opinion, averaged, in_one, second_opinion
from .threads import one_thread_each

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.speech import SpeechNetwork

NETWORK_RATE = FEATURE_RATE / 2  # Hz
CHUNK = 6000  # feature frames (60 s) that one pass answers for
CONTEXT = 600  # feature frames (6 s) it hears before and after them
VOCAL_TRACTS = (0.93, 1.08)  # times as short as the speaker's
EVIDENCE_SHARE = 0.43  # of what the whole-file network makes of the phones' evidence alone, without the sound
NOISY, CLEAN = 2.5, 4.5  # contrast of recordings whose evidence alone is not asked, for noise has spoilt it, and is
CLOSURE_LOW, CLOSURE_HIGH = 0.22, 0.52  # network closure that is none, and that is a full seal
SMOOTHING = 0.016  # seconds, standard deviation
CLOSURE_LAG = 0.005  # seconds that learned closures lie before the middle of phones, whose bursts part the lips already
CLOSURE_GAIN = 1.15  # gives back to short closures what smoothing takes
LOUDNESS_RANGE = 5.0  # nepers of power from inaudible to loud
# Louder and stressed syllables are spoken with a wider mouth (Schulman 1989, Geumann 2001): gain of the jaw and of the
# parting lips per unit of loudness and stress around their usual values. It scales what the phones ask for.
EFFORT_PER_LOUDNESS, EFFORT_PER_STRESS = 0.75, 0.35
USUAL_LOUDNESS, USUAL_STRESS = 0.75, 0.65
EFFORT_SMOOTHING = 0.06  # seconds
LONG_PAUSE, CLOSING_TIME, OPENING_TIME = 0.34, 0.12, 0.16  # seconds
SILENCE_SMOOTHING = 0.03  # seconds
SURE_SILENCE, SPEECH_LOUDNESS = 0.9, 0.8  # probability of silence; loudness (0-1) within 4 dB of the recording's speech
EFFORT_LIMITS = (0.65, 1.35)


@dataclass(frozen=True)
class Articulation:
    """What speech does to the mouth.

    weights (n_frames, 64): channel weights 0-1 of lips, jaw and tongue. phones: in order, covering the sound.
    activity (n_frames,): 0-1, presence and loudness of speech. accents (k,): seconds of the stressed syllables.
    notices: what the user should know of the transcript.
    content (n, C): EmoSpeaker's content vectors, which emotion and pose need; None without its networks.
    """

    weights: np.ndarray
    phones: tuple[Phone, ...]
    activity: np.ndarray
    accents: np.ndarray
    frame_rate: float
    notices: tuple[str, ...] = ()
    content: np.ndarray | None = None


@dataclass(frozen=True)
class Listening:
    """The network's opinions at 50 Hz: articulators (n, 13); phones (n, 42), stress (n,) and loudness (n,) in 0-1."""

    articulators: np.ndarray
    phones: np.ndarray
    stress: np.ndarray
    loudness: np.ndarray


@dataclass(frozen=True)
class Heard:
    """What is said: samples (n_samples,) at 16 kHz, their level, the network's opinions and the phones read from them.

    speaking (n,): 0-1 at 50 Hz, whether somebody speaks. notices: what the user should know of the transcript.
    """

    samples: np.ndarray
    level: Level
    listening: Listening
    phones: tuple[Phone, ...]
    speaking: np.ndarray
    notices: tuple[str, ...] = ()


class SpeechArticulator:
    """Turns waveforms into articulation with the shipped networks, read at first use.

    weights: a whole-file network's (.safetensors) that is then heard alone, without the streaming one's opinion.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._path = Path(weights) if weights is not None else NETWORKS["speech"].path
        self._second = None if weights is not None else NETWORKS["streaming"].path
        self._network = None

    def articulate(self, waveform: Waveform, frame_rate: float, script: Script | None = None) -> Articulation:
        """Lips, jaw and tongue of a waveform at frame_rate Hz: max(1, round(duration * frame_rate)) frames.

        script: its text or phones, where they are known. Raises InputError where the frame rate is not above zero,
        the weights are missing or the script cannot be followed.
        """
        if not frame_rate > 0:
            raise InputError(f"The frame rate should be above 0 frames per second, got {frame_rate:g}.")
        n_frames = max(1, round(waveform.duration * frame_rate))
        heard = self.hear(waveform, script)
        if heard is None:
            return _silence(n_frames, frame_rate, waveform.duration)
        moves = shape_articulators(heard.listening, heard.speaking)
        weights = to_channels(resample_articulators(moves, frame_rate, n_frames))
        return articulation_of(heard, weights, frame_rate)

    def hear(self, waveform: Waveform, script: Script | None = None) -> Heard | None:
        """What is said in a waveform, as its script has it; None where it is silent.

        Raises InputError where the weights are missing or the script cannot be followed.
        """
        samples = resampled_sound(waveform)
        reader, parts = CepstraReader(), feature_chunks(count_frames(len(samples)))
        level = measure_level(reader.push(log_mels(samples, *part)) for part in parts)
        if level.is_silent:
            return None
        listening = self.listen(samples, level, reader.cepstra())
        phones = merge_phones(best_path(np.log(listening.phones + 1e-6)), NETWORK_RATE, waveform.duration)
        heard = Heard(samples, level, listening, phones, speaking_share(listening, phones))
        return heard if script is None else follow(heard, script, waveform.duration)

    def listen(self, samples: np.ndarray, level: Level, cepstra: np.ndarray) -> Listening:
        """The networks' opinions on samples (n_samples,) at 16 kHz, in chunks with context on both sides.

        cepstra (n, 13) at 100 Hz: the recording's, for what pocketsphinx's acoustic model makes of each moment.
        The whole-file network and the streaming one hear it as of two vocal tracts, the former once more by the
        evidence alone, and the opinions are averaged: what is unlike the voices of their training is then less often
        mistaken with confidence.
        """
        with one_thread_each() as beside:
            other = None if self._second is None else beside(second_opinion, samples, self._second, VOCAL_TRACTS)
            *first, loudness = self._first_opinion(samples, level, cepstra, beside)
            if other is None:
                return Listening(*first, loudness)
            return Listening(*in_one(first, other.result()), loudness)

    def _first_opinion(
        self, samples: np.ndarray, level: Level, cepstra: np.ndarray, beside: Callable[..., Future]
    ) -> tuple[np.ndarray, ...]:
        """The whole-file network's articulators (n, 13), phones (n, 42) and stress (n,), and the loudness (n,).

        What it infers from the evidence alone is left to beside.
        """
        network = self.network
        n_frames = count_frames(len(samples))
        share = EVIDENCE_SHARE * float(np.clip((level.contrast - NOISY) / (CLEAN - NOISY), 0.0, 1.0))
        parts, inferred = [], []
        for start, end in feature_chunks(n_frames):
            first, last = max(0, start - CONTEXT), min(n_frames, end + CONTEXT)
            mels = log_mels(samples, first, last)
            seen, evidence = normalise(mels, level), phone_evidence(cepstra[first:last])
            rows = slice((start - first) // 2, (start - first) // 2 + -(-(end - start) // 2))
            inferred.append(beside(_opinion, network, np.zeros_like(seen), evidence, rows))
            heard = _mean([_opinion(network, warp_bands(seen, tract), evidence, rows) for tract in VOCAL_TRACTS])
            loud = np.clip(1.0 + (mels.mean(1)[::2] - level.loudness) / LOUDNESS_RANGE, 0.0, 1.0)
            parts.append((heard, loud[rows].astype(np.float32)))
        answers = [(*averaged(h, i.result(), share), loud) for (h, loud), i in zip(parts, inferred, strict=True)]
        return tuple(np.concatenate(column) for column in zip(*answers))

    @property
    def network(self):
        """The network with its weights. Raises InputError where they are missing or do not fit."""
        if self._network is None:
            self._network = load_network(self._path)
        return self._network


def _opinion(network: SpeechNetwork, mels: np.ndarray, evidence: np.ndarray, rows: slice) -> Opinion:
    """The network's articulators (n, 13), phones (n, 42) and stress (n,) in some rows of what it hears."""
    import torch

    with torch.inference_mode():
        out = network(torch.from_numpy(mels)[None], torch.from_numpy(evidence)[None])
    fields = (out.articulators, out.phone_logits.softmax(-1), out.stress_logits.sigmoid())
    return tuple(field[0, rows].numpy() for field in fields)


def _mean(opinions: list[Opinion]) -> Opinion:
    return tuple(np.mean(column, axis=0) for column in zip(*opinions))


def follow(heard: Heard, script: Script, duration: float) -> Heard:
    """What is heard in a sound of so many seconds, as its script has it. Raises InputError where it cannot be."""
    listening, phones, notices = heard.listening, heard.phones, ()
    if script.text is not None:
        aligned, notices = phones_of_text(script.text, script.language, listening, duration)
        if aligned is not None:
            listening, phones = with_text(listening, aligned), aligned
    if script.phones:
        wanted = check_phones(script.phones, duration)
        if wanted != phones:
            listening, phones = with_phones(listening, phones, wanted), wanted
    speaking = speaking_share(listening, phones)
    return replace(heard, listening=listening, phones=phones, speaking=speaking, notices=notices)


def speaking_share(listening: Listening, phones: tuple[Phone, ...]) -> np.ndarray:
    """Whether somebody speaks (n,), 0-1 at 50 Hz: not in what the network takes for silence, nor in long pauses.

    What is as loud as the speech and not surely silence is no pause, though no phone may be likelier than silence.
    """
    silent = listening.phones[:, PHONE_INDEX[SILENCE]]
    doubtful = (silent < SURE_SILENCE) & (listening.loudness > SPEECH_LOUDNESS)
    pause = _is_pause(phones, len(silent)) & ~doubtful
    return (1.0 - _smooth(silent, SILENCE_SMOOTHING)) * ~pause


def articulation_of(heard: Heard, weights: np.ndarray, frame_rate: float) -> Articulation:
    """The articulation whose lips are the channel weights (n_frames, 64) at frame_rate Hz."""
    listening = heard.listening
    times = np.arange(len(weights)) / frame_rate
    activity = _at(times, _smooth(heard.speaking * (0.4 + 0.6 * listening.loudness), SILENCE_SMOOTHING))
    return Articulation(
        weights=weights,
        phones=heard.phones,
        activity=np.clip(activity, 0.0, 1.0).astype(np.float32),
        accents=find_accents(heard.phones, listening.stress, listening.loudness, NETWORK_RATE),
        frame_rate=float(frame_rate),
        notices=heard.notices,
    )


def load_network(path: Path) -> SpeechNetwork:
    """The whole-file network with weights (.safetensors). Raises InputError where they are missing or do not fit."""
    from ..models.speech import SpeechNetwork, SpeechNetworkConfig

    config, state = read_weights(path)
    network = SpeechNetwork(SpeechNetworkConfig(**config))
    if network.config.n_evidence != N_EVIDENCE:
        raise InputError(f"The weights at {path} are of another version: train them again.")
    network.load_state_dict(state)
    return network.eval()


def read_weights(path: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
    """A speech network's config and float32 weights. Raises InputError where they are missing or of another version."""
    from safetensors import safe_open

    if not path.is_file():
        raise InputError(f"The speech network's weights are missing at {path}: install the package again.")
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    if json.loads(metadata.get("articulators", "[]")) != list(ARTICULATORS):
        raise InputError(f"The weights at {path} are of another version: install the package again.")
    config = json.loads(metadata["config"])
    return {**config, "dilations": tuple(config["dilations"])}, state


def resampled_sound(waveform: Waveform) -> np.ndarray:
    """The waveform's samples at 16 kHz."""
    if waveform.sample_rate == SAMPLE_RATE:
        return waveform.samples
    from scipy.signal import resample_poly

    common = np.gcd(SAMPLE_RATE, waveform.sample_rate)
    return resample_poly(waveform.samples, SAMPLE_RATE // common, waveform.sample_rate // common).astype(np.float32)


def feature_chunks(n_frames: int) -> list[tuple[int, int]]:
    """Start and end feature frames of the passes over a recording."""
    return [(start, min(start + CHUNK, n_frames)) for start in range(0, n_frames, CHUNK)]


def _silence(n_frames: int, frame_rate: float, duration: float) -> Articulation:
    """Closed, relaxed lips throughout."""
    nothing = to_channels(np.zeros((n_frames, len(ARTICULATORS)), np.float32))
    phones = (Phone(0.0, duration, SILENCE),)
    return Articulation(nothing, phones, np.zeros(n_frames, np.float32), np.zeros(0, np.float32), float(frame_rate))


def _smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian smoothing over network frames (first axis) by a standard deviation in seconds, ends held."""
    radius = int(np.ceil(3 * deviation * NETWORK_RATE))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (deviation * NETWORK_RATE)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, [(radius, radius)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return sum(weight * padded[shift : shift + len(values)] for shift, weight in enumerate(kernel))


def shape_articulators(heard: Listening, speaking: np.ndarray) -> np.ndarray:
    """Articulators (n, 13) at 50 Hz for the screen: smoothed movements, decided closures, rest where nobody speaks.

    The network hedges between closed and open where it doubts; lips do not, so its closure is pushed to either side,
    helped by its opinion on bilabial phones. speaking (n,): 0-1.
    """
    moves = _smooth(heard.articulators, SMOOTHING)
    moves[:, [ARTICULATOR_INDEX[name] for name in ("jaw", "lower_lip", "upper_lip")]] *= vocal_effort(heard)[:, None]
    bilabial = heard.phones[:, [PHONE_INDEX[p] for p in sorted(BILABIALS)]].sum(1)
    for name, support in (("closure", bilabial), ("labiodental", 0.0)):
        column = ARTICULATOR_INDEX[name]
        decided = decide_closure(heard.articulators[:, column], support)
        moves[:, column] = np.minimum(CLOSURE_GAIN * _smooth(decided, SMOOTHING), 1.0)
    return moves * _smooth(np.clip(speaking / 0.5, 0.0, 1.0), SILENCE_SMOOTHING)[:, None]


def _is_pause(phones: tuple[Phone, ...], n_frames: int) -> np.ndarray:
    """True at the frames (n_frames,) at 50 Hz of long silences, whatever breath, music or noise is in them.

    The mouth may close after the last sound and open ahead of the next.
    """
    time = np.arange(n_frames) / NETWORK_RATE
    pause = np.zeros(n_frames, bool)
    for phone in phones:
        if phone.label == SILENCE and phone.end - phone.start >= LONG_PAUSE:
            pause |= (time >= phone.start + CLOSING_TIME) & (time <= phone.end - OPENING_TIME)
    return pause


def decide_closure(raw: np.ndarray, support: np.ndarray | float) -> np.ndarray:
    """The network's closure (n,) pushed to 0 or 1, helped by its support (n,) 0-1 for phones that close the lips."""
    evidence = raw * (1.0 + 0.25 * support)
    decided = np.clip((evidence - CLOSURE_LOW) / (CLOSURE_HIGH - CLOSURE_LOW), 0.0, 1.0)
    return decided * decided * (3.0 - 2.0 * decided)


def vocal_effort(heard: Listening) -> np.ndarray:
    """How wide the speaker opens what the phones open, (n,), 1 = usual."""
    return effort_of(_smooth(heard.loudness, EFFORT_SMOOTHING), _smooth(heard.stress, EFFORT_SMOOTHING))


def effort_of(loudness: np.ndarray | float, stress: np.ndarray | float) -> np.ndarray:
    """Vocal effort, 1 = usual, of loudness and stress in 0-1."""
    effort = 1.0 + EFFORT_PER_LOUDNESS * (loudness - USUAL_LOUDNESS) + EFFORT_PER_STRESS * (stress - USUAL_STRESS)
    return np.clip(effort, *EFFORT_LIMITS)


def resample_articulators(moves: np.ndarray, frame_rate: float, n_frames: int) -> np.ndarray:
    """Articulators (n_frames, 13) at frame_rate from 50 Hz; a closure between two frames is given to the nearer one."""
    times = np.arange(n_frames) / frame_rate
    out = np.stack([_at(times, column) for column in moves.T], axis=1)
    reach = min(0.25 / frame_rate, 0.010)
    for name in ("closure", "labiodental"):
        column = moves[:, ARTICULATOR_INDEX[name]]
        around = [_at(times + shift - CLOSURE_LAG, column) for shift in (-reach, 0.0, reach)]
        out[:, ARTICULATOR_INDEX[name]] = np.max(around, axis=0)
    return out


def _at(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (n,) at 50 Hz read at times (m,) in seconds."""
    return np.interp(times, np.arange(len(values)) / NETWORK_RATE, values)
