"""EmoSpeaker (Feng et al.): the audio decoupler and the coefficient networks together, window by window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .emospeaker_audio import AudioDecoupler
from .emospeaker_coefficients import EmoNet, EmotionClassifier, ExpNet, PoseNet

N_EXPRESSION, N_IDENTITY, N_TEXTURE, N_POSE = 64, 80, 80, 6
POSE_UNIT = 0.1  # radians and decimetres per unit of PoseNet


@dataclass(frozen=True)
class EmoSpeakerConfig:
    """Sizes of the networks; kept in the weights file's metadata. The defaults are the published set-up.

    n_mfcc coefficients at each of mfcc_steps steps of 10 ms around a frame; n_speech further features per frame from
    a frozen speech network; frames per second; expression rows per frame (2: lips close for less than two frames).
    Windows in frames: contrast_window of the decoupler and ExpNet, emotion_window of EmoNet, pose_window of PoseNet.
    """

    n_mfcc: int = 12
    mfcc_steps: int = 28
    n_speech: int = 0
    frame_rate: float = 25.0
    expressions_per_frame: int = 1
    n_units: int = 17
    n_emotions: int = 7
    n_style: int = 0
    encoder_blocks: int = 2
    content_width: int = 256
    expression_width: int = 512
    emotion_width: int = 256
    pose_width: int = 256
    contrast_window: int = 10
    emotion_window: int = 5
    pose_window: int = 20
    temperature: float = 0.1

    @property
    def n_features(self) -> int:
        """Inputs of the audio encoder per frame."""
        return self.n_mfcc * self.mfcc_steps + self.n_speech


@dataclass(frozen=True)
class Coefficients:
    """What the networks answer for (B, T) frames.

    expression (B, T * expressions_per_frame, 64): of speech, sd. emotion (B, T, 224): identity, texture and expression
    displacement, sd, changes from the person's own. pose (B, T, 6): units of 0.1 rad and 0.1 dm.
    """

    expression: Tensor
    emotion: Tensor
    pose: Tensor


class EmoSpeaker(nn.Module):
    """The decoupler, ExpNet, EmoNet, PoseNet and the classifier that helps to train EmoNet."""

    def __init__(self, config: EmoSpeakerConfig) -> None:
        super().__init__()
        self.config = config
        content, emotions = config.content_width, config.n_emotions
        self.decoupler = AudioDecoupler(config.n_features, content, config.n_units, config.encoder_blocks)
        self.expression = ExpNet(content, config.expression_width, N_EXPRESSION, config.expressions_per_frame)
        state = N_IDENTITY + N_TEXTURE + N_EXPRESSION
        self.emotion = EmoNet(content, config.emotion_width, emotions, state)
        self.pose = PoseNet(content, config.pose_width, emotions, config.n_style, N_POSE)
        self.classifier = EmotionClassifier(N_IDENTITY + N_TEXTURE, emotions)
        self.register_buffer("feature_mean", torch.zeros(config.n_features))
        self.register_buffer("feature_scale", torch.ones(config.n_features))
        self.register_buffer("unit_mean", torch.zeros(config.n_units))
        self.register_buffer("unit_scale", torch.ones(config.n_units))

    def codes(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of the three levels (B, T, C) of features (B, T, n_features); the last is the content."""
        return self.decoupler.encode((features - self.feature_mean) * self.feature_scale)

    def express(self, content: Tensor, reference: Tensor) -> Tensor:
        """ExpNet over all windows of content (B, T, C) from a reference expression (B, 64)."""
        rows = []
        for part in content.split(self.config.contrast_window, dim=1):
            rows.append(self.expression(part, reference))
            reference = rows[-1][:, -1]
        return torch.cat(rows, dim=1)

    def feel(
        self, content: Tensor, reference: Tensor, emotion: Tensor, intensity: Tensor, window: int | None = None
    ) -> Tensor:
        """EmoNet over all windows of content (B, T, C) from a reference state (B, 224); window: frames, as trained if
        not given.

        emotion (B, T, n_emotions) and intensity (B, T) of a window are those of its middle frame.
        """
        states = []
        length = window or self.config.emotion_window
        for part, label, strength in zip(
            content.split(length, dim=1), emotion.split(length, dim=1), intensity.split(length, dim=1)
        ):
            middle = part.shape[1] // 2
            states.append(self.emotion(part, reference, label[:, middle], strength[:, middle]))
            reference = states[-1][:, -1]
        return torch.cat(states, dim=1)

    def turn(self, content: Tensor, reference: Tensor, emotion: Tensor, intensity: Tensor, style: Tensor) -> Tensor:
        """PoseNet over all windows of content (B, T, C) from a reference pose (B, 6), as feel."""
        poses = []
        length = self.config.pose_window
        pieces = (values.split(length, dim=1) for values in (content, emotion, intensity, style))
        for part, label, strength, oscillation in zip(*pieces):
            middle = part.shape[1] // 2
            poses.append(self.pose(part, reference, label[:, middle], strength[:, middle], oscillation))
            reference = poses[-1][:, -1]
        return torch.cat(poses, dim=1)
