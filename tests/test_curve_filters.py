"""Resampling, filters, layers and joins: what they must keep and what they may change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from curve_samples import PHONES, performance_curves
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.curves.convert import coefficients_from_curves
from backend.curves.filters import amplified, clamped, kept_frames, mirrored, offset, smoothed
from backend.curves.join import joined
from backend.curves.layers import with_layer
from backend.curves.resample import cut, resampled, warped
from backend.curves.solve import emotion_amounts, mixed_from, performance_from_curves
from backend.errors import InputError
from blender_addon.protocol.layers import combined, layer_sum, turned_by
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

RATES = (23.976, 24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 120.0)


@pytest.fixture(scope="module")
def curves():
    return performance_curves()


def same(first, second, tolerance=1e-6):
    """Whether two performances agree in weights and rotations."""
    turns = ("head_rotation", "left_eye", "right_eye")
    return np.abs(first.weights - second.weights).max() <= tolerance and all(
        np.abs(getattr(first, turn) - getattr(second, turn)).max() <= tolerance for turn in turns
    )


# ---- resampling ----


@pytest.mark.parametrize("rate", RATES)
def test_resampling_keeps_the_moment_of_every_value(rate):
    curves = performance_curves(90, 30.0)
    there = resampled(curves, rate)
    times, grid = np.arange(there.n_frames) / rate, np.arange(curves.n_frames) / 30.0
    assert times[-1] <= grid[-1] + 1e-6 and times[-1] > grid[-1] - 1 / rate - 1e-6
    expected = np.stack([np.interp(times, grid, column) for column in curves.weights.T], axis=1)
    assert np.abs(there.weights - expected).max() < 1e-5
    assert np.abs(np.linalg.norm(there.head_rotation, axis=1) - 1).max() < 1e-5
    assert there.frame_rate == rate and there.phones == curves.phones


def test_a_rate_that_contains_the_other_comes_back_exactly(curves):
    assert same(resampled(resampled(curves, 120.0), 30.0), curves, 1e-5)
    assert resampled(curves, 30.0) is curves


def test_resampled_coefficients_stay_with_their_curves(curves):
    there = resampled(curves, 60.0)
    back = coefficients_from_curves(there)
    assert back.n_frames == there.n_frames and back.frame_rate == 60.0
    assert np.abs(back.expression[::2] - coefficients_from_curves(curves).expression).max() < 1e-3


@pytest.mark.parametrize("rate", [0.0, -25.0, float("nan"), 5000.0])
def test_impossible_rates_are_refused(curves, rate):
    with pytest.raises(InputError, match="frame rate"):
        resampled(curves, rate)


def test_a_cut_starts_again_at_zero(curves):
    part = cut(curves, 0.5, 1.5)
    assert part.n_frames == 30 and np.array_equal(part.weights, curves.weights[15:45])
    assert part.phones[0].start == 0.0 and part.phones[0].label == "AY" and part.phones[-1].end == 1.0
    with pytest.raises(InputError, match="No frame"):
        cut(curves, 5.0)


def test_a_time_warp_moves_what_it_pins(curves):
    there = warped(curves, ((1.0, 1.5),))
    assert there.n_frames == pytest.approx(curves.n_frames + 15, abs=1)
    assert np.abs(there.weights[45] - curves.weights[30]).max() < 1e-5
    assert np.abs(there.weights[0] - curves.weights[0]).max() < 1e-6
    assert there.phones[4].end == pytest.approx(1.7) and there.phones[4].start == pytest.approx(1.35)
    with pytest.raises(InputError, match="order"):
        warped(curves, ((1.0, 0.5), (0.5, 1.0)))


# ---- filters ----


def closing(n_frames=90, rate=60.0):
    """A mouth that shuts for three frames, a blink of five frames, and a noisy brow."""
    weights = np.zeros((n_frames, len(ARKIT_NAMES)), np.float32)
    weights[:, ARKIT_NAMES.index("jawOpen")] = 0.4
    weights[44:47, ARKIT_NAMES.index("mouthClose")] = 0.4
    weights[20:25, ARKIT_NAMES.index("eyeBlinkLeft")] = (0.4, 0.9, 1.0, 0.9, 0.4)
    noise = np.random.default_rng(0).uniform(0.3, 0.6, n_frames)
    weights[:, ARKIT_NAMES.index("browInnerUp")] = noise
    rest = rest_rotations(n_frames)
    return AnimationCurves(ARKIT_NAMES, weights, rate, rest, rest, rest)


def test_smoothing_keeps_closures_and_calms_the_rest():
    before = closing()
    after = smoothed(before, 0.05)
    gap = after.column("jawOpen") - after.column("mouthClose")
    assert gap[44:47].max() < 0.02
    assert after.column("eyeBlinkLeft").max() == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(after.column("eyeBlinkLeft")) == 22
    assert np.diff(after.column("browInnerUp")).std() < 0.2 * np.diff(before.column("browInnerUp")).std()
    # Without the guard the same smoothing opens the lips: the guard is what keeps them.
    open_gap = smoothed(before, 0.05, keep_closures=False)
    assert (open_gap.column("jawOpen") - open_gap.column("mouthClose"))[45] > 0.1
    assert open_gap.column("eyeBlinkLeft").max() < 0.9


def test_smoothing_by_nothing_is_nothing(curves):
    assert smoothed(curves, 0.0) is curves
    constant = replace(curves, weights=np.full_like(curves.weights, 0.3))
    assert np.abs(smoothed(constant, 0.1).weights - 0.3).max() < 1e-5


def test_a_mirror_twice_is_the_same(curves):
    twice = mirrored(mirrored(curves))
    assert same(twice, curves)
    once = mirrored(curves)
    assert np.array_equal(once.column("mouthSmileLeft"), curves.column("mouthSmileRight"))
    assert np.array_equal(once.column("jawLeft"), curves.column("jawRight"))
    # Yaw and roll change sign, pitch does not.
    assert np.allclose(once.head_rotation, curves.head_rotation * [1, 1, -1, -1])
    assert np.allclose(once.left_eye, curves.right_eye * [1, 1, -1, -1])


def test_amplitude_offset_and_clamp_touch_only_what_they_name(curves):
    for changed in (
        amplified(curves, 0.5, channels=("jawOpen",)),
        offset(curves, 0.1, channels=("jawOpen",)),
        clamped(curves, 0.2, 0.3, channels=("jawOpen",)),
    ):
        difference = np.abs(changed.weights - curves.weights).max(0)
        assert difference[curves.names.index("jawOpen")] > 0.02
        assert np.delete(difference, curves.names.index("jawOpen")).max() == 0
        assert changed.weights.min() >= 0 and changed.weights.max() <= 1
    louder = amplified(curves, 2.0, head=True)
    assert louder.weights.max() <= 1
    assert (
        np.abs(2 * np.arcsin(louder.head_rotation[30, 1:]) - 4 * np.arcsin(curves.head_rotation[30, 1:])).max() < 0.01
    )
    for call in (lambda: amplified(curves, -1.0), lambda: clamped(curves, 0.5, 0.2),
                 lambda: offset(curves, 0.1, channels=("nose",))):  # fmt: skip
        with pytest.raises(InputError):
            call()


def test_moved_gaze_channels_turn_the_eyes(curves):
    after = amplified(curves, 0.0, channels=[name for name in curves.names if name.startswith("eyeLook")])
    assert np.allclose(after.left_eye, [1, 0, 0, 0]) and np.allclose(after.right_eye, [1, 0, 0, 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.001, 0.01, 0.1]), st.integers(1, 80))
def test_thinned_lines_stay_within_their_tolerance(seed, tolerance, n_frames):
    random = np.random.default_rng(seed)
    values = np.cumsum(random.normal(0, 0.05, (n_frames, 3)), axis=0)
    values[:, 2] = np.round(values[:, 2], 1)
    kept = kept_frames(values, tolerance)
    assert kept[0].all() and kept[-1].all()
    for column, keep in zip(values.T, kept.T):
        frames = np.flatnonzero(keep)
        line = np.interp(np.arange(n_frames), frames, column[frames])
        assert np.abs(line - column).max() <= tolerance + 1e-9


def test_thinning_drops_what_lies_on_a_line():
    line = np.concatenate([np.linspace(0, 1, 50), np.linspace(1, 0.2, 50)[1:]])[:, None]
    assert kept_frames(line, 1e-9).sum() == 3


# ---- layers ----


def test_layers_add_up_to_the_curves_and_strengths_scale_them(curves):
    total = layer_sum(curves.names, curves.layers)
    assert np.abs(total - curves.weights).max() < 1e-5
    assert same(combined(curves, {"lips": 1.0}), curves)
    silent = combined(curves, {"lips": 0.0, "emotion": 0.0, "head": 0.0})
    assert np.abs(silent.weights).max() < 1e-5 and np.allclose(silent.head_rotation, [1, 0, 0, 0])


def test_what_was_edited_beyond_the_layers_stays(curves):
    weights = curves.weights.copy()
    jaw = curves.names.index("jawOpen")
    weights[10:20, jaw] += 0.2
    half = combined(replace(curves, weights=weights), {"lips": 0.5})
    plain = combined(curves, {"lips": 0.5})
    change = half.weights - plain.weights
    assert np.abs(change[10:20, jaw] - 0.2).max() < 1e-5
    change[10:20, jaw] = 0
    # mouthClose may rise with the jaw that it is held under.
    change[:, curves.names.index("mouthClose")] = 0
    assert np.abs(change).max() < 1e-5


def test_a_layer_of_another_performance_can_be_put_in(curves):
    other = performance_curves(seed=5)
    mixed = with_layer(curves, "emotion", other.layers["emotion"])
    expected = np.clip(curves.layers["lips"] + other.layers["emotion"], 0, 1)
    assert np.abs(mixed.weights - expected)[:, 20:].max() < 1e-5
    plain = replace(curves, layers={}, coefficients=None)
    assert set(with_layer(plain, "extra", np.zeros_like(curves.weights)).layers) == {"curves", "extra"}
    with pytest.raises(InputError, match="shape"):
        with_layer(curves, "lips", np.zeros((3, 52)))


def test_unknown_layers_and_strengths_are_refused(curves):
    for strengths in ({"nose": 1.0}, {"lips": -1.0}, {"lips": float("nan")}):
        with pytest.raises(InputError):
            combined(curves, strengths)


def test_a_rotation_scales_in_angle():
    turn = np.array([[np.cos(0.2), 0, np.sin(0.2), 0]], np.float32)
    assert np.allclose(turned_by(turn, 2.0), [[np.cos(0.4), 0, np.sin(0.4), 0]], atol=1e-6)
    assert np.allclose(turned_by(turn, 0.0), [[1, 0, 0, 0]], atol=1e-6)


# ---- joins ----


def test_a_join_has_no_jump_and_keeps_both_ends(curves):
    other = performance_curves(50, 25.0, seed=9)
    both = joined(curves, other, blend=0.3)
    n_other = resampled(other, 30.0).n_frames
    assert both.n_frames == curves.n_frames + n_other and both.frame_rate == 30.0
    usual = max(np.abs(np.diff(part.weights, axis=0)).max() for part in (curves, resampled(other, 30.0)))
    assert np.abs(np.diff(both.weights, axis=0))[curves.n_frames - 1].max() < usual * 0.5
    assert np.abs(np.diff(both.head_rotation, axis=0)).max() < 0.03
    assert np.abs(both.weights[0] - curves.weights[0]).max() < 1e-6
    assert np.abs(both.weights[-1] - resampled(other, 30.0).weights[-1]).max() < 1e-5
    assert both.phones[len(PHONES)].start == pytest.approx(2.0)


def test_joins_of_different_channels_are_refused(curves):
    other = replace(curves, names=("nose", *curves.names[1:]), coefficients=None)
    with pytest.raises(InputError, match="channel"):
        joined(curves, other)


# ---- back to the face model ----


def test_curves_without_coefficients_become_a_performance(curves):
    from backend.pipeline import make_coefficients

    plain = replace(curves, coefficients=None, layers={})
    coefficients = make_coefficients(performance_from_curves(plain), None)
    assert np.abs(coefficients.weights[:, :52] - curves.weights).max() < 1e-5
    assert np.abs(coefficients.weights[:, 52:]).max() == 0
    assert np.abs(coefficients.rotation - curves.coefficients["head_rotation"]).max() < 1e-4
    with pytest.raises(InputError, match="ARKit"):
        performance_from_curves(replace(plain, names=tuple(f"c{i}" for i in range(52))))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_mix_of_poses_is_found_again(seed):
    random = np.random.default_rng(seed)
    poses = random.random((6, 20))
    amounts = random.uniform(0, 1, (15, 6)) * (random.random((15, 6)) < 0.5)
    found = mixed_from(poses, amounts @ poses, sweeps=400, ridge=1e-9)
    assert np.abs(found @ poses - amounts @ poses).max() < 2e-2
    assert found.min() >= 0 and found.max() <= 1


def test_the_emotion_layer_names_its_emotion(curves):
    from backend.curves.convert import arkit_weights
    from bfm.facs import emotion_weights

    for emotion in ("happy", "sad", "surprised"):
        face = 0.7 * arkit_weights(emotion_weights(emotion)[None], clip=False)
        layers = {"emotion": np.repeat(face, curves.n_frames, axis=0)}
        amounts = emotion_amounts(replace(curves, layers=layers))
        assert max(amounts, key=lambda name: amounts[name][0]) == emotion
        assert amounts[emotion][0] == pytest.approx(0.7, abs=0.1)
    assert emotion_amounts(replace(curves, layers={})) == {}
