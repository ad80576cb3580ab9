"""Trains EAMM (Ji et al. 2022) on recorded clips, stage by stage.

motion: the first-order motion model that the paper takes ready-made (Siarohin et al. 2019), key points and generator;
sound: key points from sound and pose, taught by the motion model's (Eq. 1); pictures: the same with the perceptual loss
of rendered frames (Eq. 3); emotion: the displacement learner (Eq. 4) while the sound module is fine-tuned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backend.datasets.access import PreparedData
from backend.errors import InputError
from backend.models.eamm.keypoints import Keypoints
from backend.neural.losses import Features, keypoint_loss, perceptual_loss
from backend.training.bundles import Bundle, file_hash, load_bundle, moved
from backend.training.eamm_data import TalkingExcerpts, draw_excerpts
from backend.training.eamm_networks import (
    ABLATIONS,
    EammVariant,
    emotion_networks,
    emotional_keypoints,
    motion_networks,
    sound_networks,
    spoken_keypoints,
)
from backend.training.equivariance import RandomTransform, equivariance, jacobian_equivariance
from backend.training.facevid2vid import SIZE, SMALL_SIZE, draw_pairs
from backend.training.perceptual import load_features
from backend.training.processes import Processes
from backend.training.recorded import Recordings, as_images, as_tensor, open_recordings, picture, picture_landmarks
from backend.training.recorded_run import RunSettings, Trainee, train_recorded, with_processes
from backend.training.run import Progress
from backend.training.run_options import RunOptions, TrainingPlan, adam, adam_adversarial, linear_decay

STAGES = ("motion", "sound", "pictures", "emotion")
MOTION_WEIGHTS = {"perceptual": 10.0, "equivariance": 10.0, "jacobian": 10.0}  # Siarohin et al. 2019
KEYPOINT_WEIGHT, PERCEPTUAL_WEIGHT = 10.0, 1.0
"""Eq. 3 leaves lambda open; the first scales both terms to like size, which Adam does not see."""
RENDERED_FRAMES = 2  # of an excerpt that are rendered for the perceptual loss
PUBLISHED_PLANS = {
    stage: TrainingPlan(
        steps=steps, batch=batch, learning_rate=2e-4, warm_up=1, weight_decay=0.0, averaging=0.0, save_every=1000
    )
    for stage, steps, batch in (("motion", 100_000, 8), ("sound", 60_000, 4), ("pictures", 20_000, 4),
                                ("emotion", 40_000, 4))
}  # fmt: skip
SMALL_PLANS = {
    stage: TrainingPlan(
        steps=steps, batch=2, learning_rate=1e-3, warm_up=1, weight_decay=0.0, averaging=0.0, save_every=50
    )
    for stage, steps in (("motion", 300), ("sound", 300), ("pictures", 100), ("emotion", 100))
}


def motion_losses(parts: Bundle, source: Tensor, driving: Tensor, features: Features, bend: RandomTransform):
    """The weighted losses of the motion model on pairs of pictures (B, 3, H, W) of one clip each."""
    detector, generator = parts["eamm.keypoints"], parts["eamm.generator"]
    points, moving = detector(source), detector(driving)
    made = generator(generator.encode(source), points, moving)
    bent = detector(bend.pictures(driving))
    losses = {
        "perceptual": perceptual_loss(made, driving, features),
        "equivariance": equivariance(moving.value, bent.value, bend),
        "jacobian": jacobian_equivariance(moving.jacobian, bent.value, bent.jacobian, bend),
    }
    return {name: MOTION_WEIGHTS[name] * loss for name, loss in losses.items()}


def speech_losses(
    predicted: Keypoints, teacher: dict[str, nn.Module], excerpts: TalkingExcerpts, features: Features | None
) -> dict[str, Tensor]:
    """Key-point loss of predicted (B T, K, …) against the motion model's, and the perceptual loss where features are
    given (Eq. 1–4).
    """
    pictures = excerpts.pictures.flatten(0, 1)
    with torch.no_grad():
        wanted = teacher["eamm.keypoints"](pictures)
    losses = {"keypoints": KEYPOINT_WEIGHT * keypoint_loss(predicted, wanted) / predicted.value.shape[1]}
    if features is not None:
        made, shown = render_some(predicted, teacher, excerpts)
        losses["perceptual"] = PERCEPTUAL_WEIGHT * perceptual_loss(made, shown, features)
    return losses


def render_some(
    predicted: Keypoints, teacher: dict[str, nn.Module], excerpts: TalkingExcerpts
) -> tuple[Tensor, Tensor]:
    """Some frames of every excerpt as the motion model renders them from the identity picture, and their pictures."""
    n_batch, n_frames = excerpts.pictures.shape[:2]
    chosen = torch.linspace(0, n_frames - 1, RENDERED_FRAMES).round().long()
    rows = (torch.arange(n_batch)[:, None] * n_frames + chosen).flatten()
    identity = excerpts.identity.repeat_interleave(RENDERED_FRAMES, dim=0)
    generator = teacher["eamm.generator"]
    source = teacher["eamm.keypoints"](identity)
    made = generator(generator.encode(identity), source, predicted[rows])
    return made, excerpts.pictures.flatten(0, 1)[rows]


def face_keypoints(motion: dict[str, nn.Module], data: PreparedData, size: int, n_clips: int = 8) -> tuple[int, ...]:
    """The three key points whose masks lie most on the face, as the paper found its own by looking (Fig. 3)."""
    shares = []
    for number in range(min(n_clips, len(data))):
        clip = data.whole_clip(number)
        first, last = (picture(clip, i, size) for i in (0, clip.n_frames - 1))
        source, driving = (as_tensor([image]).to(_device(motion)) for image in (first, last))
        generator, detector = motion["eamm.generator"], motion["eamm.keypoints"]
        with torch.no_grad():
            flow = generator.motion(generator.motion.shrink(source), detector(source), detector(driving))
        mask = flow.mask[0, 1:].cpu().numpy()
        scale = mask.shape[-1] / size
        points = picture_landmarks(clip, clip.n_frames - 1, size) * scale
        (left, top), (right, bottom) = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
        inside = mask[:, max(0, top) : bottom + 1, max(0, left) : right + 1].sum((1, 2))
        shares.append(inside / inside.sum())
    return tuple(int(i) for i in np.sort(np.argsort(np.mean(shares, axis=0))[-3:]))


def _device(networks: dict[str, nn.Module]) -> torch.device:
    return next(next(iter(networks.values())).parameters()).device


def stage_file(folder: Path, stage: str) -> Path:
    """Where a stage's weights lie."""
    return folder / f"eamm_{stage}.safetensors"


