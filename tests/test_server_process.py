"""The service as a program: its signals, its orphans, the addresses it will not serve, keys for other machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import zmq
from service_host import hand_in, is_alive, running_service

from backend.errors import InputError, OutputError
from backend.service.endpoints import ServiceKeys, clear_stale_folders, is_loopback, keys_in, make_keys
from backend.service.server import serve
from blender_addon.client import Client
from blender_addon.protocol.errors import BackendUnavailableError
from blender_addon.protocol.keys import ClientKeys
from blender_addon.protocol.messages import Finished

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "from backend.service.server import serve; serve(job_function='service_job:make_by_name')"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The service as a process of its own, with a temporary folder of its own."""
    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "tcp://127.0.0.1:" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def busy_worker() -> int:
    """Hands in a shot that never ends and returns the process that makes it."""
    with Client() as client:
        client.connect()
        job = hand_in(client, b"stuck")
        next(client.wait(job, timeout=10))
        return client.status().workers[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_all_its_processes_and_files(program, tmp_path, number):
    worker = busy_worker()
    started = time.monotonic()
    program.send_signal(number)
    assert program.wait(timeout=5) == 0
    assert time.monotonic() - started < 2
    assert not is_alive(worker)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "state").iterdir()) == []


def test_a_killed_service_leaves_no_worker_and_the_next_one_cleans_up(program, tmp_path, monkeypatch):
    worker = busy_worker()
    program.kill()
    program.wait()
    end = time.monotonic() + 3
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_alive(worker)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    clear_stale_folders()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_client_notices_a_backend_that_was_killed_and_finds_the_next_one(program, tmp_path, monkeypatch):
    monkeypatch.setattr("blender_addon.client.PING_SECONDS", 0.2)
    with Client(timeout=0.5) as client:
        client.connect()
        job = hand_in(client, b"stuck")
        next(client.wait(job, timeout=10))
        program.kill()
        started = time.monotonic()
        with pytest.raises(BackendUnavailableError, match="does not answer"):
            list(client.wait(job, timeout=10))
        assert time.monotonic() - started < 2
        with pytest.raises(BackendUnavailableError, match="emorig serve"):
            client.poll()
        with running_service(tmp_path / "state", token=None):
            last = list(client.wait(job, timeout=5))[-1]
            assert "send the shot again" in last.reason
            assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.168.1.20", "::", "example.org", "[::]", ""])
def test_other_machines_are_not_let_in_without_keys(host):
    assert not is_loopback(host)
    with pytest.raises(InputError, match="CURVE keys"):
        serve(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_loopback_is_known(host):
    assert is_loopback(host)


def test_a_port_that_is_taken_is_one_sentence():
    with zmq.Context() as context, context.socket(zmq.REP) as taken:
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(InputError, match="another port"):
            serve(port=port)


def test_with_keys_a_known_client_is_served_at_any_address_and_no_other(tmp_path):
    server_file, client_file = make_keys(tmp_path / "keys", address="tcp://127.0.0.1:1")
    assert server_file.stat().st_mode & 0o077 == client_file.stat().st_mode & 0o077 == 0
    keys = ServiceKeys.read(tmp_path / "keys")
    client_keys = ClientKeys.read(client_file)
    make_keys(tmp_path / "strange", address="tcp://127.0.0.1:1")
    stranger_keys = ClientKeys.read(tmp_path / "strange" / "client.json")
    with running_service(tmp_path / "state", host="0.0.0.0", keys=keys, token=None) as host:
        assert not (tmp_path / "state").exists()
        address = f"tcp://127.0.0.1:{host.address.rpartition(':')[2]}"
        with Client(address, keys=client_keys) as client:
            client.connect()
            assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)
        half_strange = ClientKeys(
            address=address,
            token=keys.token,
            server_public=keys.public,
            public=stranger_keys.public,
            secret=stranger_keys.secret,
        )
        for unknown in (None, half_strange):
            client = Client(address, token=keys.token, keys=unknown, timeout=0.5)
            with client, pytest.raises(BackendUnavailableError):
                client.connect()


def test_keys_are_made_at_the_first_time_and_open_the_door_by_their_file(tmp_path):
    with zmq.Context() as context, context.socket(zmq.REP) as probe:
        port = probe.bind_to_random_port("tcp://127.0.0.1")
    keys = keys_in(tmp_path / "keys", host="127.0.0.1", port=port)
    assert keys_in(tmp_path / "keys", host="127.0.0.1", port=port) == keys
    client = Client(str(tmp_path / "keys" / "client.json"))
    with running_service(tmp_path / "state", port=port, keys=keys, token=None), client:
        client.connect()
    with pytest.raises(InputError, match="fixed port"):
        keys_in(tmp_path / "more", host="0.0.0.0", port=0)


def test_keys_are_not_overwritten(tmp_path):
    make_keys(tmp_path, address="tcp://host:5555")
    with pytest.raises(OutputError, match="already"):
        make_keys(tmp_path, address="tcp://host:5555")
    with pytest.raises(InputError, match="Cannot read"):
        ServiceKeys.read(tmp_path / "elsewhere")
