"""Trains face-vid2vid on recorded clips: one frame is the source, another of the same clip is to be made of it.

Wang et al. 2021, "One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing", §3.4 and appendix A.2.
The tracked rotation takes the place of the pretrained pose estimator that the paper's head pose loss asks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from backend.datasets.access import PreparedData
from backend.models.discriminator import Discriminator, DiscriminatorConfig
from backend.models.facevid2vid.dense_motion import DenseMotionConfig
from backend.models.facevid2vid.generator import Generator, GeneratorConfig
from backend.models.facevid2vid.head_pose import HeadMotion, HeadPoseConfig, HeadPoseEstimator, degrees, transform
from backend.models.facevid2vid.keypoints import KeypointDetector, KeypointDetectorConfig
from backend.neural.losses import Features, perceptual_loss
from backend.training.bundles import Bundle
from backend.training.equivariance import RandomTransform, equivariance
from backend.training.perceptual import load_features
from backend.training.processes import Processes
from backend.training.recorded import Recordings, as_images, as_tensor, head_angles, open_recordings, picture
from backend.training.recorded_run import RunSettings, Trainee, train_recorded, with_processes
from backend.training.run import Progress
from backend.training.run_options import RunOptions, TrainingPlan, adam_adversarial, constant_rate

# The paper's weights; feature matching as in the multi-scale GAN that it follows (Wang et al. 2018, "pix2pixHD").
LOSS_WEIGHTS = {
    "perceptual": 10.0, "adversarial": 1.0, "matching": 10.0, "discriminator": 1.0, "equivariance": 20.0,
    "spread": 10.0, "head_pose": 20.0, "deformation": 5.0,
}  # fmt: skip
LEAST_SQUARED_DISTANCE, MEAN_DEPTH = 0.1, 0.33  # D_t and z_t of the key-point prior
SIZE, SMALL_SIZE = 256, 64  # pixels
PUBLISHED_PLAN = TrainingPlan(
    steps=100_000, batch=8, learning_rate=2e-4, warm_up=1, weight_decay=0.0, averaging=0.0, save_every=1000
)
SMALL_PLAN = TrainingPlan(
    steps=300, batch=2, learning_rate=5e-4, warm_up=1, weight_decay=0.0, averaging=0.0, save_every=50
)
FILE = "facevid2vid.safetensors"


@dataclass(frozen=True)
class PicturePairs:
    """source and driving (B, 3, H, W) RGB 0-1 with their heads' yaw, pitch and roll (B, 3) in degrees."""

    source: Tensor
    driving: Tensor
    source_angles: Tensor
    driving_angles: Tensor


def networks(*, small: bool) -> Bundle:
    """The networks that are trained together, of the published sizes or a quarter as wide for 64 pixels."""
    if small:
        parts: dict[str, nn.Module] = {
            "keypoints": KeypointDetector(
                KeypointDetectorConfig(width=8, max_width=256, n_blocks=3, depth=4, step=2)
            ),
            "head_pose": HeadPoseEstimator(HeadPoseConfig(width=16)),
            "generator": Generator(
                GeneratorConfig(
                    width=16, volume_channels=8, depth=4, n_residual=2, decoder_middle=2, decoder_last=16,
                    decoder_hidden=32,
                    motion=DenseMotionConfig(feature_channels=8, depth=4, width=8, max_width=256, n_blocks=3),
                )
            ),
            "discriminator": Discriminator(DiscriminatorConfig(width=16, max_width=128, n_blocks=3)),
        }  # fmt: skip
    else:
        parts = {
            "keypoints": KeypointDetector(), "head_pose": HeadPoseEstimator(), "generator": Generator(),
            "discriminator": Discriminator(),
        }  # fmt: skip
    return Bundle({f"facevid2vid.{name}": network for name, network in parts.items()})


def draw_pairs(data: PreparedData, plan: TrainingPlan, number: int, size: int) -> PicturePairs:
    """The pairs of a batch's number, the same whenever they are drawn."""
    rng = np.random.default_rng([plan.seed, number])
    pictures: list[np.ndarray] = []
    angles: list[np.ndarray] = []
    for _ in range(plan.batch):
        clip = data.whole_clip(int(rng.integers(len(data))), lambda clip: clip.n_frames >= 2)
        chosen = rng.choice(clip.n_frames, 2, replace=False)
        pictures += [picture(clip, int(i), size) for i in chosen]
        angles.append(head_angles(clip.coefficients.rotation[chosen]))
    images, turned = as_tensor(pictures), torch.from_numpy(np.concatenate(angles))
    return PicturePairs(images[0::2], images[1::2], turned[0::2], turned[1::2])


def keypoints_of(parts: Bundle, images: Tensor, canonical: Tensor | None = None) -> tuple[Tensor, Tensor, HeadMotion]:
    """Canonical key points of images (or those given), the posed ones (B, 15, 3) and the head motion read off them."""
    canonical = parts["facevid2vid.keypoints"](images) if canonical is None else canonical
    motion = parts["facevid2vid.head_pose"](images)
    return canonical, transform(canonical, motion), motion


