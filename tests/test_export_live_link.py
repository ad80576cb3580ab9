"""Live Link Face: the app's CSV byte for byte, the strict reader, and the packets of the live stream."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import replace

import numpy as np
import pytest
from curve_samples import performance_curves

from backend.errors import InputError
from backend.export import live_link_csv as live_link
from backend.export.live_link_udp import decode, encode, parse_address, send
from backend.export.options import ExportOptions
from blender_addon.protocol.types import ARKIT_NAMES

# The header of a capture made with the app.
CAPTURED_HEADER = (
    "Timecode,BlendshapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,"
    "EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,"
    "EyeWideRight,JawForward,JawRight,JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,"
    "MouthSmileLeft,MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,"
    "MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,"
    "MouthLowerDownLeft,MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


@pytest.fixture(scope="module")
def curves():
    return performance_curves()


@pytest.fixture
def capture(curves, tmp_path):
    path = tmp_path / "Shot_1_Head.csv"
    live_link.write(curves, path, ExportOptions())
    return path


def edited(path, change):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(change(lines)) + "\n")
    return path


def test_the_header_is_the_apps_byte_for_byte(capture):
    first = capture.read_bytes().split(b"\n", 1)[0]
    assert first == CAPTURED_HEADER.encode() and len(first.split(b",")) == 63
    assert b"\r" not in capture.read_bytes()


def test_each_column_holds_the_channel_it_names(curves, capture):
    rows = [line.split(",") for line in capture.read_text().splitlines()]
    for name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "jawOpen", "tongueOut"):
        column = rows[0].index(name[0].upper() + name[1:])
        assert float(rows[7][column]) == pytest.approx(curves.column(name)[6], abs=1e-7), name
    assert all(len(row) == 63 and row[1] == "61" and all(row) for row in rows[1:])


@pytest.mark.parametrize(("rate", "step"), [(60.0, 1.0), (30.0, 2.0), (25.0, 2.4), (24.0, 2.5)])
def test_the_timecode_counts_sixtieths_whatever_the_rate(rate, step):
    codes = live_link.timecodes(4, rate)
    assert codes[0] == "00:00:00:00.000"
    assert [float(code.rpartition(":")[2]) for code in codes] == pytest.approx([0, step, 2 * step, 3 * step])


@pytest.mark.parametrize("rate", [24000 / 1001, 30000 / 1001, 60.0])
def test_timecodes_carry_and_never_run_back(rate):
    n_frames = int(rate * 3700)
    codes = live_link.timecodes(n_frames, rate)
    seconds = np.array([live_link.seconds_of(code, 0) for code in codes])
    assert np.abs(seconds - np.arange(n_frames) / rate).max() < 1e-5
    assert codes[-1].startswith("01:01:")


def test_the_right_eye_first_order_of_older_apps_is_read_by_name(curves, capture):
    def reorder(lines):
        rows = [line.split(",") for line in lines]
        order = [0, 1, *range(9, 16), *range(2, 9), *range(16, 63)]
        return [",".join(row[i] for i in order) for row in rows]

    back = live_link.read(edited(capture, reorder))
    order = [back.names.index(name) for name in curves.names]
    assert np.abs(back.weights[:, order] - curves.weights).max() < 1e-7


def test_degrees_are_told_from_radians(curves, tmp_path):
    path = tmp_path / "a.csv"
    big = replace(curves, head_rotation=performance_curves(60).head_rotation)
    live_link.write(big, path, ExportOptions(degrees=True))
    back = live_link.read(path)
    assert np.abs(back.head_rotation - big.head_rotation).max() < 1e-5


def test_dropped_frames_are_filled_in_time(curves, capture):
    back = live_link.read(edited(capture, lambda lines: lines[:20] + lines[22:]))
    assert back.n_frames == curves.n_frames and back.frame_rate == 30.0
    order = [back.names.index(name) for name in curves.names]
    assert np.abs(back.weights[30:, order] - curves.weights[30:]).max() < 1e-5
    middle = curves.weights[18] * 2 / 3 + curves.weights[21] / 3
    assert np.abs(back.weights[19, order] - middle).max() < 1e-4


def test_a_capture_that_starts_at_the_time_of_day_starts_at_zero(curves, capture):
    back = live_link.read(edited(capture, lambda lines: [line.replace("00:00:", "14:05:", 1) for line in lines]))
    assert back.n_frames == curves.n_frames


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:1], "no frames"),
        (lambda lines: [lines[0].replace("Timecode", "Time"), *lines[1:]], "no curve table"),
        (lambda lines: [lines[0], lines[1] + ",0", *lines[2:]], "row 2 has 64 cells"),
        (lambda lines: [lines[0], lines[1].replace(",61,", ",61,,", 1).rsplit(",", 1)[0], *lines[2:]], "row 2"),
        (lambda lines: [lines[0], lines[1].rsplit(",", 1)[0] + ",nan", *lines[2:]], "RightEyeRoll"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "rise"),
        (lambda lines: [lines[0], lines[1].replace("00:00:00:00.000", "00:00:00:61.000"), *lines[2:]], "ff under 60"),
        (lambda lines: [lines[0].replace("JawLeft", "JawRight"), *lines[1:]], "twice"),
        (lambda lines: ["Timecode,BlendshapeCount,Nose", "00:00:00:00.000,1,0"], "none of ARKit"),
    ],
)
def test_what_unreal_would_refuse_is_refused(capture, change, says):
    from backend.export.formats import read_curves

    with pytest.raises(InputError, match=says):
        read_curves(edited(capture, change))


def test_the_file_name_rule_is_told(tmp_path):
    assert live_link.advise(tmp_path / "Shot_1_Head.csv") is None
    assert live_link.advise(tmp_path / "Shot_1_Head_cal.csv") is None
    assert "SLATE_TAKE_SUBJECT" in live_link.advise(tmp_path / "curves.csv")


def test_a_packet_is_laid_out_as_the_app_sends_it():
    values = np.linspace(0, 1, 61, dtype=np.float32)
    data = encode(values, frame=7, frame_rate=30000 / 1001, subject="Ann", device="D" * 36)
    assert data[:5] == b"\x06\x00\x00\x00\x24" and data[5:41] == b"D" * 36
    assert data[41:48] == b"\x00\x00\x00\x03Ann"
    assert struct.unpack("!ifiiB", data[48:65]) == (7, 0.0, 30000, 1001, 61)
    assert np.array_equal(np.frombuffer(data[65:], ">f4"), values)
    packet = decode(data)
    assert packet.subject == "Ann" and packet.frame == 7 and np.array_equal(packet.values, values)


@pytest.mark.parametrize("data", [b"", b"\x06", b"\x06\xff\xff\xff\xff", b"\x06" + b"\0" * 400])
def test_other_packets_are_refused(data):
    with pytest.raises(InputError, match="no Live Link Face packet"):
        decode(data)


def test_a_stream_arrives_in_order_and_in_time():
    curves = performance_curves(12, 60.0)
    packets = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)

        def listen():
            while len(packets) < curves.n_frames:
                packets.append(decode(listener.recv(2048)))

        thread = threading.Thread(target=listen)
        thread.start()
        send(curves, listener.getsockname(), subject="Héro")
        thread.join(10)
    assert [packet.frame for packet in packets] == list(range(12)) and packets[0].subject == "Héro"
    jaw = ARKIT_NAMES.index("jawLeft")
    assert [packet.values[jaw] for packet in packets] == pytest.approx(curves.column("jawLeft").tolist())
    assert packets[5].values[52] == pytest.approx(live_link.live_link_values(curves, ARKIT_NAMES)[5, 52], abs=1e-6)


@pytest.mark.parametrize("text", ["", ":11111", "host:0", "host:x", "host:70000"])
def test_addresses_are_checked(text):
    with pytest.raises(InputError, match="HOST:PORT"):
        parse_address(text)
    assert parse_address("localhost") == ("localhost", 11111) and parse_address("[::1]:5") == ("::1", 5)
