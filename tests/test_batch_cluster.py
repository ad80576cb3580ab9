"""The same batch on a local Ray cluster: workers are lost in the middle, no job is, and no result is written twice."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import batch_maker
import pytest

from backend.batch.cluster import RayWorkers, make_parcel, pack
from backend.batch.jobs import read_jobs
from backend.batch.ledger import Ledger
from backend.batch.run import BatchOptions, run_batch
from backend.batch.workers import attempt
from backend.provenance.label import Marking

TESTS = Path(__file__).resolve().parent


def write_jobs(folder: Path, orders: dict[str, str]) -> Path:
    for name, order in orders.items():
        (folder / f"{name}.wav").write_text(order)
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps({"name": n, "audio": f"{n}.wav"}) + "\n" for n in orders))
    return path


def test_a_parcel_carries_its_files_and_brings_results_as_bytes(tmp_path, sentence, monkeypatch):
    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "mood.json").write_text(json.dumps({"keys": [{"time": 0, "label": "happy", "intensity": 0.5}]}))
    job = {"audio": str(sentence), "emotion": "mood.json", "end": 1.0, "name": "one"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job))
    (read,), refused = read_jobs(tmp_path / "jobs.jsonl")
    assert refused == []
    parcel = pack(read, Marking())
    (tmp_path / "mood.json").unlink()
    result = make_parcel(parcel, attempt)
    assert set(result["files"]) == {"curves.json", "coefficients.npz", "settings.json", "review.json"}
    settings = json.loads(result["files"]["settings.json"])
    assert settings["audio"]["name"] == sentence.name
    assert settings["emotion"][0]["label"] == "happy"


@pytest.mark.filterwarnings("ignore")
def test_a_worker_killed_in_the_middle_costs_no_job(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'emorig[cluster]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), str(TESTS)]))
    orders = {f"j{i:02d}": f"slow {i}" for i in range(10)} | {"bad": "crash", "once": "killed once"}
    path = write_jobs(tmp_path, orders)
    monkeypatch.setattr(
        "backend.batch.cluster.RayWorkers",
        functools.partial(RayWorkers, maker=functools.partial(batch_maker.on_ray, mark=tmp_path / "killed")),
    )
    out = tmp_path / "out"
    assert run_batch(path, BatchOptions(out, "{name}", 2, False, "local", Marking())) == 1
    entries = Ledger(out).latest()
    assert {name: entry.state for name, entry in entries.items()} == {
        name: "failed" if name == "bad" else "done" for name in orders
    }
    assert len((out / "ledger.jsonl").read_text().splitlines()) == len(orders)
    assert entries["bad"].attempts == 3
    assert "lost" in entries["bad"].reason
    assert entries["once"].attempts == 2
    assert len({entry.worker for entry in entries.values()}) == 2
    makers = [json.loads((out / name / "curves.json").read_text())["by"] for name in orders if name != "bad"]
    assert 2 < len(set(makers)) < len(makers), "actors make many jobs each, and lost ones were replaced"
