"""Measuring the fit: what its numbers mean, and the command."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.__main__ import app
from backend.evaluation.fitting import ClipFit, PortraitFit, variances
from bfm.camera import Camera, project
from bfm.fitting import average_residual, fit_landmarks
from bfm.sources.embedded import load_embedded_model


def faces(seed: int, *, people: int, parts: int, between: float, within: float):
    """Clips (parts, 478, 3) of people who differ by between and whose parts differ by within, dm."""
    rng = np.random.default_rng(seed)
    mean = load_embedded_model().landmark_mean
    for _ in range(people):
        person = mean + between * rng.normal(size=mean.shape)
        yield person + within * rng.normal(size=(parts, *mean.shape))


def test_variances_are_those_that_were_put_in():
    clips = [
        ClipFit(str(i), np.zeros(6), shapes)
        for i, shapes in enumerate(faces(0, people=8, parts=6, between=0.02, within=0.005))
    ]
    within, between = variances(clips, [])
    assert within == pytest.approx(3 * 0.5**2, rel=0.1)
    assert between == pytest.approx(3 * (2.0**2 + 0.5**2 / 6), rel=0.1)


def test_size_place_and_turn_count_for_nothing():
    mean = load_embedded_model().landmark_mean.astype(float)
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    clip = ClipFit("same", np.zeros(3), np.stack([mean, 1.1 * mean @ turn.T, mean + 0.3]))
    other = PortraitFit("other", 0.0, 0.0, mean + 0.02 * np.random.default_rng(1).normal(size=mean.shape))
    within, between = variances([clip], [other])
    assert within < 1e-6 < between


def test_the_average_face_fits_worse_than_the_fitted_one():
    model = load_embedded_model()
    identity = np.random.default_rng(2).normal(size=80) * (np.arange(80) < 63)
    camera = Camera(1015.0, 256.0, 256.0)
    shape = model.landmark_positions(identity, np.zeros((1, 64)))[0]
    landmarks = project(shape, np.zeros(3), np.zeros(3), camera)
    landmarks[:, 2] = (landmarks[:, 2] - landmarks[:, 2].mean()) * 100.0
    average = average_residual(model, landmarks, camera=camera)
    fit = fit_landmarks(model, landmarks, image_height=512, image_width=512, camera=camera)
    assert average > 0.01
    assert fit.residual < 0.35 * average


def test_the_command_measures_the_public_portrait_and_refuses_missing_files(tmp_path):
    measured = CliRunner().invoke(app, ["evaluate", "fitting"])
    assert measured.exit_code == 0, measured.output
    assert "astronaut" in measured.output and "yes" in measured.output
    refused = CliRunner().invoke(app, ["evaluate", "fitting", str(tmp_path / "none.png")])
    assert refused.exit_code != 0
    assert "No file at" in str(refused.exception) + refused.output
