"""glTF 2.0 documents: building accessors, writing .glb and .gltf, and reading them back."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np

from backend.errors import InputError

GLB_MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
FLOAT, UNSIGNED_INT = 5126, 5125
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
GENERATOR = "EmoRig"


class GltfDocument:
    """A glTF document under construction: its JSON and one binary buffer."""

    def __init__(self, document: dict | None = None, binary: bytes = b"") -> None:
        self.json = document or {"asset": {"version": "2.0", "generator": GENERATOR}}
        self._parts = [binary, b"\0" * (-len(binary) % 4)]
        self._length = len(binary) + (-len(binary) % 4)

    def add(self, kind: str, item: dict) -> int:
        """Appends an item to a top-level list ('nodes', 'meshes', …) and gives its index."""
        items = self.json.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def accessor(self, values: np.ndarray, *, target: int | None = None, bounds: bool = False) -> int:
        """Stores values (n,) or (n, 2-4), float32 or uint32, and gives the accessor's index."""
        values = np.ascontiguousarray(values)
        width = 1 if values.ndim == 1 else values.shape[1]
        component = FLOAT if values.dtype == np.float32 else UNSIGNED_INT
        assert values.dtype in (np.float32, np.uint32)
        view = self._view(values.tobytes())
        if target is not None:
            self.json["bufferViews"][view]["target"] = target
        item = {
            "bufferView": view,
            "componentType": component,
            "count": len(values),
            "type": next(kind for kind, n in WIDTHS.items() if n == width),
        }
        if bounds:
            rows = values.reshape(len(values), -1)
            item |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        return self.add("accessors", item)

    def sparse_accessor(self, values: np.ndarray, rows: np.ndarray, *, bounds: bool = False) -> int:
        """Stores the given rows (k,) of values (n, 3) float32, the others being 0, and gives the accessor's index."""
        # An accessor may not be empty: one row of zeros stands for a target that moves nothing.
        rows = np.asarray(rows, np.uint32) if len(rows) else np.zeros(1, np.uint32)
        kept = np.ascontiguousarray(values[rows], np.float32)
        item = {
            "componentType": FLOAT,
            "count": len(values),
            "type": "VEC3",
            "sparse": {
                "count": len(rows),
                "indices": {"bufferView": self._view(rows.tobytes()), "componentType": UNSIGNED_INT},
                "values": {"bufferView": self._view(kept.tobytes())},
            },
        }
        if bounds:
            whole = kept if len(rows) == len(values) else np.concatenate([kept, np.zeros((1, 3), np.float32)])
            item |= {"min": whole.min(0).tolist(), "max": whole.max(0).tolist()}
        return self.add("accessors", item)

    def _view(self, data: bytes) -> int:
        view = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        self._parts.append(data)
        self._length += len(data)
        return self.add("bufferViews", view)

    def animation(self, name: str) -> GltfAnimation:
        """A new animation of this document."""
        return GltfAnimation(self, name)

    def write(self, path: Path) -> None:
        """Writes .gltf with the buffer inside, or .glb for every other suffix."""
        binary = b"".join(self._parts)
        buffers = self.json.setdefault("buffers", [{}])
        buffers[0] = {"byteLength": len(binary)}
        if path.suffix.lower() == ".gltf":
            buffers[0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode("ascii")
            path.write_text(json.dumps(self.json), encoding="utf-8")
            return
        text = json.dumps(self.json, separators=(",", ":")).encode("utf-8")
        text += b" " * (-len(text) % 4)
        length = 12 + 8 + len(text) + 8 + len(binary)
        with path.open("wb") as file:
            file.write(struct.pack("<III", GLB_MAGIC, 2, length))
            file.write(struct.pack("<II", len(text), JSON_CHUNK) + text)
            file.write(struct.pack("<II", len(binary), BINARY_CHUNK) + binary)


class GltfAnimation:
    """One animation; its channels share the accessors of the times they are sampled at."""

    def __init__(self, document: GltfDocument, name: str) -> None:
        self._document = document
        self._times: dict[bytes, int] = {}
        self._item = {"name": name, "channels": [], "samplers": []}
        document.add("animations", self._item)

    def channel(self, node: int, path: str, times: np.ndarray, values: np.ndarray) -> None:
        """Animates a node's 'weights', 'rotation' or 'translation' linearly: times (n,) s, values n rows."""
        times = np.ascontiguousarray(times, np.float32)
        key = times.tobytes()
        if key not in self._times:
            self._times[key] = self._document.accessor(times, bounds=True)
        values = np.asarray(values, np.float32)
        output = self._document.accessor(values.ravel() if path == "weights" else values)
        self._item["samplers"].append({"input": self._times[key], "output": output, "interpolation": "LINEAR"})
        sampler = len(self._item["samplers"]) - 1
        self._item["channels"].append({"sampler": sampler, "target": {"node": node, "path": path}})


def read_document(path: Path) -> tuple[dict, bytes]:
    """The JSON and the first buffer of a .glb or .gltf. Raises InputError for anything else."""
    try:
        data = path.read_bytes()
        if data[:4] == b"glTF":
            return _read_glb(data)
        document = json.loads(data.decode("utf-8"))
        if document["asset"]["version"] != "2.0":
            raise ValueError("not glTF 2.0")
        return document, _read_buffer(document, path)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise InputError(f"Cannot read '{path.name}' as glTF 2.0 ({error}).") from error


def _read_glb(data: bytes) -> tuple[dict, bytes]:
    _, version, length = struct.unpack_from("<III", data)
    if version != 2 or length > len(data):
        raise ValueError(f"version {version}, {len(data)} of {length} bytes")
    size, kind = struct.unpack_from("<II", data, 12)
    if kind != JSON_CHUNK:
        raise ValueError("its first chunk is not JSON")
    document = json.loads(data[20 : 20 + size].decode("utf-8"))
    start = 20 + size
    if start + 8 > len(data):
        return document, b""
    size, kind = struct.unpack_from("<II", data, start)
    return document, data[start + 8 : start + 8 + size] if kind == BINARY_CHUNK else b""


def _read_buffer(document: dict, path: Path) -> bytes:
    buffers = document.get("buffers") or [{}]
    uri = buffers[0].get("uri", "")
    if uri.startswith("data:"):
        return base64.b64decode(uri.split(",", 1)[1])
    if not uri:
        return b""
    if "/" in uri or "\\" in uri or uri.startswith("."):
        raise ValueError("its buffer should lie beside it")
    return (path.parent / uri).read_bytes()


def accessor_values(document: dict, binary: bytes, index: int) -> np.ndarray:
    """Values (n,) or (n, width) of an accessor, normalized integers as 0-1 floats. Raises ValueError."""
    accessor = document["accessors"][index]
    kind = np.dtype(COMPONENTS[accessor["componentType"]])
    width, count = WIDTHS[accessor["type"]], accessor["count"]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError("a sparse accessor")
    view = document["bufferViews"][accessor["bufferView"]]
    if view.get("buffer", 0) != 0:
        raise ValueError("more than one buffer")
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", kind.itemsize * width)
    needed = start + stride * (count - 1) + kind.itemsize * width
    if count < 1 or needed > len(binary):
        raise ValueError(f"accessor {index} reaches beyond the buffer")
    values = np.ndarray((count, width), kind, binary, start, (stride, kind.itemsize)).astype(np.float32)
    if accessor.get("normalized"):
        values = np.maximum(values / np.iinfo(kind).max, -1.0)
    return values[:, 0] if width == 1 else values
