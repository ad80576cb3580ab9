"""The service's bookkeeping: turns in the queue, kept messages, bounds of what is kept."""

from __future__ import annotations

import pytest

from backend.service.fair_queue import FairQueue
from backend.service.jobs import KEPT_FILES, JobStore, MessageLog, upload_path
from blender_addon.protocol.messages import Submit, new_job_name
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EmotionTrack


def request(**fields) -> Submit:
    arguments = {"audio_name": "a.wav", "audio_size": 4, "portrait_size": 0} | fields
    return Submit(
        job=new_job_name(), emotion=EmotionTrack.parse("happy:0.8"), options=ShotOptions(), **arguments
    )  # fmt: skip


def store_in(folder, **limits) -> JobStore:
    return JobStore(folder, **({"max_jobs": 10, "max_bytes": 1 << 20, "max_seconds": 100.0} | limits))


def drained(queue: FairQueue) -> list[str]:
    return [queue.pop() for _ in range(len(queue))]


def test_clients_take_turns():
    queue = FairQueue()
    for name in ("a1", "a2", "a3"):
        queue.push(name, "a")
    queue.push("b1", "b")
    queue.push("b2", "b")
    assert queue.order() == ["a1", "b1", "a2", "b2", "a3"]
    assert drained(queue) == ["a1", "b1", "a2", "b2", "a3"]
    assert queue.pop() is None


def test_a_new_client_comes_before_one_that_was_just_served():
    queue = FairQueue()
    for name in ("a1", "a2", "a3"):
        queue.push(name, "a")
    assert queue.pop() == "a1"
    queue.push("b1", "b")
    assert queue.order() == ["b1", "a2", "a3"]


def test_the_order_that_is_told_is_the_order_that_is_kept():
    queue = FairQueue()
    for step in range(40):
        queue.push(f"job{step}", f"client{step * step % 7}")
        if step % 5 == 4:
            queue.pop()
    assert queue.remove("job20") and not queue.remove("job20")
    assert queue.order() == drained(queue)


def test_a_log_gives_back_what_it_was_given(tmp_path):
    log = MessageLog(tmp_path / "log")
    messages = [[b"header", b"", b"x" * 1000], [b"one part"], [b"a", b"b"]]
    for parts in messages:
        log.append(parts)
    assert [log.read(i) for i in range(len(log))] == messages
    assert log.n_bytes == sum(len(part) for parts in messages for part in parts)


def test_a_log_continues_over_what_a_killed_worker_left_half_written(tmp_path):
    log = MessageLog(tmp_path / "log")
    log.append([b"first"])
    with open(tmp_path / "log", "ab") as file:
        file.write(b"noted")
        file.flush()
        log.note([5])
        file.write(b"half a mess")
    log.append([b"last"])
    assert [log.read(i) for i in range(3)] == [[b"first"], [b"noted"], [b"last"]]


def test_uploads_must_follow_one_another_and_end_as_announced(tmp_path):
    store = store_in(tmp_path)
    job = store.add(request(), "client")
    assert store.receive(job, "audio", 0, b"ab")
    assert not store.receive(job, "audio", 0, b"ab")
    assert not store.receive(job, "audio", 3, b"d")
    assert not store.receive(job, "audio", 2, b"cde")
    assert not job.is_whole
    assert store.receive(job, "audio", 2, b"cd")
    assert job.is_whole
    assert upload_path(job.folder, job.request, "audio").read_bytes() == b"abcd"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("line.WAV", ".wav"),
        ("../../etc/passwd", ""),
        ("a.wav/../../b", ""),
        ("x.w\0v", ""),
        ("archive.toolong", ""),
        ("", ""),
    ],
)
def test_a_clients_file_name_decides_nothing_but_a_plain_suffix(tmp_path, name, suffix):
    assert upload_path(tmp_path, request(audio_name=name), "audio") == tmp_path / f"audio{suffix}"


def test_an_ended_job_keeps_its_messages_and_no_other_file(tmp_path):
    store = store_in(tmp_path)
    job = store.add(request(), "client")
    store.receive(job, "audio", 0, b"abcd")
    (job.folder / "scratch").mkdir()
    (job.folder / "scratch" / "frame").write_bytes(b"x")
    job.log.append([b"kept"])
    store.end(job, "finished")
    assert {path.name for path in job.folder.iterdir()} == set(KEPT_FILES)
    assert job.log.read(0) == [b"kept"]


@pytest.mark.parametrize(
    ("limits", "n_left"), [({"max_jobs": 2}, 2), ({"max_bytes": 3500}, 3), ({"max_seconds": -1.0}, 0), ({}, 5)]
)
def test_the_oldest_results_go_first(tmp_path, limits, n_left):
    store = store_in(tmp_path, **limits)
    names = []
    for age in range(5):
        job = store.add(request(), "client")
        job.log.append([bytes(1000)])
        store.end(job, "finished")
        job.touched -= 50 - age
        names.append(job.name)
    running = store.add(request(), "client")
    store.evict()
    assert [job.name for job in store] == [*names[5 - n_left :], running.name]
    assert {path.name for path in tmp_path.iterdir()} == {job.name for job in store}
