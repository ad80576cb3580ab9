"""Installing what the add-on needs: its own modules before Blender 4.2, and the backend from the panel. No Blender."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from blender_addon import python_finder
from blender_addon.installer import NOTE, Compute, Installation, InstallChoice, installed_program, is_current
from blender_addon.protocol.errors import InputError
from blender_addon.vendored import fits

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("wheel", "places"),
    [
        ("pyzmq-27.3.0-cp311-cp311-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl", {("linux", "x86_64", (3, 11))}),
        ("msgpack-1.2.4-cp310-cp310-win_amd64.whl", {("win32", "AMD64", (3, 10))}),
        ("msgpack-1.2.4-cp311-cp311-macosx_11_0_arm64.whl", {("darwin", "arm64", (3, 11))}),
        (
            "pyzmq-27.3.0-cp311-cp311-macosx_10_15_universal2.whl",
            {("darwin", "arm64", (3, 11)), ("darwin", "x86_64", (3, 11))},
        ),
        ("pyzmq-27.3.0-cp312-abi3-win_amd64.whl", {("win32", "AMD64", (3, 13))}),
        ("emorig-0.1.0-py3-none-any.whl", set()),
    ],
)  # fmt: skip
def test_a_wheel_fits_its_own_python_and_system(wheel, places):
    systems = (("linux", "x86_64"), ("win32", "AMD64"), ("darwin", "arm64"), ("darwin", "x86_64"))
    for system, machine in systems:
        for python in ((3, 10), (3, 11), (3, 13)):
            wanted = (system, machine, python) in places
            assert fits(wheel, python=python, system=system, machine=machine) == wanted, (system, machine, python)


def test_the_fitting_wheels_are_unpacked_once_and_imported(tmp_path):
    """In a Python without site-packages, as Blender's own is."""
    tag, system = f"cp{sys.version_info[0]}{sys.version_info[1]}", {"linux": "manylinux_2_17_x86_64"}.get(sys.platform)
    if system is None:
        pytest.skip("made for this test's system only")
    for name, module in (("pyzmq", "zmq"), ("msgpack", "msgpack")):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-{tag}-{tag}-{system}.whl", "w") as archive:
            archive.writestr(f"{module}/__init__.py", "WHENCE = __file__\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from blender_addon import vendored;"
        "vendored.provide(Path(sys.argv[2]) / 'place', Path(sys.argv[2])); import zmq, msgpack; print(zmq.WHENCE)"
    )
    for _again in range(2):
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, str(ROOT), str(tmp_path)], capture_output=True, text=True
        )
        assert run.returncode == 0 and str(tmp_path / "place") in run.stdout, run.stderr
    assert len(list((tmp_path / "place").iterdir())) == 1


def test_a_suitable_python_is_found():
    found = python_finder.find_python(sys.executable)
    assert found.version == sys.version_info[:2] and found.program == sys.executable


def test_unsuitable_pythons_are_refused_in_a_sentence(tmp_path, monkeypatch):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho '[[3, 9], \"x86_64\", true, true]'\n")
    old.chmod(0o755)
    with pytest.raises(InputError, match=r"it is Python 3\.9 and the backend needs 3\.11 or 3\.12"):
        python_finder.find_python(str(old))
    with pytest.raises(InputError, match="no Python that runs"):
        python_finder.find_python(str(tmp_path / "nowhere"))
    monkeypatch.setattr(python_finder, "_candidates", lambda: iter([str(old)]))
    with pytest.raises(InputError, match="then press Install Backend again"):
        python_finder.find_python()
    old.write_text("#!/bin/sh\necho '[[3, 12], \"x86_64\", true, false]'\n")
    with pytest.raises(InputError, match=r"python3\.12-venv"):
        python_finder.find_python()
    monkeypatch.setattr(python_finder.sys, "platform", "darwin")
    monkeypatch.setattr(python_finder.platform, "machine", lambda: "x86_64")
    with pytest.raises(InputError, match="Intel"):
        python_finder.find_python()


def stand_in(tmp_path: Path, *, fails_at: str = "") -> Path:
    """A program that passes for a Python: makes a folder as venv does, and says what pip says."""
    program = tmp_path / "python3.12"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f"*{fails_at or 'never'}*) echo 'ERROR: No matching distribution found'; exit 1;;\n"
        "*json.dumps*) echo '[[3, 12], \"x86_64\", true, true]';;\n"
        '*venv*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/emorig";;\n'
        "*pip*emorig*) echo 'Collecting torch'; echo '  Downloading torch-2.9.whl';"
        " echo 'Progress 52428800 of 104857600'; sleep 0.4; echo 'Installing collected packages: torch';;\n"
        "*import*torch*) echo 'CPU, no CUDA device';;\n"
        "esac\n"
    )
    program.chmod(0o755)
    return program


def wheel_of(tmp_path: Path) -> Path:
    path = tmp_path / "emorig-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("emorig-0.1.0.dist-info/METADATA", "Requires-Dist: torch<2.14,>=2.6\n")
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts of POSIX")
def test_an_installation_runs_beside_and_leaves_a_note(tmp_path):
    wheel, place = wheel_of(tmp_path), tmp_path / "backend"
    one = Installation(InstallChoice(wheel, place, python=str(stand_in(tmp_path))))
    stages = set()
    while one.is_running:
        stages.add(one.stage)
        time.sleep(0.02)
    assert not one.error and "CPU, no CUDA device" in one.sentence and one.fraction == 1.0
    assert any("50 of 100 MB" in stage for stage in stages), stages
    assert installed_program(place) == place / "bin" / "emorig" and is_current(place, wheel)
    wheel.write_bytes(b"another release")
    assert not is_current(place, wheel)
    (place / NOTE).unlink()
    assert installed_program(place) is None, "what is not complete is not used"


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts of POSIX")
def test_a_failed_installation_says_why_and_leaves_nothing(tmp_path):
    place = tmp_path / "backend"
    one = Installation(
        InstallChoice(wheel_of(tmp_path), place, python=str(stand_in(tmp_path, fails_at="emorig-0.1.0")))
    )
    one.join(20)
    assert "No matching distribution" in one.error and "log is" in one.error and not place.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts of POSIX")
def test_a_cancelled_installation_leaves_nothing(tmp_path):
    place = tmp_path / "backend"
    one = Installation(InstallChoice(wheel_of(tmp_path), place, python=str(stand_in(tmp_path))))
    while one.is_running and "Downloading" not in one.stage:
        time.sleep(0.01)
    one.cancel()
    one.join(20)
    assert not one.is_running and not one.error and not place.exists()


def test_cuda_on_windows_needs_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr("blender_addon.installer.sys.platform", "win32")
    one = Installation(InstallChoice(wheel_of(tmp_path), tmp_path / "backend", compute=Compute.CUDA))
    one.join(20)
    assert "pytorch.org" in one.error
