"""The published networks by name: what builds each, and its table of published names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backend.models import reconstruction, syncnet
from backend.models.eamm import audio_features, emotion
from backend.models.eamm import generator as eamm_generator
from backend.models.eamm import keypoints as eamm_keypoints
from backend.models.facevid2vid import generator, head_pose, keypoints, mapping
from backend.models.sadtalker import audio2exp, audio2pose
from backend.models.state_names import NameTable


@dataclass(frozen=True)
class PublishedNetwork:
    """A network: build makes it from the fields of its config; names is the table from published names to ours."""

    build: Callable[[], nn.Module]
    names: NameTable
    config: Any = None

    @property
    def module(self) -> nn.Module:
        """The network without values, on torch's meta device."""
        with torch.device("meta"):
            return self.build().eval()

    def loaded(self, state: Mapping[str, Tensor]) -> nn.Module:
        """The network, for inference, with a state dict under our names. Raises RuntimeError where a key is amiss."""
        module = self.module
        module.load_state_dict(dict(state), strict=True, assign=True)
        return module.requires_grad_(False)


def _mapping(n_coefficients: int) -> PublishedNetwork:
    config = mapping.MappingConfig(n_coefficients)
    return PublishedNetwork(lambda: mapping.MappingNet(config), mapping.PUBLISHED_NAMES, config)


NETWORKS = {
    "facevid2vid.keypoints": PublishedNetwork(keypoints.KeypointDetector, keypoints.PUBLISHED_NAMES),
    "facevid2vid.head_pose": PublishedNetwork(head_pose.HeadPoseEstimator, head_pose.PUBLISHED_NAMES),
    "facevid2vid.generator": PublishedNetwork(generator.Generator, generator.PUBLISHED_NAMES),
    "facevid2vid.mapping": _mapping(mapping.SADTALKER_COEFFICIENTS),
    "facevid2vid.mapping_crop": _mapping(mapping.SADTALKER_CROP_COEFFICIENTS),
    "facevid2vid.mapping_emotion": _mapping(mapping.EMOSPEAKER_COEFFICIENTS),
    "sadtalker.audio2exp": PublishedNetwork(audio2exp.Audio2Exp, audio2exp.PUBLISHED_NAMES),
    "sadtalker.audio2pose": PublishedNetwork(audio2pose.Audio2Pose, audio2pose.PUBLISHED_NAMES),
    "reconstruction": PublishedNetwork(reconstruction.ReconstructionNetwork, reconstruction.PUBLISHED_NAMES),
    "eamm.keypoints": PublishedNetwork(eamm_keypoints.KeypointDetector, eamm_keypoints.PUBLISHED_NAMES),
    "eamm.audio_keypoints": PublishedNetwork(eamm_keypoints.KeypointReader, eamm_keypoints.PUBLISHED_READER_NAMES),
    "eamm.audio_features": PublishedNetwork(audio_features.AudioFeatures, audio_features.PUBLISHED_NAMES),
    "eamm.emotion": PublishedNetwork(emotion.EmotionDisplacement, emotion.PUBLISHED_NAMES),
    "eamm.generator": PublishedNetwork(eamm_generator.Generator, eamm_generator.PUBLISHED_NAMES),
    "syncnet": PublishedNetwork(syncnet.SyncNet, syncnet.PUBLISHED_NAMES),
}
