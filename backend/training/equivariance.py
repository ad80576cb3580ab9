"""Random smooth transforms of pictures that key points must follow (Siarohin et al. 2019, §3.1 and supplement)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.models.coordinates import coordinate_grid

AFFINE_SPREAD, SPLINE_SPREAD, SPLINE_POINTS = 0.05, 0.005, 5


class RandomTransform:
    """An affine map and a thin-plate spline for each of n pictures, drawn by a generator: where points come from."""

    def __init__(self, n: int, generator: torch.Generator, device: torch.device) -> None:
        noise = torch.randn(n, 2, 3, generator=generator) * AFFINE_SPREAD
        self._affine = (torch.eye(2, 3) + noise).to(device)
        shape = (SPLINE_POINTS, SPLINE_POINTS)
        self._points = coordinate_grid(shape, self._affine).reshape(1, -1, 2)
        weights = torch.randn(n, SPLINE_POINTS**2, generator=generator) * SPLINE_SPREAD
        self._weights = weights.to(device)

    def points(self, at: Tensor) -> Tensor:
        """Where points (n, K, 2) come from in the untransformed pictures."""
        moved = at @ self._affine[:, :, :2].transpose(1, 2) + self._affine[:, :, 2][:, None]
        distance = (at[:, :, None] - self._points[:, None]).abs().sum(-1)
        bend = (distance.square() * torch.log(distance + 1e-6) * self._weights[:, None]).sum(-1)
        return moved + bend[..., None]

    def pictures(self, images: Tensor) -> Tensor:
        """Images (n, C, H, W) transformed, borders mirrored."""
        grid = coordinate_grid(tuple(images.shape[2:]), images).reshape(1, -1, 2).expand(len(images), -1, -1)
        where = self.points(grid).unflatten(1, images.shape[2:])
        return F.grid_sample(images, where, padding_mode="reflection", align_corners=True)

    def jacobians(self, at: Tensor) -> Tensor:
        """Derivatives (n, K, 2, 2) of points() at points (n, K, 2)."""
        with torch.enable_grad():
            inside = at if at.requires_grad else at.detach().requires_grad_(True)
            moved = self.points(inside)
            rows = [torch.autograd.grad(moved[..., i].sum(), inside, create_graph=True)[0] for i in (0, 1)]
        return torch.stack(rows, dim=-2)


def equivariance(points: Tensor, transformed: Tensor, transform: RandomTransform) -> Tensor:
    """Mean absolute difference of points (n, K, 2) and those of the transformed pictures, brought back."""
    return (points - transform.points(transformed)).abs().mean()


def jacobian_equivariance(
    jacobian: Tensor, transformed: Tensor, transformed_jacobian: Tensor, transform: RandomTransform
) -> Tensor:
    """The same of Jacobians (n, K, 2, 2): their product with the inverse should be the identity."""
    brought_back = transform.jacobians(transformed) @ transformed_jacobian
    product = torch.linalg.inv(jacobian) @ brought_back
    return (torch.eye(2, device=product.device) - product).abs().mean()
