"""Face models by name: importing, describing, previews and exports."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up_models import write_bfm2009
from typer.testing import CliRunner

from backend.__main__ import app
from backend.errors import InputError
from backend.faces.models import find_model, guess_kind, import_model, known_models, write_front_of
from backend.faces.preview import expressions_of, write_preview
from backend.faces.views import PyrenderView, RasterView, ViewUnavailable, open_view, shading
from bfm.coefficients import ARKIT_CHANNELS, CHANNEL_INDEX, EXPRESSION_CHANNELS
from bfm.sources.bfm2009 import read_front
from bfm.sources.embedded import load_embedded_model
from blender_addon.protocol.types import AnimationCurves, rest_rotations

SIZE = 64


@pytest.fixture(scope="module")
def licensed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("licensed")
    write_bfm2009(folder)
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("EMORIG_MODELS", str(folder))
    return folder


@pytest.fixture
def curves() -> AnimationCurves:
    """Four frames of an opening jaw and a turning head."""
    weights = np.zeros((4, 52), np.float32)
    weights[:, ARKIT_CHANNELS.index("jawOpen")] = np.linspace(0, 1, 4)
    still = rest_rotations(4)
    head = still.copy()
    head[:, 2] = np.linspace(0, 0.2, 4)
    return AnimationCurves(ARKIT_CHANNELS, weights, 25.0, head, still, still)


def test_a_model_is_imported_found_and_described(licensed, models, tmp_path):
    path = import_model(licensed, name="mine")
    assert path == models / "mine.npz"
    assert [known.name for known in known_models()] == ["embedded", "mine"]
    found = find_model("mine")
    assert len(found.identity_basis) == 80
    write_front_of(licensed, tmp_path / "front.mat")
    assert np.allclose(read_front(tmp_path / "front.mat").shape_mean, found.mean, atol=1e-6)
    assert guess_kind(tmp_path / "front.mat") == "bfm2009"
    described = CliRunner().invoke(app, ["model", "info", "mine"])
    assert "identity modes: 80" in described.output
    listed = CliRunner().invoke(app, ["model", "list"])
    assert "mine" in listed.output
    assert "embedded" in listed.output


def test_what_is_no_model_is_refused(licensed, models, tmp_path):
    with pytest.raises(InputError, match="There is no face model 'other': use embedded"):
        find_model("other")
    with pytest.raises(InputError, match="cannot name a model"):
        import_model(licensed, name="../x")
    with pytest.raises(InputError, match="cannot name a model"):
        import_model(licensed, name="embedded")
    (tmp_path / "notes.txt").write_text("no")
    with pytest.raises(InputError, match="name its --kind"):
        import_model(tmp_path / "notes.txt")
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match="refused"):
        import_model(tmp_path / "bad.pkl")
    with pytest.raises(InputError, match="Unknown kind"):
        import_model(licensed, kind="smpl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="missing"):
        import_model(tmp_path / "empty")
    assert not models.exists() or not list(models.iterdir())


@cache
def opened(drawing):
    try:
        return drawing(load_embedded_model(), size=SIZE)
    except ViewUnavailable as unavailable:
        return str(unavailable)


def view_of(drawing):
    view = opened(drawing)
    if isinstance(view, str):
        pytest.skip(f"pyrender does not draw on this machine: {view}")
    return view


@pytest.mark.parametrize("drawing", [RasterView, PyrenderView])
def test_the_view_turns_the_head(drawing):
    model, view = load_embedded_model(), view_of(drawing)

    def lopsided(image: np.ndarray) -> float:
        covered = (image != image[0, 0]).any(-1)
        return float((covered != covered[:, ::-1]).mean())

    front, side = view.draw(model.mean), view.draw(model.mean, (0.0, np.pi / 2, 0.0))
    assert front.shape == (SIZE, SIZE, 3) and front.dtype == np.uint8
    assert lopsided(front) < 0.03
    assert lopsided(side) > 3 * lopsided(front)
    with pytest.raises(InputError, match="even number"):
        drawing(model, size=65)


def test_both_views_show_the_same_head():
    model, pictures = load_embedded_model(), []
    for drawing in (RasterView, PyrenderView):
        pictures.append(view_of(drawing).draw(model.mean, (0.1, 0.5, 0.0)).astype(float))
    assert np.abs(pictures[0] - pictures[1]).mean() < 12.0
    ours, theirs = ((np.abs(picture - picture[0, 0]) > 8.0).any(-1) for picture in pictures)
    assert (ours != theirs).mean() < 0.03


def test_without_pyrender_the_rasteriser_draws_and_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyrender", None)
    view, drawn = open_view(load_embedded_model(), size=SIZE)
    assert isinstance(view, RasterView)
    assert "rasteriser" in drawn and "pyrender does not work here" in drawn


def test_hollows_get_less_light():
    model = load_embedded_model()
    light = shading(model, model.triangles)
    assert light.min() >= 0.0 and light.max() <= 1.0
    names = np.array(model.region_names)[model.regions]
    crown, throat = light[model.mean[:, 1] > 0.9], light[(names == "mouth") & (model.mean[:, 2] < -0.2)]
    assert crown.min() > 0.95
    assert np.median(throat) < 0.6
    assert light[names == "scalp"].mean() > light[names == "sclera"].mean()


def test_the_sheet_shows_every_channel_and_emotion(licensed, models, tmp_path, monkeypatch):
    from backend.faces import sheet

    poses = list(sheet._poses())
    titles = [title.split(" +")[0] for title, _, _ in poses]
    assert titles[:64] == list(EXPRESSION_CHANNELS) and {"happy", "angry", "contempt"} <= set(titles[64:])
    assert all(weights.max() == pytest.approx(1.0) for _, weights, _ in poses[:64])
    monkeypatch.setattr(sheet, "_poses", lambda: iter(poses[17:20]))
    monkeypatch.setattr(sheet, "open_view", lambda *_args, **_named: (view_of(RasterView), "drawn for a test"))
    assert sheet.write_sheet(load_embedded_model(), tmp_path / "sheet.png", size=SIZE) == "drawn for a test"
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture.shape == (SIZE, SIZE * sheet.COLUMNS, 3)
    squares = np.split(picture.astype(float), sheet.COLUMNS, axis=1)
    assert np.abs(squares[0] - squares[1]).mean() > 1.0
    with pytest.raises(InputError, match=r"\.gif"):
        sheet.write_sheet(load_embedded_model(), tmp_path / "sheet.gif")
    import_model(licensed, name="mine")
    with pytest.raises(InputError, match="no named channels"):
        sheet.write_sheet(find_model("mine"), tmp_path / "mine.png")


def test_models_without_common_channels_are_not_compared(licensed, models):
    import_model(licensed, name="mine")
    refused = CliRunner().invoke(app, ["model", "compare", "mine"])
    assert refused.exit_code != 0
    assert "no named channels" in str(refused.exception) + refused.output


def test_curves_play_by_name_or_by_solving(licensed, models, curves):
    by_name = expressions_of(load_embedded_model(), curves)
    assert by_name[-1, CHANNEL_INDEX["jawOpen"]] == pytest.approx(3.0)
    import_model(licensed, name="mine")
    solved = expressions_of(find_model("mine"), curves)
    assert solved.shape == (4, 64)
    assert np.abs(solved[-1]).max() > np.abs(solved[0]).max()


def test_previews_are_written_whole(models, curves, tmp_path):
    model = load_embedded_model()
    write_preview(model, tmp_path / "play.mp4", curves=curves, size=SIZE)
    from backend.tracking.frames import read_frames

    frames = [image for _, image in read_frames(tmp_path / "play.mp4")]
    assert len(frames) == 4
    assert np.abs(frames[0].astype(int) - frames[3].astype(int)).mean() > 1
    assert "drawn with" in write_preview(model, tmp_path / "views.png", size=SIZE)
    assert (tmp_path / "views.png").stat().st_size > 1000
    with pytest.raises(InputError, match=r"\.stl"):
        write_preview(model, tmp_path / "head.stl")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["play.mp4", "views.png"]


def test_the_obj_has_every_quad_once(tmp_path):
    model = load_embedded_model()
    write_preview(model, tmp_path / "head.obj")
    from bfm.sources.ict import read_obj

    points, polygons, uv, _ = read_obj(tmp_path / "head.obj")
    assert np.allclose(points, model.mean * 0.1, atol=1e-5)
    assert len(polygons) == len(model.quads)
    assert len(uv) == model.n_vertices


def test_the_glb_has_every_expression_as_a_target(models, licensed, curves, tmp_path):
    import_model(licensed, name="mine")
    model = find_model("mine")
    write_preview(model, tmp_path / "mine.glb", curves=curves)
    binary = (tmp_path / "mine.glb").read_bytes()
    length = struct.unpack("<I", binary[12:16])[0]
    document = json.loads(binary[20 : 20 + length])
    mesh = document["meshes"][0]
    assert mesh["extras"]["targetNames"] == list(model.expression_names)
    assert len(mesh["primitives"][0]["targets"]) == 64
    assert {channel["target"]["path"] for channel in document["animations"][0]["channels"]} == {"weights", "rotation"}
