"""The real pipeline behind the service: a portrait speaks over the wire, and again from its curves."""

from __future__ import annotations

import io
import time

import av
import cv2
import numpy as np
import pytest
from service_host import hand_in, running_service

from backend.service.server import DEFAULT_JOB_FUNCTION
from blender_addon.client import Video
from blender_addon.protocol.layers import cut
from blender_addon.protocol.messages import Cancelled, Curves, Failed, Finished, Frame
from blender_addon.protocol.options import ShotOptions

SIZE = 128
SECONDS = 0.6


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running_service(tmp_path_factory.mktemp("state"), job_function=DEFAULT_JOB_FUNCTION) as host:
        yield host


@pytest.fixture(scope="module")
def photo(astronaut) -> bytes:
    """The portrait as a PNG file's bytes."""
    return cv2.imencode(".png", astronaut[..., ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def shot(service, photo, sentence) -> list:
    """All messages of a short shot."""
    options = ShotOptions(size=SIZE, end=SECONDS)
    with service.client() as client:
        job = hand_in(client, sentence.read_bytes(), options=options, portrait=photo, portrait_name="p.png")
        return list(client.wait(job, timeout=120))


def of_kind(messages: list, kind: type) -> list:
    return [message for message in messages if isinstance(message, kind)]


def test_a_portrait_speaks_over_the_wire(shot):
    kinds = [type(m) for m in shot if isinstance(m, Curves | Frame | Video | Finished | Failed)]
    n_frames = round(SECONDS * 25)
    assert kinds == [Curves, *[Frame] * n_frames, Video, Finished]
    (curves,) = of_kind(shot, Curves)
    assert curves.curves.n_frames == n_frames
    assert curves.curves.coefficients
    assert {min(frame.width, frame.height) for frame in of_kind(shot, Frame)} == {SIZE}
    with av.open(io.BytesIO(of_kind(shot, Video)[0].data)) as video:
        assert sum(1 for _ in video.decode(video=0)) == n_frames
        assert len(video.streams.audio) == 1


def test_its_own_curves_render_the_same_pictures_again(service, photo, sentence, shot):
    curves = of_kind(shot, Curves)[0].curves
    with service.client() as client:
        options = ShotOptions(size=SIZE, end=SECONDS)
        job = hand_in(
            client, sentence.read_bytes(), options=options, portrait=photo, portrait_name="p.png", curves=curves
        )
        again = list(client.wait(job, timeout=120))
    assert isinstance(again[-1], Finished), again[-1]
    assert [f.data for f in of_kind(again, Frame)] == [f.data for f in of_kind(shot, Frame)]


def test_a_still_is_a_frame_without_a_video(service, photo, sentence, shot):
    """The same picture as in the video of these curves, and nothing is encoded."""
    curves = cut(of_kind(shot, Curves)[0].curves, 3, 4)
    with service.client() as client:
        options = ShotOptions(size=SIZE)
        job = hand_in(
            client, sentence.read_bytes(), options=options, portrait=photo, portrait_name="p.png", curves=curves,
            is_still=True,
        )  # fmt: skip
        messages = list(client.wait(job, timeout=120))
    (frame,) = of_kind(messages, Frame)
    assert isinstance(messages[-1], Finished) and not of_kind(messages, Video)
    pictures = [
        cv2.imdecode(np.frombuffer(f.data, np.uint8), 1).astype(float) for f in (frame, of_kind(shot, Frame)[3])
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() < 1.0


def test_curves_alone_need_no_portrait(service, sentence):
    with service.client() as client:
        messages = list(client.wait(hand_in(client, sentence.read_bytes()), timeout=120))
    assert isinstance(messages[-1], Finished), messages[-1]
    (curves,) = of_kind(messages, Curves)
    assert curves.curves.n_frames > 50
    assert np.ptp(curves.curves.column("jawOpen")) > 0.1
    assert not of_kind(messages, Frame) + of_kind(messages, Video)


@pytest.mark.parametrize("audio", [b"no sound at all", b"RIFF\0\0\0\0WAVEfmt "])
def test_what_the_user_must_mend_comes_back_as_one_sentence_about_the_users_file(service, audio):
    with service.client() as client:
        last = list(client.wait(hand_in(client, audio), timeout=60))[-1]
    assert isinstance(last, Failed)
    assert "line.wav" in last.reason
    assert "unexpected" not in last.reason
    assert "/" not in last.reason


def test_rendering_stops_within_half_a_second(service, photo, sentence):
    with service.client() as client:
        job = hand_in(client, sentence.read_bytes(), portrait=photo, portrait_name="p.png")
        for message in client.wait(job, timeout=120):
            assert not isinstance(message, Failed), message
            if isinstance(message, Frame):
                break
        started = time.monotonic()
        client.cancel(job)
        last = list(client.wait(job, timeout=10))[-1]
    assert isinstance(last, Cancelled)
    assert time.monotonic() - started < 0.5
