"""What unattended use needs: jobs that outlive the service, a page of numbers, limits per client, keys for many."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from service_host import hand_in, running_service

from backend.errors import InputError, OutputError
from backend.service.admission import ServiceLimits
from backend.service.endpoints import ServiceKeys, add_client, make_keys
from backend.service.fair_queue import FairQueue
from backend.service.handshakes import LOG_SECONDS
from backend.service.metrics import Metrics, metrics_page
from backend.service.server import devices_of, serve
from blender_addon.client import Client, Video
from blender_addon.protocol.errors import BackendUnavailableError
from blender_addon.protocol.keys import ClientKeys
from blender_addon.protocol.messages import Accepted, Curves, Failed, Finished, Frame, Notice

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = b"portrait bytes " * 1000
PROGRAM = """
import sys
from pathlib import Path
from backend.service.server import serve
serve(job_function='service_job:make_by_name', jobs=Path(sys.argv[1]), port=int(sys.argv[2]))
"""


def wait_for(is_so, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def await_accepted(client: Client, job: str) -> None:
    """Its place may be told before."""
    for message in client.wait(job, timeout=5):
        assert not isinstance(message, Failed), message
        if isinstance(message, Accepted):
            return


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_a_stopped_service_parks_jobs_and_the_next_one_makes_them(tmp_path):
    jobs = tmp_path / "jobs"
    with running_service(tmp_path / "state", jobs=jobs) as host, host.client() as client:
        done = hand_in(client, b"first", portrait=PORTRAIT, portrait_name="p.png")
        assert isinstance(list(client.wait(done, timeout=20))[-1], Finished)
        running = hand_in(client, b"slow")
        for message in client.wait(running, timeout=20):
            if isinstance(message, Frame):
                break
        waiting = hand_in(client, b"second", portrait=PORTRAIT, portrait_name="p.png")
        await_accepted(client, waiting)
    assert names(jobs) == {done, running, waiting}
    with running_service(tmp_path / "state", jobs=jobs) as host, host.client() as client:
        client.resume(done)
        again = list(client.wait(done, timeout=10))
        assert [m for m in again if isinstance(m, Video)]
        client.resume(running)
        resumed = []
        for message in client.wait(running, timeout=20):
            resumed.append(message)
            if isinstance(message, Frame) and any(isinstance(m, Notice) for m in resumed):
                break
        sequences = [m.sequence for m in resumed if hasattr(m, "sequence")]
        assert sequences == list(range(len(sequences)))
        kinds = [type(m) for m in resumed if isinstance(m, Accepted | Curves | Notice)]
        assert kinds == [Accepted, Curves, Notice, Curves]
        client.cancel(running)
        client.resume(waiting)
        assert isinstance(list(client.wait(waiting, timeout=20))[-1], Finished)
        assert client.status().n_queued == 0


def test_a_client_that_stayed_gets_its_shot_from_the_restarted_service(tmp_path):
    jobs = tmp_path / "jobs"
    with running_service(tmp_path / "state", jobs=jobs) as host:
        port = int(host.address.rpartition(":")[2])
        client = host.client(timeout=10.0)
        first = hand_in(client, b"slow")
        job = hand_in(client, b"patient", portrait=PORTRAIT, portrait_name="p.png")
        await_accepted(client, job)
        client.cancel(first)
    with client, running_service(tmp_path / "state", port=port, jobs=jobs):
        messages = list(client.wait(job, timeout=20))
        assert isinstance(messages[-1], Finished), messages[-1]
        assert next(m for m in messages if isinstance(m, Video)).data.startswith(PORTRAIT)


def test_a_killed_service_loses_nothing_that_was_accepted(tmp_path, monkeypatch):
    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path / "state"))
    jobs = tmp_path / "jobs"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    program = [sys.executable, "-c", PROGRAM, str(jobs), "0"]
    with subprocess.Popen(program, env=os.environ | {"PYTHONPATH": path}, stdout=-1, text=True) as process:
        assert "tcp://" in process.stdout.readline()
        with Client() as client:
            client.connect()
            running, waiting = hand_in(client, b"slow"), hand_in(client, b"next")
            for message in client.wait(running, timeout=20):
                if isinstance(message, Frame) and message.index > 3:
                    break
            await_accepted(client, waiting)
        process.send_signal(signal.SIGKILL)
    (jobs / running / "messages.bin").open("ab").write(b"half a mess")
    (jobs / "damaged").mkdir()
    (jobs / "damaged" / "job.json").write_text("{")
    with running_service(tmp_path / "state2", jobs=jobs) as host, host.client() as client:
        assert {line.job: line.state for line in client.status().jobs}.keys() == {running, waiting}
        client.resume(running, after=3)
        for message in client.wait(running, timeout=20):
            if isinstance(message, Frame) and message.index == 2:
                break
        client.cancel(running)
        client.resume(waiting)
        assert isinstance(list(client.wait(waiting, timeout=20))[-1], Finished)
    assert names(jobs) == {running, waiting}


def test_two_services_share_neither_port_nor_folder(tmp_path):
    with running_service(tmp_path / "state", jobs=tmp_path / "jobs") as host:
        with pytest.raises(InputError, match="already"):
            serve(port=int(host.address.rpartition(":")[2]))
        with pytest.raises(InputError, match="Another service keeps its jobs"):
            serve(jobs=tmp_path / "jobs")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot keep jobs"):
        serve(jobs=tmp_path / "file")


def fetched(port: int, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def test_the_metrics_page_counts_what_happens(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.service.router.MEASURE_SECONDS", 0.05)
    with metrics_page(0, Metrics().page) as probe:
        pass
    with running_service(tmp_path, metrics_port=probe, limits=ServiceLimits(queued_per_client=0)) as host:
        with host.client() as client:
            assert isinstance(list(client.wait(hand_in(client), timeout=10))[-1], Failed)
        assert "emorig_jobs_declined_total 1" in fetched(probe)
    with running_service(tmp_path, metrics_port=probe) as host, host.client() as client:
        assert isinstance(list(client.wait(hand_in(client), timeout=10))[-1], Finished)
        assert isinstance(list(client.wait(hand_in(client, b"crash"), timeout=10))[-1], Failed)
        wait_for(lambda: "emorig_workers 1" in fetched(probe))
        page = fetched(probe)
        for line in (
            "# TYPE emorig_jobs_ended_total counter",
            'emorig_jobs_ended_total{state="finished"} 1',
            'emorig_jobs_ended_total{state="failed"} 1',
            "emorig_jobs_accepted_total 2",
            "emorig_frames_total 6",
            "emorig_worker_deaths_total 1",
            "emorig_clients 1",
        ):
            assert line in page.splitlines()
        with pytest.raises(urllib.error.HTTPError):
            fetched(probe, "/jobs")
        with pytest.raises(InputError, match="metrics"), metrics_page(probe, Metrics().page):
            pass


def test_one_client_cannot_hold_all_the_room(tmp_path):
    limits = ServiceLimits(bytes_per_client=10_000)
    with running_service(tmp_path, limits=limits) as host, host.client() as client, host.client() as other:
        running = hand_in(client, b"slow")
        first = hand_in(client, b"x" * 8000)
        await_accepted(client, first)
        (declined,) = client.wait(hand_in(client, b"x" * 8000), timeout=5)
        assert "one client" in declined.reason
        await_accepted(other, hand_in(other, b"x" * 8000))
        client.cancel(running)


def test_too_many_clients_are_told_so(tmp_path):
    with (
        running_service(tmp_path, limits=ServiceLimits(clients=1)) as host,
        host.client(),
        pytest.raises(BackendUnavailableError),
    ):
        host.client(timeout=0.5)


def test_priorities_order_a_clients_own_jobs_and_nobody_elses():
    queue = FairQueue()
    for job, client, priority in (("a1", "a", 0), ("a2", "a", 5), ("a3", "a", 5), ("b1", "b", -9), ("a4", "a", -1)):
        queue.push(job, client, priority=priority)
    assert queue.order() == ["a2", "b1", "a3", "a1", "a4"]
    assert queue.remove("a3")
    assert [queue.pop() for _ in range(4)] == ["a2", "b1", "a1", "a4"]


def test_a_list_of_clients_each_with_a_key_of_its_own(tmp_path):
    make_keys(tmp_path, address="tcp://127.0.0.1:1")
    second = add_client(tmp_path, "studio_b")
    keys = ServiceKeys.read(tmp_path)
    assert len(keys.clients) == 2
    assert second.stat().st_mode & 0o077 == 0
    with running_service(tmp_path / "state", keys=keys, token=None, limits=ServiceLimits(queued_per_client=1)) as host:
        own, other = ClientKeys.read(tmp_path / "client.json"), ClientKeys.read(second)
        with (
            Client(host.address, keys=own) as a,
            Client(host.address, keys=own) as a_again,
            Client(host.address, keys=other) as b,
        ):
            for client in (a, a_again, b):
                client.connect()
            running = hand_in(a, b"slow")
            next(a.wait(running, timeout=10))
            wait_for(lambda: a.status().n_running == 1)
            await_accepted(a, hand_in(a))
            (declined,) = a_again.wait(hand_in(a_again), timeout=5)
            assert "of your shots" in declined.reason, "a second connection is no second client"
            await_accepted(b, hand_in(b))
    fields = json.loads((tmp_path / "server.json").read_text())
    (tmp_path / "server.json").write_text(json.dumps(fields | {"clients": fields["clients"][:1]}))
    with (
        running_service(tmp_path / "state", keys=ServiceKeys.read(tmp_path), token=None) as host,
        Client(host.address, keys=ClientKeys.read(second), timeout=0.5) as struck_off,
        pytest.raises(BackendUnavailableError),
    ):
        struck_off.connect()
    with pytest.raises(OutputError, match="already"):
        add_client(tmp_path, "studio_b")
    with pytest.raises(InputError, match="letters"):
        add_client(tmp_path, "../b")


def test_devices_are_checked_before_anything_starts():
    assert devices_of(["cpu"], 2) == ("cpu", "cpu")
    assert devices_of(["cuda", "cuda:1"], 1) == ("cuda:0", "cuda:1")
    for names_, workers in ((["tpu"], 1), (["cpu"], 0), (["cuda:"], 1)):
        with pytest.raises(InputError):
            devices_of(names_, workers)


def test_refused_handshakes_are_logged(tmp_path, caplog):
    make_keys(tmp_path / "known", address="tcp://127.0.0.1:1")
    make_keys(tmp_path / "strange", address="tcp://127.0.0.1:1")
    keys, stranger = ServiceKeys.read(tmp_path / "known"), ClientKeys.read(tmp_path / "strange" / "client.json")
    wrong = replace(stranger, token=keys.token, server_public=keys.public)
    with running_service(tmp_path / "state", keys=keys, token=None) as host:
        for key, words in ((wrong, "not on the list"), (None, "no key")):
            # A busy machine may not shake hands within one attempt.
            end = time.monotonic() + 60
            while words not in caplog.text:
                assert time.monotonic() < end
                with (
                    Client(host.address, token=keys.token, keys=key, timeout=0.4) as refused,
                    pytest.raises(BackendUnavailableError),
                ):
                    refused.connect()
            time.sleep(LOG_SECONDS)
