"""Binary FBX: nodes with typed properties, written as version 7.4 and read as any 7."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend.errors import InputError

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


_SCALARS = {b"C": "<?", b"B": "<?", b"Y": "<h", b"I": "<i", b"L": "<q", b"F": "<f", b"D": "<d"}
_ARRAYS = {code: np.dtype(name) for name, code in ARRAY_CODES.items()} | {b"b": np.dtype(np.uint8)}
MAX_ARRAY = 1 << 28  # bytes; no animation is longer


def read_document(path: Path) -> list[Node]:
    """The top-level nodes of a binary FBX file. Raises InputError for anything else."""
    data = path.read_bytes()
    if not data.startswith(HEAD[:18]):
        raise InputError(f"'{path.name}' is no binary FBX: save it as binary FBX 7.4 or newer.")
    try:
        (version,) = struct.unpack_from("<I", data, len(HEAD))
        return _read_nodes(data, len(HEAD) + 4, len(data), wide=version >= 7500)[0]
    except (struct.error, KeyError, ValueError, UnicodeDecodeError, zlib.error, RecursionError) as error:
        raise InputError(f"'{path.name}' is a damaged FBX file ({type(error).__name__}: {error}).") from error


def _read_nodes(data: bytes, at: int, end: int, *, wide: bool) -> tuple[list[Node], int]:
    """Nodes from a position up to the record that ends their list, and the position after it."""
    layout = struct.Struct("<QQQB" if wide else "<IIIB")
    nodes = []
    while at + layout.size <= end:
        stop, n_properties, _, n_letters = layout.unpack_from(data, at)
        at += layout.size
        if stop == 0:
            break
        if not at < stop <= end:
            raise ValueError(f"a node that ends at {stop}")
        node = Node(data[at : at + n_letters].decode("ascii"))
        at += n_letters
        values = []
        for _ in range(n_properties):
            value, at = _read_property(data, at)
            values.append(value)
        node.properties = tuple(values)
        if at < stop:
            node.children, at = _read_nodes(data, at, stop, wide=wide)
        nodes.append(node)
        at = stop
    return nodes, at


def _read_property(data: bytes, at: int) -> tuple[object, int]:
    """One property's value, and the position after it."""
    code = data[at : at + 1]
    at += 1
    if code in _SCALARS:
        (value,) = struct.unpack_from(_SCALARS[code], data, at)
        return value, at + struct.calcsize(_SCALARS[code])
    if code in (b"S", b"R"):
        (length,) = struct.unpack_from("<I", data, at)
        raw = data[at + 4 : at + 4 + length]
        return raw.decode("utf-8", "replace") if code == b"S" else raw, at + 4 + length
    count, encoding, length = struct.unpack_from("<III", data, at)
    kind = _ARRAYS[code]
    size = count * kind.itemsize
    if size > MAX_ARRAY:
        raise ValueError(f"an array of {size} bytes")
    raw = data[at + 12 : at + 12 + length]
    # The stated size bounds what a compressed array may unfold to.
    raw = zlib.decompressobj().decompress(raw, size) if encoding else raw
    return np.frombuffer(raw, kind, count), at + 12 + length
