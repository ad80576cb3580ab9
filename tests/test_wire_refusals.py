"""Whatever is not a proper message is refused with a sentence, before anything is allocated for it."""

from __future__ import annotations

import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender_addon.protocol import codec
from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.errors import InputError, ProtocolError
from blender_addon.protocol.messages import Curves, Hello, Ping, Refused, Submit, UploadPart, new_job_name
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

JOB = new_job_name()


def header(kind: object = "ping", fields: object = None, buffers: object = (), *, version: object = 1) -> bytes:
    """A header as a stranger might write it."""
    fields = {"stamp": 1.0} if fields is None else fields
    return msgpack.packb(["emorig", version, kind, fields, list(buffers)])


def curve_parts() -> list[bytes]:
    """The parts of a good message of curves, 3 frames of 2 channels."""
    rest = np.tile([1.0, 0, 0, 0], (3, 1))
    curves = AnimationCurves(("a", "b"), np.full((3, 2), 0.5), 25, rest, rest, rest, layers={"lips": np.zeros((3, 2))})
    return [bytes(part) for part in encode(Curves(JOB, 0, curves))]


def with_buffer(row: list, place: int = 0) -> list[bytes]:
    """curve_parts() with one buffer described differently."""
    parts = curve_parts()
    value = msgpack.unpackb(parts[0])
    value[4][place] = row
    return [msgpack.packb(value), *parts[1:]]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"\xc1"],
        [b"GET / HTTP/1.1\r\n\r\n"],
        [msgpack.packb({"kind": "ping"})],
        [msgpack.packb(["emorig", 1, "ping"])],
        [msgpack.packb(["EMORIG", 1, "ping", {"stamp": 1.0}, []])],
        [header(version="1")],
        [header(kind=3)],
        [header(fields=[])],
        [header(buffers=[1])],
        [header(), b"one buffer too many"],
        [header(buffers=[["bytes", [4]]])],
        [header(kind="__import__")],
        [header(fields={})],
        [header(fields={"stamp": 1.0, "more": 2})],
        [header(fields={"stamp": "1"})],
        [header(fields={"stamp": float("nan")})],
        [header(fields={"stamp": True})],
        [header("cancel", {"job": 7})],
        [header("upload", {"job": JOB, "upload": "audio", "offset": 0, "data": 0})],
        [header("upload", {"job": JOB, "upload": "audio", "offset": 0, "data": -1}, [["bytes", [1]]]), b"x"],
        [header("upload", {"job": JOB, "upload": "audio", "offset": 0, "data": 0}, [["uint8", [1]]]), b"x"],
        [header("upload", {"job": JOB, "upload": "audio", "offset": 0, "data": 0}, [["bytes", [1, 1]]]), b"x"],
        [b"\x95\xa6emorig\x01\xa4ping\xc9\xff\xff\xff\xff\x01\x90"],
        [header() + b"more"],
        [header(), *[b""] * 65],
    ],
)
def test_malformed_messages_are_refused(parts):
    with pytest.raises(ProtocolError) as caught:
        decode(parts)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize(
    "row",
    [
        ["float32", [1 << 62, 1 << 62]],
        ["float32", [1 << 31, 2]],
        ["float32", [-3, -2]],
        ["float32", [0, 1 << 62]],
        ["float32", [3]],
        ["float32", [3, 2, 1, 1, 1]],
        ["float32", [3.0, 2]],
        ["float32", "32"],
        ["float64", [3, 2]],
        ["int32", [3, 2]],
        ["object", [3, 2]],
        ["float16", [3, 4]],
        [">f4", [3, 2]],
        ["bytes", [24]],
        [["float32"], [3, 2]],
        "float32",
    ],
)
def test_buffers_that_are_not_as_described_are_refused(row):
    with pytest.raises(InputError):
        decode(with_buffer(row))


