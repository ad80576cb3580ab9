"""Ways from sound to lips that are measured side by side: ours, what others would do, and loudness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blender_addon.protocol.options import Script
from blender_addon.protocol.types import Phone, Waveform

from ..audio.articulation import to_channels
from ..audio.features import FEATURE_RATE, log_mels
from ..audio.phones import PHONE_INDEX, SILENCE
from ..training.coarticulation import articulate_phones
from .lips import FRAME_RATE, lip_measures


@dataclass(frozen=True)
class Lips:
    """Opening, width and chin drop (n_frames, 3) at FRAME_RATE, only the opening where n is 1; phones where heard."""

    measures: np.ndarray
    phones: tuple[Phone, ...] | None


Listener = Callable[[Waveform], Lips]


def product(weights: Path | None = None, script: Script | None = None) -> Listener:
    """The lips that a shot gets: of the default path, or of a speech network with other weights."""
    from ..inference.speech import SpeechArticulator
    from ..pipeline import articulate

    own = None if weights is None else SpeechArticulator(weights)

    def listen(waveform: Waveform) -> Lips:
        said = (
            articulate(waveform, FRAME_RATE, script=script)
            if own is None
            else own.articulate(waveform, FRAME_RATE, script)
        )
        return Lips(lip_measures(said.weights), said.phones)

    return listen


def streaming(weights: Path | None = None) -> Listener:
    """The lips of a live stream."""
    from ..inference.streaming import articulate_streaming

    def listen(waveform: Waveform) -> Lips:
        said = articulate_streaming(waveform, FRAME_RATE, weights=weights)
        return Lips(lip_measures(said.weights), said.phones)

    return listen


def of_phones(phones: tuple[Phone, ...], duration: float) -> Lips:
    """The coarticulation model's lips for phones that are known."""
    n_frames = max(1, round(duration * FRAME_RATE))
    ends, labels = np.array([p.end for p in phones]), [p.label for p in phones]
    moves = articulate_phones(ends, labels, np.full(len(ends), -1), frame_rate=FRAME_RATE, n_frames=n_frames)
    return Lips(lip_measures(to_channels(moves)), phones)


def allphone(waveform: Waveform) -> Lips:
    """Baseline: pocketsphinx's phone recogniser with its own phone language model, and the coarticulation model."""
    import pocketsphinx

    model = Path(pocketsphinx.get_model_path()) / "en-us"
    decoder = pocketsphinx.Decoder(
        hmm=str(model / "en-us"), allphone=str(model / "en-us-phone.lm.bin"), lm=None, dict=None, lw=2.0,
        beam=1e-20, pbeam=1e-20, loglevel="FATAL",
    )  # fmt: skip
    pcm = (np.clip(waveform.samples, -1, 1) * 32767).astype(np.int16).tobytes()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    phones = phones_of_segments([(s.word, s.start_frame, s.end_frame + 1) for s in decoder.seg()], waveform.duration)
    return of_phones(phones, waveform.duration)


def phones_of_segments(segments: list[tuple[str, int, int]], duration: float) -> tuple[Phone, ...]:
    """pocketsphinx's segments (name, first and last frame of 10 ms) as phones that cover the sound."""
    phones, at = [], 0.0
    for name, _, last in segments:
        end = min(last / 100.0, duration)
        if end > at:
            phones.append(Phone(at, end, name if name in PHONE_INDEX else SILENCE))
            at = end
    if at < duration:
        phones.append(Phone(at, duration, SILENCE))
    return tuple(phones)


def loudness(waveform: Waveform) -> Lips:
    """Baseline: the energy envelope as opening, 0 at its softest."""
    loud = np.exp(0.5 * log_mels(waveform.samples).mean(1))
    times = np.arange(max(1, round(waveform.duration * FRAME_RATE))) / FRAME_RATE
    opening = np.interp(times, np.arange(len(loud)) / FEATURE_RATE, loud - loud.min())
    return Lips(opening[:, None], None)
