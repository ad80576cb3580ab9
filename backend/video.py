"""Writes frames and sound in step to the sample: H.264 and AAC as .mp4, or ProRes 4444 with alpha and PCM as .mov.

ProRes 4444 is what editing and compositing programs exchange with an alpha channel.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from types import TracebackType

import numpy as np

from backend.audio.waveform import load_sound
from backend.errors import OutputError

VIDEO_SAMPLE_RATE = 48_000  # Hz
AAC_FRAME = 1024  # samples
BIT_RATE = 192_000  # bit/s of sound
QUALITY = "17"  # x264's constant rate factor; visually lossless is about 17-18
GROUP_SECONDS = 1.0  # at most from one key frame to the next: what replacing a few frames must encode again
MOST_WAITING = 4  # frames that wait for the encoder
BT709 = 1  # FFmpeg's number of ITU-R BT.709 for matrix, primaries and transfer
LIMITED_RANGE = 1  # FFmpeg's AVCOL_RANGE_MPEG


@dataclass(frozen=True)
class Format:
    """A kind of file by FFmpeg's names. pixels: of 8 bits, which are marked; stored: as encoded."""

    container: str
    video: str
    pixels: str
    stored: str
    options: dict[str, str]
    sound: str


FORMATS = {
    ".mp4": Format("mp4", "libx264", "yuv420p", "yuv420p", {"crf": QUALITY, "preset": "veryfast"}, "aac"),
    ".mov": Format(
        "mov", "prores_ks", "yuva444p", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, "pcm_s16le"
    ),
}


def exact_frame_rate(frame_rate: float) -> Fraction:
    """The frame rate as a fraction; 23.976, 29.97 and 59.94 are the broadcast rates n * 1000 / 1001."""
    for whole in (24, 30, 48, 60, 120):
        if abs(frame_rate - whole * 1000 / 1001) < 2e-3:
            return Fraction(whole * 1000, 1001)
    return Fraction(frame_rate).limit_denominator(1000)


def container_options(rate: Fraction) -> dict[str, str]:
    """FFmpeg's options of a file at a frame rate: its clock counts whole frames and samples, so durations are exact."""
    ticks = lcm(rate.numerator, VIDEO_SAMPLE_RATE)
    return {"movflags": "+faststart", "movie_timescale": str(ticks if ticks < 2**31 else rate.numerator)}


class VideoWriter:
    """Takes RGB frames (H, W, 3) uint8 in order and writes path, .mp4; or RGB and alpha (H, W, 4) and writes .mov.

    An error leaves nothing at path.

    width and height are even numbers of pixels. audio is a sound file or its bytes, cut to start-end seconds.
    mark: changes the luma (H, W) uint8 of each frame in place before it is encoded, for a watermark.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        frame_rate: float,
        audio: Path | str | bytes,
        start: float = 0.0,
        end: float | None = None,
        mark: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        import av

        self.path, self._mark = Path(path), mark
        self._partial = self.path.with_name(f".{self.path.name}.part")
        sound = load_sound(audio, start=start, end=end, sample_rate=VIDEO_SAMPLE_RATE, layout="stereo")
        self._sound = np.ascontiguousarray(np.clip(np.nan_to_num(sound), -1.0, 1.0), np.float32)
        self._sent = 0  # samples of sound already written
        if not os.access(self.path.parent, os.W_OK):
            raise OutputError(f"Cannot write the video in '{self.path.parent}': choose a folder that can be written.")
        self._format = FORMATS[self.path.suffix]
        self._rate = exact_frame_rate(frame_rate)
        self._container = av.open(
            str(self._partial), "w", format=self._format.container, options=container_options(self._rate)
        )
        self._container.metadata["comment"] = "Synthetic media: a still portrait animated by EmoRig."
        self._add_streams(width, height)
        self._n_frames = 0
        self._encoder = ThreadPoolExecutor(1, "encoder")
        self._waiting: deque[Future[None]] = deque()

    def _add_streams(self, width: int, height: int) -> None:
        self._video = self._container.add_stream(self._format.video, rate=self._rate)
        configure(self._video.codec_context, self._format, width=width, height=height, rate=self._rate)
        self._audio = self._container.add_stream(self._format.sound, rate=VIDEO_SAMPLE_RATE)
        self._audio.layout = "stereo"
        if self._format.sound == "aac":
            self._audio.bit_rate = BIT_RATE

    def write(self, image: np.ndarray) -> None:
        """Adds the next frame (H, W, 3 or 4) uint8, which must not change afterwards, and the sound up to its end.

        It is encoded beside the caller's work; what fails is raised by a later call.
        """
        self._waiting.append(self._encoder.submit(self._encode, image))
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft().result()

    def _encode(self, image: np.ndarray) -> None:
        frame = encodable(image, self._format, self._mark)
        frame.pts, frame.time_base = self._n_frames, 1 / self._rate
        self._container.mux(self._video.encode(frame))
        self._n_frames += 1
        self._write_sound(until=float(self._n_frames / self._rate))

    def _write_sound(self, *, until: float) -> None:
        """Writes whole AAC frames of sound up to a time in seconds."""
        while self._sent < min(until * VIDEO_SAMPLE_RATE, self._sound.shape[1]):
            piece = np.ascontiguousarray(self._sound[:, self._sent : self._sent + AAC_FRAME])
            frame = _sound_frame(piece, is_pcm=self._format.sound != "aac")
            frame.sample_rate, frame.pts = VIDEO_SAMPLE_RATE, self._sent
            frame.time_base = Fraction(1, VIDEO_SAMPLE_RATE)
            self._container.mux(self._audio.encode(frame))
            self._sent += piece.shape[1]

    def close(self) -> None:
        """Flushes both streams and moves the finished file to its name; where that fails nothing is left."""
        try:
            self._finish()
        except BaseException:
            self.discard()
            raise
        os.replace(self._partial, self.path)

    def _finish(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
        self._encoder.shutdown()
        self._write_sound(until=float(self._n_frames / self._rate))
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()

    def discard(self) -> None:
        """Drops what was written so far."""
        self._encoder.shutdown(cancel_futures=True)
        self._container.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


def configure(context, format: Format, *, width: int, height: int, rate: Fraction) -> None:
    """Sets a codec context up for frames of a size in pixels and a rate; equal settings give equal streams."""
    context.width, context.height, context.pix_fmt = width, height, format.stored
    context.framerate, context.time_base = rate, 1 / rate
    context.options = dict(format.options)
    context.gop_size = max(1, round(GROUP_SECONDS * rate))
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE


def encodable(image: np.ndarray, format: Format, mark: Callable[[np.ndarray], None] | None):
    """A frame (H, W, 3 or 4) uint8 as what the encoder of format takes (av.VideoFrame), marked."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    frame = av.VideoFrame.from_ndarray(image, format="rgb24" if image.shape[2] == 3 else "rgba").reformat(
        format=format.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    if mark is not None:
        luma = frame.planes[0]
        mark(np.frombuffer(luma, np.uint8).reshape(-1, luma.line_size)[: frame.height, : frame.width])
    return frame if format.stored == format.pixels else frame.reformat(format=format.stored)


def _sound_frame(piece: np.ndarray, *, is_pcm: bool):
    """Samples (2, n) float32 as av.AudioFrame."""
    import av

    if not is_pcm:
        return av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
    whole = np.round(piece.T * 32767.0).astype(np.int16)
    return av.AudioFrame.from_ndarray(whole.reshape(1, -1), format="s16", layout="stereo")
