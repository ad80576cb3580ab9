"""Replaces a few frames of a finished mp4: only the groups of pictures that they lie in are encoded again.

Every other packet of picture and sound is copied bit for bit. The motion has no seam either: inside the replaced range
the new coefficients fade in from the ones that the rest of the video shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.video import FORMATS, configure, container_options, encodable
from bfm.coefficients import FaceCoefficients

FADE_SECONDS = 0.2  # over which new coefficients come in on either side of the range
MP4 = FORMATS[".mp4"]


@dataclass(frozen=True)
class Footage:
    """What a finished video holds: width and height in pixels, its exact frame rate and its number of frames."""

    width: int
    height: int
    frame_rate: Fraction
    n_frames: int


def read_footage(path: Path) -> Footage:
    """The measures of the video at path. Raises InputError."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return Footage(stream.width, stream.height, Fraction(stream.average_rate), int(stream.frames))
    except (OSError, IndexError, av.FFmpegError) as error:
        raise InputError(f"'{path}' is no video that frames can be replaced in: render it whole first.") from error


def faded(old: FaceCoefficients, new: FaceCoefficients, first: int, last: int) -> FaceCoefficients:
    """old with frames first to last (without last) of new, which fade in and out inside the range."""
    if old.n_frames != new.n_frames:
        raise InputError(
            f"The curves have {new.n_frames} frames, the video that is there {old.n_frames}: render it whole."
        )
    index = np.arange(old.n_frames, dtype=np.float32)
    length = max(FADE_SECONDS * new.frame_rate, 1.0)
    before = (index - (first - 1)) / length if first > 0 else np.full(old.n_frames, np.inf)
    after = (last - index) / length if last < old.n_frames else np.full(old.n_frames, np.inf)
    t = np.clip(np.minimum(before, after), 0.0, 1.0)
    share = (t * t * (3.0 - 2.0 * t))[:, None]
    mixed = {
        name: (getattr(old, name) + share * (getattr(new, name) - getattr(old, name))).astype(np.float32)
        for name in ("expression", "rotation", "translation")
    }
    return replace(new, **mixed)


def splice_video(
    previous: Path, path: Path, images: Iterable[np.ndarray], *, first: int, last: int,
    mark: Callable[[np.ndarray], None] | None = None,
) -> None:  # fmt: skip
    """Writes path: the video previous with images (H, W, 3) uint8 in the place of its frames first to last - 1.

    Raises InputError where previous was not written with this program's settings.
    """
    import av

    partial = path.with_name(f".{path.name}.part")
    try:
        options = container_options(read_footage(previous).frame_rate)
        with av.open(str(previous)) as source, av.open(str(partial), "w", format="mp4", options=options) as target:
            target.metadata["comment"] = source.metadata.get("comment", "")
            _splice(source, target, images, first, last, mark)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _splice(source, target, images, first, last, mark) -> None:
    streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
    video = source.streams.video[0]
    rate = Fraction(video.average_rate)
    packets = [packet for packet in source.demux() if packet.dts is not None]
    pictures = [packet for packet in packets if packet.stream.index == video.index]
    keys = sorted(_index(packet, rate) for packet in pictures if packet.is_keyframe)
    start = max(key for key in keys if key <= first)
    end = min((key for key in keys if key >= last), default=len(pictures))
    kept = _decoded(source, video, start, end, rate)
    new = (encodable(image, MP4, mark) for image in images)
    frames = [next(new) if first <= index < last else kept[index] for index in range(start, end)]
    fresh = _encoded(frames, video, start, rate)
    for packet in fresh:
        packet.stream = streams[video.index]
    copied = []
    for packet in packets:
        if packet.stream.index == video.index and start <= _index(packet, rate) < end:
            continue
        packet.stream = streams[packet.stream.index]
        copied.append(packet)
    for packet in sorted([*copied, *fresh], key=lambda packet: packet.dts * packet.time_base):
        target.mux_one(packet)


def _index(packet, rate: Fraction) -> int:
    """Which frame a packet shows."""
    return round(packet.pts * packet.time_base * rate)


def _decoded(source, stream, start: int, end: int, rate: Fraction) -> dict[int, object]:
    """The frames start to end - 1 of a stream by their index."""
    source.seek(round(start / rate / stream.time_base), stream=stream)
    frames = {}
    for frame in source.decode(stream):
        index = round(frame.pts * frame.time_base * rate)
        if start <= index < end:
            frames[index] = frame
        if index >= end - 1:
            break
    return frames


def _encoded(frames: list, stream, start: int, rate: Fraction) -> list:
    """Packets of frames from index start on, as mp4 stores them. Raises InputError where they do not fit the stream."""
    import av
    from av.video.frame import PictureType

    encoder = av.CodecContext.create(MP4.video, "w")
    configure(encoder, MP4, width=stream.width, height=stream.height, rate=rate)
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.open()
    stored = bytes(stream.codec_context.extradata or b"")
    if not all(unit in stored for unit in _units(bytes(encoder.extradata)) if unit[0] & 31 in (7, 8)):
        raise InputError("The video that is there was encoded with other settings: render it whole.")
    packets = []
    for position, frame in enumerate(frames):
        frame.pts, frame.time_base, frame.pict_type = position, 1 / rate, PictureType.NONE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [_stored(packet, start, rate) for packet in packets]


def _stored(packet, start: int, rate: Fraction):
    """A packet whose units begin with their length, as in mp4, moved to frame start."""
    import av

    units = _units(bytes(packet))
    moved = av.Packet(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))
    moved.time_base = 1 / rate
    moved.pts, moved.dts = packet.pts + start, packet.dts + start
    moved.duration, moved.is_keyframe = 1, packet.is_keyframe
    return moved


def _units(data: bytes) -> list[bytes]:
    """The units of an H.264 byte stream (ITU-T H.264, annex B), without their start codes."""
    parts = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part for part in parts if part]
