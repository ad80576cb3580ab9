"""Reads arrays out of a pickle without running anything that it asks for.

A pickle names the functions that rebuild its objects. Only what rebuilds plain numpy arrays is let through, in versions
of our own; array containers of chumpy and scipy.sparse become inert records of their state. Everything else is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np

from bfm.errors import FaceModelError


class Record:
    """The state that a pickle gives an object whose class is not to be built."""

    def __init__(self, *_arguments: object) -> None:
        self.state: dict[str, object] = {}

    def __setstate__(self, state: object) -> None:
        self.state = dict(state) if isinstance(state, dict) else {"state": state}


def _rebuilt_array(_kind: object, shape: object, _typecode: object) -> np.ndarray:
    """What numpy's array pickles start from: an empty array whose state follows."""
    return np.ndarray.__new__(np.ndarray, (0,) if shape == (0,) else tuple(shape), "b")


def _rebuilt_object(kind: object, _base: object, _state: object) -> object:
    if kind is not Record:
        raise pickle.UnpicklingError(f"an object of {kind!r}")
    return Record()


def _latin_bytes(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


class _PlainDtype:
    """Builds dtypes of numbers and nothing else."""

    def __new__(cls, code: object, *_rest: object) -> np.dtype:
        dtype = np.dtype(code if isinstance(code, str) else "")
        if dtype.kind not in "biufSU":
            raise pickle.UnpicklingError(f"an array of {dtype}")
        return dtype


def _scalar(dtype: np.dtype, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype)[0]


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _PlainDtype,
    ("_codecs", "encode"): _latin_bytes,
    ("copy_reg", "_reconstructor"): _rebuilt_object,
    ("copyreg", "_reconstructor"): _rebuilt_object,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
}
for _package in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_package, "_reconstruct"] = _rebuilt_array
    _ALLOWED[_package, "scalar"] = _scalar
_RECORDS = {
    "chumpy": ("Ch", "Select", "Reorder", "MatVecMult", "MatrixMultiply"),
    "scipy": ("csc_matrix", "csr_matrix"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds arrays, containers and records only."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if name in _RECORDS.get(module.split(".")[0], ()):
            return Record
        raise pickle.UnpicklingError(f"{module}.{name}")


def read_pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a pickled mapping, records of sparse matrices made dense.

    Raises FaceModelError for a file that is missing or broken or wants anything but arrays.
    """
    if not path.is_file():
        raise FaceModelError(f"'{path}' is missing: expected a .pkl file there")
    try:
        mapping = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise FaceModelError(
            f"'{path}' is refused: a pickle of plain arrays was expected, this one wants {error}; "
            "convert it to .npz where you trust it"
        ) from error
    except (EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError, ImportError, OverflowError) as error:
        raise FaceModelError(f"'{path}' is not a pickle that can be read ({error}); fetch it again") from error
    if not isinstance(mapping, dict):
        raise FaceModelError(f"'{path}' should hold a mapping of arrays, got {type(mapping).__name__}")
    arrays = {str(name): _plain(value) for name, value in mapping.items()}
    return {name: array for name, array in arrays.items() if array is not None}


def _plain(value: object) -> np.ndarray | None:
    """An array of a value, None where it is neither numbers nor a known record of them."""
    if isinstance(value, Record):
        if "x" in value.state:
            return _plain(value.state["x"])
        return _dense(value.state)
    if isinstance(value, np.ndarray | np.generic | int | float | list | tuple):
        try:
            array = np.asarray(value)
        except ValueError:
            return None
        return array if array.dtype.kind in "biufU" else None
    return None


def _dense(state: dict[str, object]) -> np.ndarray | None:
    """The matrix of a compressed sparse column record."""
    from scipy.sparse import csc_matrix

    shape = state.get("_shape", state.get("shape"))
    try:
        return csc_matrix((state["data"], state["indices"], state["indptr"]), shape=shape).toarray()
    except (KeyError, ValueError, TypeError, IndexError):
        return None
