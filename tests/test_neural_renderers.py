"""Neural renderers with made-up weights: flow of data, shapes, paste-back, and what is said without weights."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up_models import write_bfm2009
from narrow_networks import installed_networks, small_networks

from backend.checkpoints import store
from backend.errors import InputError
from backend.faces.models import import_model
from backend.neural import calibration, eamm, facevid2vid
from backend.neural.crop import FaceCrop, face_crop
from backend.pipeline import read_portrait
from backend.renderers import check_renderer
from bfm.coefficients import FaceCoefficients
from bfm.sources.embedded import load_embedded_model
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import Waveform

N_FRAMES = 3


@pytest.fixture
def networks(monkeypatch, tmp_path):
    """Narrow networks in place of imported ones, and empty folders of weights and models."""
    return installed_networks(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def portrait(astronaut):
    import cv2

    ok, encoded = cv2.imencode(".png", astronaut[..., ::-1])
    assert ok
    return read_portrait(encoded.tobytes())


def shot(portrait, **changes) -> FaceCoefficients:
    """The portrait's own rest over a few frames, with changes."""
    fit = portrait.fit
    held = {name: np.tile(getattr(fit, name), (N_FRAMES, 1)) for name in ("expression", "rotation", "translation")}
    still = {"identity": fit.identity, "texture": fit.texture, "lighting": fit.lighting, "frame_rate": 25.0}
    return FaceCoefficients(**still, **(held | changes))


def test_the_square_goes_back_where_it_came_from(astronaut):
    crop = FaceCrop(100, 40, 256)
    assert np.array_equal(crop.paste(astronaut, crop.cut(astronaut, 256).astype(np.float32) / 255), astronaut)
    beyond = FaceCrop(-50, -30, 300)
    assert beyond.cut(astronaut, 128).shape == (128, 128, 3)
    black = beyond.paste(astronaut, np.zeros((128, 128, 3), np.float32))
    assert not black[:200, :200].any()
    assert np.array_equal(black[270:], astronaut[270:])
    rows = crop.paste(astronaut, np.zeros((64, 64, 3), np.float32)).astype(int).sum(2)
    step = np.abs(np.diff(rows[168, 95:140] / np.maximum(astronaut[168, 95:140].astype(int).sum(1), 1)))
    assert step.max() < 0.15


def test_the_square_holds_the_face(portrait):
    landmarks = portrait.landmarks[load_embedded_model().landmarks_68, :2]
    crop = face_crop(landmarks)
    inside = (landmarks - [crop.left, crop.top]) / crop.side
    assert inside.min() > 0.1
    assert inside.max() < 0.95
    assert 0.4 < inside[:, 0].mean() < 0.6


@pytest.mark.parametrize("size", [128, 256])
def test_facevid2vid_draws_the_face_and_keeps_the_rest(networks, portrait, size, monkeypatch):
    monkeypatch.setattr(facevid2vid, "network_size", lambda side: size)
    renderer = facevid2vid.FaceVid2VidRenderer(portrait, size=256)
    random = np.random.default_rng(0)
    moved = shot(portrait, expression=random.uniform(0, 2, (N_FRAMES, 64)))
    source, points, notices = renderer.keypoints(moved)
    assert points.shape == (N_FRAMES, 15, 3)
    assert any("calibrated" in notice for notice in notices)
    frames = list(renderer.frames(source, points))
    assert len(frames) == N_FRAMES
    assert renderer.frame_size == (256, 256)
    plate = renderer._plate.image
    assert all(frame.shape == (256, 256, 3) and frame.dtype == np.uint8 for frame in frames)
    assert all(np.array_equal(frame[-20:], plate[-20:]) for frame in frames)
    assert np.abs(frames[0].astype(int) - plate)[60:120, 90:150].mean() > 1


def test_the_network_size_follows_what_is_here_and_the_face(monkeypatch):
    def here(*names):
        monkeypatch.setattr(
            facevid2vid, "installed", lambda: [SimpleNamespace(file=SimpleNamespace(name=name)) for name in names]
        )

    here("sadtalker-256", "sadtalker-512")
    assert [facevid2vid.network_size(side) for side in (200, 384, 385, 900)] == [256, 256, 512, 512]
    here("sadtalker-512")
    assert facevid2vid.network_size(100) == 512
    here("facevid2vid-old")
    assert facevid2vid.network_size(900) == 256


def test_a_shot_at_rest_drives_with_the_sources_own_key_points(networks, portrait):
    renderer = facevid2vid.FaceVid2VidRenderer(portrait, size=256)
    source, points, _ = renderer.keypoints(shot(portrait))
    assert torch.allclose(points, source.expand_as(points), atol=1e-5)
    turned = shot(portrait, rotation=portrait.fit.rotation + np.linspace(0, 0.5, N_FRAMES)[:, None])
    _, moved, _ = renderer.keypoints(turned)
    assert (moved[-1] - source[0]).abs().max() > 1e-4


def test_emotion_in_identity_and_texture_moves_the_full_mapping(networks, portrait):
    networks["facevid2vid.mapping_emotion"] = small_networks()["facevid2vid.mapping_emotion"]
    renderer = facevid2vid.FaceVid2VidRenderer(portrait, size=256)
    source, calm, _ = renderer.keypoints(shot(portrait))
    _, felt, _ = renderer.keypoints(shot(portrait, texture_change=np.full((N_FRAMES, 80), 1.0, np.float32)))
    assert torch.allclose(calm, source.expand_as(calm), atol=1e-5)
    assert (felt - calm).abs().max() > 1e-4


def test_without_the_reconstruction_network_something_is_said(networks, portrait):
    del networks["reconstruction"]
    renderer = facevid2vid.FaceVid2VidRenderer(portrait, size=256)
    with pytest.raises(store.MissingWeightsError, match="reconstruction network"):
        renderer.keypoints(shot(portrait))


