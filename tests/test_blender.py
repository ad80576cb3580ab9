"""The add-on in a real Blender program and in the bpy package, as far as this machine has them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.blender

SCRIPTS = Path(__file__).resolve().parent / "blender"
LIMIT_SECONDS = 90
WINDOW_LIMIT_SECONDS = 240  # drawn in software
SCRIPT_NAMES = ("character.py", "places.py", "rigs.py", "shot.py")


def run_checks(
    command: list[str], script: Path, environment: dict[str, str], folder: Path, *, limit: float = LIMIT_SECONDS
) -> None:
    """Runs a script of checks and expects each of them to say that it passed."""
    run = subprocess.run(
        [*command, str(script)], env=environment, capture_output=True, text=True, timeout=limit, cwd=folder
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    checks = sum(line.startswith("def check_") for line in script.read_text(encoding="utf-8").splitlines())
    assert run.stdout.count("passed: ") == checks, run.stdout[-3000:]


@pytest.mark.parametrize("script", SCRIPT_NAMES)
def test_in_the_blender_program(script, blender_program, blender_environment, tmp_path):
    flags = ["--background", "--factory-startup", "-noaudio", "--python-exit-code", "1", "--python"]
    run_checks([blender_program, *flags], SCRIPTS / script, blender_environment, tmp_path)


@pytest.mark.parametrize("script", SCRIPT_NAMES)
def test_in_the_bpy_package(script, bpy_python, blender_environment, tmp_path):
    run_checks([str(bpy_python)], SCRIPTS / script, blender_environment, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("script", SCRIPT_NAMES)
def test_in_the_newest_bpy_package(script, newest_bpy_python, blender_environment, tmp_path):
    run_checks([str(newest_bpy_python)], SCRIPTS / script, blender_environment, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("package", ["bpy_python", "newest_bpy_python"])
def test_against_the_real_backend(package, request, blender_environment, tmp_path):
    python = request.getfixturevalue(package)
    program = tmp_path / "bin" / "emorig"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{SCRIPTS.parents[1]}" exec "{sys.executable}" -m backend "$@"\n')
    run_checks([str(python)], SCRIPTS / "real.py", blender_environment, tmp_path, limit=300)


def test_in_a_window(blender_program, blender_environment, tmp_path):
    if not (shutil.which("xvfb-run") and shutil.which("xauth")):
        pytest.skip("no virtual screen: xvfb-run or xauth is not installed")
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1000x1000x24 -nolisten tcp"]
    flags = ["--factory-startup", "-noaudio", "--window-geometry", "0", "0", "1000", "1000", "--python"]
    environment = blender_environment | {"LIBGL_ALWAYS_SOFTWARE": "1"}
    command = [*screen, blender_program, *flags, str(SCRIPTS / "window.py")]
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:
        # A session of its own, so that screen and window end with it even when the time is up.
        run = subprocess.Popen(
            command, env=environment, stdout=said, stderr=subprocess.STDOUT, cwd=tmp_path, start_new_session=True
        )
        try:
            run.wait(WINDOW_LIMIT_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGTERM)
    text = (tmp_path / "said").read_text(encoding="utf-8")[-3000:]
    assert "passed: window" in text, text
    assert "Traceback" not in text and "rna_uiItem" not in text, text
