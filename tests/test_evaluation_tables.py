"""Self-driving, the papers' tables and the user study: crossings by hand, published rows marked, ratings."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.audio.waveform import load_waveform
from backend.errors import InputError
from backend.evaluation import selfdrive, selfdrive_report, tables
from backend.evaluation.published_tables import MATRIX, OURS, TABLES
from backend.evaluation.selfdrive import CROSSED, DrivenClip, labelled_file, see_frames, warp_methods
from backend.evaluation.study import NAMING, RATINGS, Study, analyse, as_table, make_trials
from backend.evaluation.study_page import make_server
from backend.evaluation.video import VideoScores
from bfm.coefficients import FULL_ACTIVATION_SD, FaceCoefficients

SCORES = VideoScores(
    n_frames=9, psnr=20.0, ssim=0.5, cpbd=0.2, real_cpbd=0.3, mouth_lmd=2.0, face_lmd=3.0, jitter=0.4, real_jitter=0.5,
    identity=0.9, unit_error=0.1, lip_offset=0.02, lip_correlation=0.6, sync_distance=None, sync_confidence=None,
    sync_offset=None, emotion_accuracy=0.25, units={"AU12": 0.3},
)  # fmt: skip


class _Real:
    def __init__(self, expression: np.ndarray) -> None:
        n = len(expression)
        self.coefficients = FaceCoefficients(
            identity=np.zeros(80), texture=np.zeros(80), expression=expression, rotation=np.zeros((n, 3)),
            translation=np.zeros((n, 3)), lighting=np.zeros(27), frame_rate=25.0,
        )  # fmt: skip


def test_crossed_coefficients_by_hand():
    tracked = np.tile(np.float32([1.0, 1.4])[:, None], (1, 64))
    spoken, felt = np.full((2, 64), 0.3, np.float32), np.full((2, 64), 0.5, np.float32)
    clip = DrivenClip(None, _Real(tracked), spoken, felt)
    made = {name: clip.coefficients(*which).expression[:, 0] for name, which in CROSSED.items()}
    emotion = 1.2 - 0.3  # the tracked mean less that of the predicted speech
    np.testing.assert_allclose(made["Exp(T) + Emo(T)"], [1.0, 1.4], atol=1e-6)
    np.testing.assert_allclose(made["Exp(P) + Emo(T)"], [0.3 + emotion] * 2, atol=1e-6)
    np.testing.assert_allclose(made["Exp(T) + Emo(P)"], [1.0 - emotion + 0.5, 1.4 - emotion + 0.5], atol=1e-6)
    np.testing.assert_allclose(made["Exp(P) + Emo(P)"], [0.8] * 2, atol=1e-6)
    assert clip.coefficients(True, False).expression.max() <= FULL_ACTIVATION_SD


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [("M030_sad_3_001.mp4", None, ("sad", 3)), ("1001_DFA_ANG_LO.mp4", None, ("angry", 1)), ("x.mp4", None, (None, 0)),
     ("M030/video/front/happy/level_2/001.mp4", None, ("happy", 2)),
     ("x.mp4", "happy:1", ("happy", 1)), ("M030_sad_3_001.mp4", "neutral", ("neutral", 0))],
)  # fmt: skip
def test_the_labelled_emotion(name, label, expected):
    file = labelled_file(Path(name), label)
    assert (file.emotion, file.level) == expected


@pytest.mark.parametrize("label", ["merry", "happy:4", "happy:x"])
def test_other_labels_are_refused(label):
    with pytest.raises(InputError, match="should be like 'happy:2'"):
        labelled_file(Path("x.mp4"), label)


def test_frames_without_a_face_are_refused_and_gaps_bridged(astronaut):
    face = np.ascontiguousarray(astronaut[:256, 96:352])
    frames = np.stack([face, np.zeros_like(face), face, face])
    seen = see_frames("a", frames, None)
    np.testing.assert_array_equal(seen.landmarks[0], seen.landmarks[1])
    with pytest.raises(InputError, match="shows a face"):
        see_frames("nothing", np.zeros_like(frames), None)


def _document(methods: dict[str, VideoScores]) -> dict:
    from dataclasses import asdict

    from backend.evaluation.video_report import mean_scores

    entries = {n: {"mean": mean_scores([s]), "fid": 12.5, "rows": {"clip_1": asdict(s)}} for n, s in methods.items()}
    return {
        "format": selfdrive_report.FORMAT, "version": 1, "size": 128, "clips": ["clip_1"],
        "methods": entries,
        "notes": [], "passed_over": {},
    }  # fmt: skip


def test_a_selfdrive_measures_every_method_and_notes_what_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("EMORIG_WEIGHTS", str(tmp_path / "none"))

    def load(path: Path, **_named):
        if path.stem == "silent":
            raise InputError("the sound is silent")
        return path

    def drive(_clip, methods, **_named):
        for name in methods:
            yield name, ("No picture shows a face." if "Exp(P) + Emo(T)" in name else SCORES), None

    monkeypatch.setattr(selfdrive_report, "load_driven", load)
    monkeypatch.setattr(selfdrive_report, "drive_clip", drive)
    document = selfdrive_report.measure_clips([tmp_path / "a.mp4", tmp_path / "silent.mp4"], size=128)
    assert set(document["methods"]) == {"still photo"} | {f"warp {n}" for n in CROSSED if n != "Exp(P) + Emo(T)"}
    assert document["passed_over"]["silent.mp4"] == "the sound is silent"
    text = selfdrive_report.markdown(document)
    assert "| warp Exp(P) + Emo(P) |  | 20.00 | 0.500 |" in text and "SyncNet was not measured" in text
    with pytest.raises(InputError, match="silent"):
        selfdrive_report.measure_clips([tmp_path / "silent.mp4"], size=128)


@pytest.mark.parametrize("offset", [-0.3, 0.0, 0.24])
def test_sound_is_moved_into_step_in_written_videos(tmp_path, offset):
    rate, clap = 16_000, 1.0
    samples = np.zeros(2 * rate, np.int16)
    samples[round(clap * rate) : round((clap + 0.01) * rate)] = 20_000
    with wave.open(str(tmp_path / "clap.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(rate)
        file.writeframes(samples.tobytes())
    sound = selfdrive_report.sound_in_step(tmp_path / "clap.wav", offset, 2.0)
    selfdrive_report._write_video(tmp_path / "made.mp4", np.zeros((50, 64, 64, 3), np.uint8), sound)
    heard = load_waveform(tmp_path / "made.mp4")
    assert np.abs(heard.samples).argmax() / rate == pytest.approx(clap - offset + 0.005, abs=0.02)
    assert heard.duration == pytest.approx(2.0, abs=0.05)


def test_every_published_row_is_as_wide_as_its_table():
    for table in TABLES.values():
        assert all(len(values) == len(table.columns) for values in table.rows.values())
    assert set(OURS) == set(TABLES)
    assert TABLES["emospeaker-3"].rows["EmoSpeaker (MEAD)"][0] == 25.566
    assert TABLES["eamm-3"].rows["EAMM"] == (0.6841, 2.41, 2.55, 0.66)
    assert all(np.shape(rows) == (3, 5) for rows in MATRIX.values())


def test_our_rows_stand_below_the_published_ones_and_are_marked(tmp_path):
    path = tmp_path / "selfdrive.json"
    path.write_text(json.dumps(_document({"warp Exp(P) + Emo(P)": SCORES, "EAMM all-points": SCORES})))
    measured = tables.read_measured([path])
    block = tables.comparison(TABLES["emospeaker-3"], OURS["emospeaker-3"], measured)
    assert block.rows[-1] == (
        "warp Exp(P) + Emo(P)", "12.50", "0.500", "20.00", "0.200", "", "", "", "1 clip: clip_1", "measured here"
    )  # fmt: skip
    assert all(row[-1] == "published" and "their split" in row[-2] for row in block.rows[1:-1])
    ablation = tables.comparison(TABLES["eamm-3"], OURS["eamm-3"], measured)
    assert ablation.rows[-1][:2] == ("EAMM all-points", "0.25")
    page = tables.as_html([block])
    assert page.count('<tr class="published">') == 9 and "<td>12.50</td>" in page


def test_results_of_other_programs_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="is no result"):
        tables.read_measured([tmp_path / "a.json"])
    with pytest.raises(InputError, match=r"\.md or \.html"):
        tables.report([], tmp_path / "a.txt")


def test_the_figures_are_pictures_of_their_numbers(tmp_path):
    matrices = {"happy": np.linspace(0.1, 1.0, 15).reshape(3, 5)}
    grown = {"happy": (("AU6", "AU12"), np.linspace(0, 1, 6).reshape(3, 2))}
    blocks = [tables.matrix_block(matrices), tables.units_block(grown, np.array([0.0, 0.5, 1.0]))]
    assert blocks[0].rows[-1] == ("happy 3", "0.743", "0.807", "0.871", "0.936", "1.000", "mean action units",
                                  "measured here")  # fmt: skip
    assert blocks[1].rows[-1] == ("happy", "AU12", "0.20", "0.60", "1.00")
    text = tables.as_markdown(blocks, tmp_path)
    assert "figure_1.png" in text and (tmp_path / "figure_2.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def shown(tmp_path) -> Path:
    for method in ("ours", "real"):
        for clip in ("M030_sad_3_001", "M030_happy_1_002"):
            path = tmp_path / "videos" / method / f"{clip}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{method} {clip}".encode() * 100)
    return tmp_path / "videos"


def test_trials_are_shuffled_by_the_seed_and_know_their_emotion(shown):
    trials = make_trials(shown, seed=1)
    assert [t.number for t in trials] == [1, 2, 3, 4] and {t.emotion for t in trials} == {"sad", "happy"}
    assert [t.video for t in trials] == [t.video for t in make_trials(shown, seed=1)]
    assert any([t.video for t in trials] != [t.video for t in make_trials(shown, seed=s)] for s in range(2, 6))
    with pytest.raises(InputError, match="METHOD/CLIP"):
        make_trials(shown / "ours", seed=0)


def test_ratings_become_means_with_intervals(shown, tmp_path):
    study = Study(shown, tmp_path / "out", scales="emospeaker")
    for rater, marks in (("a", (5, 4)), ("b", (3, 4)), ("c", (4, 4))):
        for trial in study.trials:
            study.rate(rater, trial.number, "video quality", str(marks[0] if trial.method == "ours" else marks[1]))
            study.rate(rater, trial.number, NAMING, trial.emotion if trial.method == "real" else "sad")
    study.rate("a", study.trials[0].number, "video reality", "1")
    study.rate("a", study.trials[0].number, "video reality", "2")  # a later answer counts
    found = {(s.method, s.question): s for s in analyse(tmp_path / "out")}
    ours, real = found["ours", "video quality"], found["real", "video quality"]
    assert (ours.mean, ours.n_answers, ours.n_raters) == (4.0, 6, 3) and 3.0 <= ours.low < 4.0 < ours.high <= 5.0
    assert (real.low, real.mean, real.high) == (4.0, 4.0, 4.0)
    assert found["real", NAMING].mean == 1.0 and found["ours", NAMING].mean == 0.5
    assert found[study.trials[0].method, "video reality"].mean == 2.0
    assert "| ours | video quality | 4.00 |" in as_table(list(found.values()))


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    from backend.evaluation.study import _interval

    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        raters = [list(3.0 + rng.normal() + rng.normal(size=5)) for _ in range(20)]
        _, low, high = _interval(raters, rng)
        hits += low <= 3.0 <= high
    assert 48 <= hits <= 60


def test_ratings_that_were_not_asked_are_refused(shown, tmp_path):
    study = Study(shown, tmp_path / "out", scales="eamm")
    for arguments in (("", 1, NAMING, "sad"), ("a", 9, NAMING, "sad"), ("a", 1, NAMING, "merry"),
                      ("a", 1, "video reality", "3"), ("a\nb", 1, NAMING, "sad")):  # fmt: skip
        with pytest.raises(InputError):
            study.rate(*arguments)
    study.rate("=cmd()", 1, NAMING, "sad")
    assert "'=cmd()" in (tmp_path / "out" / RATINGS).read_text()
    with pytest.raises(InputError, match="holds another study"):
        Study(shown, tmp_path / "out", scales="eamm", seed=5)
    with pytest.raises(InputError, match="no ratings"):
        analyse(tmp_path / "nothing")


def test_the_page_shows_videos_by_number_and_never_their_method(shown, tmp_path):
    study = Study(shown, tmp_path / "out")
    server = make_server(study)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"

    def get(path: str, **headers: str):
        return urllib.request.urlopen(urllib.request.Request(address + path, headers=headers), timeout=5)

    def post(body: bytes, kind: str = "application/json"):
        request = urllib.request.Request(address + "/rate", body, {"Content-Type": kind})
        return urllib.request.urlopen(request, timeout=5)

    try:
        told = get("/").read().decode() + get("/study?rater=anna").read().decode()
        assert "ours" not in told and "M030" not in told
        order = json.loads(get("/study?rater=anna").read())["order"]
        assert sorted(order) == [1, 2, 3, 4]
        video = get("/video/2", Range="bytes=2-5")
        assert video.status == 206 and video.read() == study.trials[1].video.read_bytes()[2:6]
        assert get("/video/1").read() == study.trials[0].video.read_bytes()
        for wrong in ("/video/5", "/video/../key.json", "/key.json"):
            with pytest.raises(urllib.error.HTTPError):
                get(wrong)
        post(json.dumps({"rater": "anna", "number": 2, "question": NAMING, "answer": "sad"}).encode())
        for body in (
            b"nonsense",
            b'{"rater": "anna"}',
            b"[1]",
            b'{"rater":"a","number":"x","question":"q","answer":"a"}',
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(body)
            assert refused.value.code == 400
        with pytest.raises(urllib.error.HTTPError):
            post(b"{}", "text/plain")
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / "out" / RATINGS).read_text().splitlines()[1:] == ["anna,2,emotion,sad"]


def test_the_warps_methods_are_the_still_photo_and_four_crossings():
    assert list(warp_methods(64)) == ["still photo", *(f"warp {name}" for name in CROSSED)]
    frames = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    clip = DrivenClip(None, replace(_frames_only(), frames=frames), np.zeros((2, 64)), np.zeros((2, 64)))
    still = selfdrive.warp_methods(4)["still photo"](clip)
    assert (still == clip.real.frames[0]).all() and len(still) == 2


def _frames_only():
    from backend.evaluation.clips import RealClip

    return RealClip("a", None, None, None)