def test_expressions_go_by_the_basel_model_where_it_is_here(networks, portrait, tmp_path):
    write_bfm2009(tmp_path)
    import_model(tmp_path, kind="bfm2009")
    renderer = facevid2vid.FaceVid2VidRenderer(portrait, size=256)
    moved = shot(portrait, expression=portrait.fit.expression + 2.0 * np.eye(N_FRAMES, 64, 17))
    source, points, notices = renderer.keypoints(moved)
    assert "Basel Face Model" in notices[0]
    assert "% of the motion is lost" in notices[0]
    assert (points - source).abs().amax((1, 2)).min() > 1e-5
    _, still, _ = renderer.keypoints(shot(portrait))
    assert torch.allclose(still, source.expand_as(still), atol=1e-5)
    del networks["reconstruction"]
    _, fitted, notices = renderer.keypoints(moved)
    assert "come from fitting" in notices[-1]
    assert fitted.shape == points.shape


def test_calibration_is_kept_and_tells_its_error(networks, monkeypatch):
    reader = networks["reconstruction"]
    monkeypatch.setattr(calibration.calibrate, "__kwdefaults__", {"model": None, "n_mixes": 8})
    made = calibration.kept_calibration(reader, "a" * 64)
    assert made.matrix.shape == (64, 64)
    assert 0.0 < made.error < 3.0
    calls = reader.calls
    again = calibration.kept_calibration(reader, "a" * 64)
    assert reader.calls == calls
    assert np.array_equal(again.matrix, made.matrix)
    assert again.error == pytest.approx(made.error)


def test_the_head_is_drawn_where_the_published_crop_has_it():
    picture = calibration.draw(load_embedded_model(), np.zeros(64, np.float32))
    assert picture.shape == (224, 224, 3)
    lit = picture.sum(2) > 60
    _rows, columns = np.nonzero(lit)
    assert abs(columns.mean() - 112) < 4
    assert lit[112, 112]
    opened = calibration.draw(load_embedded_model(), 3.0 * np.eye(64, dtype=np.float32)[17])
    assert np.abs(opened.astype(int) - picture).mean() > 0.5


def test_eamm_follows_speech_poses_and_emotion(networks, portrait):
    renderer = eamm.EammRenderer(portrait, size=256)
    random = np.random.default_rng(0)
    speech = Waveform((0.1 * random.standard_normal(16000)).clip(-1, 1).astype(np.float32), 16000)
    film = random.integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    ahead = eamm.read_poses(None)
    calm = renderer.keypoints(speech, poses=ahead, emotion=None)
    felt = renderer.keypoints(speech, poses=ahead, emotion=film)
    changed = (felt.value - calm.value).abs().amax((0, 2)) > 0
    assert changed.nonzero().flatten().tolist() == [1, 4, 6]
    twice = renderer.keypoints(speech, poses=ahead, emotion=film, strength=2.0)
    assert torch.allclose(twice.value - calm.value, 2 * (felt.value - calm.value), atol=1e-5)
    turned = renderer.keypoints(speech, poses=ahead + np.eye(6)[:1] * 20.0, emotion=None)
    assert (turned.value - calm.value).abs().max() > 0
    frames = list(renderer.frames(speech, range(27), poses=ahead, emotion=film))
    assert len(frames) == 27
    assert all(frame.shape == (256, 256, 3) for frame in frames)
    assert np.array_equal(frames[0][-20:], renderer._plate.image[-20:])
    with pytest.raises(InputError, match="tenth of a second"):
        renderer.keypoints(Waveform(speech.samples[:100], 16000), poses=ahead, emotion=None)


def test_an_emotion_video_shows_the_face_without_its_mouth(astronaut, tmp_path):
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(8):
            box.mux(stream.encode(av.VideoFrame.from_ndarray(astronaut, format="rgb24")))
        box.mux(stream.encode())
    film = eamm.emotion_frames(path)
    assert film.shape == (4, 256, 256, 3)
    change = np.abs(film[0].astype(int) - film[1]).mean(2)
    assert change[:110].mean() < 3
    assert change[150:185, 110:140].mean() > 40
    rows = eamm.read_poses(f"video:{path}")
    assert rows.shape[1] == 6
    assert np.isfinite(rows).all()


def test_poses_that_cannot_be_used_are_named(tmp_path):
    np.save(tmp_path / "narrow.npy", np.zeros((4, 3)))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "good.npy", np.arange(14.0).reshape(2, 7))
    assert eamm.read_poses(str(tmp_path / "good.npy")).shape == (2, 7)
    for name, text in (("narrow.npy", "at least 6"), ("objects.npy", "no plain"), ("gone.npy", "video:FILE")):
        with pytest.raises(InputError, match=text):
            eamm.read_poses(str(tmp_path / name))
    with pytest.raises(InputError, match="no pose video"):
        eamm.read_poses("video:/nowhere.mp4")


def test_eamm_needs_its_own_frame_rate(monkeypatch):
    monkeypatch.setattr(store, "source_of", lambda network: None)
    with pytest.raises(InputError, match="25 frames per second, got 30"):
        check_renderer(ShotOptions(frame_rate=30.0, renderer="eamm"))


@pytest.mark.parametrize("renderer, file", [("facevid2vid", "SadTalker_V0.0.2_256"), ("eamm", "124_52000")])
def test_missing_weights_end_with_one_sentence(renderer, file, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path / "none"))
    run = subprocess.run(
        [sys.executable, "-m", "backend", "render", "--portrait", "p.png", "--audio", str(sentence), "--renderer",
         renderer, "--out", str(tmp_path / "shot")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 2
    assert file in run.stderr
    assert "emorig weights import" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "shot").exists()
