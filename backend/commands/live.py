"""emorig live: a microphone's samples come in, Live Link Face packets go out."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from backend.errors import InputError

BYTES = 2  # of a sample, 16-bit little-endian
PIECE = 0.02  # seconds that are read at once


def live(
    to: Annotated[str, typer.Option("--to", help="HOST:PORT; Unreal listens on port 11111.")],
    emotion: Annotated[str, typer.Option("--emotion", help="As of render; times count from the start.")] = "neutral:0",
    rate: Annotated[int, typer.Option(help="Samples per second of the sound on standard input.")] = 16000,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second.")] = 60.0,
    layer: Annotated[list[str] | None, typer.Option("--layer", help="NAME=STRENGTH, 0-2.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of blinks and gaze.")] = 0,
    subject: Annotated[str, typer.Option(help="Name of the Live Link subject.")] = "EmoRig",
    audio: Annotated[Path | None, typer.Option("--audio", help="A file of raw samples in place of the input.")] = None,
) -> None:
    """Animate a face while somebody speaks: raw 16-bit mono sound on standard input, Live Link over UDP.

    For example: arecord -t raw -f S16_LE -r 16000 | emorig live --to 127.0.0.1:11111
    """
    from backend.commands.curves import read_strengths
    from backend.inference.live import LiveFace
    from blender_addon.protocol.options import ShotOptions
    from blender_addon.protocol.types import EmotionTrack

    options = ShotOptions(frame_rate=fps, strengths=read_strengths(layer), seed=seed, renderer=None)
    face = LiveFace(EmotionTrack.parse(emotion), options=options, sample_rate=rate)
    if audio is not None and not audio.is_file():
        raise InputError(f"No sound at '{audio}': give a file of raw 16-bit samples.")
    print(f"emorig: listening; frames follow {1000 * face.look_ahead:.0f} ms behind, Ctrl-C stops", file=sys.stderr)
    source = sys.stdin.buffer if audio is None else audio.open("rb")
    with source:
        n_frames = send_live(face, source, to, rate=rate, subject=subject)
    print(f"emorig: {n_frames} frames sent", file=sys.stderr)


def send_live(face, source: BinaryIO, to: str, *, rate: int, subject: str) -> int:
    """Sends the frames of a face that hears the source as soon as they are ready; says how many. InputError."""
    from backend.export.live_link_csv import live_link_values
    from backend.export.live_link_udp import encode, parse_address
    from blender_addon.protocol.types import ARKIT_NAMES

    address = parse_address(to)
    frame = 0
    try:
        family, kind, _, _, where = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as sender:
            for curves in _heard(face, source, rate):
                for values in live_link_values(curves, ARKIT_NAMES):
                    packet = encode(values, frame=frame, frame_rate=curves.frame_rate, subject=subject)
                    sender.sendto(packet, where)
                    frame += 1
    except OSError as error:
        raise InputError(f"Cannot send to {address[0]}:{address[1]} ({error.strerror or error}).") from error
    return frame


def _heard(face, source: BinaryIO, rate: int):
    """Curves as they become ready, from a source of raw samples up to its end."""
    import numpy as np

    size, rest = max(1, round(PIECE * rate)) * BYTES, b""
    while piece := source.read(size):
        piece = rest + piece
        rest = piece[len(piece) - len(piece) % BYTES :]
        samples = np.frombuffer(piece, "<i2", count=len(piece) // BYTES).astype(np.float32) / 32768.0
        yield face.push(samples)
    yield face.finish()
