"""Reading other people's model files: every field is checked for presence, shape, finiteness and range."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bfm.errors import FaceModelError

_BROKEN = (ValueError, TypeError, KeyError, IndexError, OSError, NotImplementedError, EOFError, zlib.error)


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MATLAB file. Raises FaceModelError where it is missing or broken."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise FaceModelError(f"'{path}' is missing: expected a MATLAB file there")
    try:
        return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    except (*_BROKEN, MatReadError) as error:
        raise FaceModelError(f"'{path}' is not a MATLAB 5 file that can be read ({error}); fetch it again") from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file, never unpickling. Raises FaceModelError where it is missing or broken."""
    from zipfile import BadZipFile

    if not path.is_file():
        raise FaceModelError(f"'{path}' is missing: expected an .npz file there")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (*_BROKEN, BadZipFile, AttributeError) as error:
        raise FaceModelError(f"'{path}' is not an .npz file of plain arrays ({error}); fetch it again") from error


def field(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], *, path: Path, dtype=np.float32
) -> np.ndarray:
    """One field as a contiguous array of a shape, None standing for any length.

    Raises FaceModelError naming the file, the field, what was expected and what came.
    """
    if name not in arrays:
        raise FaceModelError(f"'{path}' lacks the field '{name}': it has {', '.join(sorted(arrays)[:12]) or 'none'}")
    raw = np.asarray(arrays[name])
    if not np.issubdtype(raw.dtype, np.number):
        raise FaceModelError(f"'{path}': field '{name}' should hold numbers, got {raw.dtype}")
    fits = raw.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, raw.shape, strict=True))
    if not fits:
        wanted = "(" + ", ".join("n" if n is None else str(n) for n in shape) + ")"
        raise FaceModelError(f"'{path}': field '{name}' should have shape {wanted}, got {raw.shape}")
    if np.issubdtype(raw.dtype, np.floating) and not np.isfinite(raw).all():
        count = int((~np.isfinite(raw)).sum())
        raise FaceModelError(f"'{path}': field '{name}' holds {count} values that are not finite numbers")
    return np.ascontiguousarray(raw, dtype)


def indices(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], *, path: Path, last: int, first: int = 1
) -> np.ndarray:
    """An index field, first–last in the file, counting from 0 (int32). Raises FaceModelError beyond that range."""
    values = field(arrays, name, shape, path=path, dtype=np.int64)
    if values.size and (values.min() < first or values.max() > last):
        span = f"{values.min()} to {values.max()}"
        raise FaceModelError(f"'{path}': field '{name}' should hold indices from {first} to {last}, got {span}")
    return (values - first).astype(np.int32)
