"""Small performances that the tests of curves and formats share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.curves.convert import curves_from_performance, quaternions
from backend.inference.performance import Performance
from backend.pipeline import make_coefficients
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS
from blender_addon.protocol.types import AnimationCurves, Phone

PHONES = (Phone(0.0, 0.2, "sil"), Phone(0.2, 0.4, "M"), Phone(0.4, 0.7, "AY"), Phone(0.7, 0.9, "F"),
          Phone(0.9, 1.2, "UW"), Phone(1.2, 1.4, "L"), Phone(1.4, 2.0, "sil"))  # fmt: skip


def performance_curves(n_frames: int = 60, frame_rate: float = 30.0, seed: int = 0) -> AnimationCurves:
    """Curves of lively, smooth channels in two layers, with a head that turns, phones and coefficients."""
    random = np.random.default_rng(seed)
    times = np.arange(n_frames) / frame_rate
    n_channels = len(EXPRESSION_CHANNELS)
    speed, phase = random.uniform(0.3, 3.0, n_channels), random.uniform(0, 6, n_channels)
    weights = (0.3 + 0.3 * np.sin(2 * np.pi * speed * times[:, None] + phase)).astype(np.float32)
    lips = np.arange(n_channels) < 40
    layers = {"lips": weights * lips, "emotion": weights * ~lips}
    turn = np.stack([0.10 * np.sin(times), 0.25 * np.sin(0.7 * times), 0.05 * np.sin(1.3 * times)], axis=1)
    performance = Performance(layers, turn.astype(np.float32), np.zeros((n_frames, 3), np.float32), frame_rate)
    return curves_from_performance(performance, make_coefficients(performance, None), PHONES)


def looking_left(n_frames: int = 8) -> AnimationCurves:
    """A head turned 20° to its left and 10° down, eyes 12° to their left: what every format's signs are judged by."""
    curves = performance_curves(n_frames)
    head = quaternions(np.tile(np.radians([[10.0, 20.0, 0.0]]), (n_frames, 1)))
    eye = quaternions(np.tile(np.radians([[0.0, 12.0, 0.0]]), (n_frames, 1)))
    weights = np.zeros_like(curves.weights)
    for name in ("eyeLookOutLeft", "eyeLookInRight"):
        weights[:, CHANNEL_INDEX[name]] = 12.0 / 30.0
    return replace(
        curves,
        weights=weights,
        layers={},
        head_rotation=head,
        left_eye=eye,
        right_eye=eye,
        coefficients=None,
        phones=(),
    )
