"""Shots through a running service: their results in order, refusals, cancelling, coming back, taking turns."""

from __future__ import annotations

import os
import shutil
import time

import cv2
import numpy as np
import pytest
import service_job
import zmq
from service_host import TOKEN, hand_in, is_alive, running_service

from backend.service.admission import ServiceLimits
from blender_addon.client import Client, Video
from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.errors import BackendUnavailableError, ProtocolError
from blender_addon.protocol.messages import (
    SUPPORTED_VERSIONS,
    Accepted,
    Cancelled,
    Curves,
    Failed,
    Finished,
    Frame,
    Hello,
    Ping,
    Pong,
    Progress,
    Queued,
    Refused,
    Submit,
    UploadPart,
    new_job_name,
)
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EmotionTrack

PORTRAIT = b"portrait bytes " * 100_000  # more than one part


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with running_service(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def client(host):
    with host.client() as connected:
        yield connected


def of_kind(messages: list, *kinds: type) -> list:
    return [message for message in messages if isinstance(message, kinds)]


def test_curves_come_first_then_frames_then_the_video(client):
    job = hand_in(client, b"a line of speech", portrait=PORTRAIT, portrait_name="p.png")
    messages = list(client.wait(job, timeout=20))
    kept = [type(m) for m in messages if not isinstance(m, Progress | Queued)]
    assert kept == [Accepted, Curves, *[Frame] * service_job.N_FRAMES, Video, Finished]
    (curves,) = of_kind(messages, Curves)
    assert np.array_equal(curves.curves.weights, service_job.curves_for(b"a line of speech").weights)
    assert [frame.index for frame in of_kind(messages, Frame)] == list(range(service_job.N_FRAMES))
    (video,) = of_kind(messages, Video)
    assert video.data == PORTRAIT * (3_000_000 // len(PORTRAIT) + 1)
    assert messages[-1].n_frames == service_job.N_FRAMES
    assert of_kind(messages, Progress)[-1].done == service_job.N_FRAMES


@pytest.mark.parametrize(("encoding", "tolerance"), [("jpeg", 30), ("rgb", 0)])
def test_frames_come_as_the_client_asked(client, encoding, tolerance):
    job = hand_in(client, frame_encoding=encoding)
    frames = of_kind(list(client.wait(job, timeout=20)), Frame)
    assert len(frames) == service_job.N_FRAMES
    for frame in frames:
        if encoding == "rgb":
            image = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3)
        else:
            image = cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        difference = image.astype(int) - service_job.picture(frame.index)
        assert np.abs(difference).mean() <= tolerance


def test_frames_can_be_small_or_absent(client):
    small = of_kind(list(client.wait(hand_in(client, frame_size=16), timeout=20)), Frame)
    assert {(frame.width, frame.height) for frame in small} == {(24, 16)}
    assert not of_kind(list(client.wait(hand_in(client, frame_encoding="none"), timeout=20)), Frame)


@pytest.mark.parametrize(
    ("order", "words"), [(b"refuse", "not speech"), (b"break", "unexpected error"), (b"crash", "stopped (exit code 3)")]
)
def test_a_shot_that_fails_says_why_and_the_next_one_works(client, order, words):
    last = list(client.wait(hand_in(client, order), timeout=20))[-1]
    assert isinstance(last, Failed)
    assert words in last.reason
    assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)


@pytest.mark.parametrize("order", [b"slow", b"stuck"])
def test_a_running_shot_stops_within_half_a_second(client, order, monkeypatch):
    monkeypatch.setattr("backend.service.worker_pool.KILL_SECONDS", 0.8)
    job = hand_in(client, order)
    wait_until_running(client, job)
    started = time.monotonic()
    client.cancel(job)
    last = list(client.wait(job, timeout=5))[-1]
    assert isinstance(last, Cancelled)
    assert time.monotonic() - started < 0.5
    status = client.status()
    assert status.n_running == 0
    assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)


def test_a_worker_that_comes_back_late_is_kept(client):
    before = client.status().workers
    job = hand_in(client, b"deaf")
    wait_until_running(client, job)
    started = time.monotonic()
    client.cancel(job)
    assert isinstance(list(client.wait(job, timeout=5))[-1], Cancelled)
    assert time.monotonic() - started < 0.5
    assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)
    assert client.status().workers == before


def wait_until_running(client: Client, *jobs: str) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if any(line.job in jobs and line.state == "running" for line in client.status().jobs):
            return
        time.sleep(0.02)
    raise AssertionError("the job did not start")


def test_a_waiting_shot_is_told_its_place_and_can_be_cancelled(client):
    running, first, second = hand_in(client, b"slow"), hand_in(client), hand_in(client)
    wait_until_running(client, running)
    places = {line.job: line.position for line in client.status().jobs if line.state == "queued"}
    assert places == {first: 1, second: 2}
    client.cancel(first)
    assert isinstance(list(client.wait(first, timeout=5))[-1], Cancelled)
    assert [line.position for line in client.status().jobs if line.job == second] == [1]
    client.cancel(running)
    messages = list(client.wait(second, timeout=20))
    assert next(m.position for m in of_kind(messages, Accepted, Queued)) in (1, 2)
    assert isinstance(messages[-1], Finished)


