"""Live Link Face over UDP: the packets that Epic's app sends and Unreal's Live Link source listens for.

A packet, big-endian: version (1 byte), device id and subject (each a 4-byte length and UTF-8), frame number (int32),
sub-frame (float32), frame rate as numerator and denominator (int32 each), 61 (1 byte), then 61 float32: ARKit's 52 in
Apple's order, and yaw, pitch, roll (radians) of head, left eye and right eye.
"""

from __future__ import annotations

import socket
import struct
import time
import uuid
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.export.formats import read_curves
from backend.export.live_link_csv import N_VALUES, live_link_values
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves

VERSION = 6
DEFAULT_PORT = 11111
DEVICE = "E302F5E7-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Packet:
    """One decoded packet; values (61,) as in live_link_values in ARKit's order."""

    device: str
    subject: str
    frame: int
    frame_rate: float
    values: np.ndarray


def encode(values: np.ndarray, *, frame: int, frame_rate: float, subject: str, device: str = DEVICE) -> bytes:
    """The bytes of one packet for values (61,)."""
    rate = Fraction(frame_rate).limit_denominator(1001)
    parts = [struct.pack("!B", VERSION)]
    for text in (device, subject):
        data = text.encode("utf-8")
        parts.append(struct.pack("!i", len(data)) + data)
    parts.append(struct.pack("!ifiiB", frame, 0.0, rate.numerator, rate.denominator, N_VALUES))
    parts.append(np.asarray(values, ">f4").tobytes())
    return b"".join(parts)


def decode(data: bytes) -> Packet:
    """The packet of its bytes. Raises InputError for anything else."""
    try:
        (version,) = struct.unpack_from("!B", data)
        at, texts = 1, []
        for _ in range(2):
            (length,) = struct.unpack_from("!i", data, at)
            if not 0 <= length <= 256:
                raise ValueError(f"a text of {length} bytes")
            texts.append(data[at + 4 : at + 4 + length].decode("utf-8"))
            at += 4 + length
        frame, _, numerator, denominator, count = struct.unpack_from("!ifiiB", data, at)
        values = np.frombuffer(data, ">f4", offset=at + 17).astype(np.float32)
        if version != VERSION or count != N_VALUES or len(values) != N_VALUES or denominator <= 0:
            raise ValueError(f"version {version} with {count} values")
    except (struct.error, ValueError) as error:
        raise InputError(f"This is no Live Link Face packet ({error}).") from error
    return Packet(texts[0], texts[1], frame, numerator / denominator, values)


def stream_file(source: Path, to: str, *, subject: str, repeat: bool) -> None:
    """Sends a file's curves to HOST:PORT in real time; stops at the end, or never with repeat."""
    curves, _ = read_curves(source)
    address = parse_address(to)
    if not subject or len(subject.encode("utf-8")) > 256:
        raise InputError("The subject's name should have 1-256 characters.")
    device = str(uuid.uuid4()).upper()
    print(f"emorig: sending {curves.n_frames} frames as '{subject}' to {address[0]}:{address[1]}, Ctrl-C stops")
    while True:
        send(curves, address, subject=subject, device=device)
        if not repeat:
            return


def send(curves: AnimationCurves, address: tuple[str, int], *, subject: str, device: str = DEVICE) -> None:
    """Sends every frame at its time. Raises InputError where the address cannot be reached."""
    values = live_link_values(curves, ARKIT_NAMES)
    try:
        family, kind, _, _, where = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as sender:
            start = time.monotonic()
            for frame, row in enumerate(values):
                # Against the start, so that waiting errors do not add up.
                time.sleep(max(start + frame / curves.frame_rate - time.monotonic(), 0.0))
                sender.sendto(
                    encode(row, frame=frame, frame_rate=curves.frame_rate, subject=subject, device=device), where
                )
    except OSError as error:
        raise InputError(f"Cannot send to {address[0]}:{address[1]} ({error.strerror or error}).") from error


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT or HOST as host and port. Raises InputError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"Cannot read the address '{text}': write HOST:PORT, for example 127.0.0.1:{DEFAULT_PORT}.")
    return host.strip("[]"), int(port)
