"""EAMM's networks as they are trained: their sizes, and the variants of the paper's ablation (Table 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backend.models.eamm.audio_features import AudioFeatures, AudioFeaturesConfig
from backend.models.eamm.emotion import EmotionConfig, EmotionDisplacement
from backend.models.eamm.generator import Generator, GeneratorConfig
from backend.models.eamm.keypoints import KeypointConfig, KeypointDetector, KeypointReader, Keypoints
from backend.training.bundles import BUILDERS, Bundle
from backend.training.eamm_data import TalkingExcerpts

AWAKE = 0.3  # bias that an untrained displacement's hidden layers begin with: three deviations of what they hear
SMALL_KEYPOINTS = KeypointConfig(width=8, max_width=256, n_blocks=3, step=2)


@dataclass(frozen=True)
class EammVariant:
    """augments: emotion pictures are hidden, turned, mirrored and moved in time. is_conditioned: displacements see the
    key points of speech. displaces_all: every key point is displaced. styles_sound: the emotion's feature restyles the
    sound's code (AdaIN, Huang & Belongie 2017) and nothing is displaced.
    """

    augments: bool = True
    is_conditioned: bool = True
    displaces_all: bool = False
    styles_sound: bool = False


ABLATIONS = {
    "feature-based": EammVariant(styles_sound=True),
    "without-augmentation": EammVariant(augments=False),
    "without-condition": EammVariant(is_conditioned=False),
    "all-points": EammVariant(displaces_all=True),
}
"""By name; the paper's baseline, the first module only, is the stage 'pictures'."""


@dataclass(frozen=True)
class StyleConfig:
    """Sizes of the emotion's network and of the sound's code."""

    emotion: EmotionConfig = field(default_factory=EmotionConfig)
    code: int = 256


class StyleLayer(nn.Module):
    """Adaptive instance norm of a sound's code by an emotion's feature."""

    def __init__(self, config: StyleConfig) -> None:
        super().__init__()
        self.config = config
        self.learner = EmotionDisplacement(config.emotion)
        self.style = nn.Linear(512, 2 * config.code)

    def feature(self, frame: Tensor) -> Tensor:
        """The emotion's feature (B, 512) of frames (B, 3, H, W)."""
        return self.learner.feature(frame)

    def forward(self, code: Tensor, feature: Tensor) -> Tensor:
        """Codes (B, T, C) with mean and spread by features (B, T, 512)."""
        mean, spread = code.mean(-1, keepdim=True), code.std(-1, keepdim=True) + 1e-5
        scale, shift = self.style(feature).chunk(2, dim=-1)
        return (code - mean) / spread * (1.0 + scale) + shift


BUILDERS["eamm.style"] = (StyleLayer, StyleConfig)


def motion_networks(*, small: bool) -> Bundle:
    """Key-point detector and generator of the motion model."""
    keypoints = SMALL_KEYPOINTS if small else KeypointConfig()
    generator = (
        GeneratorConfig(width=16, n_residual=2, motion_width=16, motion_max_width=256, motion_blocks=3)
        if small
        else GeneratorConfig()
    )
    detector = KeypointDetector(keypoints)
    _identity_jacobians(detector.reader)
    return Bundle({"eamm.keypoints": detector, "eamm.generator": Generator(generator)})


def sound_networks(*, small: bool) -> Bundle:
    """The sound module: feature maps from sound, and the reader of key points off them."""
    keypoints = SMALL_KEYPOINTS if small else KeypointConfig()
    features = (
        AudioFeaturesConfig(
            code=64, image_code=128, out_channels=keypoints.feature_channels, image_blocks=6, image_width=4,
            sound_width=16, decoder_widths=(64, 32, 32),
        )
        if small
        else AudioFeaturesConfig()
    )  # fmt: skip
    reader = KeypointReader(keypoints)
    _identity_jacobians(reader)
    return Bundle({"eamm.audio_features": AudioFeatures(features), "eamm.audio_keypoints": reader})


def _identity_jacobians(reader: KeypointReader) -> None:
    """Starts with Jacobians that change nothing (Siarohin et al. 2019)."""
    with torch.no_grad():
        reader.affine.weight.zero_()
        reader.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(reader.config.n_keypoints))


def emotion_networks(spoken: Bundle, face: tuple[int, ...], variant: EammVariant, *, small: bool) -> Bundle:
    """The sound module with a new displacement learner for the face's key points."""
    n_keypoints = spoken["eamm.audio_keypoints"].config.n_keypoints
    displaced = tuple(range(n_keypoints)) if variant.displaces_all else face
    sizes = {"width": 8, "max_width": 256, "n_blocks": 3, "step": 2} if small else {}
    config = EmotionConfig(n_keypoints=n_keypoints, n_displaced=max(4, len(displaced)), displaced=displaced, **sizes)
    parts = {name: spoken[name] for name in ("eamm.audio_features", "eamm.audio_keypoints")}
    if variant.styles_sound:
        code = spoken["eamm.audio_features"].config.code
        return Bundle({**parts, "eamm.style": StyleLayer(StyleConfig(config, code))})
    learner = EmotionDisplacement(config)
    first, _, _, second, _, last = learner.displace
    with torch.no_grad():
        # Two channels pass all that is felt: by chance both begin shut for every picture, and then never learn.
        for layer in (first, second):
            layer.bias.fill_(AWAKE)
        # An untrained learner displaces nothing.
        last.weight.mul_(0.01)
        last.bias.zero_()
    return Bundle({**parts, "eamm.emotion": learner})


def spoken_keypoints(parts: Bundle | dict[str, nn.Module], excerpts: TalkingExcerpts) -> Keypoints:
    """Key points (B T, K, …) of sound and poses."""
    maps = parts["eamm.audio_features"](excerpts.identity, excerpts.mfcc, excerpts.poses)
    return parts["eamm.audio_keypoints"](maps.flatten(0, 1))


def emotional_keypoints(
    parts: Bundle | dict[str, nn.Module], excerpts: TalkingExcerpts, variant: EammVariant
) -> Keypoints:
    """Key points (B T, K, …) of sound and poses, moved by the emotion pictures."""
    pictures = excerpts.emotion.flatten(0, 1)
    if variant.styles_sound:
        style, sound = parts["eamm.style"], parts["eamm.audio_features"]
        feature = style.feature(pictures).unflatten(0, excerpts.mfcc.shape[:2])
        code = style(sound.sound_codes(excerpts.mfcc), feature)
        maps = sound.decode(sound.face_code(excerpts.identity, excerpts.mfcc.shape[1]), code, excerpts.poses)
        return parts["eamm.audio_keypoints"](maps.flatten(0, 1))
    spoken, learner = spoken_keypoints(parts, excerpts), parts["eamm.emotion"]
    seen = spoken if variant.is_conditioned else Keypoints(spoken.value * 0.0, spoken.jacobian * 0.0)
    return displaced(spoken, learner(learner.feature(pictures), seen), learner.config.displaced)


def displaced(points: Keypoints, displacement: Keypoints, which: tuple[int, ...]) -> Keypoints:
    """Key points (n, K, …) with the first displacements (n, m, …) added to those in which (§3.2)."""
    value, jacobian = points.value.clone(), points.jacobian.clone()
    for slot, point in enumerate(which):
        value[:, point] = value[:, point] + displacement.value[:, slot]
        jacobian[:, point] = jacobian[:, point] + displacement.jacobian[:, slot]
    return Keypoints(value, jacobian)