def facevid2vid_losses(
    parts: Bundle, pairs: PicturePairs, features: Features, bend: RandomTransform
) -> dict[str, Tensor]:
    """The weighted losses of a batch. Generator and discriminator learn in one step, each from its own terms."""
    canonical, source, source_motion = keypoints_of(parts, pairs.source)
    _, driving, motion = keypoints_of(parts, pairs.driving, canonical)
    generator = parts["facevid2vid.generator"]
    made = generator(generator.encode(pairs.source), source, driving)
    bent = bend.pictures(pairs.driving)
    own, moved = (keypoints_of(parts, images)[1][..., :2] for images in (pairs.driving, bent))
    angles = (
        torch.stack([degrees(part) for part in (read.yaw, read.pitch, read.roll)], dim=1)
        for read in (source_motion, motion)
    )
    head_pose = sum(
        (ours - true).abs().mean()
        for ours, true in zip(angles, (pairs.source_angles, pairs.driving_angles), strict=True)
    )
    losses = {
        "perceptual": perceptual_loss(made, pairs.driving, features),
        **_adversarial(parts["facevid2vid.discriminator"], made, pairs.driving),
        "equivariance": equivariance(own, moved, bend),
        "spread": keypoint_prior(driving),
        "head_pose": head_pose,
        "deformation": motion.deformation.abs().mean() + source_motion.deformation.abs().mean(),
    }
    return {name: LOSS_WEIGHTS[name] * loss for name, loss in losses.items()}


def keypoint_prior(points: Tensor) -> Tensor:
    """How far key points (B, K, 3) crowd together, and how far their mean depth is from what is wanted (L_L)."""
    squares = (points[:, :, None] - points[:, None]).square().sum(-1)
    apart = torch.eye(points.shape[1], device=points.device, dtype=torch.bool)
    crowding = (LEAST_SQUARED_DISTANCE - squares).clamp(min=0.0).masked_fill(apart, 0.0).sum((1, 2)).mean()
    return crowding + (points[..., 2].mean(1) - MEAN_DEPTH).abs().mean()


def _adversarial(discriminator: nn.Module, made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Hinge losses of both sides and feature matching; the generator's do not reach the discriminator's weights."""
    fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
    maps, score = functional_call(discriminator, fixed, (made,))
    real_maps, real_score = discriminator(real)
    _, made_score = discriminator(made.detach())
    return {
        "adversarial": -score.mean(),
        "matching": sum((a - b.detach()).abs().mean() for a, b in zip(maps, real_maps, strict=True)) / len(maps),
        "discriminator": (1.0 - real_score).relu().mean() + (1.0 + made_score).relu().mean(),
    }


def sample_sheet(parts: Bundle, pairs: PicturePairs) -> np.ndarray:
    """Source, what is wanted and what is made, side by side, a row per pair."""
    canonical, source, _ = keypoints_of(parts, pairs.source)
    driving = keypoints_of(parts, pairs.driving, canonical)[1]
    generator = parts["facevid2vid.generator"]
    made = generator(generator.encode(pairs.source), source, driving)
    columns = [as_images(images) for images in (pairs.source, pairs.driving, made)]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in zip(*columns)], axis=0)


def train_facevid2vid(settings: RunSettings, *, progress: Progress | None = None) -> None:
    """Trains on a prepared folder and writes facevid2vid.safetensors into settings.out; a stopped run goes on."""
    recordings = open_recordings(settings.data)
    plan = settings.plan(PUBLISHED_PLAN, SMALL_PLAN)
    with_processes(settings, lambda processes: _train(settings, plan, recordings, processes, progress))


def _train(
    settings: RunSettings, plan: TrainingPlan, recordings: Recordings, processes: Processes, progress: Progress | None
) -> None:
    torch.manual_seed(plan.seed)
    size = SMALL_SIZE if settings.small else SIZE
    features, named = load_features(settings.vgg, processes.device)
    parts = networks(small=settings.small)

    def pairs(number: int, is_held_out: bool) -> PicturePairs:
        data = recordings.test if is_held_out and recordings.test is not None else recordings.train
        drawn = draw_pairs(data, plan, number, size)
        return PicturePairs(*(value.to(processes.device) for value in vars(drawn).values()))

    def losses(number: int, is_held_out: bool) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + number % (1 << 31))
        bend = RandomTransform(plan.batch, generator, processes.device)
        return facevid2vid_losses(parts, pairs(number, is_held_out), features, bend)

    trainee = Trainee(
        "facevid2vid",
        parts,
        losses,
        {"networks": parts.sizes, "size": str(size), "perceptual": named},
        sample=lambda: sample_sheet(parts, pairs(0, True)),
    )
    options = RunOptions(optimizer=adam_adversarial, schedule=constant_rate, clip=None)
    train_recorded(
        trainee, recordings, settings.out / FILE, settings=settings, plan=plan, options=options, processes=processes,
        progress=progress,
    )  # fmt: skip
