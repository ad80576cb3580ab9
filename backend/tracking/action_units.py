"""Facial action units measured from tracked landmarks (docs/tracking.md).

The landmarks with the head's pose taken off, less the person's neutral face, are displacements in decimetres of the
average head. Every unit moves the embedded head's landmarks by a known displacement at full intensity (bfm.facs).
Region by region (brows, lids, cheeks and nose, mouth) what the tracked channels of the other regions explain is taken
off, and the intensities 0–1 are the bounded least-squares solution for the rest, over the landmarks that the region's
units move. The 17 units are those of EmoSpeaker's Table I; EAMM's 12, 14, 15 and 20 are among them. AU45 is the blink
of the tracked face, because lids are few points among many.
"""

from __future__ import annotations

import numpy as np

from bfm.channel_sets import ChannelSet, channel_set
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS, FULL_ACTIVATION_SD
from bfm.model import FaceModel
from bfm.retarget import solve
from bfm.sequence import FittedSequence

UNITS = "emospeaker"
_REGIONS = ((1, 2, 4), (5, 7), (6, 9), (10, 12, 14, 15, 17, 20, 23, 25, 26))
_BLINK_NAME, _BLINKS = "AU45", ("eyeBlinkLeft", "eyeBlinkRight")
_REACH = 0.25
"""A landmark takes part where a unit of the region moves it by more than this share of the furthest it moves any."""


def measured_units(model: FaceModel, fit: FittedSequence, weights: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names (17,) and intensities (n_frames, 17) 0–1 of the action units of a fitted sequence.

    weights (n_frames, 64) 0–1: its smoothed channels.
    """
    units = channel_set(UNITS)
    basis = model.landmark_expression[:EXPRESSION_DIMS].astype(np.float64) * FULL_ACTIVATION_SD
    neutral = model.landmark_mean + np.tensordot(fit.identity, model.landmark_identity, 1)
    full = np.tensordot(units.weights, basis, 1)
    intensities = np.zeros((len(weights), len(units.names)), np.float32)
    for region in _REGIONS:
        rows = [units.names.index(f"AU{unit}") for unit in region]
        reach = np.linalg.norm(full[rows], axis=2)
        taking = (reach > _REACH * reach.max(1, keepdims=True)).any(0)
        others = weights.astype(np.float64)
        others[:, _channels_of(region, units)] = 0.0
        moved = (fit.measured - neutral)[:, taking] - np.tensordot(others, basis[:, taking], 1)
        intensities[:, rows] = solve(moved, full[rows][:, taking], tuple(units.names[row] for row in rows)).weights
    blinks = weights[:, [CHANNEL_INDEX[name] for name in _BLINKS]].mean(1)
    intensities[:, units.names.index(_BLINK_NAME)] = blinks
    return units.names, intensities


def _channels_of(region: tuple[int, ...], units: ChannelSet) -> list[int]:
    """Columns of the channels that a region's units move more than any other unit does."""
    strongest = units.weights.argmax(0)
    rows = [units.names.index(f"AU{unit}") for unit in region]
    return [column for column in np.flatnonzero(units.weights.any(0)) if strongest[column] in rows]