def test_a_huge_claimed_shape_allocates_nothing():
    parts = with_buffer(["float32", [1 << 20, 1 << 10]])
    tracemalloc.start()
    with pytest.raises(ProtocolError, match="bytes"):
        decode(parts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("length", [0, 1, 23, 25])
def test_a_truncated_or_longer_buffer_is_refused(length):
    parts = curve_parts()
    parts[1] = bytes(length)
    with pytest.raises(ProtocolError, match="should have 24 bytes"):
        decode(parts)


def test_weights_that_are_no_numbers_are_refused():
    parts = curve_parts()
    parts[1] = np.full((3, 2), np.nan, np.float32).tobytes()
    with pytest.raises(InputError, match="finite"):
        decode(parts)


@pytest.mark.parametrize("depth", [9, 200, 5000])
@pytest.mark.parametrize("is_list", [True, False])
def test_deep_nesting_is_refused(depth, is_list):
    inner = b"\x91" * depth + b"\x90" if is_list else b"\x81\xa1a" * depth + b"\x80"
    nested = b"\x95\xa6emorig\x01\xa4ping\x81\xa5stamp" + inner + b"\x90"
    with pytest.raises(ProtocolError):
        decode([nested])


def test_messages_beyond_the_limits_are_refused(monkeypatch):
    monkeypatch.setattr(codec, "MAX_HEADER_BYTES", 100)
    with pytest.raises(ProtocolError, match="header"):
        decode([bytes(101)])
    monkeypatch.setattr(codec, "MAX_MESSAGE_BYTES", 1000)
    with pytest.raises(ProtocolError, match="1000 bytes"):
        decode([header(), bytes(1000)])
    monkeypatch.setattr(codec, "MAX_BUFFER_BYTES", 100)
    with pytest.raises(ProtocolError, match="at most 100"):
        decode([bytes(p) for p in encode(UploadPart(JOB, "audio", 0, bytes(101)))])


def test_another_version_is_named_with_ours_and_what_to_do():
    with pytest.raises(ProtocolError) as caught:
        decode([header(version=7)])
    assert "version 7" in str(caught.value)
    assert "version 1" in str(caught.value)
    assert "install" in str(caught.value)


def test_hello_and_refusal_are_read_in_every_version():
    hello = Hello((7, 8), "client", "token")
    refusal = Refused("version", "no")
    assert decode(encode(hello, version=8)) == hello
    assert decode(encode(refusal, version=8)) == refusal


def test_bad_options_on_the_wire_keep_their_own_sentence():
    submit = Submit(JOB, "a.wav", 10, EmotionTrack.parse("happy:0.8"), ShotOptions())
    value = msgpack.unpackb(encode(submit)[0])
    value[3]["options"]["frame_rate"] = 5000.0
    with pytest.raises(InputError, match="1-120 frames per second"):
        decode([msgpack.packb(value)])
    value[3]["options"]["frame_rate"] = 25.0
    value[3]["emotion"]["keys"][0]["label"] = "hangry"
    with pytest.raises(InputError, match="Unknown emotion"):
        decode([msgpack.packb(value)])


def test_an_array_of_an_unknown_dtype_is_not_sent():
    rest = np.tile([1.0, 0, 0, 0], (1, 1))
    coefficients = {"identity": np.zeros(3, np.complex64)}
    curves = AnimationCurves(("a",), np.zeros((1, 1)), 25, rest, rest, rest, coefficients=coefficients)
    with pytest.raises(ProtocolError, match="complex64"):
        encode(Curves(JOB, 0, curves))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_noise_is_refused(parts):
    with pytest.raises(ProtocolError):
        decode(parts)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_message_is_refused_or_still_a_message(data):
    parts = curve_parts()
    place = data.draw(st.integers(0, len(parts) - 1))
    damaged = bytearray(parts[place])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    parts[place] = bytes(damaged)
    try:
        assert type(decode(parts)) in (Curves, Ping)
    except InputError as error:
        assert str(error)
