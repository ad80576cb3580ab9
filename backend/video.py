"""Writes frames and sound as an H.264 + AAC mp4, in step to the sample."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from backend.audio.waveform import load_sound
from backend.errors import OutputError

VIDEO_SAMPLE_RATE = 48_000  # Hz
AAC_FRAME = 1024  # samples
BIT_RATE = 192_000  # bit/s of sound
QUALITY = "17"  # x264's constant rate factor; visually lossless is about 17-18
BT709 = 1  # FFmpeg's number of ITU-R BT.709 for matrix, primaries and transfer
LIMITED_RANGE = 1  # FFmpeg's AVCOL_RANGE_MPEG


def exact_frame_rate(frame_rate: float) -> Fraction:
    """The frame rate as a fraction; 23.976, 29.97 and 59.94 are the broadcast rates n * 1000 / 1001."""
    for whole in (24, 30, 48, 60, 120):
        if abs(frame_rate - whole * 1000 / 1001) < 2e-3:
            return Fraction(whole * 1000, 1001)
    return Fraction(frame_rate).limit_denominator(1000)


class VideoWriter:
    """Takes RGB frames (H, W, 3) uint8 in order and writes path; an error leaves nothing at path.

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
        self._container = av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata["comment"] = "Synthetic media: a still portrait animated by EmoRig."
        self._rate = exact_frame_rate(frame_rate)
        self._add_streams(width, height)
        self._n_frames = 0

    def _add_streams(self, width: int, height: int) -> None:
        video = self._container.add_stream("libx264", rate=self._rate)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"crf": QUALITY, "preset": "veryfast"}
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        self._video = video
        self._audio = self._container.add_stream("aac", rate=VIDEO_SAMPLE_RATE)
        self._audio.layout, self._audio.bit_rate = "stereo", BIT_RATE

    def write(self, image: np.ndarray) -> None:
        """Adds the next frame (H, W, 3) uint8 RGB and the sound up to its end."""
        import av
        from av.video.reformatter import ColorRange, Colorspace

        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        if self._mark is not None:
            luma = frame.planes[0]
            self._mark(np.frombuffer(luma, np.uint8).reshape(-1, luma.line_size)[: frame.height, : frame.width])
        frame.pts, frame.time_base = self._n_frames, 1 / self._rate
        self._container.mux(self._video.encode(frame))
        self._n_frames += 1
        self._write_sound(until=float(self._n_frames / self._rate))

    def _write_sound(self, *, until: float) -> None:
        """Writes whole AAC frames of sound up to a time in seconds."""
        import av

        while self._sent < min(until * VIDEO_SAMPLE_RATE, self._sound.shape[1]):
            piece = np.ascontiguousarray(self._sound[:, self._sent : self._sent + AAC_FRAME])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = VIDEO_SAMPLE_RATE, self._sent
            frame.time_base = Fraction(1, VIDEO_SAMPLE_RATE)
            self._container.mux(self._audio.encode(frame))
            self._sent += piece.shape[1]

    def close(self) -> None:
        """Flushes both streams and moves the finished file to its name."""
        self._write_sound(until=float(self._n_frames / self._rate))
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()
        os.replace(self._partial, self.path)

    def discard(self) -> None:
        """Drops what was written so far."""
        self._container.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self.discard()
