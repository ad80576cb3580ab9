"""Load and faults: many jobs of unruly clients, many damaged messages. Short by default, long with 'make soak'."""

from __future__ import annotations

import random
import resource
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from service_host import TOKEN, hand_in, running_service
from soak_clients import storm

from backend.batch.run import BatchOptions, run_batch
from backend.provenance.label import Marking
from backend.service.admission import ServiceLimits
from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.errors import InputError
from blender_addon.protocol.messages import (
    Cancel,
    Curves,
    Finished,
    Frame,
    Hello,
    Ping,
    Progress,
    Resume,
    Submit,
    UploadPart,
)
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

JOB = "0123456789abcdef" * 2
MOST_ALLOCATED = 4 << 20  # bytes, while a damaged message is read
MOST_GROWTH = 48 << 20  # bytes of the process over the whole soak
LIMITS = ServiceLimits(queued=64, queued_per_client=16)


def good_messages() -> list[list[bytes]]:
    """One of every kind that carries much, as its parts."""
    rest = np.tile([1.0, 0, 0, 0], (30, 1))
    curves = AnimationCurves(("a", "b"), np.full((30, 2), 0.5), 25, rest, rest, rest, layers={"x": np.zeros((30, 2))})
    emotion, options = EmotionTrack.parse("0:neutral:0,1:happy:0.8"), ShotOptions(strengths={"lips": 1.2})
    messages = [
        Hello((1,), "client", TOKEN),
        Submit(JOB, "a.wav", 1000, emotion, options, "p.png", 1000, curves),
        Submit(JOB, "a.wav", 1000, emotion, options, priority=3),
        UploadPart(JOB, "audio", 0, bytes(range(256))),
        Curves(JOB, 1, curves),
        Frame(JOB, 2, 0, 4, 4, "rgb", bytes(48)),
        Progress(JOB, "rendering", 1, 2, 25.0),
        Cancel(JOB),
        Resume(JOB, 3),
        Ping(1.5),
    ]
    return [[bytes(part) for part in encode(message)] for message in messages]


def damaged(parts: list[bytes], dice: random.Random) -> list[bytes]:
    """Bytes flipped, cut, doubled, inserted; parts dropped, doubled, swapped."""
    parts = [bytearray(part) for part in parts]
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(parts))
        part = parts[place]
        kind = dice.randrange(8)
        if kind <= 2 and part:
            part[dice.randrange(len(part))] = dice.randrange(256)
        elif kind == 3 and part:
            del part[dice.randrange(len(part)) :]
        elif kind == 4 and part:
            start = dice.randrange(len(part))
            part[start:start] = part[start : start + dice.randint(1, 40)] * dice.randint(1, 3)
        elif kind == 5:
            start = dice.randrange(len(part) + 1)
            part[start:start] = dice.randbytes(dice.randint(1, 9))
        elif kind == 6 and len(parts) > 1:
            del parts[place]
        else:
            parts.insert(dice.randrange(len(parts) + 1), bytearray(part))
    return [bytes(part) for part in parts]


