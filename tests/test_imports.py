"""Imports point one way: add-on → protocol ← backend → bfm."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Folder → top-level packages of ours that it may import.
ALLOWED = {
    "bfm": {"bfm"},
    "blender_addon": set(),
    "backend": {"backend", "bfm", "blender_addon"},
}
OURS = {"bfm", "backend", "blender_addon"}
# Distribution → module, where the names differ.
MODULES = {
    "opencv-python": "cv2",
    "opencv-contrib-python": "cv2",
    "scikit-image": "skimage",
    "face-alignment": "face_alignment",
    "pyzmq": "zmq",
    "protobuf": "google.protobuf",
    "usd-core": "pxr",
    "c2pa-python": "c2pa",
    "pyyaml": "yaml",
    "pillow": "PIL",
}


def imported(path: Path) -> list[str]:
    """Absolute names that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    return names


@pytest.mark.parametrize("folder", ALLOWED)
def test_packages_import_only_what_lies_below_them(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            top = name.split(".")[0]
            assert top not in OURS or top in ALLOWED[folder], f"{path.relative_to(ROOT)} imports {name}"


def test_the_backend_takes_only_protocol_and_client_from_the_addon():
    for path in (ROOT / "backend").rglob("*.py"):
        for name in imported(path):
            if name.startswith("blender_addon"):
                assert name.split(".")[:2] in (["blender_addon", "protocol"], ["blender_addon", "client"]), path


def test_the_protocol_needs_only_numpy_msgpack_and_the_standard_library():
    allowed = {"numpy", "msgpack", "__future__"} | set(sys.stdlib_module_names)
    for path in (ROOT / "blender_addon" / "protocol").glob("*.py"):
        assert {name.split(".")[0] for name in imported(path)} <= allowed, path


def test_torch_and_bpy_stay_where_they_belong():
    for path in (ROOT / "blender_addon").rglob("*.py"):
        assert "torch" not in {name.split(".")[0] for name in imported(path)}, path
    for folder in ("backend", "bfm"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "bpy" not in {name.split(".")[0] for name in imported(path)}, path


def test_every_dependency_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"]:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement).group()
        # pyrender opens a display when imported; EGL needs none, and where neither is there only its import is left.
        if name != "pyrender":
            importlib.import_module(MODULES.get(name, name))


def test_pyrender_imports_without_a_display():
    code = "import os; os.environ['PYOPENGL_PLATFORM'] = 'egl'; import pyrender"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120).returncode == 0


def test_channel_names_agree_between_model_and_protocol():
    from bfm.coefficients import ARKIT_CHANNELS, EXPRESSION_CHANNELS
    from bfm.coefficients import FULL_ACTIVATION_SD as full_activation
    from blender_addon.protocol.layers import FULL_ACTIVATION_SD, FURTHER_NAMES
    from blender_addon.protocol.types import ARKIT_NAMES

    assert ARKIT_CHANNELS == ARKIT_NAMES
    assert (*ARKIT_NAMES, *FURTHER_NAMES) == EXPRESSION_CHANNELS
    assert full_activation == FULL_ACTIVATION_SD
    assert len(ARKIT_NAMES) == 52
    assert len(set(EXPRESSION_CHANNELS)) == 64
