"""The Basel Face Models 2017 and 2019 (Gerig et al. 2018), read from their .h5 files.

Shape, colour and expression are principal components with variances; millimetres become decimetres, and the first 80,
80 and 64 modes are kept, as many as the papers use. The 478 landmarks come from laying the embedded face onto the mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bfm.coefficients import EXPRESSION_DIMS, IDENTITY_DIMS, TEXTURE_DIMS
from bfm.errors import FaceModelError
from bfm.model import FaceModel
from bfm.sources.assembling import assembled, numbered
from bfm.sources.correspondence import registered
from bfm.sources.reading import field

MILLIMETRES_PER_DECIMETRE = 100.0
_MODES = {"shape": IDENTITY_DIMS, "color": TEXTURE_DIMS, "expression": EXPRESSION_DIMS}
_PARTS = ("mean", "pcaBasis", "pcaVariance")


def load_bfm2019(path: Path, name: str = "bfm2019") -> FaceModel:
    """The FaceModel of a model2017-*.h5 or model2019_*.h5. Raises FaceModelError naming what is wrong in the file."""
    arrays = _read(path)
    cells = field(arrays, "shape/representer/cells", (3, None), path=path, dtype=np.int64).T
    means, bases = {}, {}
    for kind, count in _MODES.items():
        means[kind], bases[kind] = _modes(arrays, kind, count, path)
    n = len(means["shape"])
    if any(len(mean) != n for mean in means.values()):
        sizes = ", ".join(f"{kind} {len(mean)}" for kind, mean in means.items())
        raise FaceModelError(f"'{path}': shape, color and expression should cover the same vertices, got {sizes}")
    if cells.size == 0 or cells.min() < 0 or cells.max() >= n:
        raise FaceModelError(f"'{path}': field 'shape/representer/cells' should hold vertices from 0 to {n - 1}")
    mean = (means["shape"] + means["expression"]) / MILLIMETRES_PER_DECIMETRE
    mean = (mean - mean.mean(0)).astype(np.float32)
    triangles = _outward(mean, cells)
    return assembled(
        name,
        mean,
        triangles,
        registered(mean, triangles),
        identity=bases["shape"] / MILLIMETRES_PER_DECIMETRE,
        expression=bases["expression"] / MILLIMETRES_PER_DECIMETRE,
        expression_names=numbered(len(bases["expression"])),
        texture_mean=means["color"],
        texture=bases["color"],
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """Every array of the model by its path in the file."""
    if not path.is_file():
        raise FaceModelError(f"'{path}' is missing: expected an .h5 file there")
    try:
        import h5py
    except ImportError as error:
        raise FaceModelError(f"'{path}' needs the package h5py to be read: pip install h5py") from error
    wanted = ["shape/representer/cells", *(f"{kind}/model/{part}" for kind in _MODES for part in _PARTS)]
    try:
        with h5py.File(path, "r") as file:
            return {name: np.asarray(file[name]) for name in wanted if name in file}
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise FaceModelError(f"'{path}' is not an HDF5 file that can be read ({error}); fetch it again") from error


def _modes(arrays: dict[str, np.ndarray], kind: str, count: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n_vertices, 3) and basis (count, n_vertices, 3) per standard deviation of shape, color or expression."""
    mean = field(arrays, f"{kind}/model/mean", (None,), path=path, dtype=np.float64)
    components = field(arrays, f"{kind}/model/pcaBasis", (len(mean), None), path=path)
    variance = field(arrays, f"{kind}/model/pcaVariance", (components.shape[1],), path=path, dtype=np.float64)
    if len(mean) % 3 or components.shape[1] < count or (variance < 0).any():
        raise FaceModelError(
            f"'{path}': field '{kind}/model/pcaBasis' should have shape (3 × vertices, at least {count}) and its "
            f"variances should be 0 or more, got {components.shape}"
        )
    basis = (components[:, :count] * np.sqrt(variance[:count])).T.reshape(count, -1, 3)
    return mean.reshape(-1, 3), basis


def _outward(mean: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles wound counter-clockwise from outside: the enclosed volume, seen from the middle, is positive."""
    a, b, c = (mean[triangles[:, corner]] - mean.mean(0) for corner in range(3))
    volume = np.einsum("ij,ij->", a, np.cross(b, c))
    return triangles if volume >= 0 else triangles[:, ::-1]
