"""Key points moved as a driving face moves from its first frame (Siarohin et al. 2019, §3.4), in 2D or 3D."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def hull_scale(source: Tensor, initial: Tensor) -> float:
    """How much larger the source's key points (K, n) are than the driving face's first, by their convex hulls."""
    from scipy.spatial import ConvexHull

    source, initial = (points.detach().double().cpu().numpy() for points in (source, initial))
    return float(np.sqrt(ConvexHull(source).volume) / np.sqrt(ConvexHull(initial).volume))


def relative_positions(source: Tensor, driving: Tensor, initial: Tensor, *, scale: float = 1.0) -> Tensor:
    """Positions (…, K, n): the source's, moved as driving ones moved from their first, times scale."""
    return (driving - initial) * scale + source


def relative_jacobians(source: Tensor, driving: Tensor, initial: Tensor) -> Tensor:
    """Jacobians (…, K, n, n): the source's, changed as driving ones changed from their first."""
    return driving @ torch.linalg.inv(initial) @ source
