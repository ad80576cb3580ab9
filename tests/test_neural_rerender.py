"""Edited curves through the neural renderers, with narrow made-up networks: whole, a range of frames, a still."""

from __future__ import annotations

import wave
from dataclasses import replace

import av
import numpy as np
import pytest
from curve_samples import performance_curves
from narrow_networks import installed_networks
from PIL import Image

from backend.commands.shots import rerender_to_folder, still_to_folder
from backend.errors import InputError
from backend.export.options import ExportOptions
from backend.export.verbs import deliver_curves
from backend.provenance.label import Marking
from bfm.coefficients import CHANNEL_INDEX

N_FRAMES = 6


@pytest.fixture
def given(monkeypatch, tmp_path, astronaut):
    """A portrait, curves and sound in a folder, and narrow networks in place of imported ones."""
    installed_networks(monkeypatch, tmp_path)
    Image.fromarray(astronaut).save(tmp_path / "face.png")
    write_curves(tmp_path)
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        noise = np.random.default_rng(0).normal(0, 3000, round(N_FRAMES / 25 * 16000))
        file.writeframes(noise.astype("<i2").tobytes())
    return tmp_path


def write_curves(folder, *, jaw: float | None = None, frame_rate: float = 25.0) -> None:
    curves = performance_curves(N_FRAMES, frame_rate)
    weights = curves.weights.copy()
    if jaw is not None:
        weights[:, CHANNEL_INDEX["jawOpen"]] = jaw
    curves = replace(curves, weights=weights, layers={}, coefficients=None)
    deliver_curves(curves, folder / "curves.json", name="emorig", options=ExportOptions())


def rerendered(folder, renderer: str, frames=None) -> np.ndarray:
    rerender_to_folder(
        folder / "face.png", folder / "curves.json", folder / "speech.wav", folder / renderer, size=256, start=0.0,
        end=None, frames=frames, renderer=renderer, marking=Marking(is_on=False),
    )  # fmt: skip
    with av.open(str(folder / renderer / "video.mp4")) as box:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in box.decode(video=0)]).astype(int)


def still(folder) -> np.ndarray:
    files = folder / "face.png", folder / "curves.json", folder / "still"
    still_to_folder(*files, frame=3, size=256, renderer="facevid2vid")
    return np.asarray(Image.open(folder / "still" / "frame_00003.png")).astype(int)


def test_edited_curves_pass_through_facevid2vid(given):
    frames, picture = rerendered(given, "facevid2vid"), still(given)
    assert frames.shape == (N_FRAMES, 256, 256, 3)
    assert np.abs(picture - frames[3]).mean() < 5  # what encoding loses
    with np.load(given / "facevid2vid" / "coefficients.npz") as kept:
        before = kept["expression"]
    write_curves(given, jaw=1.0)
    assert np.abs(still(given) - picture).max() > 0
    assert rerendered(given, "facevid2vid", frames=(2, 4)).shape == frames.shape
    with np.load(given / "facevid2vid" / "coefficients.npz") as kept:
        moved = np.abs(kept["expression"] - before).max(axis=1)
    assert moved[2:4].min() > 0.1
    assert moved[[0, 5]].max() < 0.5 * moved[2:4].min()


def test_eamm_follows_the_head_of_curves(given, capfd):
    frames = rerendered(given, "eamm")
    assert len(frames) == N_FRAMES
    assert "follows the head alone" in " ".join(capfd.readouterr().err.split())
    with pytest.raises(InputError, match="a still has none"):
        still_to_folder(given / "face.png", given / "curves.json", given / "still", frame=3, size=256, renderer="eamm")
    write_curves(given, frame_rate=30.0)
    with pytest.raises(InputError, match="25 frames per second, got 30"):
        rerendered(given, "eamm")
