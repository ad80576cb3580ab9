"""Data sets: names of every layout, splits, shards, and the way from videos to shards and card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_disk import fill, small_disk

from backend.batch.workers import Outcome, WorkerProcesses
from backend.datasets import prepare as preparing
from backend.datasets.clip import ClipLabel, PreparedClip
from backend.datasets.layouts import ClipFile, Misnamed, find_clips
from backend.datasets.measuring import Measuring
from backend.datasets.offset import estimate_offset
from backend.datasets.prepare import Preparation, prepare
from backend.datasets.shards import read_clips, read_shard, write_shard
from backend.datasets.splits import split_clips
from backend.errors import InputError, OutputError
from bfm.coefficients import FaceCoefficients


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("layout", "name", "speaker", "emotion", "level"),
    [
        ("mead", "M030/video/front/sad/level_3/001.mp4", "M030", "sad", 3),
        ("mead", "W009_neutral_1_004.mp4", "W009", "neutral", 0),
        ("mead", "M003_front_angry_level_2_011.mp4", "M003", "angry", 2),
        ("crema-d", "VideoFlash/1001_DFA_ANG_HI.flv", "1001", "angry", 3),
        ("crema-d", "1091_WSI_NEU_XX.mp4", "1091", "neutral", 0),
        ("hdtf", "RD_Radio31_000.mp4", "RD_Radio31", None, 0),
        ("hdtf", "WDA_BarackObama_1_002.mp4", "WDA_BarackObama_1", None, 0),
        ("ravdess", "Actor_12/01-01-06-02-01-01-12.mp4", "actor_12", "fear", 3),
        ("ravdess", "01-01-02-01-01-01-03.mp4", "actor_03", "neutral", 0),
        ("folder", "anna/take 1.mov", "anna", None, 0),
    ],
)
def test_names_tell_speaker_emotion_and_level(tmp_path, layout, name, speaker, emotion, level):
    _touch(tmp_path, name)
    (clip,) = find_clips(tmp_path, layout)
    assert isinstance(clip, ClipFile)
    assert (clip.speaker, clip.emotion, clip.level) == (speaker, emotion, level)
    assert "." not in clip.key


def test_a_mead_clip_takes_its_sound_from_the_audio_folder(tmp_path):
    _touch(tmp_path, "M030/video/front/sad/level_3/001.mp4", "M030/audio/sad/level_3/001.m4a")
    (clip,) = find_clips(tmp_path, "mead")
    assert clip.sound == tmp_path / "M030/audio/sad/level_3/001.m4a"


def test_lrw_keeps_its_own_split(tmp_path):
    _touch(tmp_path, "ABOUT/train/ABOUT_00001.mp4", "ABOUT/test/ABOUT_00001.mp4")
    clips = find_clips(tmp_path, "lrw")
    assert set(split_clips(clips, "own").values()) == {"train", "test"}


@pytest.mark.parametrize(
    ("layout", "name"),
    [("mead", "holiday.mp4"), ("mead", "M030/video/left_30/sad/level_3/001.mp4"), ("crema-d", "1001_DFA_JOY_HI.mp4"),
     ("ravdess", "02-01-06-02-01-01-12.mp4"), ("lrw", "ABOUT/ABOUT_1.mp4")],
)  # fmt: skip
def test_other_names_are_told_apart(tmp_path, layout, name):
    _touch(tmp_path, name)
    (clip,) = find_clips(tmp_path, layout)
    assert isinstance(clip, Misnamed) and clip.reason


def test_labels_beside_a_folder_are_read(tmp_path):
    _touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "labels.csv").write_text("file,speaker,emotion,level\na.mp4,anna,happy,3\nb.mp4,bert,merry,1\n")
    a, b = find_clips(tmp_path, "folder")
    assert (a.speaker, a.emotion, a.level) == ("anna", "happy", 3)
    assert isinstance(b, Misnamed) and "merry" in b.reason


def _clips(speakers: list[str], each: int = 3) -> list[ClipFile]:
    return [ClipFile(f"{s}_{i}", Path(f"{s}_{i}.mp4"), s, "happy", 1) for s in speakers for i in range(each)]


@pytest.mark.parametrize(("name", "n_train", "n_test"), [("emospeaker", 20, 4), ("eamm", 34, 6)])
def test_the_papers_splits_have_their_sizes_and_share_no_speaker(name, n_train, n_test):
    clips = _clips([f"M{i:03d}" for i in range(25)] + [f"W{i:03d}" for i in range(23)])
    sides = split_clips(clips, name, seed=3)
    speakers = {side: {c.speaker for c in clips if sides[c.key] == side} for side in ("train", "test")}
    assert (len(speakers["train"]), len(speakers["test"])) == (n_train, n_test)
    assert not speakers["train"] & speakers["test"]
    assert sum(s.startswith("M") for s in speakers["test"]) == n_test // 2
    assert sides == split_clips(clips, name, seed=3)


def test_a_papers_split_of_too_few_speakers_is_refused():
    with pytest.raises(InputError, match="20 \\+ 4 speakers, got 2"):
        split_clips(_clips(["M001", "W002"]), "emospeaker")


def _prepared(key: str, n_frames: int = 5) -> PreparedClip:
    rng = np.random.default_rng(len(key))
    coefficients = FaceCoefficients(
        identity=rng.normal(size=80), texture=np.zeros(80), expression=rng.uniform(0, 3, (n_frames, 64)),
        rotation=np.zeros((n_frames, 3)), translation=np.zeros((n_frames, 3)), lighting=np.zeros(27), frame_rate=25.0,
    )  # fmt: skip
    return PreparedClip(
        label=ClipLabel(key, "anna", "sad", 2, "train", "a.mp4", "landmarks", 0.08, 0.6, 0.012),
        frames=tuple(bytes([i]) * 7 for i in range(n_frames)),
        landmarks=rng.uniform(0, 256, (n_frames, 478, 3)).astype(np.float32),
        coefficients=coefficients,
        units=rng.uniform(0, 1, (n_frames, 17)).astype(np.float32),
        unit_names=tuple(f"AU{i}" for i in range(17)),
        samples=rng.uniform(-1, 1, 3200).astype(np.float32),
    )


def test_a_shard_gives_back_its_clips(tmp_path):
    clips = [_prepared("one"), _prepared("another", 3)]
    assert write_shard(tmp_path / "train-00000.tar", clips) == 2
    back = list(read_clips(tmp_path, "train", skipped=lambda *_: pytest.fail("nothing is damaged")))
    for clip, read in zip(clips, back, strict=True):
        assert read.label == clip.label and read.frames == clip.frames and read.unit_names == clip.unit_names
        np.testing.assert_array_equal(read.coefficients.expression, clip.coefficients.expression)
        np.testing.assert_array_equal(read.landmarks, clip.landmarks)
        np.testing.assert_allclose(read.samples, clip.samples, atol=1 / 32767)
    assert not list(tmp_path.glob(".*"))


def test_shuffled_reading_gives_every_clip_once(tmp_path):
    for shard in range(3):
        write_shard(tmp_path / f"train-{shard:05d}.tar", [_prepared(f"c{shard}{i}") for i in range(4)])
    rng = np.random.default_rng(0)
    keys = [c.label.key for c in read_clips(tmp_path, "train", rng=rng, window=5, skipped=lambda *_: None)]
    assert len(keys) == len(set(keys)) == 12
    assert keys != sorted(keys)


def test_a_damaged_shard_is_passed_over(tmp_path):
    write_shard(tmp_path / "train-00000.tar", [_prepared("one"), _prepared("two")])
    write_shard(tmp_path / "train-00001.tar", [_prepared("three")])
    whole = (tmp_path / "train-00000.tar").read_bytes()
    (tmp_path / "train-00000.tar").write_bytes(whole[: len(whole) * 6 // 10])
    said: list[tuple[str, str]] = []
    keys = [c.label.key for c in read_clips(tmp_path, "train", skipped=lambda *entry: said.append(entry))]
    assert keys[-1] == "three" and "two" not in keys
    assert said and all("damaged" in reason for _, reason in said)
    (tmp_path / "noise.tar").write_bytes(b"\x07" * 4096)
    assert not list(read_shard(tmp_path / "noise.tar", skipped=lambda *entry: said.append(entry)))


@pytest.mark.parametrize("offset", [-0.2, 0.0, 0.12, 0.32])
def test_the_offset_of_late_sound_is_found(offset):
    rng = np.random.default_rng(1)
    time = np.arange(0, 8, 0.001)
    opening = np.convolve(rng.normal(size=len(time)), np.hanning(160), "same")
    rate = 25.0
    grid = np.arange(0, 7, 1 / rate)
    tracked = np.interp(grid + 0.5, time, opening)
    predicted = np.interp(grid + 0.5 - offset, time, opening)
    found, likeness = estimate_offset(tracked, predicted, rate)
    assert found == pytest.approx(offset, abs=0.021) and likeness > 0.8


def test_series_that_do_not_tell_give_no_offset():
    rng = np.random.default_rng(2)
    assert estimate_offset(rng.normal(size=100), np.zeros(100), 25.0) == (0.0, 0.0)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory, sentence) -> Path:
    """A second of the astronaut's face with sound, as a video file."""
    from skimage import data

    from backend.video import VideoWriter

    path = tmp_path_factory.mktemp("filmed") / "face.mp4"
    face = np.ascontiguousarray(data.astronaut()[:256, 96:352])
    with VideoWriter(path, width=256, height=256, frame_rate=25.0, audio=sentence, start=0.5, end=1.5) as writer:
        for _ in range(25):
            writer.write(face)
    return path


