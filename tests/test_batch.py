"""A batch makes every job that can be made, loses none, makes none twice, and says what became of each."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import batch_maker
import pytest

from backend.batch.jobs import read_jobs
from backend.batch.ledger import Ledger
from backend.batch.rehearsal import rehearse
from backend.batch.run import BatchOptions, run_batch
from backend.batch.shot import content_hash
from backend.batch.workers import LocalWorkers
from backend.errors import InputError, OutputError
from backend.provenance.label import Marking

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import functools, sys
from pathlib import Path
import batch_maker
import backend.batch.run as run
from backend.batch.workers import LocalWorkers
from backend.provenance.label import Marking
if __name__ == "__main__":
    run.LocalWorkers = functools.partial(LocalWorkers, maker=batch_maker.make)
    out = Path(sys.argv[2])
    sys.exit(run.run_batch(Path(sys.argv[1]), run.BatchOptions(out, "{name}", 2, True, None, Marking())))
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of recordings that are orders for batch_maker."""
    for name, order in (("a", "good"), ("b", "slow"), ("c", "odd"), ("d", "crash"), ("e", "once"), ("f", "full")):
        (tmp_path / f"{name}.wav").write_text(order)
    return tmp_path


@pytest.fixture
def made_by_stand_in(monkeypatch):
    monkeypatch.setattr("backend.batch.run.LocalWorkers", functools.partial(LocalWorkers, maker=batch_maker.make))


def jobs_file(folder: Path, *names: str, **more) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps({"name": n, "audio": f"{n[0]}.wav"} | more) + "\n" for n in names))
    return path


def options(folder: Path, **more) -> BatchOptions:
    chosen = {"out": folder / "out", "template": "{name}", "workers": 2, "resume": False, "ray": None}
    return BatchOptions(**chosen | {"marking": Marking()} | more)


def states(folder: Path) -> dict[str, str]:
    return {name: entry.state for name, entry in Ledger(folder / "out").latest().items()}


def test_csv_json_lines_and_yaml_say_the_same(folder):
    (folder / "j.csv").write_text(
        'Name,audio,emotion,fps,layers,formats\none,a.wav,"0:neutral:0,1:happy:0.5",30,lips=1.2 brows=0,glb;vrma\n'
        "two,b.wav,,,,\n"
    )
    one = {"name": "one", "audio": "a.wav", "emotion": "0:neutral:0,1:happy:0.5", "fps": 30}
    one |= {"layers": {"lips": 1.2, "brows": 0}, "formats": ["glb", "vrma"]}
    (folder / "j.jsonl").write_text(json.dumps(one) + "\n\n" + '{"name": "two", "audio": "b.wav"}\n')
    (folder / "j.yaml").write_text("jobs:\n- " + json.dumps(one) + "\n- {name: two, audio: b.wav}\n")
    read = [read_jobs(folder / f"j{suffix}") for suffix in (".csv", ".jsonl", ".yaml")]
    assert read[0] == read[1] == read[2]
    jobs, refused = read[0]
    assert refused == []
    assert [job.name for job in jobs] == ["one", "two"]
    assert jobs[0].options.frame_rate == 30
    assert jobs[0].options.strength("lips") == 1.2
    assert jobs[0].formats == ("glb", "vrma")
    assert jobs[1].options.renderer is None


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"emotion": "hangry:1"}, "Unknown emotion"),
        ({"audio": "../absent.wav"}, "no audio"),
        ({"portrait": "absent.png"}, "no portrait"),
        ({"fps": "fast"}, "'fps' should be a number"),
        ({"fps": 1000}, "1-120"),
        ({"formats": "tga"}, "Unknown format"),
        ({"colour": "red"}, "Unknown field 'colour'"),
        ({"name": "///"}, "no letter"),
        ({"layers": "lips"}, "NAME=STRENGTH"),
    ],
)
def test_a_bad_job_is_refused_with_a_sentence_and_the_others_stay(folder, field, words):
    (folder / "j.jsonl").write_text(
        json.dumps({"name": "x", "audio": "a.wav"} | field) + '\n{"name": "y", "audio": "b.wav"}\n'
    )
    jobs, refused = read_jobs(folder / "j.jsonl")
    assert [job.name for job in jobs] == ["y"]
    assert words in refused[0].reason


