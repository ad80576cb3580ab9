"""The spine types refuse what they must and sample what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfm.coefficients import FaceCoefficients
from blender_addon.protocol.errors import InputError
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import (
    EMOTIONS,
    INTERPOLATIONS,
    AnimationCurves,
    EmotionKey,
    EmotionTrack,
    Waveform,
    rest_rotations,
)

keys = st.lists(
    st.tuples(
        st.floats(0, 60),
        st.sampled_from((*EMOTIONS, "neutral")),
        st.floats(0, 1),
        st.sampled_from(tuple(INTERPOLATIONS)),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0],
).map(lambda rows: EmotionTrack(tuple(EmotionKey(*row) for row in sorted(rows))))


@given(keys, st.sampled_from((24.0, 25.0, 29.97, 60.0)), st.integers(1, 400))
def test_emotion_weights_are_a_share_of_the_face(track, frame_rate, n_frames):
    weights = track.sample(frame_rate, n_frames)
    assert weights.shape == (n_frames, 7)
    assert weights.min() >= 0
    assert weights.sum(1).max() <= 1 + 1e-5


@given(keys)
def test_a_track_survives_its_json(track):
    assert EmotionTrack.from_json(track.to_json()) == track


def test_keyframes_are_met_and_held():
    track = EmotionTrack.parse("0:neutral:0,1:happy:0.8,3:angry:1")
    weights = track.sample(10, 51)
    happy, angry = EMOTIONS.index("happy"), EMOTIONS.index("angry")
    assert weights[0].sum() == 0
    assert weights[10, happy] == pytest.approx(0.8)
    assert weights[20, happy] == pytest.approx(0.4)
    assert weights[20, angry] == pytest.approx(0.5)
    assert weights[50, angry] == pytest.approx(1.0)


def test_constant_keys_jump_and_smooth_keys_ease():
    constant = EmotionTrack.parse("0:happy:1:constant,1:sad:1").sample(10, 12)
    assert constant[9, EMOTIONS.index("happy")] == 1
    assert constant[10, EMOTIONS.index("sad")] == 1
    smooth = EmotionTrack.parse("0:happy:0:smooth,1:happy:1").sample(100, 101)[:, EMOTIONS.index("happy")]
    assert smooth[1] < 0.01 and smooth[50] == pytest.approx(0.5)


def test_eased_keys_start_or_arrive_slowly_and_all_kinds_meet_their_keys():
    angry = EMOTIONS.index("angry")
    ways = {
        kind: EmotionTrack.parse(f"0:angry:0:{kind},1:angry:1").sample(100, 102)[:, angry] for kind in INTERPOLATIONS
    }
    assert ways["ease_in"][25] < ways["smooth"][25] < ways["linear"][25] < ways["ease_out"][25]
    for kind, weights in ways.items():
        assert weights[0] == 0.0 and weights[-1] == 1.0, kind
        assert (np.diff(weights) >= -1e-6).all(), kind


def test_levels_of_mead_are_thirds_in_text_and_in_files():
    for level in (1, 2, 3):
        text = EmotionTrack.parse(f"0.5:fear:level{level}:smooth")
        rows = f'{{"keys": [{{"time": 0.5, "label": "fear", "level": {level}, "interpolation": "smooth"}}]}}'
        assert text == EmotionTrack.from_json(rows) == EmotionTrack.from_json(text.to_json())
        assert text.keys[0].intensity == pytest.approx(level / 3)
    for bad in ("happy:level4", "happy:level", "happy:level0"):
        with pytest.raises(InputError, match="level1, level2 or level3"):
            EmotionTrack.parse(bad)


def test_an_emotion_fades_into_another_without_a_gap():
    track = EmotionTrack.parse("0:happy:0.9:smooth,2:sad:0.9,4:neutral:0")
    weights = track.sample(50, 201)
    assert weights[:101].sum(1) == pytest.approx(0.9, abs=1e-5)
    assert np.abs(np.diff(weights, axis=0)).max() < 0.03
    assert weights[200].sum() == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("joyful:0.5", "Unknown emotion"),
        ("happy:1.5", "0-1"),
        ("happy:-0.1", "0-1"),
        ("happy:nan", "0-1"),
        ("1:happy:0.5,0.5:sad:1", "time order"),
        ("1:happy:0.5,1:sad:1", "time order"),
        ("-1:happy:0.5", "0 s or later"),
        ("a:happy:b", "TIME:LABEL:INTENSITY"),
        ("", "TIME:LABEL:INTENSITY"),
        ("1:happy:0.5:bouncy", "interpolation"),
    ],
)
def test_bad_emotions_are_refused_in_one_sentence(text, says):
    with pytest.raises(InputError, match=says):
        EmotionTrack.parse(text)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": 3}', '{"keys": [{}]}', '{"keys": []}'])
def test_bad_emotion_files_are_refused(text):
    with pytest.raises(InputError):
        EmotionTrack.from_json(text)


def test_aliases_of_the_papers_are_accepted():
    assert EmotionKey(0, "Happiness", 1).label == "happy"
    assert EmotionKey(0, "calm", 1).label == "neutral"
    assert EmotionKey(0, "disappointed", 1).label == "sad"


@pytest.mark.parametrize(
    "options",
    [
        {"frame_rate": 0}, {"frame_rate": float("nan")}, {"size": 3}, {"pose": "wild"}, {"renderer": "magic"},
        {"strengths": {"ears": 1}}, {"strengths": {"lips": 9}}, {"start": 3, "end": 2}, {"start": -1}, {"seed": -1},
    ],
)  # fmt: skip
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        ShotOptions(**options)


def test_waveforms_are_checked():
    with pytest.raises(InputError, match="shape"):
        Waveform(np.zeros((2, 5)), 16000)
    with pytest.raises(InputError, match="finite"):
        Waveform(np.full(5, np.nan), 16000)
    with pytest.raises(InputError, match="peak"):
        Waveform(np.full(5, 3.0), 16000)
    wave = Waveform(np.zeros(8000), 16000)
    assert wave.duration == 0.5
    with pytest.raises(ValueError):
        wave.samples[0] = 1


def test_curves_are_checked_and_rotations_normalised():
    turn = rest_rotations(3) * 2
    curves = AnimationCurves(("a", "b"), np.zeros((3, 2)), 25, turn, turn, turn)
    assert np.allclose(np.linalg.norm(curves.head_rotation, axis=1), 1)
    with pytest.raises(KeyError):
        curves.column("c")
    for bad in (
        {"names": ("a", "a")},
        {"weights": np.zeros((3, 3))},
        {"frame_rate": 0},
        {"head_rotation": np.zeros((3, 4))},
        {"layers": {"lips": np.zeros((2, 2))}},
    ):
        with pytest.raises(InputError):
            fields = {"names": ("a", "b"), "weights": np.zeros((3, 2)), "frame_rate": 25}
            AnimationCurves(**{**fields, "head_rotation": turn, "left_eye": turn, "right_eye": turn, **bad})


def test_coefficients_are_checked_and_weights_return():
    fields = {
        "identity": np.zeros(80),
        "texture": np.zeros(80),
        "expression": np.zeros((4, 64)),
        "rotation": np.zeros((4, 3)),
        "translation": np.zeros((4, 3)),
        "lighting": np.zeros(27),
        "frame_rate": 25.0,
    }
    face = FaceCoefficients(**fields)
    weights = np.random.default_rng(0).random((4, 64), np.float32)
    assert np.allclose(face.with_weights(weights).weights, weights, atol=1e-6)
    for name, bad in (("identity", np.zeros(79)), ("rotation", np.zeros((3, 3))), ("lighting", np.full(27, np.nan))):
        with pytest.raises(ValueError, match=name):
            FaceCoefficients(**{**fields, name: bad})
