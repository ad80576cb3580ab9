"""Retargeting: bounded solves against a slow reference, round trips, errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from bfm.bounded import bounded_solutions
from bfm.channel_sets import CHANNEL_SETS, channel_set
from bfm.coefficients import ARKIT_CHANNELS, CHANNEL_INDEX, EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.errors import FaceModelError
from bfm.facs import AU_CHANNELS, au_weights
from bfm.retarget import between_models, from_channels, solve, to_channels
from bfm.sources.embedded import load_embedded_model


@pytest.fixture(scope="module")
def model():
    return load_embedded_model()


def speaking(n_frames: int, seed: int = 0) -> np.ndarray:
    """Weights (n_frames, 64) of a face that speaks, feels, blinks and looks about, by all 64 channels."""
    rng = np.random.default_rng(seed)
    times = np.arange(n_frames) / 25.0

    def wave(low: float, high: float) -> np.ndarray:
        rate, phase = rng.uniform(low, high), rng.uniform(0, 6.28)
        return np.clip(np.sin(2 * np.pi * rate * times + phase), 0.0, 1.0)

    strength = dict.fromkeys(EXPRESSION_CHANNELS, 0.25) | {
        "jawOpen": 0.5,
        "mouthSmileLeft": 0.6,
        "mouthSmileRight": 0.6,
    }
    weights = np.stack([strength[name] * wave(0.3, 4.0) for name in EXPRESSION_CHANNELS], axis=1)
    extras = slice(len(ARKIT_CHANNELS), None)
    weights[:, extras] *= 0.3
    close, jaw = CHANNEL_INDEX["mouthClose"], CHANNEL_INDEX["jawOpen"]
    weights[:, close] = np.minimum(weights[:, close], weights[:, jaw])
    return weights


def test_bounded_solutions_agree_with_a_slow_solver():
    rng = np.random.default_rng(1)
    for _ in range(5):
        design = rng.normal(size=(40, 12))
        design[:, 5] = design[:, 4] + 0.01 * rng.normal(size=40)
        targets = rng.normal(size=(20, 40)) * 2
        low, high = -rng.uniform(0, 0.3, 12), rng.uniform(0, 0.4, 12)
        ours = bounded_solutions(design.T @ design, targets @ design, low, high)
        for x, target in zip(ours, targets, strict=True):
            reference = lsq_linear(design, target, (low, high), tol=1e-13, lsmr_tol=1e-13).x
            assert np.linalg.norm(design @ x - target) <= np.linalg.norm(design @ reference - target) + 1e-6
        assert (ours >= low - 1e-12).all()
        assert (ours <= high + 1e-12).all()


def test_arkit_and_back_stays_within_five_percent_of_the_motion(model):
    weights = speaking(400)
    there = to_channels(model, weights, channel_set("arkit"))
    back = from_channels(model, there.weights, channel_set("arkit"))
    rest = model.landmark_mean
    wanted = model.landmark_positions(np.zeros(80), weights * FULL_ACTIVATION_SD) - rest
    got = model.landmark_positions(np.zeros(80), back.weights * FULL_ACTIVATION_SD) - rest
    assert np.linalg.norm(got - wanted) <= 0.05 * np.linalg.norm(wanted)
    assert there.weights.min() >= 0
    assert there.weights.max() <= 1


def test_what_arkit_can_say_comes_back_unchanged(model):
    weights = speaking(50)
    weights[:, len(ARKIT_CHANNELS) :] = 0
    there = to_channels(model, weights, channel_set("arkit"))
    assert np.abs(there.weights - weights[:, : len(ARKIT_CHANNELS)]).max() < 1e-3
    assert there.error.max() < 1e-3


def test_the_error_is_what_remains(model):
    basis = model.landmark_expression[:3].astype(float)
    wanted = np.tensordot(np.array([[0.5, 0.2, 0.0], [2.0, 0.0, 0.0]]), basis, 1)
    result = solve(wanted, basis, ("a", "b", "c"))
    assert result.error[0] < 0.01
    left = wanted[1] - np.tensordot(result.weights[1], basis, 1)
    assert result.error[1] == pytest.approx(np.linalg.norm(left) / np.linalg.norm(wanted[1]), abs=1e-6)
    assert result.residual[1] == pytest.approx(np.sqrt((left**2).sum(-1).mean()), abs=1e-9)
    assert 0.3 < result.error[1] < 0.7


@pytest.mark.parametrize("name", ["emospeaker", "eamm", "ovr", "preston_blair", "vrm"])
def test_each_channel_is_found_in_its_own_pose(model, name):
    channels = channel_set(name)
    result = to_channels(model, channels.weights, channels)
    strength = np.linalg.norm(np.tensordot(channels.weights, model.landmark_expression, 1), axis=(1, 2))
    for i, label in enumerate(channels.names):
        # Lips hide the tongue: TH, DD, kk and nn differ from each other by it, and may share.
        if strength[i] > 0 and label not in ("TH", "DD", "kk", "nn", "sil", "rest", "blink"):
            assert result.weights[i].argmax() == i, label
            assert result.error[i] < 0.1, label


def test_sets_cover_what_the_papers_name():
    assert set(CHANNEL_SETS) >= {"arkit", "facs", "emospeaker", "eamm", "ovr", "preston_blair", "vrm"}
    assert channel_set("emospeaker").names == tuple(
        f"AU{u}" for u in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
    )
    assert channel_set("ovr").names[0] == "sil"
    assert len(channel_set("ovr").names) == 15
    assert np.allclose(channel_set("facs").weights[0], au_weights({next(iter(AU_CHANNELS)): 1.0}))
    with pytest.raises(FaceModelError, match="unknown"):
        channel_set("metahuman")


def test_the_same_model_gives_the_same_motion(model):
    weights = speaking(60, seed=3)
    result = between_models(model, weights * FULL_ACTIVATION_SD, model)
    wanted = model.landmark_positions(np.zeros(80), weights * FULL_ACTIVATION_SD) - model.landmark_mean
    got = model.landmark_positions(np.zeros(80), result.weights) - model.landmark_mean
    assert np.linalg.norm(got - wanted) <= 0.05 * np.linalg.norm(wanted)


def test_bad_displacements_are_refused(model):
    basis = model.landmark_expression[:3]
    with pytest.raises(FaceModelError, match="shape"):
        solve(np.zeros((4, 68, 3)), basis, ("a", "b", "c"))
    with pytest.raises(FaceModelError, match="finite"):
        solve(np.full((4, 478, 3), np.nan), basis, ("a", "b", "c"))
    with pytest.raises(FaceModelError, match="64"):
        to_channels(model, np.zeros((4, 52)), channel_set("arkit"))
