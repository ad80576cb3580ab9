"""Any sound is read right and the video keeps picture and sound in step."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from backend.audio.waveform import SPEECH_SAMPLE_RATE, load_waveform
from backend.errors import AudioError, OutputError
from backend.video import VideoWriter, exact_frame_rate


def encoded(samples: np.ndarray, rate: int, container: str, codec: str, layout: str) -> bytes:
    """samples (n_channels, n_samples) as a sound file's bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate, frame_size=stream.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def tone(rate: int, n_channels: int, seconds: float = 1.0) -> np.ndarray:
    """A 440 Hz tone (n_channels, n_samples)."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.tile(wave, (n_channels, 1))


@pytest.mark.parametrize(
    ("rate", "container", "codec", "layout"),
    [
        (8000, "wav", "pcm_s16le", "mono"),
        (96000, "wav", "pcm_s24le", "stereo"),
        (44100, "flac", "flac", "stereo"),
        (44100, "mp3", "libmp3lame", "stereo"),
        (48000, "ogg", "libopus", "stereo"),
        (48000, "mp4", "aac", "mono"),
        (48000, "wav", "pcm_s16le", "5.1"),
    ],
)
def test_any_format_rate_and_layout_becomes_16_khz_mono(rate, container, codec, layout):
    n_channels = av.AudioLayout(layout).nb_channels
    wave = load_waveform(encoded(tone(rate, n_channels), rate, container, codec, layout))
    assert wave.sample_rate == SPEECH_SAMPLE_RATE
    assert wave.duration == pytest.approx(1.0, abs=0.08)
    middle = wave.samples[4000:12000]
    peak = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))) * SPEECH_SAMPLE_RATE / len(middle)
    assert peak == pytest.approx(440, abs=4)


def test_offset_is_removed_and_clipping_survives():
    loud = np.clip(tone(16000, 1) * 5, -1, 1) + 0.3
    wave = load_waveform(encoded(loud / np.abs(loud).max(), 16000, "wav", "pcm_f32le", "mono"))
    assert abs(wave.samples.mean()) < 1e-3
    assert np.abs(wave.samples).max() <= 1


def test_a_part_of_the_sound_is_taken(sentence):
    whole, part = load_waveform(sentence), load_waveform(sentence, start=1.0, end=2.5)
    assert part.duration == pytest.approx(1.5)
    match = np.corrcoef(part.samples[:16000], whole.samples[16000:32000])[0, 1]
    assert match > 0.999


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "absent.wav", "No audio file"),
        (lambda folder: b"this is no sound at all" * 50, "Cannot read"),
        (lambda folder: encoded(tone(16000, 1, 0.1), 16000, "wav", "pcm_s16le", "mono"), "at least 0.2 s"),
        (lambda folder: encoded(tone(16000, 1), 16000, "flac", "flac", "mono")[:60], "audio"),
    ],
)
def test_bad_audio_is_refused_in_one_sentence(make, says, tmp_path):
    with pytest.raises(AudioError, match=says) as caught:
        load_waveform(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_more_channels_than_speech_has_are_refused(tmp_path):
    import wave

    with wave.open(str(tmp_path / "many.wav"), "wb") as file:
        file.setparams((48, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(48 * 2 * 8000))
    with pytest.raises(AudioError, match="48 channels"):
        load_waveform(tmp_path / "many.wav")


def test_a_start_beyond_the_end_is_refused(sentence):
    with pytest.raises(AudioError, match="beyond the end"):
        load_waveform(sentence, start=100)


@pytest.mark.parametrize(
    ("rate", "exact"),
    [
        (25, Fraction(25)),
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
    ],
)
def test_broadcast_rates_are_exact(rate, exact):
    assert exact_frame_rate(rate) == exact


def test_video_has_every_frame_its_colours_and_its_sound(tmp_path, sentence):
    path, colour = tmp_path / "video.mp4", np.array([200, 60, 30], np.uint8)
    with VideoWriter(path, width=64, height=96, frame_rate=29.97, audio=sentence, start=1, end=2) as writer:
        for _ in range(30):
            writer.write(np.broadcast_to(colour, (96, 64, 3)).copy())
    with av.open(str(path)) as box:
        video, sound = box.streams.video[0], box.streams.audio[0]
        assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert video.average_rate == Fraction(30000, 1001)
        frames = [f.to_ndarray(format="rgb24") for f in box.decode(video)]
        assert float(sound.duration * sound.time_base) == pytest.approx(1.0, abs=0.03)
    assert len(frames) == 30
    assert np.abs(frames[15].reshape(-1, 3).mean(0) - colour).max() < 4


def test_a_failed_video_leaves_nothing(tmp_path, sentence):
    with (
        pytest.raises(RuntimeError),
        VideoWriter(tmp_path / "v.mp4", width=64, height=64, frame_rate=25, audio=sentence) as writer,
    ):
        writer.write(np.zeros((64, 64, 3), np.uint8))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_video_in_no_folder_is_refused(tmp_path, sentence):
    with pytest.raises(OutputError):
        VideoWriter(tmp_path / "absent" / "v.mp4", width=64, height=64, frame_rate=25, audio=sentence)
