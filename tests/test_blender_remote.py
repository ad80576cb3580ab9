"""The add-on and a backend that is reached as one on another machine: by the key file alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from service_host import running_service

from backend.service.endpoints import ServiceKeys, make_keys
from blender_addon import packaging

SCRIPTS = Path(__file__).resolve().parent / "blender"


@pytest.mark.blender
def test_a_shot_is_made_by_a_backend_with_keys_and_by_no_other_key(
    bpy_python, blender_environment, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(SCRIPTS))  # where the service's workers find the quick job function
    _server, keys_file = make_keys(tmp_path / "keys", address="tcp://127.0.0.1:1")
    _server, strange_file = make_keys(tmp_path / "strange", address="tcp://127.0.0.1:1")
    keys = ServiceKeys.read(tmp_path / "keys")
    extension = packaging.build_extension(tmp_path, [])
    with running_service(tmp_path / "state", host="0.0.0.0", keys=keys, token=None, job_function="job:make") as host:
        address = f"tcp://127.0.0.1:{host.address.rpartition(':')[2]}"
        own, strange = (json.loads(file.read_text()) for file in (keys_file, strange_file))
        keys_file.write_text(json.dumps(own | {"address": address}))
        strange_file.write_text(json.dumps(own | {"address": address} | {k: strange[k] for k in ("public", "secret")}))
        run = subprocess.run(
            [str(bpy_python), str(SCRIPTS / "remote.py"), str(extension), str(keys_file), str(strange_file)],
            env=blender_environment, capture_output=True, text=True, timeout=90, cwd=tmp_path,
        )  # fmt: skip
    assert run.returncode == 0 and "passed: remote" in run.stdout, run.stdout[-3000:] + run.stderr[-3000:]
