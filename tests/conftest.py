"""Fixtures that several test files use."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
BLENDER_VENV = Path(__file__).resolve().parents[1] / ".venv-bpy"
SERVE_JOB = Path(__file__).resolve().parent / "blender" / "serve_job.py"
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


@pytest.fixture(scope="session")
def blender_program() -> str:
    """The installed Blender program; skips where there is none."""
    program = shutil.which("blender")
    if program is None:
        pytest.skip("no blender program is installed")
    return program


@pytest.fixture(scope="session")
def bpy_python() -> Path:
    """A Python that has Blender as the package bpy; skips where there is none."""
    python = Path(os.environ.get("EMORIG_BPY_PYTHON", BLENDER_VENV / "bin" / "python"))
    if not python.is_file():
        pytest.skip("no Python with the bpy package: run 'make env-bpy' or set EMORIG_BPY_PYTHON")
    return python


@pytest.fixture(scope="session")
def newest_bpy_python() -> Path:
    """A Python that has the newest Blender as the package bpy; skips where there is none."""
    python = Path(os.environ.get("EMORIG_NEWEST_BPY_PYTHON", f"{BLENDER_VENV}-newest/bin/python"))
    if not python.is_file():
        pytest.skip("no Python with the newest bpy package: run 'make env-bpy-newest' or set EMORIG_NEWEST_BPY_PYTHON")
    return python


@pytest.fixture
def blender_environment(tmp_path: Path) -> dict[str, str]:
    """Variables for Blender: folders of its own, and a stand-in for the emorig program first on PATH."""
    program = tmp_path / "bin" / "emorig"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SERVE_JOB}" "$@"\n')
    program.chmod(0o755)
    folders = ("SCRIPTS", "CONFIG", "DATAFILES", "RESOURCES")
    return os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        **{f"BLENDER_USER_{name}": str(tmp_path / name.lower()) for name in folders},
        "EMORIG_STATE_DIR": str(tmp_path / "state"),
        "EMORIG_TEST_FOLDER": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