@pytest.fixture
def recorded(filmed, tmp_path) -> Path:
    """A folder in MEAD's manner: two usable clips, one that is no video, one with another name."""
    root = tmp_path / "recorded"
    root.mkdir()
    for name in ("M030_sad_3_001", "W009_neutral_1_002", "holiday"):
        (root / f"{name}.mp4").write_bytes(filmed.read_bytes())
    (root / "M030_happy_1_001.mp4").write_bytes(b"nothing to see")
    return root


class _Here:
    """Stands for worker processes and does their jobs in this one."""

    n_free = 1

    def __init__(self, _n: int, maker) -> None:
        self._maker, self._ended = maker, []

    def submit(self, job) -> None:
        self._ended.append(Outcome(job, "w1", **self._maker(job, report=lambda *_: None)))

    def events(self, _timeout: float):
        while self._ended:
            yield self._ended.pop(0)

    def close(self) -> None:
        pass


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(preparing, "WorkerProcesses", _Here)


@pytest.mark.soak
def test_a_clip_that_kills_its_process_is_left_out(recorded, tmp_path, monkeypatch):
    """In processes of their own: the import that brings the killer in is inherited through the environment."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nimport backend.datasets.measuring as m\nplain = m.prepare_clip\n"
        "def prepare_clip(file, split, settings):\n"
        "    if file.speaker == 'W009':\n        os._exit(9)\n"
        "    return plain(file, split, settings)\n"
        "m.prepare_clip = prepare_clip\n"
    )
    root = str(Path(__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root]))
    numbers = prepare(Preparation(recorded, "mead", tmp_path / "out", split="all", jobs=2))
    assert numbers["splits"]["train"]["speakers"] == ["M030"]
    assert {e["video"]: e["reason"] for e in numbers["skipped"]}["W009_neutral_1_002.mp4"] == "its process died"


def test_a_folder_becomes_shards_and_a_card(recorded, tmp_path, in_this_process):
    steps: list[tuple[int, int]] = []
    wanted = Preparation(recorded, "mead", tmp_path / "out", split="all", clips_per_shard=2)
    numbers = prepare(wanted, progress=lambda *step: steps.append(step))
    assert steps[0] == (0, 3) and steps[-1] == (3, 3)
    assert numbers["clips"] == 2 and numbers["splits"]["train"]["speakers"] == ["M030", "W009"]
    assert numbers["emotions"] == {"neutral": {"0": 1}, "sad": {"3": 1}}
    reasons = {entry["video"]: entry["reason"] for entry in numbers["skipped"]}
    assert set(reasons) == {"M030_happy_1_001.mp4", "holiday.mp4"} and all(reasons.values())
    card = (tmp_path / "out" / "CARD.md").read_text(encoding="utf-8")
    assert "| sad | 0 | 0 | 1 | 0 |" in card and "Passed over: 2" in card
    clips = {c.label.key: c for c in read_clips(tmp_path / "out", "train", skipped=lambda *_: pytest.fail("damaged"))}
    clip = clips["M030_sad_3_001"]
    assert clip.n_frames == 25 and len(clip.samples) == 16000 and clip.image(0).shape == (256, 256, 3)
    eyes = clip.landmarks[0, [468, 473], :2]
    assert 40 < np.linalg.norm(eyes[0] - eyes[1]) < 90 and np.abs(eyes.mean(0) - 128).max() < 50
    # A second run finds everything done; a lost shard alone is made anew.
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    first = sorted(made)[0]
    first.with_suffix(".json").unlink()
    assert prepare(wanted) == numbers
    assert [p for p, at in made.items() if p.stat().st_mtime_ns != at] == [first]
    assert not list((tmp_path / "out").glob(".*"))
    with pytest.raises(InputError, match="begun with other clips or settings"):
        prepare(Preparation(recorded, "mead", tmp_path / "out", split="all", seed=1, clips_per_shard=2))


def _without_sound(video: Path, to: Path, *, beside: bool = False) -> None:
    """The pictures of a video without a sound track; beside: two of them side by side."""
    import av

    with av.open(str(video)) as given, av.open(str(to), "w") as made:
        frames = [frame.to_ndarray(format="rgb24") for frame in given.decode(video=0)]
        frames = [np.concatenate([frame, frame], axis=1) for frame in frames] if beside else frames
        stream = made.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode(None))


def test_clips_without_sound_are_passed_over_or_kept(filmed, tmp_path, in_this_process):
    root = tmp_path / "recorded"
    root.mkdir()
    (root / "M030_sad_3_001.mp4").write_bytes(filmed.read_bytes())
    _without_sound(filmed, root / "M030_neutral_1_002.mp4")
    wanted = Preparation(root, "mead", tmp_path / "heard", split="all")
    numbers = prepare(wanted)
    assert numbers["skipped"] == [{"video": "M030_neutral_1_002.mp4", "reason": "the clip has no sound"}]
    assert "'emorig prepare --with-silent' keeps them" in (tmp_path / "heard" / "CARD.md").read_text()
    kept = prepare(replace(wanted, out=tmp_path / "all", settings=Measuring(keeps_silent=True)))
    assert (kept["clips"], kept["without_sound"], kept["skipped"]) == (2, 1, [])
    clips = {c.label.emotion: c for c in read_clips(tmp_path / "all", "train", skipped=lambda *_: pytest.fail("bad"))}
    assert [clips[e].label.has_sound for e in ("sad", "neutral")] == [True, False]
    assert clips["neutral"].n_frames == 25 and not clips["neutral"].samples.any()
    assert len(clips["neutral"].samples) == 16000


def test_two_faces_are_passed_over(filmed, tmp_path, in_this_process):
    root = tmp_path / "recorded"
    root.mkdir()
    _without_sound(filmed, root / "M030_sad_3_001.mp4", beside=True)
    (root / "M030_happy_1_001.mp4").write_bytes(filmed.read_bytes())
    settings = Measuring(keeps_silent=True)
    numbers = prepare(Preparation(root, "mead", tmp_path / "out", split="all", settings=settings))
    assert numbers["clips"] == 1
    assert numbers["skipped"] == [{"video": "M030_sad_3_001.mp4", "reason": "2 faces are seen, expected one"}]


def test_what_a_killed_run_left_half_made_is_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, running = tmp_path / f".train-00000.tar.{gone.pid}.part", tmp_path / f".train-00001.tar.{os.getpid()}.part"
    for path in (left, running):
        path.write_bytes(b"half")
    preparing._clear_unfinished(tmp_path)
    assert not left.exists() and running.exists()


def test_an_openface_table_beside_the_video_is_taken(filmed, tmp_path):
    from backend.datasets.measuring import prepare_clip
    from bfm.channel_sets import channel_set

    video = tmp_path / "take.mp4"
    video.write_bytes(filmed.read_bytes())
    names = [f"AU{int(name[2:]):02d}_r" for name in channel_set("emospeaker").names]
    rows = [", ".join(["timestamp", *names])] + [", ".join([f"{t / 25}", *["2.5"] * len(names)]) for t in range(25)]
    (tmp_path / "take.csv").write_text("\n".join(rows))
    clip = prepare_clip(ClipFile("take", video, "anna", None, 0), "train", Measuring(25.0, 64))
    assert clip.label.units_source == "take.csv"
    np.testing.assert_allclose(clip.units, 0.5, atol=1e-6)


def test_a_shard_that_cannot_be_written_is_said(recorded, tmp_path, monkeypatch, in_this_process):
    def full(_out, plan, _settings, *rest, **named):
        if plan.clips[0].speaker == "M030":
            raise OSError(28, "No space left on device")
        return make(_out, plan, _settings, *rest, **named)

    make = preparing.make_shard
    monkeypatch.setattr(preparing, "make_shard", full)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"No space left.*kept"):
        prepare(Preparation(recorded, "mead", out, split="all", clips_per_shard=1))
    done = [json.loads(p.read_text())["kept"] for p in out.glob("train-*.json")]
    assert [kept[0]["speaker"] for kept in done] == ["W009"]


def test_a_full_disk_ends_preparing_in_one_sentence_and_it_goes_on(recorded, tmp_path, in_this_process):
    with small_disk(tmp_path / "disk", 8192) as disk:
        wanted = Preparation(recorded, "mead", disk / "out", split="all", clips_per_shard=2)
        filler = fill(disk, but=100_000)
        with pytest.raises(OutputError, match=r"1 of 2 shards could not be written.*No space left.*again"):
            prepare(wanted)
        out = disk / "out"
        assert len(list(out.glob("train-*.json"))) == 1 and not list(out.glob(".*"))
        filler.unlink()
        numbers = prepare(wanted)
        assert numbers["clips"] == 2 and len(numbers["skipped"]) == 2


@pytest.mark.parametrize(("layout", "sentence_"), [("imax", "Unknown layout"), ("folder", "No videos below")])
def test_what_is_no_data_set_is_refused(tmp_path, layout, sentence_):
    with pytest.raises(InputError, match=sentence_):
        prepare(Preparation(tmp_path, layout, tmp_path / "out"))


def _threads_at_start(_job, *, report) -> dict:
    """What a worker's libraries were told as they were loaded."""
    given = Path("/proc/self/environ").read_bytes().split(b"\0")
    threads = [entry for entry in given if entry.startswith(b"OMP_NUM_THREADS=")]
    return {"seconds": 0.0, "reason": threads[0].decode() if threads else "nothing"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_worker_processes_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    workers = WorkerProcesses(3, _threads_at_start)
    try:
        workers.submit("job")
        (outcome,) = workers.events(60.0)
    finally:
        workers.close()
    assert outcome.reason == "OMP_NUM_THREADS=2" and "OMP_NUM_THREADS" not in os.environ