def test_names_stay_inside_the_folder_and_differ(folder):
    (folder / "j.jsonl").write_text(
        '{"name": "../../etc/x y", "audio": "a.wav"}\n{"name": "q", "audio": "a.wav"}\n{"name": "q", "audio": "b.wav"}'
    )
    jobs, refused = read_jobs(folder / "j.jsonl")
    assert [job.name for job in jobs] == ["etc-x-y", "q"]
    assert "job 2's already" in refused[0].reason
    jobs, _ = read_jobs(folder / "j.jsonl", template="{index}_{audio}_{seed}")
    assert [job.name for job in jobs] == ["0001_a_0", "0002_a_0", "0003_b_0"]
    for template in ("{audio.__class__}", "{0}", "{path}", "{"):
        with pytest.raises(InputError, match="template"):
            read_jobs(folder / "j.jsonl", template=template)


def test_a_jobs_file_that_cannot_be_read_is_one_sentence(folder):
    for name, text, words in (
        ("j.txt", "", ".csv, .jsonl or .yaml"),
        ("j.csv", "audio,colour\na.wav,red\n", "colour"),
        ("j.csv", "audio,emotion\na.wav,0:neutral:0,1:happy:1\n", "quote commas"),
        ("j.jsonl", '{"audio"', "Line 1"),
        ("j.yaml", "a: [", "not YAML"),
        ("j.yaml", "just text", "list of jobs"),
        ("j.csv", "audio\n", "no job"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(InputError, match=words):
            read_jobs(folder / name)
    with pytest.raises(InputError, match="Cannot read"):
        read_jobs(folder / "absent.csv")


def test_every_job_ends_once_and_a_bad_one_stops_no_other(folder, made_by_stand_in, capsys):
    path = jobs_file(folder, "a", "b", "c", "d", "e", "f")
    assert run_batch(path, options(folder)) == 1
    assert states(folder) == {"a": "done", "b": "done", "c": "done", "d": "failed", "e": "done", "f": "failed"}
    lines = [json.loads(line) for line in (folder / "out" / "ledger.jsonl").read_text().splitlines()]
    assert sorted(line["name"] for line in lines) == list("abcdef")
    by_name = {line["name"]: line for line in lines}
    assert by_name["d"]["attempts"] == 3
    assert "exit code 9" in by_name["d"]["reason"]
    assert by_name["e"]["attempts"] == 2
    assert "No space left" in by_name["f"]["reason"]
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a", "b", "c", "e", "ledger.jsonl", "report.html"]
    assert "4 done" in capsys.readouterr().out
    page = (folder / "out" / "report.html").read_text()
    assert page.index("No space left") < page.index("look</p>") < page.index("<h2>a<")


def test_resume_makes_only_what_is_not_done_or_not_whole(folder, made_by_stand_in):
    path = jobs_file(folder, "a", "b", "c")
    assert run_batch(path, options(folder)) == 0
    before = {n: (folder / "out" / n / "curves.json").read_text() for n in "abc"}
    (folder / "out" / "b" / "half").write_text("fir5t")
    (folder / "c.wav").write_text("another recording")
    with (folder / "out" / "ledger.jsonl").open("a") as ledger:
        ledger.write('{"index": 1, "name": "a", "sta')
    assert run_batch(path, options(folder, resume=True)) == 0
    after = {n: (folder / "out" / n / "curves.json").read_text() for n in "abc"}
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]
    assert (folder / "out" / "b" / "half").read_text() == "first"
    assert json.loads(after["c"])["made_of"] == "another recording"
    assert states(folder) == dict.fromkeys("abc", "done")


def test_equal_jobs_are_made_once(folder, made_by_stand_in):
    path = jobs_file(folder, "b1", "b2", "b3", "a1")
    assert run_batch(path, options(folder)) == 0
    makers = {(folder / "out" / name / "curves.json").read_text() for name in ("b1", "b2", "b3")}
    assert len(makers) == 1
    sources = {name: entry.source for name, entry in Ledger(folder / "out").latest().items()}
    assert sources["a1"] == ""
    assert sum(bool(source) for source in sources.values()) == 2


def test_an_emotion_video_counts_by_its_content(folder):
    for name in ("x", "y"):
        (folder / f"{name}.mp4").write_bytes(name.encode())
    (folder / "j.jsonl").write_text(
        "\n".join(json.dumps({"name": n, "audio": "a.wav", "emotion": f"video:{n}.mp4"}) for n in ("x", "y"))
    )
    jobs, refused = read_jobs(folder / "j.jsonl")
    assert refused == []
    x, y = (content_hash(job, marking=Marking()) for job in jobs)
    assert x != y
    (folder / "y.mp4").write_bytes(b"x")
    assert content_hash(jobs[1], marking=Marking()) == x


def test_killed_in_the_middle_nothing_half_made_has_a_name_and_resume_goes_on(folder, made_by_stand_in):
    (folder / "z.wav").write_text("endless")
    path = jobs_file(folder, "a", "z")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    program = folder / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen([sys.executable, program, path, folder / "out"], env=environment, stderr=-3, stdout=-3)
    end = time.monotonic() + 20
    while not list((folder / "out").glob(".making-*/half")) or "a" not in states(folder):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {p.name for p in (folder / "out").iterdir() if not p.name.startswith(".")} == {"a", "ledger.jsonl"}
    (folder / "z.wav").write_text("good")
    assert run_batch(path, options(folder, resume=True)) == 0
    assert {p.name for p in (folder / "out").iterdir()} == {"a", "z", "ledger.jsonl", "report.html"}


def test_a_folder_that_cannot_be_written_is_one_sentence(folder, made_by_stand_in):
    (folder / "out").write_text("a file")
    with pytest.raises(OutputError, match="Cannot write"):
        run_batch(jobs_file(folder, "a"), options(folder))
    with pytest.raises(OutputError, match="Cannot write"):
        rehearse(jobs_file(folder, "a"), options(folder))
    with pytest.raises(OutputError, match="1-256"):
        run_batch(jobs_file(folder, "a"), options(folder, workers=0))


def test_a_dry_run_names_every_fault_and_makes_nothing(folder, sentence, astronaut, capsys, monkeypatch):
    import cv2

    monkeypatch.setenv("EMORIG_STATE_DIR", str(folder / "state"))
    cv2.imwrite(str(folder / "face.png"), astronaut[..., ::-1])
    cv2.imwrite(str(folder / "grey.png"), astronaut[:64, :64] // 255 + 128)
    jobs = [
        {"audio": str(sentence), "portrait": "face.png", "end": 2},
        {"audio": str(sentence), "portrait": "grey.png"},
        {"audio": "a.wav"},
        {"audio": str(sentence), "emotion": "hangry:1"},
    ]
    (folder / "j.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    assert rehearse(folder / "j.jsonl", options(folder, template="{index}")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["job 2", "job 3", "job 4"]
    assert "1 of 4 jobs can be made: 50 frames, about 0.1 minutes with 2 workers." in lines[3]
    assert not (folder / "out").exists()


def test_a_full_disk_fails_the_job_with_its_reason_and_leaves_no_half_file(folder, sentence):
    import resource

    (folder / "j.jsonl").write_text(json.dumps({"name": "one", "audio": str(sentence), "end": 4}))
    run = subprocess.run(
        [sys.executable, "-m", "backend", "batch", folder / "j.jsonl", "--out", folder / "out", "--workers", "1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
        env=os.environ | {"EMORIG_STATE_DIR": str(folder / "state"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 1
    assert "File too large" in run.stderr
    assert {path.name for path in (folder / "out").iterdir()} == {"ledger.jsonl", "report.html"}
