"""The plot, and the page that plays curves on the head, in a headless browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from curve_samples import performance_curves

from backend.errors import InputError
from backend.export.formats import write_curves
from backend.export.options import ExportOptions
from backend.export.plot import draw, plot_file
from backend.export.viewer import three_source, view_file, view_page


@pytest.fixture(scope="module")
def curves():
    return performance_curves()


@pytest.fixture
def file(curves, tmp_path):
    path = tmp_path / "curves.json"
    write_curves(curves, path, name="emorig", options=ExportOptions())
    return path


def test_a_plot_shows_every_row_on_one_axis(curves, file, tmp_path, sentence):
    import cv2

    plot_file(file, tmp_path / "a.png", audio=sentence, channels=())
    with_sound = cv2.imread(str(tmp_path / "a.png"))
    plain = cv2.imdecode(np.frombuffer(draw(replace(curves, phones=()), ".png"), np.uint8), cv2.IMREAD_COLOR)
    assert with_sound.shape[0] > plain.shape[0] + 60 and with_sound.std() > 10
    svg = draw(curves, ".svg", channels=("jawOpen",)).decode()
    assert svg.lstrip().startswith("<?xml") and "<svg" in svg
    page = draw(curves, ".html").decode()
    assert "http://" not in page.split("base64,")[0] and "data:image/svg+xml" in page


def test_a_plot_of_what_is_not_there_is_refused(file, tmp_path):
    with pytest.raises(InputError, match="no channel 'nose'"):
        plot_file(file, tmp_path / "a.png", audio=None, channels=("nose",))
    with pytest.raises(InputError, match=r"\.png"):
        plot_file(file, tmp_path / "a.gif", audio=None, channels=())


def test_the_page_is_written_whole_or_refused(file, tmp_path):
    view_file(file, audio=None, out=tmp_path / "view.html")
    assert (tmp_path / "view.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    with pytest.raises(InputError, match=r"end in \.html"):
        view_file(file, audio=None, out=tmp_path / "view.txt")


def test_the_page_fetches_nothing(curves, sentence):
    page = view_page(curves, audio=sentence)
    without_data = re.sub(r'<script id="(data|three)".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?://|src=\"(?!data)|import ", without_data)
    assert "data:audio/flac;base64," in page and "%DATA%" not in page and "%THREE%" not in page
    # three.js names no address but those of its own notice and of XML's namespaces, and keeps its licence.
    addresses = set(re.findall(r"https?://[\w.]+", three_source()))
    assert addresses <= {"http://www.w3.org", "https://github.com", "https://threejs.org"}, addresses
    assert "SPDX-License-Identifier: MIT" in three_source() and "</script" not in three_source()


def browser(*arguments):
    """The command of a headless browser that reaches no other machine."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    return [chromium, "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000", *arguments]  # fmt: skip


def browse(page, fragment):
    """The page's body tag and its channels' values, as a headless browser shows it."""
    command = browser("--dump-dom", f"{page.as_uri()}#{fragment}")
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    body = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<body[^>]*>", dom).group(0)))
    channels = {k: float(v) for k, v in re.findall(r'data-name="(\w+)" data-value="([^"]+)"', dom)}
    problem = re.search(r'id="problem">([^<]*)<', dom).group(1)
    return body, channels, problem


def test_the_page_plays_the_curves_and_its_layers_switch(curves, tmp_path):
    jaw = np.zeros_like(curves.weights)
    jaw[:, curves.names.index("jawOpen")] = np.linspace(0, 1, curves.n_frames)
    smile = np.zeros_like(jaw)
    smile[:, curves.names.index("mouthSmileLeft")] = 0.4
    page, frame = tmp_path / "view.html", 45
    spoken = replace(curves, weights=jaw + smile, layers={"lips": jaw, "emotion": smile}, coefficients=None)
    page.write_text(view_page(spoken), encoding="utf-8")
    body, channels, problem = browse(page, f"t={frame / 30:.6f}")
    assert body["ready"] == "yes" and problem == ""
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp"):
        assert channels[name] == pytest.approx(spoken.column(name)[frame], abs=1e-3), name
    head = np.array(body["head"].split(), float)[[3, 0, 1, 2]]
    assert np.abs(head @ curves.head_rotation[frame]) == pytest.approx(1, abs=1e-4)
    without, silent, _ = browse(page, f"t={frame / 30:.6f}&off=lips")
    assert silent["jawOpen"] == 0 and silent["mouthSmileLeft"] == pytest.approx(0.4, abs=1e-3)
    # The chin (height in millimetres) comes up by centimetres when the jaw's layer is switched off.
    assert float(without["chin"]) > float(body["chin"]) + 10.0


def test_three_draws_the_head_and_the_sound_is_there(curves, sentence, tmp_path):
    import cv2

    page, picture = tmp_path / "view.html", tmp_path / "view.png"
    page.write_text(view_page(curves, audio=sentence), encoding="utf-8")
    body, _, problem = browse(page, "t=0.5")
    assert problem == "" and int(body["triangles"]) > 10_000
    assert float(body["sound"]) == pytest.approx(12.4, abs=0.3)
    subprocess.run(browser("--window-size=640,480", f"--screenshot={picture}", page.as_uri()), timeout=120, check=False)
    shown = cv2.imread(str(picture)).astype(int)
    # Skin in the middle of the stage, its background in the corner.
    face, corner = shown[150:330, 130:240], shown[60:100, 5:40]
    assert face.mean(axis=(0, 1))[2] > face.mean(axis=(0, 1))[0] + 20 and face.std() > 15
    assert corner.std(axis=(0, 1)).max() < 3
