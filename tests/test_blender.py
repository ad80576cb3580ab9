"""The add-on in a real Blender program and in the bpy package, as far as this machine has them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.blender

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "tests" / "blender"
BPY_PYTHON = Path(os.environ.get("EMORIG_BPY_PYTHON", ROOT / ".venv-bpy" / "bin" / "python"))
LIMIT_SECONDS = 180


def blender_command(script: Path) -> list[str]:
    """The installed Blender program with a script, in the background."""
    program = shutil.which("blender")
    if program is None:
        pytest.skip("no blender program is installed")
    flags = ["--background", "--factory-startup", "-noaudio", "--python-exit-code", "1", "--python", str(script)]
    return [program, *flags]


def bpy_command(script: Path) -> list[str]:
    """The bpy package's Python with a script."""
    if not BPY_PYTHON.is_file():
        pytest.skip("no Python with the bpy package: run 'make blender-env' or set EMORIG_BPY_PYTHON")
    return [str(BPY_PYTHON), str(script)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Folders of their own for settings and state, and a stand-in for the emorig program first on PATH."""
    program = tmp_path / "bin" / "emorig"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SCRIPTS / "serve_job.py"}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "BLENDER_USER_SCRIPTS": str(tmp_path / "scripts"),
        "BLENDER_USER_CONFIG": str(tmp_path / "config"),
        "BLENDER_USER_DATAFILES": str(tmp_path / "data"),
        "BLENDER_USER_RESOURCES": str(tmp_path / "resources"),
        "EMORIG_STATE_DIR": str(tmp_path / "state"),
        "EMORIG_TEST_FOLDER": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize("command", [blender_command, bpy_command])
@pytest.mark.parametrize("script", ["character.py", "shot.py"])
def test_script_inside_blender(command, script, environment, tmp_path):
    run = subprocess.run(
        command(SCRIPTS / script), env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=tmp_path
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    checks = sum(line.startswith("def check_") for line in (SCRIPTS / script).read_text().splitlines())
    assert run.stdout.count("passed: ") == checks, run.stdout[-3000:]
