"""Inputs and outputs of the published networks, and their made-up weights by the rule that came with them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.models.published import NETWORKS
from backend.models.state_names import UNUSED, our_name, renamed

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
# Our network → the case whose manifest fills it.
CASES = {
    "facevid2vid.keypoints": "sadtalker_kp_detector",
    "facevid2vid.head_pose": "sadtalker_he_estimator",
    "facevid2vid.generator": "sadtalker_generator",
    "facevid2vid.mapping": "sadtalker_mapping",
    "facevid2vid.mapping_crop": "sadtalker_mapping_still",
    "sadtalker.audio2exp": "sadtalker_audio2exp",
    "sadtalker.audio2pose": "sadtalker_audio2pose",
    "reconstruction": "sadtalker_face_recon",
    "eamm.keypoints": "eamm_kp_detector",
    "eamm.audio_keypoints": "eamm_kp_detector_a",
    "eamm.audio_features": "eamm_at_net2",
    "eamm.emotion": "eamm_emotion",
    "eamm.generator": "eamm_generator",
    "syncnet": "syncnet_s",
}


class Case:
    """One case: manifest, inputs as tensors, and outputs with their tolerances."""

    def __init__(self, name: str) -> None:
        folder = REFERENCE / name
        if not folder.is_dir():
            pytest.skip("needs the outputs of the published networks beside the project")
        self.name = name
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.inputs = dict(np.load(folder / "inputs.npz"))
        self.outputs = dict(np.load(folder / "outputs.npz"))

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.inputs[name])

    def check(self, name: str, ours) -> None:
        """Asserts that an output equals the published one within its tolerance."""
        said = self.manifest["outputs"][name]
        ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else np.asarray(ours)
        published = self.outputs[name]
        assert ours.shape == published.shape, f"{self.name} {name}: {ours.shape} for {published.shape}"
        difference = np.abs(ours.astype(np.float64) - published.astype(np.float64))
        assert difference.max(initial=0.0) <= said["suggested_atol"], f"{self.name} {name}: {difference.max():.3g}"
        mean = said.get("suggested_mean_atol") or said["suggested_atol"]
        assert difference.mean() <= mean, f"{self.name} {name}: mean {difference.mean():.3g}"


@cache
def case(name: str) -> Case:
    return Case(name)


def published_state(name: str, *, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, torch.Tensor]:
    """The made-up state dict of a case under the published names, in the published order; of wanted keys only."""
    chosen = case(name)
    entries = {key: entry for key, entry in chosen.manifest["state_dict"].items() if wanted(key)}
    plain = [key for key, entry in entries.items() if entry["fill"] != "sn_v"]
    with ThreadPoolExecutor(2) as pool:
        values = dict(zip(plain, pool.map(lambda key: _filled(key, entries[key], chosen.inputs), plain)))
    for key, entry in entries.items():
        if entry["fill"] == "sn_v":
            weight, left = (values[key[:-8] + part].astype(np.float64) for part in ("weight_orig", "weight_u"))
            right = weight.reshape(len(weight), -1).T @ left
            values[key] = (right / np.linalg.norm(right)).astype(entry["dtype"])
    return {key: torch.from_numpy(np.ascontiguousarray(values[key])) for key in entries}


def _filled(key: str, entry: dict, inputs: dict[str, np.ndarray]) -> np.ndarray:
    kind = entry["fill"]
    if kind == "fixed":
        return inputs["fixed/" + key].astype(entry["dtype"])
    if kind == "zeros":
        return np.zeros(entry["shape"], entry["dtype"])
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(entry["shape"])
    x = np.asarray(x)
    if entry.get("center"):
        x -= x.mean(axis=tuple(entry["center"]), keepdims=True)
    if kind == "unit":
        return (x / np.linalg.norm(x)).astype(entry["dtype"])
    if kind == "abs_normal":
        np.abs(x, out=x)
    x *= entry["scale"]
    x += np.resize(np.asarray(entry.get("offset", 0.0), float), x.size).reshape(x.shape) if "offset" in entry else 0.0
    return x.astype(entry["dtype"])


@lru_cache(maxsize=6)
def network(name: str) -> torch.nn.Module:
    """One of our networks with the made-up weights."""
    published = NETWORKS[name]
    state = published_state(CASES[name], wanted=lambda key: our_name(key, published.names) is not UNUSED)
    return published.loaded(renamed(state, published.names))
