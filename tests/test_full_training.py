"""One step of every network at its published size: sizes, losses and memory hold together. Minutes on a CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from recorded_clips import made_clip

from backend.datasets.shards import write_shard
from backend.training import eamm, emospeaker_recorded, facevid2vid, mapping
from backend.training.bundles import load_bundle
from backend.training.recorded_run import RunSettings

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    clips = [made_clip("a_neutral", "a", "neutral", 0), made_clip("a_happy", "a", "happy", 3)]
    long = [clip for clip in clips if clip.n_frames >= emospeaker_recorded.EXCERPT_FRAMES]
    assert long, "the clips are shorter than the published excerpt"
    write_shard(folder / "train-00000.tar", clips)
    card = {"layout": "mead", "split": "all", "seed": 0, "size": 64, "frame_rate": 25.0}
    (folder / "dataset.json").write_text(json.dumps(card))
    return folder


@pytest.mark.soak
@pytest.mark.parametrize("device", DEVICES)
def test_one_step_of_every_network_at_its_published_size(prepared, tmp_path, device, record_property):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    settings = RunSettings(prepared, tmp_path, steps=1, batch=1, device=device)
    trainers = {
        "emospeaker": emospeaker_recorded.train_emospeaker_recorded,
        "facevid2vid": facevid2vid.train_facevid2vid,
        "mapping": mapping.train_mapping,
        "eamm": eamm.train_eamm,
    }
    for name, train in trainers.items():
        started = time.monotonic()
        train(settings)
        record_property(f"{name} {device} seconds", round(time.monotonic() - started, 1))
        print(f"{name}: {time.monotonic() - started:.0f} s")
    networks, facts = load_bundle(tmp_path / "facevid2vid.safetensors", "facevid2vid.generator")
    assert facts["size"] == "256" and sum(p.numel() for p in networks["facevid2vid.generator"].parameters()) > 60e6
    assert len(list(tmp_path.glob("eamm_*.safetensors"))) == 4
