"""One face model beside another at the 68 landmarks that both know: average faces, and what channels of one name do.

The second face is laid onto the first by a similarity over all 68 points. Distances are in millimetres; a channel's
cosine is between the two displacements (68, 3), its size the second's length over the first's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bfm.errors import FaceModelError
from bfm.model import FaceModel
from bfm.sources.correspondence import similarity

N_JAW = 17
"""The first of the 68 points lie on the jaw line, the others on brows, nose, eyes and lips."""
_STILL = 1e-4
"""Decimetres per landmark, root mean square, below which a channel is taken not to move the face."""
_MM = 100.0


@dataclass(frozen=True)
class ChannelAgreement:
    """One channel on both models: cosine of the displacements, and the second's length over the first's."""

    name: str
    cosine: float
    size: float


@dataclass(frozen=True)
class Comparison:
    """inner, jaw: mean distance in mm over the inner 51 points and over the jaw line; channels that both have."""

    inner: float
    jaw: float
    channels: tuple[ChannelAgreement, ...]

    @property
    def mean_cosine(self) -> float:
        """Mean over the channels."""
        return float(np.mean([channel.cosine for channel in self.channels]))

    @property
    def worst(self) -> ChannelAgreement:
        """The channel that agrees least."""
        return min(self.channels, key=lambda channel: channel.cosine)


def compare(first: FaceModel, second: FaceModel) -> Comparison:
    """Compares two models with named channels. Raises FaceModelError where they share none."""
    ours = first.landmark_mean[first.landmarks_68].astype(np.float64)
    theirs = second.landmark_mean[second.landmarks_68].astype(np.float64)
    scale, rotation, shift = similarity(theirs, ours)
    apart = np.linalg.norm(scale * theirs @ rotation.T + shift - ours, axis=1) * _MM
    column = {name: i for i, name in enumerate(second.expression_names) if not name[-1].isdigit()}
    agreements = []
    for i, name in enumerate(first.expression_names):
        if name not in column:
            continue
        own = first.landmark_expression[i, first.landmarks_68].astype(np.float64)
        other = scale * second.landmark_expression[column[name], second.landmarks_68] @ rotation.T
        lengths = np.linalg.norm(own), np.linalg.norm(other)
        if min(lengths) > _STILL * np.sqrt(len(own)):
            agreements.append(
                ChannelAgreement(name, float((own * other).sum() / np.prod(lengths)), lengths[1] / lengths[0])
            )
    if not agreements:
        raise FaceModelError(f"face models '{first.name}' and '{second.name}' share no named channels to compare")
    return Comparison(float(apart[N_JAW:].mean()), float(apart[:N_JAW].mean()), tuple(agreements))
