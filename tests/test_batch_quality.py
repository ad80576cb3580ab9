"""The batch's reviewer passes a good shot and flags each fault that is put into it; a real job has all its files."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from backend.audio.waveform import load_waveform
from backend.batch.quality import SHUT_MM, assess, lip_aperture
from backend.batch.run import BatchOptions, run_batch
from backend.batch.workers import Outcome, attempt
from backend.pipeline import articulate
from backend.provenance.label import Marking
from backend.provenance.verification import verify
from bfm.coefficients import EXPRESSION_CHANNELS, FULL_ACTIVATION_SD, FaceCoefficients

RATE = 25.0
JAW = EXPRESSION_CHANNELS.index("jawOpen")


@pytest.fixture(scope="module")
def waveform(sentence):
    return load_waveform(sentence)


@pytest.fixture(scope="module")
def articulation(waveform):
    return articulate(waveform, RATE)


@pytest.fixture(scope="module")
def coefficients(articulation) -> FaceCoefficients:
    n = len(articulation.weights)
    zeros = {"identity": 80, "texture": 80, "lighting": 27}
    return FaceCoefficients(
        **{name: np.zeros(size, np.float32) for name, size in zeros.items()},
        expression=articulation.weights * np.float32(FULL_ACTIVATION_SD),
        rotation=np.zeros((n, 3), np.float32),
        translation=np.zeros((n, 3), np.float32),
        frame_rate=RATE,
    )


class HereWorkers:
    """Makes jobs in this process, which has the models already."""

    n_free = 1

    def __init__(self, _n, out, *, marking) -> None:
        self._make = lambda job: attempt(job, out, marking=marking, report=lambda *_progress: None)
        self._ended = []

    def submit(self, job) -> None:
        self._ended.append(Outcome(job, "here", **self._make(job)))

    def events(self, _timeout):
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """There is no process to end."""


def changed(coefficients: FaceCoefficients, expression: np.ndarray) -> FaceCoefficients:
    return replace(coefficients, expression=np.ascontiguousarray(expression, np.float32))


def test_a_good_shot_is_passed(coefficients, articulation, waveform):
    quality = assess(coefficients, articulation.phones, waveform)
    assert quality.flags == ()
    assert quality.n_bilabials >= 10
    assert quality.aperture.max() > 5 * SHUT_MM
    assert len(quality.loudness) == len(quality.aperture)
    assert quality.loudness.max() == pytest.approx(1.0)


def test_open_lips_on_p_b_m_are_flagged_with_their_times(coefficients, articulation, waveform):
    expression = coefficients.expression.copy()
    expression[:] = 0
    expression[:, JAW] = 0.5 * FULL_ACTIVATION_SD
    quality = assess(changed(coefficients, expression), articulation.phones, waveform)
    assert any("not closed" in flag for flag in quality.flags)
    assert len(quality.open_bilabials) == quality.n_bilabials


def test_a_mouth_that_flaps_in_silence_is_flagged(coefficients, articulation, waveform):
    expression = coefficients.expression.copy()
    silence = max((p for p in articulation.phones if p.label == "sil"), key=lambda p: p.end - p.start)
    frames = np.arange(int(silence.start * RATE), int(silence.end * RATE))
    expression[frames, JAW] = 0.3 * FULL_ACTIVATION_SD * (frames % 4 < 2)
    assert any(
        "flaps" in flag for flag in assess(changed(coefficients, expression), articulation.phones, waveform).flags
    )


def test_jitter_and_limits_are_flagged(coefficients, articulation, waveform):
    expression = coefficients.expression.copy()
    expression[:, JAW] += 0.25 * FULL_ACTIVATION_SD * (np.arange(len(expression)) % 2)
    assert any(
        "jitter" in flag for flag in assess(changed(coefficients, expression), articulation.phones, waveform).flags
    )
    expression = coefficients.expression.copy()
    expression[::4, JAW] = FULL_ACTIVATION_SD
    found = assess(changed(coefficients, expression), articulation.phones, waveform).flags
    assert any("limits" in flag and "jawOpen" in flag for flag in found)


@pytest.mark.parametrize("shift", [-8, 8])
def test_lips_apart_from_their_sound_are_flagged(coefficients, articulation, waveform, shift):
    good = assess(coefficients, articulation.phones, waveform)
    quality = assess(
        changed(coefficients, np.roll(coefficients.expression, shift, axis=0)), articulation.phones, waveform
    )
    assert quality.lag - good.lag == pytest.approx(shift / RATE, abs=0.05)
    assert any("apart" in flag for flag in quality.flags)


def test_aperture_is_zero_at_rest(coefficients):
    assert np.allclose(lip_aperture(changed(coefficients, np.zeros_like(coefficients.expression))), 0.0, atol=0.05)


def test_a_real_job_has_all_its_files_and_a_page_that_shows_them(tmp_path, sentence, astronaut, monkeypatch):
    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("backend.batch.run.LocalWorkers", HereWorkers)
    cv2.imwrite(str(tmp_path / "face.png"), astronaut[..., ::-1])
    job = {"name": "one", "audio": str(sentence), "portrait": "face.png", "end": 1.0, "size": 256, "formats": ["glb"]}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job | {"consent": "A release"}))
    out = tmp_path / "out"
    options = BatchOptions(out, "{name}", 1, False, None, Marking())
    assert run_batch(tmp_path / "jobs.jsonl", options) == 0
    assert {path.name for path in (out / "one").iterdir()} == {
        "video.mp4", "curves.json", "curves.glb", "coefficients.npz", "settings.json", "review.json", "thumbnails.jpg",
    }  # fmt: skip
    found = verify(out / "one" / "video.mp4")
    assert found.findings == ()
    assert found.sidecar.consent == found.manifest.consent == "A release"
    page = (out / "report.html").read_text()
    assert 'src="one/thumbnails.jpg"' in page
    assert "<polyline" in page
