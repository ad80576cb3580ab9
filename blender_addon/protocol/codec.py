"""Messages as ZeroMQ message parts and back: one msgpack header, then the raw buffers that it describes.

The header is the array [MAGIC, version, kind, fields, buffers]; buffers holds [dtype, shape] for each part that
follows, dtype one of records.ARRAY_DTYPES (little-endian, C order) or 'bytes'. Everything is checked against the
parts that really came before anything is built from it, so a claimed size allocates nothing. Raises ProtocolError.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
import numpy as np

from .errors import InputError, ProtocolError
from .messages import MESSAGES, PROTOCOL_VERSION, SUPPORTED_VERSIONS
from .records import ARRAY_DTYPES, BYTES, pack_record, read_record

MAGIC = "emorig"
MAX_HEADER_BYTES = 8 << 20
MAX_BUFFERS = 64
MAX_BUFFER_BYTES = 128 << 20
MAX_MESSAGE_BYTES = 512 << 20
MAX_DIMENSIONS = 4
MAX_ITEMS = 1 << 18
MAX_DEPTH = 8

# These stay readable in every version, so that two versions can tell each other apart.
NEGOTIATION = ("hello", "refused")
_KINDS = {cls: kind for kind, cls in MESSAGES.items()}


def encode(message: object, *, version: int = PROTOCOL_VERSION) -> list[bytes | memoryview]:
    """A message as its parts: header first, then a contiguous buffer for every array and run of bytes."""
    buffers: list = []
    fields = pack_record(message, buffers)
    parts, table = [], []
    for buffer in buffers:
        if isinstance(buffer, np.ndarray):
            dtype = _wire_dtype(buffer)
            array = np.ascontiguousarray(buffer, dtype=ARRAY_DTYPES[dtype])
            table.append([dtype, list(buffer.shape)])
            parts.append(array.tobytes() if array.nbytes < 65536 else memoryview(array).cast("B"))
        else:
            table.append([BYTES, [len(buffer)]])
            parts.append(buffer)
    header = msgpack.packb([MAGIC, version, _KINDS[type(message)], fields, table], use_bin_type=True)
    return [header, *parts]


def _wire_dtype(array: np.ndarray) -> str:
    if array.dtype.name not in ARRAY_DTYPES:
        raise ProtocolError(f"An array of {array.dtype} cannot be sent: use one of {', '.join(ARRAY_DTYPES)}.")
    return array.dtype.name


def decode(parts: Sequence[bytes]) -> object:
    """The message that the parts hold; its arrays are read-only views of them. Raises ProtocolError (or InputError)."""
    _check_sizes(parts)
    version, kind, fields, table = _read_header(parts[0])
    if kind not in MESSAGES:
        raise ProtocolError(f"Unknown kind of message {kind[:40]!r}.")
    if version not in SUPPORTED_VERSIONS and kind not in NEGOTIATION:
        raise ProtocolError(version_sentence(version))
    buffers = _read_buffers(table, parts[1:])
    try:
        return read_record(MESSAGES[kind], fields, buffers)
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ProtocolError(f"A message of kind '{kind}' cannot be read: {error}") from error


def version_sentence(theirs: object) -> str:
    """What to tell a user whose add-on and backend speak different versions."""
    ours = " or ".join(str(v) for v in SUPPORTED_VERSIONS)
    return (
        f"The other side speaks version {str(theirs)[:40]} of the protocol and this one version {ours}: "
        "install the add-on and the backend from the same release."
    )


def _check_sizes(parts: Sequence[bytes]) -> None:
    if not parts:
        raise ProtocolError("A message should have a header, got nothing.")
    if len(parts) > 1 + MAX_BUFFERS:
        raise ProtocolError(f"A message should have at most {MAX_BUFFERS} buffers, got {len(parts) - 1}.")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise ProtocolError(f"A header should have at most {MAX_HEADER_BYTES} bytes, got {len(parts[0])}.")
    if sum(len(part) for part in parts) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"A message should have at most {MAX_MESSAGE_BYTES} bytes.")


def _read_header(header: bytes) -> tuple[int, str, dict, list]:
    try:
        value = msgpack.unpackb(
            header,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_ITEMS,
            max_bin_len=0,
            max_ext_len=0,
            max_array_len=MAX_ITEMS,
            max_map_len=4096,
        )
    except (msgpack.exceptions.UnpackException, ValueError, TypeError, RecursionError) as error:
        raise ProtocolError("A message's header is not msgpack as this protocol writes it.") from error
    if not isinstance(value, list) or len(value) != 5 or value[0] != MAGIC:
        raise ProtocolError("A message's header should be [emorig, version, kind, fields, buffers].")
    _, version, kind, fields, table = value
    shape_is_right = type(version) is int and type(kind) is str and type(fields) is dict and type(table) is list
    if not shape_is_right:
        raise ProtocolError("A message's header should be [emorig, version, kind, fields, buffers].")
    _check_depth(fields, MAX_DEPTH)
    return version, kind, fields, table


def _check_depth(value: object, left: int) -> None:
    if left == 0:
        raise ProtocolError(f"A message's fields should nest at most {MAX_DEPTH} deep.")
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            _check_depth(inner, left - 1)


def _read_buffers(table: list, parts: Sequence[bytes]) -> list:
    if len(table) != len(parts):
        raise ProtocolError(f"The header describes {len(table)} buffers and {len(parts)} came.")
    return [_read_buffer(row, part) for row, part in zip(table, parts)]


def _read_buffer(row: object, part: bytes) -> bytes | np.ndarray:
    if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], str) or not isinstance(row[1], list):
        raise ProtocolError("A buffer should be described as [dtype, shape].")
    dtype, shape = row
    if len(part) > MAX_BUFFER_BYTES:
        raise ProtocolError(f"A buffer should have at most {MAX_BUFFER_BYTES} bytes, got {len(part)}.")
    if dtype != BYTES and dtype not in ARRAY_DTYPES:
        raise ProtocolError(
            f"A buffer's dtype should be one of {', '.join((BYTES, *ARRAY_DTYPES))}, got {dtype[:40]!r}."
        )
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n <= MAX_BUFFER_BYTES for n in shape):
        raise ProtocolError(
            f"A buffer's shape should be at most {MAX_DIMENSIONS} whole numbers, got {str(shape)[:80]}."
        )
    item_bytes = 1 if dtype == BYTES else ARRAY_DTYPES[dtype].itemsize
    claimed = item_bytes
    for n in shape:
        claimed *= n
    if claimed != len(part) or (dtype == BYTES and len(shape) != 1):
        raise ProtocolError(f"A buffer of {dtype} {str(shape)[:80]} should have {claimed} bytes, got {len(part)}.")
    if dtype == BYTES:
        return bytes(part)
    return np.frombuffer(part, ARRAY_DTYPES[dtype]).reshape(shape)
