"""Reads the sound of any audio or video file as a 16 kHz mono waveform."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from backend.errors import AudioError
from blender_addon.protocol.types import Waveform

SPEECH_SAMPLE_RATE = 16_000  # Hz, what the speech networks hear
MIN_DURATION = 0.2  # s, less is no speech
MAX_DURATION = 3 * 3600.0  # s, a guard against files that decode without end
MAX_CHANNELS = 32  # more than any recording of speech has


class SilentFileError(AudioError):
    """A file that can be read has no sound track."""


def load_waveform(source: Path | str | bytes, *, start: float = 0.0, end: float | None = None) -> Waveform:
    """The sound of a file (path) or of a file's bytes, mixed to mono at 16 kHz, from start to end in seconds.

    A constant offset is removed and a signal beyond full scale is scaled back. Raises AudioError in one sentence.
    """
    samples = load_sound(source, start=start, end=end, sample_rate=SPEECH_SAMPLE_RATE, layout="mono")[0]
    return Waveform(_clean(samples, _name_of(source)), SPEECH_SAMPLE_RATE)


def load_sound(
    source: Path | str | bytes, *, start: float = 0.0, end: float | None = None, sample_rate: int, layout: str
) -> np.ndarray:
    """The sound of a file or of a file's bytes as float32 (n_channels, n_samples), from start to end in seconds.

    layout is FFmpeg's name of the channel layout, 'mono' or 'stereo'. Raises AudioError in one sentence.
    """
    import av

    name = _name_of(source)
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise AudioError(f"No audio file at {name}: give the path of a sound or video file.")
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            if not container.streams.audio:
                raise SilentFileError(f"{name} holds no sound: give a sound file or a video with sound.")
            samples = _decode(container, name=name, end=end, sample_rate=sample_rate, layout=layout)
    except AudioError:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = str(error).split("]")[-1].split(":")[0].strip() or type(error).__name__
        raise AudioError(f"Cannot read the sound of {name} ({reason}): expected wav, mp3, m4a, flac or ogg.") from error
    duration = samples.shape[1] / sample_rate
    if start > 0 and start >= duration:
        raise AudioError(f"The start at {start:g} s lies beyond the end of {name} ({duration:.2f} s).")
    samples = samples[:, round(start * sample_rate) : None if end is None else round(end * sample_rate)]
    if samples.shape[1] < MIN_DURATION * sample_rate:
        got = samples.shape[1] / sample_rate
        raise AudioError(f"{name} is {got:.2f} s long: give at least {MIN_DURATION} s of sound.")
    return samples


def _name_of(source: Path | str | bytes) -> str:
    return "the audio" if isinstance(source, bytes) else f"'{source}'"


def _decode(container, *, name: str, end: float | None, sample_rate: int, layout: str) -> np.ndarray:
    """Samples (n_channels, n_samples) of the first audio stream, up to end."""
    import av

    n_given = container.streams.audio[0].codec_context.channels
    if n_given > MAX_CHANNELS:
        raise AudioError(f"{name} has {n_given} channels: give sound with at most {MAX_CHANNELS}, best mono or stereo.")
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
    limit = MAX_DURATION if end is None else min(end, MAX_DURATION)
    parts, n_samples, broken = [], 0, None
    try:
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray())
                n_samples += parts[-1].shape[1]
            if n_samples > limit * sample_rate:
                break
        else:
            parts += [piece.to_ndarray() for piece in resampler.resample(None)]
    except av.error.InvalidDataError as error:
        broken = error
    if n_samples > MAX_DURATION * sample_rate:
        raise AudioError(f"{name} is longer than {MAX_DURATION / 3600:g} hours: cut it into shots first.")
    if broken is not None and n_samples < MIN_DURATION * sample_rate:
        raise AudioError(f"The sound of {name} is corrupt: nothing in it can be decoded.") from broken
    n_channels = av.AudioLayout(layout).nb_channels
    return np.concatenate(parts, axis=1) if parts else np.zeros((n_channels, 0), np.float32)


def _clean(samples: np.ndarray, name: str) -> np.ndarray:
    """Finite samples (n_samples,) within [-1, 1] without a constant offset."""
    finite = np.isfinite(samples)
    if not finite.all():
        if finite.mean() < 0.5:
            raise AudioError(f"The sound of {name} is mostly not-a-number: export it again.")
        samples = np.where(finite, samples, 0.0)
    samples = samples - samples.mean()
    peak = np.abs(samples).max()
    return (samples / peak if peak > 1.0 else samples).astype(np.float32)
