"""Fixtures that several test files use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
SENTENCE = Path(__file__).resolve().parents[1] / "backend" / "media" / "sentence.flac"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real portraits, speech and clips beside the project; skips where it is absent."""
    if not (SHARED / "media").is_dir():
        pytest.skip("needs the folder of real material beside the project")
    return SHARED


@pytest.fixture(scope="session")
def sentence() -> Path:
    """The sentence that the package ships."""
    return SENTENCE


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """scikit-image's public-domain portrait, RGB (512, 512, 3) uint8."""
    from skimage import data

    return data.astronaut()
