"""How long the formats take for ten minutes at 60 frames per second; long, so run by make soak."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from curve_samples import performance_curves

from backend.curves.resample import sampled_at
from backend.export.formats import FORMATS, write_curves
from backend.export.options import ExportOptions

SECONDS, RATE, LIMIT = 600, 60.0, 5.0


@pytest.fixture(scope="module")
def ten_minutes():
    """Ten minutes of a sentence's worth of movement: lively stretches and rests."""
    import numpy as np

    curves = performance_curves(720, RATE)
    step = np.concatenate([np.arange(720), np.full(240, 719), np.arange(720)[::-1], np.zeros(240)])
    positions = np.resize(step, int(SECONDS * RATE)).astype(float)
    return replace(sampled_at(curves, positions), phones=curves.phones)


@pytest.mark.soak
@pytest.mark.parametrize("name", FORMATS)
def test_ten_minutes_are_written_in_seconds(ten_minutes, tmp_path, name):
    path = tmp_path / f"long{FORMATS[name].suffixes[0] if FORMATS[name].suffixes else '.csv'}"
    start = time.process_time()
    write_curves(ten_minutes, path, name=name, options=ExportOptions())
    assert time.process_time() - start < LIMIT
    path.unlink()
