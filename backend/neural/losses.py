"""What the neural renderers are trained by: EAMM's key-point and perceptual losses, and MappingNet's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.models.eamm.keypoints import Keypoints

Features = Callable[[Tensor], Sequence[Tensor]]
"""Images (B, 3, H, W) RGB 0-1 to feature maps of several layers, by a network of the user's choice (VGG-19 in EAMM)."""


def keypoint_loss(predicted: Keypoints, teacher: Keypoints) -> Tensor:
    """The L1 norm of the differences of positions and Jacobians, mean over frames (T, K, …) (EAMM, eq. 1 and 4)."""
    parts = ((predicted.value, teacher.value), (predicted.jacobian, teacher.jacobian))
    return sum((ours - theirs).abs().flatten(1).sum(1).mean() for ours, theirs in parts)


def perceptual_loss(
    rendered: Tensor, target: Tensor, features: Features, *, scales: Sequence[float] = (1.0, 0.5, 0.25, 0.125)
) -> Tensor:
    """The mean absolute difference of feature maps of images (B, 3, H, W), summed over layers and scales (EAMM, eq. 2;
    the scales are those of Siarohin et al. 2019). The target gives no gradient.
    """
    total = rendered.new_zeros(())
    for scale in scales:
        ours, theirs = (_resized(image, scale) for image in (rendered, target))
        with torch.no_grad():
            wanted = features(theirs)
        total = total + sum((a - b).abs().mean() for a, b in zip(features(ours), wanted, strict=True))
    return total


def eamm_loss(
    predicted: Keypoints, teacher: Keypoints, rendered: Tensor, target: Tensor, features: Features, *,
    perceptual_weight: float = 1.0,
) -> Tensor:  # fmt: skip
    """Key-point and weighted perceptual loss together (EAMM, eq. 3)."""
    return keypoint_loss(predicted, teacher) + perceptual_weight * perceptual_loss(rendered, target, features)


def mapping_loss(predicted: Tensor, keypoints: Tensor) -> Tensor:
    """The L2 norm of the difference of latent key points (B, 15, 3), mean over frames (EmoSpeaker, eq. 9).

    predicted: canonical key points moved by MappingNet's head motion; keypoints: by face-vid2vid's own estimator.
    """
    # A tiny constant keeps the gradient finite where the two meet.
    squares = (predicted - keypoints).square().flatten(1).sum(1)
    return ((squares + 1e-12).sqrt() - 1e-6).mean()


def _resized(image: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return image
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False, antialias=True)
