"""Networks that were trained together in one file: their states under their names, their sizes in the metadata."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backend.errors import InputError
from backend.models.discriminator import Discriminator, DiscriminatorConfig
from backend.models.eamm import audio_features, emotion
from backend.models.eamm import generator as eamm_generator
from backend.models.eamm import keypoints as eamm_keypoints
from backend.models.facevid2vid import generator, head_pose, keypoints, mapping

BUILDERS: dict[str, tuple[type[nn.Module], type]] = {
    "facevid2vid.keypoints": (keypoints.KeypointDetector, keypoints.KeypointDetectorConfig),
    "facevid2vid.head_pose": (head_pose.HeadPoseEstimator, head_pose.HeadPoseConfig),
    "facevid2vid.generator": (generator.Generator, generator.GeneratorConfig),
    "facevid2vid.discriminator": (Discriminator, DiscriminatorConfig),
    "facevid2vid.mapping_emotion": (mapping.MappingNet, mapping.MappingConfig),
    "eamm.keypoints": (eamm_keypoints.KeypointDetector, eamm_keypoints.KeypointConfig),
    "eamm.generator": (eamm_generator.Generator, eamm_generator.GeneratorConfig),
    "eamm.audio_features": (audio_features.AudioFeatures, audio_features.AudioFeaturesConfig),
    "eamm.audio_keypoints": (eamm_keypoints.KeypointReader, eamm_keypoints.KeypointConfig),
    "eamm.emotion": (emotion.EmotionDisplacement, emotion.EmotionConfig),
}


class Bundle(nn.Module):
    """Networks by name, one module for a trainer; the names' dots are kept in the states' keys as slashes."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        super().__init__()
        self._names = {name.replace(".", "/"): name for name in networks}
        for key, name in self._names.items():
            self.add_module(key, networks[name])

    def __getitem__(self, name: str) -> nn.Module:
        return getattr(self, name.replace(".", "/"))

    @property
    def sizes(self) -> str:
        """The networks' configs as JSON, for the metadata."""
        return json.dumps({name: dataclasses.asdict(self[name].config) for name in self._names.values()})


def build(name: str, config: dict[str, Any] | None = None) -> nn.Module:
    """A network by name with a config's fields, the published sizes where none are given."""
    make, kind = BUILDERS[name]
    return make(_config(kind, config or {}))


def _config(kind: type, fields: dict[str, Any]) -> Any:
    """A config of plain values, as JSON keeps them: lists become tuples, inner mappings configs."""
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            value = _config(hints[name], value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def load_bundle(path: Path, *needed: str) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The networks of a trained file for use, frozen, and its metadata. Raises InputError where one is missing."""
    from safetensors import safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        sizes = json.loads(metadata["networks"])
        networks = {name: build(name, fields) for name, fields in sizes.items()}
        for name, network in networks.items():
            prefix = name.replace(".", "/") + "."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            own = {key: value.float() if value.is_floating_point() else value for key, value in own.items()}
            network.load_state_dict(own)
            network.eval().requires_grad_(False)
    except (OSError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(f"'{path}' holds no trained networks ({error}): make it with 'emorig train'.") from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise InputError(f"'{path}' is no .safetensors file ({error}): make it with 'emorig train'.") from error
    missing = [name for name in needed if name not in networks]
    if missing:
        raise InputError(f"'{path}' lacks the network '{missing[0]}': it holds {', '.join(networks)}.")
    return networks, metadata


def file_hash(path: Path) -> str:
    """The hash of weights that another network was trained by."""
    import hashlib

    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def moved(networks: dict[str, nn.Module], device: torch.device) -> dict[str, nn.Module]:
    """The same networks on a device."""
    return {name: network.to(device) for name, network in networks.items()}
