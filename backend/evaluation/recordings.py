"""Recordings with phone labels that no network was trained on, and what rooms and telephones make of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blender_addon.protocol.types import Phone, Waveform

from ..audio.features import SAMPLE_RATE

TEST_DATA = Path("/usr/share/pocketsphinx/test/data")  # Debian's pocketsphinx-testdata
_TRANSCRIBED = re.compile(r"^(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\((\S+)\)\s*$")
NOISE_RATIO = 10.0  # dB
ROOM_DECAY = 0.5  # seconds to -60 dB


@dataclass(frozen=True)
class Recording:
    """A recorded sentence with its phones, and its text where that is known."""

    waveform: Waveform
    phones: tuple[Phone, ...]
    text: str | None = None


def russian(n_recordings: int) -> list[Recording]:
    """Held-out recordings of festvox-ru, labelled by its makers; empty where it is not installed."""
    from ..training.engines import read_russian
    from ..training.synthesise import held_out_russian

    names = held_out_russian()
    chosen = names[:: max(1, len(names) // max(1, n_recordings))][:n_recordings]
    found = []
    for name in chosen:
        spoken = read_russian(name)
        assert spoken.sample_rate == SAMPLE_RATE
        starts = np.concatenate([[0.0], spoken.ends[:-1]])
        phones = tuple(Phone(float(a), float(b), p) for a, b, p in zip(starts, spoken.ends, spoken.phones))
        found.append(Recording(Waveform(np.clip(spoken.samples, -1, 1), SAMPLE_RATE), phones))
    return found


def english() -> list[Recording]:
    """Recorded English of pocketsphinx-testdata, labelled by pocketsphinx's alignment of its text; empty without it."""
    from ..audio.waveform import load_waveform

    found = []
    for listing in (TEST_DATA / "librivox" / "transcription", TEST_DATA / "cards" / "cards.transcription"):
        lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
        for match in filter(None, map(_TRANSCRIBED.match, lines)):
            waveform = load_waveform(listing.parent / f"{match.group(2)}.wav")
            found.append(Recording(waveform, aligned_by_pocketsphinx(waveform, match.group(1)), match.group(1)))
    return found


def labelled(folder: Path) -> list[Recording]:
    """Recordings of a folder beside whose sound lies FILE.json or FILE.TextGrid with its phones, FILE.txt its text."""
    from ..audio.waveform import load_waveform
    from ..commands.scripts import read_phones
    from ..inference.script import check_phones

    found = []
    for labels in sorted([*folder.glob("*.json"), *folder.glob("*.TextGrid")]):
        sound = next((p for p in sorted(folder.glob(f"{labels.stem}.*")) if p.suffix in SOUNDS), None)
        if sound is not None:
            waveform, text = load_waveform(sound), labels.with_suffix(".txt")
            phones = check_phones(read_phones(labels), waveform.duration)
            found.append(Recording(waveform, phones, text.read_text(encoding="utf-8") if text.is_file() else None))
    return found


SOUNDS = {".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4", ".mov"}


def aligned_by_pocketsphinx(waveform: Waveform, text: str) -> tuple[Phone, ...]:
    """Phones of a text where pocketsphinx finds them, whose acoustic model also gives our speech network evidence."""
    import pocketsphinx

    from .listeners import phones_of_segments

    decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, bestpath=False, loglevel="FATAL")
    pcm = (np.clip(waveform.samples, -1, 1) * 32767).astype(np.int16).tobytes()
    decoder.set_align_text(text.lower())
    for step in (decoder.set_alignment, None):
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        if step is not None:
            step()
    segments = [(p.name, p.start, p.start + p.duration) for word in decoder.get_alignment() for p in word]
    return phones_of_segments(segments, waveform.duration)


def _noisy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    power = np.mean(samples**2) * 10.0 ** (-NOISE_RATIO / 10.0)
    return samples + np.sqrt(power) * rng.standard_normal(len(samples))


def _in_a_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from scipy.signal import fftconvolve

    time = np.arange(int(ROOM_DECAY * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / ROOM_DECAY)
    tail *= 0.8 / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return fftconvolve(samples, tail)[: len(samples)]


def _by_telephone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from ..training.degrade import through_telephone

    return through_telephone(samples, rng)


# What is done to a clean recording, float samples and random numbers to samples.
CONDITIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise at 10 dB": _noisy,
    "room of 0.5 s": _in_a_room,
    "telephone": _by_telephone,
}


def under(recording: Recording, condition: str, seed: int = 0) -> Recording:
    """A recording under one of CONDITIONS, scaled to fit full scale."""
    samples = CONDITIONS[condition](recording.waveform.samples.astype(np.float64), np.random.default_rng(seed))
    samples = samples / max(1.0, np.abs(samples).max())
    return Recording(Waveform(samples.astype(np.float32), SAMPLE_RATE), recording.phones, recording.text)