def train_eamm(
    settings: RunSettings,
    *,
    stages: tuple[str, ...] = STAGES,
    motion: Path | None = None,
    ablation: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Trains the stages in order on a prepared folder and writes eamm_STAGE.safetensors into settings.out.

    motion: weights of another motion stage. ablation: a variant of the paper's Table 3 for the emotion stage, written
    to eamm_emotion_NAME.safetensors. A stopped run goes on. Raises InputError for an unknown stage or ablation.
    """
    for stage in stages:
        if stage not in STAGES:
            raise InputError(f"Unknown stage '{stage}': use {', '.join(STAGES)}.")
    if ablation is not None and ablation not in ABLATIONS:
        raise InputError(f"Unknown ablation '{ablation}': use one of {', '.join(ABLATIONS)}.")
    variant = ABLATIONS[ablation] if ablation else EammVariant()

    def train(processes: Processes) -> None:
        for stage in stages:
            # The motion model learns from pictures alone.
            recordings = open_recordings(settings.data, needs_sound=stage != "motion")
            _Stage(settings, recordings, processes, stage, motion, variant, ablation).run(progress)

    with_processes(settings, train)


class _Stage:
    """One stage of EAMM's training."""

    def __init__(
        self,
        settings: RunSettings,
        recordings: Recordings,
        processes: Processes,
        stage: str,
        motion: Path | None,
        variant: EammVariant,
        ablation: str | None,
    ) -> None:
        self._settings, self._recordings, self._processes, self._stage = settings, recordings, processes, stage
        self._plan = settings.plan(PUBLISHED_PLANS[stage], SMALL_PLANS[stage])
        self._size = SMALL_SIZE if settings.small else SIZE
        self._motion_file = motion or stage_file(settings.out, "motion")
        self._variant, self._ablation = variant, ablation
        self._features, self._perceptual = load_features(settings.vgg, processes.device)
        torch.manual_seed(self._plan.seed)

    def run(self, progress: Progress | None) -> None:
        """Trains the stage."""
        trainee = {"motion": self._motion, "sound": self._sound, "pictures": self._sound, "emotion": self._emotion}[
            self._stage
        ]()
        name = self._stage if self._ablation is None or self._stage != "emotion" else f"emotion_{self._ablation}"
        more = (f"--stage {self._stage}", *([f"--ablation {self._ablation}"] if name != self._stage else []))
        train_recorded(
            trainee,
            self._recordings,
            stage_file(self._settings.out, name),
            settings=self._settings,
            plan=self._plan,
            options=RunOptions(optimizer=adam_adversarial if self._stage == "motion" else adam, schedule=linear_decay),
            processes=self._processes,
            more=more,
            progress=progress,
        )

    def _data(self, is_held_out: bool) -> PreparedData:
        held = self._recordings.test
        return held if is_held_out and held is not None else self._recordings.train

    def _facts(self, parts: Bundle, **more: str) -> dict[str, str]:
        return {"networks": parts.sizes, "size": str(self._size), "perceptual": self._perceptual, **more}

    def _motion(self) -> Trainee:
        parts = motion_networks(small=self._settings.small)

        def drawn(number: int, is_held_out: bool) -> tuple[Tensor, Tensor]:
            pairs = draw_pairs(self._data(is_held_out), self._plan, number, self._size)
            return pairs.source.to(self._processes.device), pairs.driving.to(self._processes.device)

        def losses(number: int, is_held_out: bool) -> dict[str, Tensor]:
            generator = torch.Generator().manual_seed(self._plan.seed * 1_000_003 + number % (1 << 31))
            bend = RandomTransform(self._plan.batch, generator, self._processes.device)
            return motion_losses(parts, *drawn(number, is_held_out), self._features, bend)

        def sample() -> np.ndarray:
            source, driving = drawn(0, True)
            detector, network = parts["eamm.keypoints"], parts["eamm.generator"]
            made = network(network.encode(source), detector(source), detector(driving))
            return _sheet(source, driving, made)

        return Trainee("eamm", parts, losses, self._facts(parts), sample)

    def _excerpts(self, number: int, is_held_out: bool) -> TalkingExcerpts:
        drawn = draw_excerpts(self._data(is_held_out), self._plan, number, self._size, augments=self._variant.augments)
        return TalkingExcerpts(*(value.to(self._processes.device) for value in vars(drawn).values()))

    def _teacher(self) -> tuple[dict[str, nn.Module], str]:
        networks, _ = load_bundle(self._motion_file, "eamm.keypoints", "eamm.generator")
        return moved(networks, self._processes.device), file_hash(self._motion_file)

    def _begun(self, stage: str) -> Bundle:
        """The sound module as an earlier stage left it."""
        networks, _ = load_bundle(stage_file(self._settings.out, stage), "eamm.audio_features", "eamm.audio_keypoints")
        for network in networks.values():
            network.requires_grad_(True)
        return Bundle(networks)

    def _sound(self) -> Trainee:
        teacher, digest = self._teacher()
        with_pictures = self._stage == "pictures"
        parts = self._begun("sound") if with_pictures else sound_networks(small=self._settings.small)
        features = self._features if with_pictures else None

        def losses(number: int, is_held_out: bool) -> dict[str, Tensor]:
            excerpts = self._excerpts(number, is_held_out)
            return speech_losses(spoken_keypoints(parts, excerpts), teacher, excerpts, features)

        def sample() -> np.ndarray:
            excerpts = self._excerpts(0, True)
            made, shown = render_some(spoken_keypoints(parts, excerpts), teacher, excerpts)
            return _sheet(excerpts.identity.repeat_interleave(RENDERED_FRAMES, dim=0), shown, made)

        return Trainee("eamm", parts, losses, self._facts(parts, teacher_sha256=digest), sample)

    def _emotion(self) -> Trainee:
        teacher, digest = self._teacher()
        spoken = self._begun("pictures")
        face = face_keypoints(teacher, self._recordings.train, self._size)
        parts = emotion_networks(spoken, face, self._variant, small=self._settings.small)

        def losses(number: int, is_held_out: bool) -> dict[str, Tensor]:
            excerpts = self._excerpts(number, is_held_out)
            felt = emotional_keypoints(parts, excerpts, self._variant)
            return speech_losses(felt, teacher, excerpts, self._features)

        def sample() -> np.ndarray:
            excerpts = self._excerpts(0, True)
            made, shown = render_some(emotional_keypoints(parts, excerpts, self._variant), teacher, excerpts)
            return _sheet(excerpts.identity.repeat_interleave(RENDERED_FRAMES, dim=0), shown, made)

        facts = self._facts(parts, teacher_sha256=digest, ablation=self._ablation or "")
        return Trainee("eamm", parts, losses, facts, sample)


def _sheet(*columns: Tensor) -> np.ndarray:
    """Pictures side by side, a row per example."""
    rows = zip(*(as_images(images) for images in columns))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
