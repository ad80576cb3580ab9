"""Dataclasses as plain msgpack values and back, field by field as their annotations say.

An array or a run of bytes becomes its place in a list of buffers, so that it travels beside the header without a
copy. The readers check every type; nothing is built from a field that no annotation names. ProtocolError.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, fields

import numpy as np

from .errors import ProtocolError
from .messages import JobSummary
from .options import Script, ShotOptions
from .types import AnimationCurves, EmotionKey, EmotionTrack, Phone

ARRAY_DTYPES = {
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
}
BYTES = "bytes"

NESTED = {
    "ShotOptions": ShotOptions,
    "Script": Script,
    "EmotionTrack": EmotionTrack,
    "EmotionKey": EmotionKey,
    "AnimationCurves": AnimationCurves,
    "Phone": Phone,
    "JobSummary": JobSummary,
}

Buffers = list


def pack_record(record: object, buffers: Buffers) -> dict:
    """A dataclass as a map of plain values; its arrays and bytes are appended to buffers."""
    return {f.name: _pack(getattr(record, f.name), buffers) for f in fields(record)}


def _pack(value: object, buffers: Buffers) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview | np.ndarray):
        buffers.append(value)
        return len(buffers) - 1
    if isinstance(value, tuple | list):
        return [_pack(v, buffers) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    if type(value).__name__ in NESTED:
        return pack_record(value, buffers)
    return _pack_mapping(value, buffers)


def _pack_mapping(mapping, buffers: Buffers) -> dict:
    """A map whose arrays are told apart from its plain values, since either may stand under any name."""
    arrays = {str(k): v for k, v in mapping.items() if isinstance(v, np.ndarray)}
    values = {str(k): v for k, v in mapping.items() if not isinstance(v, np.ndarray)}
    return {
        "arrays": {k: _pack(v, buffers) for k, v in arrays.items()},
        "values": {k: _pack(v, buffers) for k, v in values.items()},
    }


def read_record(cls: type, value: object, buffers: Buffers):
    """The dataclass cls from a map of plain values. Raises ProtocolError for a missing, unknown or wrong field."""
    if not isinstance(value, dict):
        raise ProtocolError(f"{cls.__name__} should be a map of fields, got {type(value).__name__}.")
    known = {f.name: f for f in fields(cls)}
    for name in value:
        if name not in known:
            raise ProtocolError(f"{cls.__name__} has no field {str(name)[:40]!r}.")
    arguments = {}
    for name, field in known.items():
        if name in value:
            arguments[name] = _read(str(field.type), value[name], buffers, f"{cls.__name__}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ProtocolError(f"{cls.__name__} lacks its field '{name}'.")
    return cls(**arguments)


def _read(kind: str, value: object, buffers: Buffers, what: str) -> object:
    if kind.endswith(" | None"):
        return None if value is None else _read(kind.removesuffix(" | None"), value, buffers, what)
    if kind in NESTED:
        return read_record(NESTED[kind], value, buffers)
    if kind.startswith("tuple["):
        item = kind.removeprefix("tuple[").removesuffix(", ...]")
        rows = _expect(value, list, what)
        return tuple(_read(item, row, buffers, what) for row in rows)
    return READERS[kind](value, buffers, what)


def _expect(value: object, kind: type, what: str):
    if type(value) is not kind:
        raise ProtocolError(f"{what} should be a {kind.__name__}, got {type(value).__name__}.")
    return value


def _read_text(value: object, _buffers: Buffers, what: str) -> str:
    return _expect(value, str, what)


def _read_integer(value: object, _buffers: Buffers, what: str) -> int:
    return _expect(value, int, what)


def _read_truth(value: object, _buffers: Buffers, what: str) -> bool:
    return _expect(value, bool, what)


def _read_number(value: object, _buffers: Buffers, what: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ProtocolError(f"{what} should be a finite number, got {str(value)[:40]}.")
    return float(value)


def _read_buffer(value: object, buffers: Buffers, what: str) -> object:
    if type(value) is not int or not 0 <= value < len(buffers):
        raise ProtocolError(f"{what} names a buffer that did not come.")
    return buffers[value]


def _read_bytes(value: object, buffers: Buffers, what: str) -> bytes:
    data = _read_buffer(value, buffers, what)
    if not isinstance(data, bytes):
        raise ProtocolError(f"{what} should be bytes, got an array of {data.dtype}.")
    return data


def _read_any_array(value: object, buffers: Buffers, what: str) -> np.ndarray:
    array = _read_buffer(value, buffers, what)
    if not isinstance(array, np.ndarray):
        raise ProtocolError(f"{what} should be an array, got bytes.")
    return array


def _read_array(value: object, buffers: Buffers, what: str) -> np.ndarray:
    array = _read_any_array(value, buffers, what)
    if array.dtype != np.float32:
        raise ProtocolError(f"{what} should be an array of float32, got {array.dtype}.")
    return array


def _read_mapping(value: object, buffers: Buffers, what: str) -> dict:
    parts = _expect(value, dict, what)
    if set(parts) != {"arrays", "values"}:
        raise ProtocolError(f"{what} should be a map of arrays and a map of values.")
    arrays = _expect(parts["arrays"], dict, what)
    values = _expect(parts["values"], dict, what)
    if not all(isinstance(name, str) for name in (*arrays, *values)):
        raise ProtocolError(f"{what} should have text for names.")
    return {
        **{k: _read_any_array(v, buffers, f"{what}.{k}") for k, v in arrays.items()},
        **{k: _read_plain(v, buffers, f"{what}.{k}") for k, v in values.items()},
    }


def _read_plain(value: object, buffers: Buffers, what: str) -> object:
    if isinstance(value, list):
        return tuple(_read_plain(v, buffers, what) for v in value if not isinstance(v, list))
    if value is None or isinstance(value, bool | str):
        return value
    return value if type(value) is int else _read_number(value, buffers, what)


def _read_number_mapping(value: object, buffers: Buffers, what: str) -> dict[str, float]:
    return {k: _read_number(v, buffers, f"{what}.{k}") for k, v in _read_mapping(value, buffers, what).items()}


def _read_integer_mapping(value: object, buffers: Buffers, what: str) -> dict[str, int]:
    return {k: _read_integer(v, buffers, f"{what}.{k}") for k, v in _read_mapping(value, buffers, what).items()}


def _read_array_mapping(value: object, buffers: Buffers, what: str) -> dict[str, np.ndarray]:
    mapping = _read_mapping(value, buffers, what)
    for name, array in mapping.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            raise ProtocolError(f"{what}.{name} should be an array of float32.")
    return mapping


# Annotation of a field -> its reader; a field with another annotation cannot cross the wire.
READERS: dict[str, Callable[[object, Buffers, str], object]] = {
    "str": _read_text,
    "int": _read_integer,
    "bool": _read_truth,
    "float": _read_number,
    "bytes": _read_bytes,
    "np.ndarray": _read_array,
    "Mapping[str, float]": _read_number_mapping,
    "Mapping[str, int]": _read_integer_mapping,
    "Mapping[str, np.ndarray]": _read_array_mapping,
    "Mapping[str, object]": _read_mapping,
}
