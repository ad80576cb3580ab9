"""Reads a published checkpoint without running anything in it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

from backend.errors import InputError

SUFFIXES = (".safetensors", ".pth", ".pt", ".tar", ".model", ".ckpt")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The mapping in a .safetensors or torch file: arrays, or names to mappings of arrays.

    Raises InputError for a file that is missing, truncated, not a checkpoint, or wants code to be run.
    """
    if not path.is_file():
        raise InputError(f"There is no file '{path}': give a checkpoint as its project publishes it.")
    held = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not isinstance(held, dict):
        raise InputError(f"'{path.name}' should hold named arrays, got {type(held).__name__}: bring another file.")
    return held


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path.name}' is damaged or truncated ({error}): fetch it again.") from error


def _read_torch(path: Path) -> Any:
    import numpy as np
    import torch
    from numpy.core import multiarray

    # Numbers of numpy, such as an epoch, rebuild plain values.
    plain = [multiarray.scalar, np.dtype, *{type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4", "?")}]
    try:
        with torch.serialization.safe_globals(plain):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            raise InputError(f"'{path.name}' is damaged, truncated or no checkpoint: fetch it again.") from error
        raise InputError(
            f"'{path.name}' is refused: it wants to run '{named.group(1)}', and weights are read as arrays only; "
            "bring the file as its project publishes it, or as .safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise InputError(f"'{path.name}' is damaged, truncated or no checkpoint: fetch it again.") from error