def mutate(n: int, *, seed: int = 0) -> tuple[int, int]:
    """Reads n damaged messages. Returns how many were refused, and the most memory that reading one took, bytes."""
    dice, good, refused, most = random.Random(seed), good_messages(), 0, 0
    tracemalloc.start()
    for _ in range(n):
        parts = damaged(dice.choice(good), dice)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            decode(parts)
        except InputError as error:
            refused += 1
            assert str(error)
        most = max(most, tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    return refused, most


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def check_mutations(n: int) -> None:
    mutate(500)
    before = resident_bytes()
    refused, most = mutate(n, seed=1)
    assert refused > n // 2
    assert most < MOST_ALLOCATED
    assert resident_bytes() - before < MOST_GROWTH
    print(f"{n} messages, {refused} refused, at most {most / 1024:.0f} KiB for one")


def check_storm(folder, *, n_jobs: int, kills: int, parks: bool) -> None:
    started = time.monotonic()
    jobs = {"jobs": folder / "jobs"} if parks else {}
    with running_service(folder / "state", devices=("cpu", "cpu"), limits=LIMITS, **jobs) as host:
        account, killed = storm(host, n_jobs=n_jobs, n_clients=8, kills=kills)
        with host.client(timeout=20.0) as client:
            status = client.status()
            assert (status.n_queued, status.n_running) == (0, 0)
            assert isinstance(list(client.wait(hand_in(client), timeout=30))[-1], Finished)
    assert account.errors == []
    assert len(account.ends) == n_jobs
    assert all(len(ends) == 1 for ends in account.ends.values())
    assert all(account.reasons)
    assert killed == kills
    kinds = [ends[0] for ends in account.ends.values()]
    print(f"{n_jobs} jobs in {time.monotonic() - started:.1f} s: "
          f"{ {kind: kinds.count(kind) for kind in sorted(set(kinds))} }, {killed} workers killed")  # fmt: skip


def test_damaged_messages_are_refused_or_read_and_cost_little():
    check_mutations(3000)


def test_every_job_of_unruly_clients_ends_once(tmp_path):
    check_storm(tmp_path, n_jobs=40, kills=1, parks=False)


def test_a_service_survives_damaged_messages_from_the_wire(tmp_path):
    dice, good = random.Random(3), good_messages()
    with running_service(tmp_path) as host:
        with host.raw() as socket:
            for _ in range(400):
                socket.send_multipart(damaged(dice.choice(good[1:]), dice))
        with host.client(timeout=20.0) as client:
            assert isinstance(list(client.wait(hand_in(client), timeout=30))[-1], Finished)


def test_a_replayed_message_changes_nothing(tmp_path):
    with running_service(tmp_path) as host, host.client() as client:
        job = hand_in(client, b"once")
        assert isinstance(list(client.wait(job, timeout=20))[-1], Finished)
        request = Submit(job, "line.wav", 4, EmotionTrack.parse("happy:0.8"), ShotOptions())
        with host.raw() as other:
            for message in (request, UploadPart(job, "audio", 0, b"once"), request):
                other.send_multipart(encode(message))
            answers = [type(decode(other.recv_multipart())).__name__ for _ in range(3)]
        assert answers[:2] == ["Accepted", "Curves"], "the results of the one job, not another one"
        (line,) = client.status().jobs
        assert line.state == "finished"


@pytest.mark.soak
def test_a_hundred_thousand_damaged_messages():
    check_mutations(100_000)


@pytest.mark.soak
@pytest.mark.parametrize("parks", [False, True])
def test_five_hundred_jobs_of_eight_unruly_clients_with_three_kills(tmp_path, parks):
    check_storm(tmp_path, n_jobs=500, kills=3, parks=parks)


@pytest.mark.soak
def test_two_workers_against_one(tmp_path, sentence, astronaut, monkeypatch):
    """Prints the throughput of a batch of real shots with one worker and with two."""
    import json

    import cv2

    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path / "state"))
    cv2.imwrite(str(tmp_path / "face.png"), astronaut[..., ::-1])
    jobs = [
        {"name": f"s{i}", "audio": str(sentence), "portrait": "face.png", "end": 4.0, "size": 256, "seed": i}
        for i in range(8)
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    options, seconds = BatchOptions(tmp_path / "1", "{name}", 1, False, None, Marking()), {}
    for n_workers in (1, 2):
        started = time.monotonic()
        chosen = replace(options, workers=n_workers, out=tmp_path / str(n_workers))
        assert run_batch(tmp_path / "jobs.jsonl", chosen) == 0
        seconds[n_workers] = time.monotonic() - started
    print(f"8 shots of 4 s: {seconds[1]:.1f} s with one worker, {seconds[2]:.1f} s with two")
