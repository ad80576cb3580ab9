"""docs/wire.md says what really goes over the wire: its bytes are sent to a service, its table is the list of kinds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from service_host import running_service

from blender_addon.protocol.codec import decode, encode
from blender_addon.protocol.messages import MESSAGES, Hello, Ping, Pong, UploadPart, Welcome

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "wire.md"


@pytest.fixture(scope="module")
def example() -> dict[str, bytes]:
    """Title of each block of the document to its bytes."""
    blocks = re.findall(r"^```(\S[^\n]*)\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {
        title: bytes.fromhex(" ".join(line.partition("#")[0] for line in body.splitlines())) for title, body in blocks
    }


def test_the_example_is_what_the_encoder_writes(example):
    hello = Hello((1,), "example client", "example token", "docs")
    part = UploadPart("0123456789abcdef" * 2, "audio", 0, b"RIFF")
    assert [example["hello"]] == encode(hello)
    assert [example["ping"]] == encode(Ping(1.5))
    assert [example["pong"]] == encode(Pong(1.5))
    assert [example["upload header"], example["upload buffer"]] == encode(part)
    assert decode([example["upload header"], example["upload buffer"]]) == part


def test_a_service_answers_the_example_as_documented(example, tmp_path):
    with running_service(tmp_path, token="example token") as host, host.raw(has_said_hello=False) as dealer:
        dealer.send(example["hello"])
        assert isinstance(decode(dealer.recv_multipart()), Welcome)
        dealer.send(example["ping"])
        assert dealer.recv_multipart() == [example["pong"]]


def test_the_table_lists_every_kind():
    table = re.findall(r"^\| (`.*?) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert {kind for cell in table for kind in re.findall(r"`(\S+)`", cell)} == set(MESSAGES)