def test_two_clients_take_turns(host):
    with host.client() as greedy, host.client() as modest:
        many = [hand_in(greedy, b"brief") for _ in range(4)]
        wait_until_running(greedy, *many)
        one = hand_in(modest, b"brief")
        assert isinstance(list(modest.wait(one, timeout=20))[-1], Finished)
        states = [line.state for line in modest.status().jobs if line.job in many]
        assert states.count("finished") <= 2
        for job in many:
            assert isinstance(list(greedy.wait(job, timeout=20))[-1], Finished)


def test_a_shot_outlives_its_clients_disconnect(host):
    with host.client() as leaving:
        job = hand_in(leaving, b"brief", portrait=PORTRAIT, portrait_name="p.png")
        next(leaving.wait(job, timeout=20))
    time.sleep(0.5)
    with host.client() as returning:
        returning.resume(job)
        messages = list(returning.wait(job, timeout=20))
    assert [type(m) for m in messages if hasattr(m, "sequence")] == [Accepted, Curves, Finished]


def test_a_shot_can_be_picked_up_in_the_middle(host):
    with host.client() as first:
        job = hand_in(first, portrait=PORTRAIT, portrait_name="p.png")
        whole = [m for m in first.wait(job, timeout=20) if hasattr(m, "sequence")]
    with host.client() as second:
        second.resume(job, after=whole[3].sequence)
        rest = list(second.wait(job, timeout=20))
    assert [m.sequence for m in rest if hasattr(m, "sequence")] == [m.sequence for m in whole[4:]]
    assert of_kind(rest, Video)[0].data.startswith(PORTRAIT)


def test_an_unknown_shot_cannot_be_picked_up(client):
    job = new_job_name()
    client.resume(job)
    (last,) = client.wait(job, timeout=5)
    assert isinstance(last, Failed)
    assert "send the shot again" in last.reason


def test_poll_returns_at_once_and_misses_nothing(client):
    job = hand_in(client, portrait=PORTRAIT, portrait_name="p.png")
    seen, longest, end = [], 0.0, time.monotonic() + 20
    while not of_kind(seen, Finished):
        started = time.monotonic()
        seen += client.poll(deadline=0.005)
        longest = max(longest, time.monotonic() - started)
        assert time.monotonic() < end
        time.sleep(0.01)
    assert longest < 0.25
    assert len(of_kind(seen, Frame)) == service_job.N_FRAMES
    assert client.jobs() == []
    assert job in {m.job for m in of_kind(seen, Finished)}


def test_a_wrong_token_is_refused_with_a_sentence(host):
    with Client(host.address, token="wrong") as stranger, pytest.raises(ProtocolError, match="token"):
        stranger.connect()


def test_a_client_of_the_same_user_finds_address_and_token(host, monkeypatch):
    monkeypatch.setenv("EMORIG_STATE_DIR", str(host.state_folder))
    with Client() as local:
        assert local.connect().device == "cpu"
    path = host.state_folder / "service.json"
    assert path.stat().st_mode & 0o077 == 0
    with Client(host.address) as local:
        local.connect()


def test_no_backend_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path))
    with Client() as lonely, pytest.raises(BackendUnavailableError, match="emorig serve"):
        lonely.connect()
    with Client("tcp://127.0.0.1:1", token="x") as lonely, pytest.raises(BackendUnavailableError, match="emorig serve"):
        lonely.connect()


def test_another_protocol_version_is_told_both_versions(host):
    with host.raw(has_said_hello=False) as dealer:
        dealer.send_multipart(encode(Hello((99,), "client", TOKEN), version=99))
        answer = decode(dealer.recv_multipart())
    assert isinstance(answer, Refused)
    assert answer.code == "version"
    assert "99" in answer.reason and str(SUPPORTED_VERSIONS[0]) in answer.reason


def test_nothing_but_hello_is_heard_without_the_token(host):
    with host.raw(has_said_hello=False) as dealer:
        for message in (Ping(1.0), Submit(new_job_name(), "a", 1, EmotionTrack.parse("sad:1"), ShotOptions())):
            dealer.send_multipart(encode(message))
            answer = decode(dealer.recv_multipart())
            assert isinstance(answer, Refused) and answer.code == "hello"


def test_the_service_survives_garbage(host):
    rng = np.random.default_rng(0)
    with host.raw() as dealer:
        for n_parts in (1, 2, 3, 70):
            dealer.send_multipart([rng.bytes(50) for _ in range(n_parts)])
            answer = decode(dealer.recv_multipart())
            assert isinstance(answer, Refused) and answer.code == "malformed"
        dealer.send_multipart([b""])
        assert isinstance(decode(dealer.recv_multipart()), Refused)
        dealer.send_multipart(encode(Pong(1.0)))
        assert "not a client's" in decode(dealer.recv_multipart()).reason
        dealer.send_multipart(encode(Ping(2.5)))
        assert decode(dealer.recv_multipart()) == Pong(2.5)


