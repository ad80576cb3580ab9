"""Reenactment of a clip that the renderer itself made: it must find its own motion again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from backend.evaluation import reenactment
from backend.evaluation.clips import load_clip
from backend.evaluation.reenactment import BARE, REAL, RENDERED, STILL, Scores, evaluate_clip
from backend.evaluation.reenactment_report import report
from backend.portrait.analysis import analyse_portrait
from backend.portrait.renderer import WarpRenderer
from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD, FaceCoefficients

N_FRAMES = 10


@pytest.fixture(scope="module")
def clip_file(astronaut, tmp_path_factory) -> Path:
    """A video (256²) of the public-domain portrait that opens its mouth and raises its brows, by this renderer."""
    portrait = analyse_portrait(np.ascontiguousarray(astronaut[:256, 90:346]))
    swing = np.sin(np.linspace(0.0, np.pi, N_FRAMES))[:, None].astype(np.float32)
    expression = np.repeat(portrait.fit.expression[None], N_FRAMES, axis=0)
    for name, weight in (("jawOpen", 0.5), ("browInnerUpLeft", 0.6), ("browInnerUpRight", 0.6)):
        column = CHANNEL_INDEX[name]
        rest = expression[:, column]
        expression[:, column] = rest + swing[:, 0] * (weight * FULL_ACTIVATION_SD - rest)
    fit = portrait.fit
    rotation = fit.rotation + swing * np.radians([2.0, 4.0, 1.0]).astype(np.float32)
    still = np.repeat(fit.translation[None], N_FRAMES, axis=0)
    coefficients = FaceCoefficients(
        fit.identity, fit.texture, expression, rotation.astype(np.float32), still, fit.lighting, 25.0
    )
    renderer = WarpRenderer(portrait, size=256)
    path = tmp_path_factory.mktemp("clip") / "made.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 256
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12"}
        for index in range(N_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(renderer.render(coefficients, index))))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def scores(clip_file) -> dict[str, Scores]:
    return evaluate_clip(load_clip(clip_file, 256))


def test_the_first_frame_is_the_portrait(clip_file):
    clip = load_clip(clip_file, 256)
    assert clip.frames.shape == (N_FRAMES, 256, 256, 3)
    first = WarpRenderer(clip.portrait, size=256).render(clip.coefficients, 0)
    assert np.abs(first.astype(int) - clip.frames[0]).mean() < 0.5


def test_the_motion_is_found_again(scores):
    made, still = scores[RENDERED], scores[STILL]
    assert made.mouth_error < 0.7 * still.mouth_error
    assert made.mouth_lmd < 0.6 * still.mouth_lmd
    assert made.face_lmd < 0.5 * still.face_lmd
    assert made.psnr > still.psnr + 2.0
    assert made.ssim > still.ssim + 0.02


def test_layers_count(scores):
    assert scores[RENDERED].mouth_error < scores[BARE].mouth_error


def test_the_real_clip_is_like_itself(scores):
    real = scores[REAL]
    assert real.mouth_error == real.mouth_lmd == real.face_lmd == 0.0
    assert real.psnr == reenactment.MOST_PSNR
    assert real.ssim == pytest.approx(1.0)
    assert scores[STILL].jitter == 0.0 < real.jitter


def test_the_table_is_written_for_people_and_programs(clip_file, scores, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("backend.evaluation.reenactment_report.evaluate_clip", lambda clip, progress, refiner: scores)
    report([clip_file], size=256, out=tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert "| made | rendered |" in text and "| mean | still photo |" in text
    document = json.loads((tmp_path / "table.json").read_text())
    assert document["clips"]["made"]["rendered"]["mouth_error"] == pytest.approx(scores[RENDERED].mouth_error)
    assert document["reach"]["M-LMD over the still photo's"]["reached"] is True


def test_bad_input_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "backend", "evaluate", "reenactment", str(tmp_path / "none.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("emorig: No video at") and len(done.stderr.splitlines()) == 1
