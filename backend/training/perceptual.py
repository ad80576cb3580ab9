"""The features that pictures are compared by: VGG-19's where its public weights are given, else pixels and slopes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from backend.errors import InputError
from backend.models.vgg import Vgg19
from backend.neural.losses import Features

PIXELS = "pixels and slopes"


def pixel_features(images: Tensor) -> list[Tensor]:
    """Images (B, 3, H, W) themselves and their slopes across and down: what a comparison without VGG goes by."""
    return [images, images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]]


def load_features(weights: Path | None, device: torch.device) -> tuple[Features, str]:
    """The features and their name for the metadata: VGG-19's of torchvision's weights file, or without it pixels'.

    Raises InputError for another file.
    """
    if weights is None:
        return pixel_features, PIXELS
    try:
        state = torch.load(weights, weights_only=True, map_location="cpu")
        network = Vgg19()
        own = {name: state[name] for name in network.state_dict()}
        network.load_state_dict(own)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise InputError(
            f"'{weights}' is not torchvision's VGG-19 ({error}): expected vgg19-dcbb9e9d.pth with 'features.0.weight' …"
        ) from error
    return network.to(device).eval().requires_grad_(False), "VGG-19"
