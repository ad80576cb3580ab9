"""Moves the source's pixels with the mesh: dense flow, sampling, softened outlines; numba on the CPU, torch on CUDA.

Both give the same picture but for the rounding of where pixels are sampled.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from backend.errors import InputError
from backend.portrait.outlines import soften_outlines
from bfm.landmarks import LOWER_LIP_RINGS, UPPER_LIP_RINGS
from bfm.rasterize import draw_values

LIPS = [*UPPER_LIP_RINGS[0], *LOWER_LIP_RINGS[0]]


class Warp(Protocol):
    """What moves a source of pixels (height, width, n_channels) float32 with a mesh."""

    def __call__(self, vertices: np.ndarray, source: np.ndarray) -> np.ndarray:
        """The source moved as its mesh moves to vertices (n_vertices, 3) x, y, depth; valid until the next call."""
        ...


def make_warp(device: str, rest: np.ndarray, triangles: np.ndarray, shape: tuple[int, int, int]) -> Warp:
    """A warp on a device, "cpu" or "cuda" (with a number where wanted).

    rest (n_vertices, 2): the mesh in the source; triangles (n_triangles, 3); shape of the source.
    Raises InputError for devices that are not there.
    """
    check_device(device)
    if device == "cpu":
        return CpuWarp(rest, triangles, shape)
    import torch

    from backend.portrait.warp_torch import TorchWarp

    return TorchWarp(rest, triangles, shape, torch.device(device))


def check_device(device: str) -> None:
    """Raises InputError for what is no device, and for one that is not there."""
    if device == "cpu":
        return
    kind, _, number = device.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise InputError(f"The device should be cpu or cuda, got '{device}'.")
    import torch

    if not torch.cuda.is_available():
        raise InputError("There is no CUDA device: use --device cpu.")
    if int(number or 0) >= torch.cuda.device_count():
        raise InputError(f"There is no CUDA device {number}: the last one is {torch.cuda.device_count() - 1}.")


def first_row_below(vertices: np.ndarray, height: int) -> int:
    """The first row under the lips: from there on flow is blurred, because where the chin overlaps the neck it jumps,
    and a jump over one pixel would show as stairs.
    """
    return min(max(int(vertices[LIPS, 1].max()) + 1, 0), height)


class CpuWarp:
    """The warp by numba and OpenCV."""

    def __init__(self, rest: np.ndarray, triangles: np.ndarray, shape: tuple[int, int, int]) -> None:
        height, width, _ = shape
        self._rest, self._triangles = np.ascontiguousarray(rest, np.float32), np.ascontiguousarray(triangles, np.int32)
        self._identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
        self._flow = np.empty_like(self._identity)
        self._depth = np.empty((height, width), np.float32)
        self._softened = np.empty(shape, np.float32)

    def __call__(self, vertices: np.ndarray, source: np.ndarray) -> np.ndarray:
        flow = self.flow(vertices)
        warped = cv2.remap(source, flow, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        soften_outlines(flow, warped, self._softened)
        return self._softened

    def flow(self, vertices: np.ndarray) -> np.ndarray:
        """Where in the source each pixel comes from, (h, w, 2) float32."""
        np.copyto(self._flow, self._identity)
        self._depth.fill(np.inf)
        draw_values(vertices, self._triangles, self._rest, self._flow, self._depth)
        below = slice(first_row_below(vertices, len(self._flow)), len(self._flow))
        if below.start < below.stop:
            shift = cv2.blur(cv2.subtract(self._flow[below], self._identity[below]), (3, 3))
            cv2.add(shift, self._identity[below], dst=self._flow[below])
        return self._flow
