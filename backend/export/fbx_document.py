"""Binary FBX 7.4: nodes with typed properties, written as the format's readers expect them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

VERSION = 7400
HEAD = b"Kaydara FBX Binary\x20\x20\x00\x1a\x00"
# Readers compare the file id and the foot with these for a file of this creation time.
CREATION_TIME = b"1970-01-01 10:00:00:000"
FILE_ID = bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")
FOOT = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
LAST = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")
NO_MORE = b"\0" * 13  # ends a list of nodes
ARRAY_CODES = {"float64": b"d", "float32": b"f", "int32": b"i", "int64": b"l"}
COMPRESSED_FROM = 128  # bytes; shorter arrays are stored as they are


@dataclass
class Node:
    """One FBX node: a name, properties and children.

    A property is an int (int64 if marked by Long), float, bool, str, bytes or a float64, float32, int32 or int64 array.
    """

    name: str
    properties: tuple = ()
    children: list[Node] = field(default_factory=list)

    def add(self, name: str, *properties: object) -> Node:
        """Appends a child and gives it."""
        child = Node(name, properties)
        self.children.append(child)
        return child

    def settings(self, rows: dict[str, tuple[str, object]]) -> None:
        """Adds a Properties70 block of name → (type, value); a value may be a tuple of numbers."""
        block = self.add("Properties70")
        for name, (kind, value) in rows.items():
            values = value if isinstance(value, tuple) else (value,)
            label = {"int": "Integer", "double": "Number", "KTime": "Time", "ColorRGB": "Color"}.get(kind, "")
            block.add("P", name, kind, label, "A" if kind.startswith("Lcl") else "", *values)

    def encoded(self, offset: int) -> bytes:
        """The node's bytes where it starts at an offset of the file."""
        properties = b"".join(_property(value) for value in self.properties)
        name = self.name.encode("ascii")
        parts = [name, properties]
        position = offset + 13 + len(name) + len(properties)
        for child in self.children:
            data = child.encoded(position)
            position += len(data)
            parts.append(data)
        if self.children or not self.properties:
            parts.append(NO_MORE)
            position += len(NO_MORE)
        return struct.pack("<IIIB", position, len(self.properties), len(properties), len(name)) + b"".join(parts)


class Long(int):
    """A whole number stored in 64 bits: ids and times."""


def _property(value: object) -> bytes:
    """The bytes of one property, told by its Python type."""
    if isinstance(value, np.ndarray):
        raw = np.ascontiguousarray(value).tobytes()
        packed = zlib.compress(raw, 1) if len(raw) >= COMPRESSED_FROM else raw
        encoding = int(packed is not raw)
        return ARRAY_CODES[str(value.dtype)] + struct.pack("<III", value.size, encoding, len(packed)) + packed
    if isinstance(value, bool):
        return b"C" + struct.pack("<B", value)
    if isinstance(value, Long):
        return b"L" + struct.pack("<q", value)
    if isinstance(value, int):
        return b"I" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"D" + struct.pack("<d", value)
    if isinstance(value, bytes):
        return b"R" + struct.pack("<I", len(value)) + value
    data = str(value).encode("utf-8")
    return b"S" + struct.pack("<I", len(data)) + data


def write_document(path: Path, nodes: list[Node]) -> None:
    """Writes the top-level nodes as a binary FBX file."""
    parts = [HEAD + struct.pack("<I", VERSION)]
    position = len(parts[0])
    for node in nodes:
        data = node.encoded(position)
        position += len(data)
        parts.append(data)
    body = b"".join([*parts, NO_MORE, FOOT, b"\0" * 4])
    padding = 16 - len(body) % 16
    path.write_bytes(body + b"\0" * padding + struct.pack("<I", VERSION) + b"\0" * 120 + LAST)