def test_bytes_that_are_not_zeromq_do_no_harm(host, client):
    import socket

    name, port = host.address.removeprefix("tcp://").split(":")
    for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\xff" * 1000):
        with socket.create_connection((name, int(port)), timeout=2) as plain:
            plain.sendall(noise)
    assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)


def test_an_upload_that_is_not_as_announced_fails(host):
    request = Submit(new_job_name(), "a.wav", 10, EmotionTrack.parse("sad:1"), ShotOptions())
    with host.raw() as dealer:
        dealer.send_multipart(encode(request))
        dealer.send_multipart(encode(UploadPart(request.job, "audio", 0, bytes(11))))
        answer = decode(dealer.recv_multipart())
        assert isinstance(answer, Failed)
        dealer.send_multipart(encode(UploadPart(new_job_name(), "audio", 0, b"of no job")))
        dealer.send_multipart(encode(Ping(0.0)))
        assert decode(dealer.recv_multipart()) == Pong(0.0)


def test_a_client_that_does_not_read_holds_nobody_up(host, client):
    with host.raw() as idle:
        request = Submit(new_job_name(), "a.wav", 6, EmotionTrack.parse("sad:1"), ShotOptions(), "p.png", len(PORTRAIT))
        idle.setsockopt(zmq.SNDTIMEO, 2000)
        idle.send_multipart(encode(request))
        idle.send_multipart(encode(UploadPart(request.job, "audio", 0, b"speech")))
        for offset in range(0, len(PORTRAIT), 1 << 20):
            idle.send_multipart(
                encode(UploadPart(request.job, "portrait", offset, PORTRAIT[offset : offset + (1 << 20)]))
            )
        time.sleep(0.3)
        for _ in range(3):
            started = time.monotonic()
            client.status()
            assert time.monotonic() - started < 0.25


def test_a_full_queue_says_busy(tmp_path):
    limits = ServiceLimits(queued=3, queued_per_client=2)
    with running_service(tmp_path, limits=limits) as host, host.client() as client, host.client() as other:
        running = hand_in(client, b"slow")
        wait_until_running(client, running)
        kept = [hand_in(client), hand_in(client)]
        (too_many,) = client.wait(hand_in(client), timeout=5)
        assert isinstance(too_many, Failed)
        assert "2 of your shots" in too_many.reason
        assert isinstance(next(other.wait(hand_in(other), timeout=5)), Accepted)
        (full,) = other.wait(hand_in(other), timeout=5)
        assert "3 shots are waiting" in full.reason
        client.cancel(running)
        for job in kept:
            assert isinstance(list(client.wait(job, timeout=20))[-1], Finished)


def test_two_devices_make_two_shots_at_a_time(tmp_path):
    with running_service(tmp_path, devices=("cpu", "cpu")) as host, host.client() as client:
        jobs = [hand_in(client, b"slow") for _ in range(3)]
        wait_until_running(client, jobs[0])
        wait_until_running(client, jobs[1])
        lines = {line.job: line for line in client.status().jobs}
        assert [lines[job].state for job in jobs] == ["running", "running", "queued"]
        assert lines[jobs[2]].position == 1
        assert len(set(client.status().workers)) == 2
        client.cancel(jobs[1])
        wait_until_running(client, jobs[2])


def test_results_are_kept_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.service.router.CARE_SECONDS", 0.05)
    with running_service(tmp_path, limits=ServiceLimits(kept_jobs=2)) as host, host.client() as client:
        jobs = [hand_in(client) for _ in range(4)]
        for job in jobs:
            list(client.wait(job, timeout=20))
        time.sleep(0.3)
        assert [line.job for line in client.status().jobs] == jobs[2:]


def test_results_that_were_removed_under_the_service_are_said_to_be_lost(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with running_service(tmp_path) as host, host.client() as client:
        job = hand_in(client)
        list(client.wait(job, timeout=20))
        (root,) = (tmp_path / "tmp").iterdir()
        shutil.rmtree(root)
        client.resume(job)
        (lost,) = client.wait(job, timeout=5)
        assert "send the shot again" in lost.reason
        assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)


def test_stopping_tells_clients_and_leaves_nothing(tmp_path):
    with running_service(tmp_path) as host:
        client = host.client()
        job = hand_in(client, b"stuck")
        wait_until_running(client, job)
        (worker,) = client.status().workers
        assert is_alive(worker)
    last = list(client.wait(job, timeout=5))[-1]
    client.close()
    assert isinstance(last, Failed)
    assert "stopped" in last.reason
    assert not is_alive(worker)
    assert os.listdir(tmp_path) == []


def test_a_client_finds_a_restarted_backend(tmp_path):
    with running_service(tmp_path, token="first") as host:
        port = int(host.address.rpartition(":")[2])
        client = Client(timeout=2.0)
        client.connect()
        assert isinstance(list(client.wait(hand_in(client), timeout=20))[-1], Finished)
    with running_service(tmp_path, port=port, token="second"):
        job = hand_in(client, portrait=PORTRAIT, portrait_name="p.png")
        messages = list(client.wait(job, timeout=20))
    client.close()
    assert isinstance(messages[-1], Finished)
