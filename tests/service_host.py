"""What the tests of the service share: a service in a thread, shots to hand in, raw sockets to misbehave with."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from backend.service.server import serve
from blender_addon.client import Client
from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.discovery import FOLDER_VARIABLE
from blender_addon.protocol.messages import SUPPORTED_VERSIONS, Hello, Welcome
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EmotionTrack

TOKEN = "a token of the tests"
HAPPY = EmotionTrack.parse("happy:0.8")


@dataclass(frozen=True)
class Host:
    """A running service: its address, and the folder with the file by which clients find it."""

    address: str
    state_folder: Path

    def client(self, **options) -> Client:
        """A client that has the token and has been welcomed."""
        client = Client(self.address, token=TOKEN, **options)
        client.connect()
        return client

    @contextlib.contextmanager
    def raw(self, *, has_said_hello: bool = True) -> Iterator[zmq.Socket]:
        """A bare socket to the service; messages wait 2 s at most."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.setsockopt(zmq.RCVTIMEO, 2000)
            dealer.connect(self.address)
            if has_said_hello:
                dealer.send_multipart(encode(Hello(SUPPORTED_VERSIONS, "raw", TOKEN)))
                assert isinstance(decode(dealer.recv_multipart()), Welcome)
            yield dealer


@contextlib.contextmanager
def running_service(folder: Path, *, host: str = "127.0.0.1", port: int = 0, token: str = TOKEN, **options):
    """A Host that serves the test's job function until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        stop, lines, has_started = threading.Event(), [], threading.Event()

        def announce(line: str) -> None:
            lines.append(line)
            has_started.set()

        arguments = {"job_function": "service_job:make_by_name", "stop": stop, "announce": announce} | options
        thread = threading.Thread(target=serve, args=(host, port), kwargs={"token": token, **arguments})
        thread.start()
        try:
            assert has_started.wait(10)
            yield Host(next(word for word in lines[0].split() if word.startswith("tcp://")).rstrip(";"), folder)
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()


def hand_in(client: Client, audio: bytes = b"speech", **options) -> str:
    """Submits a shot whose audio is the order for service_job."""
    arguments = {"audio_name": "line.wav", "emotion": HAPPY, "options": ShotOptions()} | options
    return client.submit(audio, **arguments)


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
