"""Every message comes out of the wire as it went in."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.errors import ProtocolError
from blender_addon.protocol.messages import (
    MESSAGES,
    Accepted,
    Cancel,
    Cancelled,
    Curves,
    Failed,
    Finished,
    Frame,
    Hello,
    JobSummary,
    Notice,
    Ping,
    Pong,
    Progress,
    Queued,
    Refused,
    Resume,
    Status,
    StatusRequest,
    Submit,
    UploadPart,
    VideoPart,
    Welcome,
    new_job_name,
)
from blender_addon.protocol.options import LAYERS, Script, ShotOptions
from blender_addon.protocol.types import EMOTIONS, AnimationCurves, EmotionKey, EmotionTrack, Phone

text = st.text(max_size=40)
job = st.builds(new_job_name)
count = st.integers(0, 1 << 31)
sequence = st.integers(-1, 1 << 40)
seconds = st.floats(0, 1e6)
data = st.binary(min_size=1, max_size=200)


@st.composite
def curves(draw) -> AnimationCurves:
    n_frames, n_channels = draw(st.integers(0, 5)), draw(st.integers(0, 4))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    turns = random.normal(size=(3, n_frames, 4)) + 0.01
    layers = {name: random.random((n_frames, n_channels)) for name in draw(st.sets(text, max_size=3))}
    coefficients = {
        "identity": random.normal(size=80).astype(np.float32),
        "rotation": random.normal(size=(n_frames, 3)),
        "model": draw(text),
        "frame_rate": 25.0,
        "names": ("a", "b"),
        "texture_change": None,
    }
    return AnimationCurves(
        names=tuple(f"channel{i}" for i in range(n_channels)),
        weights=random.random((n_frames, n_channels)),
        frame_rate=draw(st.floats(1, 120)),
        head_rotation=turns[0],
        left_eye=turns[1],
        right_eye=turns[2],
        layers=layers,
        phones=tuple(draw(st.lists(st.builds(Phone, seconds, seconds, text), max_size=3))),
        coefficients=draw(st.sampled_from([None, coefficients])),
    )


@st.composite
def frames(draw) -> Frame:
    width, height = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    encoding = draw(st.sampled_from(["rgb", "jpeg"]))
    size = width * height * 3 if encoding == "rgb" else draw(st.integers(0, 50))
    pixels = draw(st.binary(min_size=size, max_size=size))
    return Frame(draw(job), draw(sequence), draw(count), width, height, encoding, pixels)


@st.composite
def video_parts(draw) -> VideoPart:
    piece, offset, rest = draw(data), draw(st.integers(0, 1 << 31)), draw(st.integers(0, 1000))
    return VideoPart(draw(job), draw(sequence), offset, offset + len(piece) + rest, piece)


intensity = st.floats(0, 1)
keys = st.builds(
    EmotionKey, seconds, st.sampled_from([*EMOTIONS, "neutral"]), intensity, st.sampled_from(["linear", "smooth"])
)
tracks = st.lists(keys, min_size=1, max_size=4, unique_by=lambda key: key.time).map(
    lambda found: EmotionTrack(tuple(sorted(found, key=lambda key: key.time)))
)
options = st.builds(
    ShotOptions,
    frame_rate=st.floats(1, 120),
    size=st.none() | st.integers(64, 4096),
    pose=st.sampled_from(["natural", "still"]),
    strengths=st.dictionaries(st.sampled_from(LAYERS), st.floats(0, 2)),
    seed=count,
    renderer=st.sampled_from([None, "warp"]),
    start=st.floats(0, 10),
    end=st.none() | st.floats(11, 100),
    muted=st.lists(st.sampled_from(LAYERS), unique=True).map(tuple),
    seeds=st.dictionaries(st.sampled_from(LAYERS), count),
    script=st.builds(Script, st.none() | text, st.sampled_from(["en", "pt-br"]), st.tuples(st.just(Phone(0, 1, "M")))),
)
summaries = st.builds(JobSummary, job, st.just("running"), text, count, count, count, count)

STRATEGIES = {
    Hello: st.builds(Hello, st.tuples(count), text, text, text),
    Welcome: st.builds(Welcome, count, text, text, text, st.tuples(text, text)),
    Refused: st.builds(Refused, st.sampled_from(["version", "token"]), text),
    Submit: st.builds(
        Submit,
        job=job,
        audio_name=text,
        audio_size=st.integers(1, 1 << 29),
        emotion=tracks,
        options=options,
        portrait_name=text,
        portrait_size=st.integers(0, 1 << 26),
        curves=st.none() | curves(),
        frame_encoding=st.sampled_from(["jpeg", "rgb", "none"]),
        frame_size=st.none() | st.integers(16, 8192),
    ),
    UploadPart: st.builds(UploadPart, job, st.sampled_from(["audio", "portrait"]), st.integers(0, 1 << 29), data),
    Accepted: st.builds(Accepted, job, sequence, count),
    Queued: st.builds(Queued, job, count),
    Progress: st.builds(Progress, job, text, count, count, seconds),
    Notice: st.builds(Notice, job, sequence, text),
    Curves: st.builds(Curves, job, sequence, curves()),
    Frame: frames(),
    VideoPart: video_parts(),
    Finished: st.builds(Finished, job, sequence, count, seconds),
    Failed: st.builds(Failed, job, sequence, text),
    Cancelled: st.builds(Cancelled, job, sequence),
    Cancel: st.builds(Cancel, job),
    Resume: st.builds(Resume, job, sequence),
    Ping: st.builds(Ping, seconds),
    Pong: st.builds(Pong, seconds),
    StatusRequest: st.just(StatusRequest()),
    Status: st.builds(
        Status, seconds, text, st.tuples(count), count, count, count, count, st.lists(summaries, max_size=3).map(tuple)
    ),
}


def assert_same(came: object, went: object) -> None:
    """Field by field; arrays by dtype and value, rotations to the rounding of normalising them once more."""
    assert type(came) is type(went)
    if isinstance(went, np.ndarray):
        assert came.dtype == went.dtype
        np.testing.assert_allclose(came, went, atol=1e-6, rtol=0)
    elif isinstance(went, dict):
        assert list(came) == list(went) or set(came) == set(went)
        for name in went:
            assert_same(came[name], went[name])
    elif hasattr(went, "__dataclass_fields__"):
        for field in fields(went):
            assert_same(getattr(came, field.name), getattr(went, field.name))
    else:
        assert came == went


def test_every_listed_message_is_tested():
    assert set(STRATEGIES) == set(MESSAGES.values())


@pytest.mark.parametrize("kind", list(MESSAGES))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_message_comes_out_as_it_went_in(kind, data):
    message = data.draw(STRATEGIES[MESSAGES[kind]])
    assert_same(decode([bytes(part) for part in encode(message)]), message)


def test_weights_and_coefficients_keep_every_bit():
    random = np.random.default_rng(1)
    weights = random.random((200, 64)).astype(np.float32)
    rest = np.tile([1.0, 0, 0, 0], (200, 1))
    coefficients = {"expression": random.normal(size=(200, 64)).astype(np.float32)}
    sent = AnimationCurves(tuple(map(str, range(64))), weights, 25, rest, rest, rest, coefficients=coefficients)
    came = decode([bytes(p) for p in encode(Curves(new_job_name(), 3, sent))]).curves
    assert np.array_equal(came.weights, weights)
    assert np.array_equal(came.coefficients["expression"], coefficients["expression"])


def test_decoded_arrays_cannot_be_written():
    rest = np.tile([1.0, 0, 0, 0], (2, 1))
    sent = AnimationCurves(("a",), np.zeros((2, 1)), 25, rest, rest, rest)
    came = decode([bytes(p) for p in encode(Curves(new_job_name(), 0, sent))]).curves
    with pytest.raises(ValueError, match="read-only"):
        came.weights[0] = 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: Cancel("../../etc/passwd"),
        lambda: Cancel(new_job_name().upper()),
        lambda: Frame(new_job_name(), 0, 0, 4, 4, "rgb", b"short"),
        lambda: Frame(new_job_name(), 0, 0, 4, 4, "png", b""),
        lambda: UploadPart(new_job_name(), "passwords", 0, b"x"),
        lambda: UploadPart(new_job_name(), "audio", 0, bytes((1 << 20) + 1)),
        lambda: VideoPart(new_job_name(), 0, 90, 100, bytes(11)),
        lambda: Hello((), "client", "token"),
        lambda: Hello((1,), "client", "x" * 1000),
        lambda: Refused("because", "no"),
    ],
)
def test_a_message_out_of_range_cannot_be_built(build):
    with pytest.raises(ProtocolError):
        build()
