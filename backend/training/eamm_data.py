"""What EAMM learns from (Ji et al. 2022, §3): excerpts of clips with sound, poses, pictures, and emotion pictures whose
mouth is hidden, turned, mirrored and taken at other moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.audio.mfcc import eamm_windows
from backend.datasets.access import PreparedData
from backend.datasets.clip import PreparedClip
from backend.neural.eamm import pose_rows, without_mouth
from backend.training.recorded import as_tensor, picture, picture_landmarks
from backend.training.run_options import TrainingPlan
from bfm.landmarks import LANDMARKS_68

EXCERPT = 8  # frames
PERTURBATION = 5  # frames either way that an emotion picture is taken from
TILT = 0.1  # of the side, that corners move under the perspective


@dataclass(frozen=True)
class TalkingExcerpts:
    """identity (B, 3, H, W); mfcc (B, T, 28, 12); poses (B, T, 6); pictures (B, T, 3, H, W) of the same frames; emotion
    (B, T, 3, H, W): the pictures that the emotion is read off.
    """

    identity: Tensor
    mfcc: Tensor
    poses: Tensor
    pictures: Tensor
    emotion: Tensor


def _is_long_enough(clip: PreparedClip) -> bool:
    return clip.n_frames >= EXCERPT + 6  # the last six frames have no whole window of sound


def draw_excerpts(
    data: PreparedData, plan: TrainingPlan, number: int, size: int, *, augments: bool = True
) -> TalkingExcerpts:
    """The excerpts of a batch's number, the same whenever they are drawn. Raises InputError where clips are short."""
    rng = np.random.default_rng([plan.seed, number])
    rows = [_excerpt(data, rng, size, augments) for _ in range(plan.batch)]
    return TalkingExcerpts(*(torch.stack(column) for column in zip(*rows)))


def _excerpt(data: PreparedData, rng: np.random.Generator, size: int, augments: bool) -> tuple[Tensor, ...]:
    clip = data.whole_clip(int(rng.integers(len(data))), _is_long_enough)
    sound = eamm_windows(clip.samples)
    n_frames = min(clip.n_frames, len(sound))
    first = int(rng.integers(n_frames - EXCERPT + 1))
    frames = np.arange(first, first + EXCERPT)
    pictures = [picture(clip, int(i), size) for i in frames]
    identity = picture(clip, int(rng.integers(clip.n_frames)), size)
    felt = emotion_pictures(clip, frames, size, rng.spawn(1)[0]) if augments else pictures
    return (
        as_tensor([identity])[0],
        torch.from_numpy(sound[frames]),
        torch.from_numpy(pose_rows(clip.coefficients)[frames].astype(np.float32)),
        as_tensor(pictures),
        as_tensor(felt),
    )


def emotion_pictures(clip: PreparedClip, frames: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Pictures near the moments of frames, lips and jaw under noise, all seen in one random perspective and mirror."""
    corners = np.float32([[0, 0], [size, 0], [size, size], [0, size]])
    view = cv2.getPerspectiveTransform(corners, (corners + rng.uniform(-TILT, TILT, (4, 2)) * size).astype(np.float32))
    is_mirrored = bool(rng.random() < 0.5)
    made = []
    for frame in frames:
        near = int(np.clip(frame + rng.integers(-PERTURBATION, PERTURBATION + 1), 0, clip.n_frames - 1))
        landmarks = picture_landmarks(clip, near, size)[list(LANDMARKS_68)]
        image = without_mouth(picture(clip, near, size), landmarks, rng)
        image = cv2.warpPerspective(image, view, (size, size), borderMode=cv2.BORDER_REPLICATE)
        made.append(np.ascontiguousarray(image[:, ::-1]) if is_mirrored else image)
    return made
