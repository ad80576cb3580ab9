"""The command line renders a shot, names its files, and answers bad input with one sentence and exit code 2."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

from backend.__main__ import main

SECONDS = 1.2


def emorig(*arguments: object) -> subprocess.CompletedProcess:
    """Runs the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "backend", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def frames(path: Path) -> np.ndarray:
    """All frames of a video (n_frames, H, W, 3) uint8 RGB."""
    with av.open(str(path)) as box:
        return np.stack([f.to_ndarray(format="rgb24") for f in box.decode(video=0)])


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "astronaut.png"
    cv2.imwrite(str(path), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def rendered(portrait, sentence, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("render") / "shot"
    run = emorig("render", "--portrait", portrait, "--audio", sentence, "--emotion", "0:neutral:0,1:happy:0.8",
                 "--out", out, "--end", SECONDS, "--size", 256)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert [Path(line).name for line in run.stdout.split()] == [
        "video.mp4", "curves.json", "coefficients.npz", "settings.json",
    ]  # fmt: skip
    return out


def test_a_shot_is_video_curves_coefficients_and_settings(rendered):
    assert sorted(p.name for p in rendered.iterdir()) == [
        "coefficients.npz", "curves.json", "settings.json", "video.mp4",
    ]  # fmt: skip
    with av.open(str(rendered / "video.mp4")) as box:
        n_frames = sum(1 for _ in box.decode(video=0))
        assert (box.streams.video[0].width, box.streams.video[0].height) == (256, 256)
    curves = json.loads((rendered / "curves.json").read_text())
    assert n_frames == len(curves["weights"]) == round(SECONDS * 25)
    assert len(curves["names"]) == 52
    with np.load(rendered / "coefficients.npz") as stored:
        assert stored["expression"].shape == (n_frames, 64)
    settings = json.loads((rendered / "settings.json").read_text())
    assert settings["emotion"][1]["label"] == "happy"
    assert settings["networks"][0]["sha256"]


def test_the_same_shot_again_is_the_same(rendered, portrait, sentence, tmp_path):
    out = tmp_path / "again"
    run = emorig("render", "--portrait", portrait, "--audio", sentence, "--emotion", "0:neutral:0,1:happy:0.8",
                 "--out", out, "--end", SECONDS, "--size", 256)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (out / "curves.json").read_bytes() == (rendered / "curves.json").read_bytes()
    again, before = (json.loads((folder / "settings.json").read_text()) for folder in (out, rendered))
    for settings in (again, before):
        settings["provenance"].pop("video")  # its manifest is signed anew, at another time
    assert again == before
    assert np.array_equal(frames(out / "video.mp4"), frames(rendered / "video.mp4"))


def test_unedited_curves_render_the_same_video(rendered, portrait, sentence, tmp_path):
    run = emorig("rerender", "--portrait", portrait, "--curves", rendered / "curves.json", "--audio", sentence,
                 "--out", tmp_path / "again", "--end", SECONDS, "--size", 256)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert np.array_equal(frames(tmp_path / "again" / "video.mp4"), frames(rendered / "video.mp4"))


def test_a_range_of_frames_is_replaced_and_one_still_rendered(rendered, portrait, sentence, tmp_path):
    out = tmp_path / "edited"
    shutil.copytree(rendered, out)
    curves = json.loads((out / "curves.json").read_text())
    for row in curves["weights"][10:20]:
        row[curves["names"].index("jawOpen")] = 0.9
    (out / "curves.json").write_text(json.dumps(curves))
    given = ["--portrait", portrait, "--curves", out / "curves.json", "--out", out]
    run = emorig("rerender", *given, "--audio", sentence, "--end", SECONDS, "--frames", "10:20")
    assert run.returncode == 0, run.stderr
    before, after = frames(rendered / "video.mp4").astype(int), frames(out / "video.mp4").astype(int)
    assert len(after) == len(before)
    change = np.abs(after - before).max(axis=(2, 3)).mean(axis=1)
    assert change[15] > 2 * change[:9].max()
    assert (change[25:] == 0).all()
    run = emorig("rerender", *given, "--frame", 15, "--size", 256)
    assert run.returncode == 0, run.stderr
    assert (out / "frame_00015.png").is_file()
    run = emorig("rerender", *given, "--audio", sentence, "--frames", "20:10")
    assert run.returncode == 2
    assert "the first before the last" in run.stderr


def test_curves_alone_need_no_portrait(sentence, tmp_path):
    run = emorig("animate", "--audio", sentence, "--emotion", "sad:1", "--out", tmp_path / "c.json", "--fps", 30)
    assert run.returncode == 0, run.stderr
    curves = json.loads((tmp_path / "c.json").read_text())
    assert len(curves["weights"]) == pytest.approx(12.38 * 30, abs=1)


BAD = {
    "absent portrait": (["--portrait", "absent.png"], "absent.png"),
    "portrait is no image": (["--portrait", __file__], "image"),
    "portrait is an animal": (["--portrait", "CAT"], "face"),
    "portrait without a face": (["--portrait", "COINS"], "face"),
    "tiny face": (["--portrait", "TINY"], "48"),
    "absent audio": (["--audio", "absent.wav"], "absent.wav"),
    "audio is no sound": (["--audio", __file__], "Cannot read"),
    "audio too short": (["--end", "0.1"], "0.2 s"),
    "unknown emotion": (["--emotion", "joyful:1"], "Unknown emotion"),
    "keys out of order": (["--emotion", "2:happy:1,1:sad:1"], "time order"),
    "intensity beyond 1": (["--emotion", "happy:1.5"], "0-1"),
    "folder that cannot be made": (["--out", f"{__file__}/out"], "folder"),
    "unknown layer": (["--layer", "ears=1"], "Unknown layer"),
    "size": (["--size", "7"], "64-4096"),
    "no such device": (["--device", "tpu"], "should be cpu or cuda"),
    "no backend": (["--backend", "tcp://127.0.0.1:9"], "No backend"),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, astronaut) -> dict[str, Path]:
    """Portraits that cannot be used, by name."""
    folder = tmp_path_factory.mktemp("pictures")
    tiny = np.full((900, 900, 3), 128, np.uint8)
    tiny[400:528, 400:528] = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    images = {"CAT": data.chelsea(), "COINS": cv2.cvtColor(data.coins(), cv2.COLOR_GRAY2RGB), "TINY": tiny}
    for name, image in images.items():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return {name: folder / f"{name}.png" for name in images}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(
    case, portrait, sentence, pictures, tmp_path, monkeypatch, capsys
):
    changed, says = BAD[case]
    out = tmp_path / "out"
    arguments = {"--portrait": portrait, "--audio": sentence, "--emotion": "happy:0.5", "--out": out, "--end": "0.5"}
    arguments.update(zip(changed[::2], changed[1::2], strict=True))
    arguments["--portrait"] = pictures.get(str(arguments["--portrait"]), arguments["--portrait"])
    words = ["emorig", "render", *(str(part) for pair in arguments.items() for part in pair)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    errors = capsys.readouterr().err
    assert stopped.value.code == 2, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("emorig: ") and says in last
    assert not out.exists()


def test_a_terminated_render_leaves_nothing(portrait, sentence, tmp_path):
    out = tmp_path / "shot"
    command = ["render", "--portrait", portrait, "--audio", sentence, "--emotion", "happy:1", "--out", out]
    run = subprocess.Popen([sys.executable, "-m", "backend", *map(str, command)], stderr=subprocess.DEVNULL)
    while run.poll() is None and not list(out.glob(".partial-*")):
        time.sleep(0.01)
    run.terminate()
    assert run.wait(timeout=60) == 128 + signal.SIGTERM
    assert not out.exists()


def test_silent_audio_is_a_listening_shot(tmp_path):
    path = tmp_path / "silent.wav"
    with av.open(str(path), "w") as box:
        stream = box.add_stream("pcm_s16le", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), layout="mono")
        frame.sample_rate = 16000
        box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    run = emorig("animate", "--audio", path, "--emotion", "happy:1", "--out", tmp_path / "c.json")
    assert run.returncode == 0, run.stderr
    assert "listening shot" in run.stderr
    curves = json.loads((tmp_path / "c.json").read_text())
    weights = np.array(curves["weights"])
    lips = np.array(curves["layers"]["lips"])
    assert lips.max() < 0.05
    assert weights[:, curves["names"].index("mouthSmileLeft")].max() > 0.5
    assert weights[:, curves["names"].index("eyeBlinkLeft")].max() > 0.5


def test_help_loads_nothing_heavy():
    run = emorig("--help")
    assert run.returncode == 0 and "render" in run.stdout
    heavy = (
        "import sys, backend.__main__; print([m for m in ('torch', 'mediapipe', 'cv2', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_doctor_finds_this_installation_sound():
    run = emorig("doctor")
    assert run.returncode == 0, run.stdout
    assert "Ready" in run.stdout and "torch" in run.stdout and "acoustic model" in run.stdout
    found = [line.split("  ")[0] for line in run.stdout.splitlines() if line[:1].strip() and "  " in line]
    assert len(found) == len(set(found)), "something was looked for twice"
