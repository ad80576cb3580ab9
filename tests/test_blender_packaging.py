"""The two zips that users install: complete, valid by Blender's own tool, and installable."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import blender_addon
from blender_addon import packaging

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("--background", "--factory-startup", "-noaudio", "--python-exit-code", "1")
INSTALL = ROOT / "tests" / "blender" / "install.py"


@pytest.fixture
def extension(tmp_path) -> Path:
    """The extension without wheels: the Python of the tests has the modules."""
    return packaging.build_extension(tmp_path, [])


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert packaging.version() == project == ".".join(map(str, blender_addon.bl_info["version"]))


def test_zips_hold_the_whole_addon_and_nothing_else(extension, tmp_path):
    legacy = packaging.build_legacy(tmp_path)
    with zipfile.ZipFile(extension) as archive:
        names = set(archive.namelist())
    with zipfile.ZipFile(legacy) as archive:
        in_legacy = {name.removeprefix("emorig/") for name in archive.namelist()}
    assert in_legacy - packaging.LEGACY_ONLY == names - {"blender_manifest.toml"}
    modules = {p.relative_to(packaging.SOURCE).as_posix() for p in packaging.SOURCE.rglob("*.py")}
    assert modules - {"packaging.py"} - packaging.LEGACY_ONLY == {name for name in names if name.endswith(".py")}
    assert {"LICENSE", "blender_manifest.toml"} <= names and "packaging.py" not in names


def test_wheels_are_listed_in_the_manifest(tmp_path):
    wheel = tmp_path / "msgpack-1.0-cp311-cp311-win_amd64.whl"
    wheel.write_bytes(b"wheel")
    with zipfile.ZipFile(packaging.build_extension(tmp_path, [wheel])) as archive:
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
        assert manifest["wheels"] == [f"./wheels/{wheel.name}"] and archive.read(manifest["wheels"][0][2:]) == b"wheel"
    assert set(manifest["permissions"]) == {"network", "files"}


def test_the_same_source_gives_the_same_bytes(tmp_path):
    first, second = packaging.build_legacy(tmp_path / "a"), packaging.build_legacy(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.blender
def test_blenders_own_tool_finds_the_extension_valid(extension, bpy_python):
    scripts = next(bpy_python.parent.parent.glob("lib/python3*/site-packages/bpy/*/scripts"))
    tool = scripts / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    tags = scripts / "modules" / "_bpy_internal" / "extensions" / "tags.py"
    run = subprocess.run(
        [sys.executable, str(tool), "validate", "--valid-tags", str(tags), str(extension)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.blender
def test_the_extension_installs(extension, bpy_python, blender_environment, tmp_path):
    command = [str(bpy_python), str(INSTALL), str(extension)]
    run = subprocess.run(command, env=blender_environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert run.returncode == 0 and "passed: install" in run.stdout, run.stdout + run.stderr


@pytest.mark.blender
def test_the_legacy_addon_installs_in_the_blender_program(blender_program, blender_environment, tmp_path):
    legacy = packaging.build_legacy(tmp_path)
    code = (
        f"import bpy; bpy.ops.preferences.addon_install(filepath={str(legacy)!r});"
        "bpy.ops.preferences.addon_enable(module='emorig'); assert bpy.ops.emorig.emotion_key_add() == {'FINISHED'};"
        "bpy.ops.preferences.addon_disable(module='emorig'); assert not hasattr(bpy.types.Scene, 'emorig');"
        "print('passed: install')"
    )
    run = subprocess.run(
        [blender_program, *FLAGS, "--python-expr", code],
        env=blender_environment, capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0 and "passed: install" in run.stdout, run.stdout + run.stderr
