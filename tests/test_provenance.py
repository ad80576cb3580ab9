"""Every video is labelled: a mark that survives re-encoding, a manifest that breaks when the file changes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

from backend.errors import InputError
from backend.inference.emotion_video import EmotionVideo
from backend.provenance.label import (
    NO_CONSENT,
    Label,
    Marking,
    identity_text,
    label_shot,
    provenance_record,
    sign_video,
)
from backend.provenance.signing import SigningCertificate, make_chain, own_certificate
from backend.provenance.verification import report_verification, verify
from backend.provenance.watermark import N_BITS, MarkNotFoundError, Watermark, codeword, patterns, read_mark
from backend.video import VideoWriter
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EmotionTrack

IDENTITY = 0x5EED_0F_B175
OPTIONS = ShotOptions()
CALM = EmotionTrack.parse("neutral:0")


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """A state folder of the test's own, and nothing chosen by the environment."""
    monkeypatch.setenv("EMORIG_STATE_DIR", str(tmp_path / "state"))
    for name in ("EMORIG_MARKING", "EMORIG_CERTIFICATE", "EMORIG_CERTIFICATE_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def moving(astronaut) -> list[np.ndarray]:
    """Three seconds of the portrait whose face region moves: RGB (512, 512, 3) uint8 at 12.5 frames per second."""
    rows, columns = np.mgrid[:512, :512].astype(np.float32)
    bump = np.exp(-((rows - 120) ** 2 + (columns - 225) ** 2) / (2 * 40.0**2))
    shifts = 6 * np.sin(np.arange(38) * 0.5)
    return [cv2.remap(astronaut, columns + s * bump, rows + s * bump, cv2.INTER_LINEAR) for s in shifts.astype("f4")]


def luma_of(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def as_yuv(image: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


@pytest.fixture(scope="module")
def marked(moving) -> list[av.VideoFrame]:
    """The moving portrait with the mark."""
    mark, frames = Watermark(IDENTITY, frame_rate=12.5), [as_yuv(image) for image in moving]
    for frame in frames:
        mark.apply(luma_of(frame))
    return frames


def reencoded(frames: list[av.VideoFrame], *, crf: int, side: int) -> list[np.ndarray]:
    """The luma of frames that went through H.264 at a size."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as box:
        stream = box.add_stream("libx264", rate=Fraction(25, 2))
        stream.width = stream.height = side
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": "veryfast"}
        for index, frame in enumerate(frames):
            scaled = frame.reformat(width=side, height=side, format="yuv420p")
            scaled.pts, scaled.time_base = index, Fraction(2, 25)
            box.mux(stream.encode(scaled))
        box.mux(stream.encode(None))
    with av.open(io.BytesIO(buffer.getvalue())) as box:
        return [frame.to_ndarray(format="gray") for frame in box.decode(video=0)]


@pytest.mark.parametrize(("crf", "side"), [(28, 512), (28, 720), (17, 360)])
def test_the_mark_survives_strong_compression_and_scaling(marked, crf, side):
    read = read_mark(reencoded(marked, crf=crf, side=side))
    assert read.identity == IDENTITY
    assert np.mean(read.received != codeword(IDENTITY)) <= 0.05


def test_the_mark_is_invisible(moving, marked):
    for image, frame in zip(moving[::5], marked[::5]):
        plain = as_yuv(image).to_ndarray(format="rgb24").astype(float)
        error = np.mean((frame.to_ndarray(format="rgb24") - plain) ** 2)
        assert 10 * np.log10(255**2 / error) >= 42.0


def test_on_flat_grounds_no_pixel_changes_by_more_than_a_level_and_on_black_none():
    """Half of the picture is texture, a quarter grey, a quarter black; a lone edge hides nothing beside it."""
    luma = np.full((512, 512), 150, np.uint8)
    luma[:256, :256] = 20
    luma[:, 300:] = np.random.default_rng(1).normal(120, 30, (512, 212)).clip(0, 255)
    plain = luma.copy()
    Watermark(IDENTITY, frame_rate=25).apply(luma)
    change = np.abs(luma.astype(int) - plain)
    assert change[20:236, 20:236].max() == 0
    assert change[:, :272].max() <= 1
    assert change[:, 340:].max() > 1


def test_flat_and_noisy_pictures_carry_the_mark_unseen():
    noise = np.random.default_rng(0)
    for picture in (np.full((360, 480), 128), noise.normal(120, 25, (480, 270)).clip(0, 255)):
        plain = picture.astype(np.uint8)
        luma, mark = plain.copy(), Watermark(IDENTITY, frame_rate=25)
        mark.apply(luma)
        assert read_mark([luma]).identity == IDENTITY
        assert 10 * np.log10(255**2 / np.mean((luma.astype(float) - plain) ** 2)) >= 42.0


def test_an_unmarked_picture_carries_nothing(moving):
    with pytest.raises(MarkNotFoundError):
        read_mark([luma_of(as_yuv(image)) for image in moving])
    with pytest.raises(MarkNotFoundError):
        read_mark([])


def test_bits_are_orthonormal_patterns_and_identities_differ_in_many():
    shapes = patterns()
    assert np.allclose(shapes @ shapes.T, np.eye(N_BITS), atol=1e-4)
    assert np.array_equal(codeword(IDENTITY), codeword(IDENTITY))
    assert np.sum(codeword(IDENTITY) != codeword(IDENTITY ^ 1)) > 4
    with pytest.raises(InputError):
        codeword(1 << 48)


def write_video(path: Path, sentence: Path, *, label: Label | None) -> Path:
    """Two seconds of a still portrait, 288 x 256, with the sentence, labelled as a shot's video is."""
    picture = cv2.resize(data.astronaut()[:, :, ::-1], (288, 256), interpolation=cv2.INTER_AREA)
    mark = None if label is None else label.watermark(25).apply
    with VideoWriter(path, width=288, height=256, frame_rate=25, audio=sentence, end=2, mark=mark) as writer:
        for _ in range(50):
            writer.write(np.ascontiguousarray(picture))
    if label is not None:
        sign_video(path, label)
    return path


def label_with(marking: Marking) -> Label | None:
    return label_shot(b"a portrait", b"a recording", emotion=CALM, options=OPTIONS, marking=marking)


def test_a_video_says_what_it_is_and_that_nobody_vouches_for_its_signer(tmp_path, sentence):
    marking = Marking(consent="Model release of 3 March")
    label = label_with(marking)
    video = write_video(tmp_path / "video.mp4", sentence, label=label)
    (tmp_path / "settings.json").write_text(json.dumps({"provenance": provenance_record(video, marking=marking)}))
    found = verify(video)
    assert found.findings == ()
    assert found.manifest.is_intact
    assert not found.manifest.is_trusted
    assert found.manifest.source_type == "trainedAlgorithmicMedia"
    assert found.manifest.consent == found.sidecar.consent == "Model release of 3 March"
    identity = identity_text(label.identity)
    assert found.manifest.watermark == found.watermark.identity == found.sidecar.watermark == identity
    assert found.sidecar.is_of_this_file
    assert report_verification(video) == 0
    with av.open(str(video)) as box:
        assert len(box.streams.audio) == 1
        assert sum(1 for _ in box.decode(video=0)) == 50


def test_an_emotion_video_is_an_ingredient_and_its_name_stays_here(tmp_path, sentence):
    (tmp_path / "secret project.mp4").write_bytes(b"a video of somebody")
    emotion = EmotionVideo(tmp_path / "secret project.mp4")
    label = label_shot(b"p", b"a", emotion=emotion, options=OPTIONS, marking=Marking())
    assert label.settings["emotion_video"]["sha256"] == hashlib.sha256(b"a video of somebody").hexdigest()
    video = write_video(tmp_path / "video.mp4", sentence, label=label)
    assert verify(video).manifest.is_intact
    assert b"secret project" not in video.read_bytes()


def test_a_trusted_root_makes_the_signer_trusted(tmp_path, sentence, capsys):
    video = write_video(tmp_path / "video.mp4", sentence, label=label_with(Marking()))
    root = own_certificate().chain.decode().partition("-----END CERTIFICATE-----")[2].strip()
    (tmp_path / "roots.pem").write_text(root)
    assert verify(video, trust=tmp_path / "roots.pem").manifest.is_trusted
    report_verification(video)
    assert "UNTRUSTED" in capsys.readouterr().out


def test_a_changed_byte_breaks_the_manifest(tmp_path, sentence):
    video = write_video(tmp_path / "video.mp4", sentence, label=label_with(Marking()))
    content = bytearray(video.read_bytes())
    content[-200] ^= 1
    video.write_bytes(content)
    found = verify(video)
    assert not found.manifest.is_intact
    assert "changed after" in found.findings[0]
    assert report_verification(video) == 1


def test_the_same_shot_gives_the_same_video_but_for_its_signature(tmp_path, sentence):
    plain = [write_video(tmp_path / f"{i}.mp4", sentence, label=None).read_bytes() for i in range(2)]
    assert plain[0] == plain[1]
    label = label_with(Marking())
    assert label.identity == label_with(Marking(consent="other words")).identity
    signed = [write_video(tmp_path / f"{i}.mp4", sentence, label=label) for i in range(2)]
    streams = []
    for path in signed:
        with av.open(str(path)) as box:
            streams.append([bytes(packet) for packet in box.demux()])
    assert streams[0] == streams[1]


def test_a_studio_may_mark_by_other_means_and_it_is_recorded(tmp_path, sentence, monkeypatch):
    monkeypatch.setenv("EMORIG_MARKING", "off")
    marking = Marking.chosen()
    assert label_with(marking) is None
    video = write_video(tmp_path / "video.mp4", sentence, label=None)
    record = provenance_record(video, marking=marking)
    assert record["marked_by"] == "other means"
    assert record["watermark"] is None
    assert record["consent"] == NO_CONSENT
    assert "neither" in verify(video).findings[0]
    monkeypatch.setenv("EMORIG_MARKING", "perhaps")
    with pytest.raises(InputError, match="'on' or 'off'"):
        Marking.chosen()


def test_the_users_own_certificate_signs(tmp_path, sentence):
    chain, key = make_chain()
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    marking = Marking.chosen(certificate=tmp_path / "chain.pem", key=tmp_path / "key.pem")
    video = write_video(tmp_path / "video.mp4", sentence, label=label_with(marking))
    (tmp_path / "roots.pem").write_bytes(chain)
    assert verify(video, trust=tmp_path / "roots.pem").manifest.is_trusted
    assert not (tmp_path / "state").exists()


def test_certificates_that_cannot_sign_are_one_sentence(tmp_path):
    chain, _ = make_chain()
    _, stranger = make_chain()
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(stranger)
    with pytest.raises(InputError, match="does not belong"):
        SigningCertificate.read(tmp_path / "chain.pem", tmp_path / "key.pem")
    (tmp_path / "key.pem").write_bytes(b"no key")
    with pytest.raises(InputError, match="PEM"):
        SigningCertificate.read(tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(InputError, match=r"absent\.pem"):
        SigningCertificate.read(tmp_path / "absent.pem", tmp_path / "key.pem")
    with pytest.raises(InputError, match="both or neither"):
        Marking(certificate=tmp_path / "chain.pem")


def test_the_self_made_key_is_this_users_alone_and_stays(tmp_path):
    first = own_certificate()
    assert own_certificate() == first
    assert (tmp_path / "state" / "signing" / "key.pem").stat().st_mode & 0o077 == 0


def test_verify_answers_other_files_with_a_sentence(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError):
        verify(tmp_path / "text.mp4")
    run = [sys.executable, "-m", "backend", "verify", str(tmp_path / "absent.mp4")]
    refused = subprocess.run(run, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert refused.returncode == 2
    assert "There is no video" in refused.stderr
