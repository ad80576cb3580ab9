"""The warp on torch, for CUDA; it runs on torch's CPU too, which is how it is tested.

The rasteriser is parallel over the pixels of the triangles' boxes: every candidate is tested, and the nearest triangle
of a pixel is found by a scatter of depths. Where depths are equal the triangle that comes first wins, as in
bfm.rasterize, whose conventions hold here.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.portrait.outlines import JUMP
from backend.portrait.warp import first_row_below
from bfm.rasterize import EDGE_TOLERANCE, LEAST_AREA

CANDIDATES = 1 << 22  # pixels of triangles' boxes that are tested at a time, for memory


class TorchWarp:
    """The warp of backend.portrait.warp on a torch device."""

    def __init__(
        self, rest: np.ndarray, triangles: np.ndarray, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self._device = device
        height, width, n_channels = shape
        self._rest = torch.as_tensor(np.ascontiguousarray(rest, np.float32), device=device)
        self._triangles = torch.as_tensor(np.ascontiguousarray(triangles, np.int64), device=device)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        self._identity = torch.stack([x, y], dim=-1).to(device, torch.float32)
        self._span = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=device)
        line = torch.tensor([1.0, 2.0, 1.0], device=device) / 4.0
        self._soft = torch.outer(line, line).expand(n_channels, 1, 3, 3)

    @torch.inference_mode()
    def __call__(self, vertices: np.ndarray, source: np.ndarray) -> np.ndarray:
        flow = self.flow(vertices)
        pixels = torch.as_tensor(source, device=self._device).permute(2, 0, 1)[None]
        grid = (2.0 * flow / self._span - 1.0)[None]
        warped = functional.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=True)
        softened = functional.conv2d(warped, self._soft, padding=1, groups=warped.shape[1])
        picture = torch.where(_jumps(flow - self._identity), softened, warped)
        return picture[0].permute(1, 2, 0).contiguous().cpu().numpy()

    def flow(self, vertices: np.ndarray) -> Tensor:
        """Where in the source each pixel comes from, (h, w, 2) float32."""
        flow = self._identity.clone()
        depth = torch.full(flow.shape[:2], torch.inf, device=self._device)
        points = torch.as_tensor(np.ascontiguousarray(vertices, np.float32), device=self._device)
        draw_values(points, self._triangles, self._rest, flow, depth)
        below = slice(first_row_below(vertices, len(flow)), len(flow))
        if below.stop - below.start > 1:
            shift = (flow[below] - self._identity[below]).permute(2, 0, 1)[None]
            blurred = functional.avg_pool2d(functional.pad(shift, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
            flow[below] = self._identity[below] + blurred[0].permute(1, 2, 0)
        return flow


def _jumps(shift: Tensor) -> Tensor:
    """Where the flow's shift (h, w, 2) jumps to a neighbour, (h, w) bool; never at the border."""
    across = ((shift[:, 1:] - shift[:, :-1]).abs() > JUMP).any(dim=-1)
    down = ((shift[1:] - shift[:-1]).abs() > JUMP).any(dim=-1)
    found = torch.zeros(shift.shape[:2], dtype=torch.bool, device=shift.device)
    found[1:-1, 1:-1] = across[1:-1, 1:] | across[1:-1, :-1] | down[1:, 1:-1] | down[:-1, 1:-1]
    return found


def draw_values(points: Tensor, triangles: Tensor, values: Tensor, out: Tensor, depth: Tensor) -> None:
    """Draws triangles into out (height, width, n_channels) in place, against depth (height, width), as
    bfm.rasterize.draw_values does.

    points (n_vertices, 3) x, y, depth; triangles (n_triangles, 3) integers; values (n_vertices, n_channels); all on one
    device, out and depth float32.
    """
    height, width = depth.shape
    corners = points.to(torch.float64)[triangles.long()]
    edges = _Edges(corners)
    low, high = corners[..., :2].amin(dim=1), corners[..., :2].amax(dim=1)
    first = torch.ceil(low - EDGE_TOLERANCE).clamp(min=0).long()
    limit = torch.tensor([width - 1, height - 1], device=depth.device)
    last = torch.minimum(torch.floor(high + EDGE_TOLERANCE).long(), limit)
    size = (last - first + 1).clamp(min=0)
    count = torch.where(edges.area.abs() >= LEAST_AREA, size.prod(dim=1), 0)
    flat_depth, flat_out = depth.view(-1), out.view(-1, out.shape[-1])
    attributes = values.to(torch.float64)[triangles.long()]
    for chosen in _chunks(count):
        index = torch.repeat_interleave(chosen, count[chosen])
        start = torch.cumsum(count[chosen], 0) - count[chosen]
        offset = torch.arange(len(index), device=index.device) - torch.repeat_interleave(start, count[chosen])
        x = first[index, 0] + offset % size[index, 0]
        y = first[index, 1] + torch.div(offset, size[index, 0], rounding_mode="floor")
        weights = edges.weights(index, x, y)
        inside = (weights >= -EDGE_TOLERANCE).all(dim=1)
        index, weights = index[inside], weights[inside]
        pixel = y[inside] * width + x[inside]
        z = (weights * corners[index, :, 2]).sum(dim=1).to(torch.float32)
        _keep_nearest(pixel, z, index, weights, attributes, flat_out, flat_depth)


def _keep_nearest(
    pixel: Tensor, z: Tensor, index: Tensor, weights: Tensor, attributes: Tensor, out: Tensor, depth: Tensor
) -> None:
    """Writes the nearest of the candidates of each pixel where it is nearer than what is there."""
    best = depth.clone().scatter_reduce_(0, pixel, z, "amin")
    wins = (z == best[pixel]) & (z < depth[pixel])
    pixel, index, weights = pixel[wins], index[wins], weights[wins]
    earliest = torch.full_like(depth, len(attributes), dtype=torch.long).scatter_reduce_(0, pixel, index, "amin")
    wins = index == earliest[pixel]
    pixel, index, weights = pixel[wins], index[wins], weights[wins]
    out[pixel] = (weights[..., None] * attributes[index]).sum(dim=1).to(out.dtype)
    depth.copy_(best)


class _Edges:
    """What barycentric weights of triangles (n, 3, 3) need."""

    def __init__(self, corners: Tensor) -> None:
        self._a = corners[:, 0, :2]
        self._ab, self._ac = corners[:, 1, :2] - self._a, corners[:, 2, :2] - self._a
        self.area = self._ab[:, 0] * self._ac[:, 1] - self._ab[:, 1] * self._ac[:, 0]

    def weights(self, index: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Barycentric weights (n, 3) at pixels x, y (n,) of triangles index (n,)."""
        dx, dy = x - self._a[index, 0], y - self._a[index, 1]
        ab, ac, area = self._ab[index], self._ac[index], self.area[index]
        b = (dx * ac[:, 1] - dy * ac[:, 0]) / area
        c = (dy * ab[:, 0] - dx * ab[:, 1]) / area
        return torch.stack([1.0 - b - c, b, c], dim=1)


def _chunks(count: Tensor) -> list[Tensor]:
    """Triangles (indices) in runs of about CANDIDATES box pixels, those without pixels left out."""
    kept = torch.nonzero(count > 0).squeeze(1)
    if not len(kept):
        return []
    run = torch.div(torch.cumsum(count[kept], 0) - count[kept], CANDIDATES, rounding_mode="floor")
    return [kept[run == number] for number in torch.unique_consecutive(run)]
