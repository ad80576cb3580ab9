"""The acoustic model that pocketsphinx's wheel brings: Gaussian mixtures of English phones, learned from many people.

Files as SphinxTrain writes them: `means` and `variances` (three streams of 128 densities for each phone's codebook),
`sendump` (quantised mixture weights of all states, the context-free ones first) and `mdef` (the phones' names).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import InputError

N_DENSITIES, N_STREAMS, N_CEPSTRA, N_STATES = 128, 3, 13, 3
MAGIC = 0x11223344
VARIANCE_FLOOR = 1e-4
WEIGHT_STEP = 1024.0 * np.log(1.0001)  # nepers per unit of the quantised mixture weights


@dataclass(frozen=True)
class SphinxModel:
    """phones: P names. means, variances (3 streams, P, 128, 13); log_weights (3 streams, P, 3 states, 128), nepers."""

    phones: tuple[str, ...]
    means: np.ndarray
    variances: np.ndarray
    log_weights: np.ndarray


@lru_cache(maxsize=1)
def sphinx_model() -> SphinxModel:
    """The model of the installed pocketsphinx. Raises InputError where it is missing or of another layout."""
    from pocketsphinx import get_model_path

    folder = Path(get_model_path()) / "en-us" / "en-us"
    try:
        phones, n_states = _read_names(folder / "mdef")
        means, variances = (_read_gaussians(folder / name, len(phones)) for name in ("means", "variances"))
        weights = _read_weights(folder / "sendump", n_states)[..., : N_STATES * len(phones)]
    except (OSError, ValueError, struct.error) as error:
        raise InputError(
            f"pocketsphinx's English acoustic model cannot be read ({error}): install pocketsphinx 5.1 again."
        ) from error
    log_weights = -WEIGHT_STEP * weights.astype(np.float32)
    log_weights = np.moveaxis(log_weights, 1, 2).reshape(N_STREAMS, len(phones), N_STATES, N_DENSITIES)
    log_weights -= np.logaddexp.reduce(log_weights, axis=-1, keepdims=True)
    return SphinxModel(phones, means, np.maximum(variances, VARIANCE_FLOOR), log_weights)


def _read_names(path: Path) -> tuple[tuple[str, ...], int]:
    """The context-free phones' names in the order of their codebooks, and the number of all states."""
    data = path.read_bytes()
    if data[:4] != b"BMDF":
        raise ValueError(f"{path.name} is no model definition")
    (length,) = struct.unpack_from("<i", data, 8)
    at = 12 + length
    n_phones, _, n_states, _, n_all = struct.unpack_from("<5i", data, at)
    if n_states != N_STATES:
        raise ValueError(f"{path.name} has {n_states} states a phone, not {N_STATES}")
    names = data[at + 40 :].split(b"\0", n_phones)[:n_phones]
    return tuple(name.decode("ascii") for name in names), n_all


def _read_gaussians(path: Path, n_phones: int) -> np.ndarray:
    """Means or variances (3 streams, P, 128, 13)."""
    data = path.read_bytes()
    at = data.index(b"endhdr\n") + 7
    magic, *sizes = struct.unpack_from("<I3i3i", data, at)
    if magic != MAGIC or sizes != [n_phones, N_STREAMS, N_DENSITIES] + [N_CEPSTRA] * N_STREAMS:
        raise ValueError(f"{path.name} has sizes {sizes}")
    values = np.frombuffer(data, "<f4", n_phones * N_STREAMS * N_DENSITIES * N_CEPSTRA, at + 32)
    return values.reshape(n_phones, N_STREAMS, N_DENSITIES, N_CEPSTRA).swapaxes(0, 1)


def _read_weights(path: Path, n_states: int) -> np.ndarray:
    """Quantised negative log mixture weights (3 streams, 128, n_states), uint8."""
    data = path.read_bytes()
    at, notes = 0, []
    while True:
        (length,) = struct.unpack_from("<i", data, at)
        at += 4
        if length == 0:
            break
        notes.append(data[at : at + length].rstrip(b"\0"))
        at += length
    sizes = struct.unpack_from("<2i", data, at)
    n_values = N_STREAMS * N_DENSITIES * n_states
    if b"cluster_count 0" not in notes or sizes != (N_DENSITIES, n_states) or len(data) - at - 8 != n_values:
        raise ValueError(f"{path.name} has sizes {sizes}")
    return np.frombuffer(data, np.uint8, n_values, at + 8).reshape(N_STREAMS, N_DENSITIES, n_states)
