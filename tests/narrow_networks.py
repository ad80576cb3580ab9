"""Every network of the neural renderers in a narrow form with made-up weights, in place of imported ones."""

from __future__ import annotations

import copy
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from backend.checkpoints import store
from backend.models.eamm import audio_features, emotion
from backend.models.eamm import generator as eamm_generator
from backend.models.eamm import keypoints as eamm_keypoints
from backend.models.facevid2vid import generator, keypoints, mapping
from backend.models.facevid2vid.dense_motion import DenseMotionConfig
from backend.neural import calibration, driving, eamm, facevid2vid


class Reader(nn.Module):
    """In place of the reconstruction network: coefficients that are linear in the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.weight = torch.randn(257, 3 * 16, generator=torch.Generator().manual_seed(0)) / 10

    def forward(self, image):
        self.calls += 1
        return nn.functional.adaptive_avg_pool2d(image, 4).flatten(1) @ self.weight.T


@lru_cache(maxsize=1)
def sound_network() -> nn.Module:
    """EAMM's sound branch, which has no narrow form, made once."""
    torch.manual_seed(0)
    return audio_features.AudioFeatures()


def small_networks() -> dict[str, nn.Module]:
    """Every network of both renderers, narrow."""
    torch.manual_seed(0)
    motion = DenseMotionConfig(width=4, max_width=16, feature_channels=8)
    points = eamm_keypoints.KeypointConfig(width=4, max_width=16)
    reading = eamm_keypoints.KeypointConfig()
    made = {
        "facevid2vid.generator": generator.Generator(
            generator.GeneratorConfig(width=8, volume_channels=8, n_residual=1, motion=motion)
        ),
        "facevid2vid.keypoints": keypoints.KeypointDetector(keypoints.KeypointDetectorConfig(width=4, max_width=16)),
        "facevid2vid.mapping": mapping.MappingNet(mapping.MappingConfig(70, width=32)),
        "facevid2vid.mapping_emotion": mapping.MappingNet(mapping.MappingConfig(230, width=32)),
        "reconstruction": Reader(),
        "eamm.keypoints": eamm_keypoints.KeypointDetector(points),
        "eamm.audio_keypoints": eamm_keypoints.KeypointReader(reading),
        "eamm.audio_features": sound_network(),
        "eamm.emotion": emotion.EmotionDisplacement(emotion.EmotionConfig(width=4, max_width=16)),
        "eamm.generator": eamm_generator.Generator(
            eamm_generator.GeneratorConfig(width=8, n_residual=1, motion_width=4, motion_max_width=16)
        ),
    }
    return {name: net.eval().requires_grad_(False) for name, net in made.items()}


def installed_networks(monkeypatch, folder) -> dict[str, nn.Module]:
    """The narrow networks as if imported, a calibration that is known, and no face models."""
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(folder / "weights"))
    monkeypatch.setenv("EMORIG_MODELS", str(folder / "models"))
    (folder / "weights").mkdir()
    made = small_networks()
    del made["facevid2vid.mapping_emotion"]

    def load(name, *, preferred=()):
        if name not in made:
            raise store.MissingWeightsError(f"The weights of {name} are not here.")
        # Whoever loads a generator may rebuild it.
        return copy.deepcopy(made[name]) if name.endswith("generator") else made[name]

    def source(name):
        load(name)
        return SimpleNamespace(stored_sha256="0" * 64)

    for module in (facevid2vid, driving, eamm):
        monkeypatch.setattr(module, "load_network", load)
    for module in (driving, store):
        monkeypatch.setattr(module, "source_of", source)
    known = calibration.Calibration(0.3 * np.eye(64, dtype=np.float32), 0.25)
    monkeypatch.setattr(facevid2vid, "network_size", lambda side: 128)
    monkeypatch.setattr(driving, "kept_calibration", lambda network, digest: known)
    return made
