"""Trains EmoSpeaker's MappingNet on recorded clips: coefficients of a face to face-vid2vid's key points (Eq. 9).

The coefficients are those that 'emorig prepare' measured, by the face model that the card names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backend.datasets.access import PreparedData
from backend.datasets.clip import PreparedClip
from backend.models.facevid2vid.head_pose import transform
from backend.models.facevid2vid.mapping import EMOSPEAKER_COEFFICIENTS, MappingConfig, MappingNet, windows
from backend.neural.losses import mapping_loss
from backend.training.bundles import Bundle, file_hash, load_bundle, moved
from backend.training.facevid2vid import FILE as FACEVID2VID_FILE
from backend.training.processes import Processes
from backend.training.recorded import Recordings, as_images, as_tensor, open_recordings, picture
from backend.training.recorded_run import RunSettings, Trainee, train_recorded, with_processes
from backend.training.run import Progress
from backend.training.run_options import RunOptions, TrainingPlan, adam, constant_rate
from bfm.coefficients import FaceCoefficients

NAME = "facevid2vid.mapping_emotion"
FILE = "mapping.safetensors"
# The paper says no more than that the renderer is trained apart; rate and decay are those of its other networks.
PUBLISHED_PLAN = TrainingPlan(
    steps=100_000, batch=32, learning_rate=1e-4, warm_up=1, weight_decay=1e-3, averaging=0.0, save_every=1000
)
SMALL_PLAN = TrainingPlan(
    steps=300, batch=8, learning_rate=1e-3, warm_up=1, weight_decay=0.0, averaging=0.0, save_every=50
)


@dataclass(frozen=True)
class MappingBatch:
    """windows (B, 230, 27) of coefficients round the driving frames; source and driving pictures (B, 3, H, W)."""

    windows: Tensor
    source: Tensor
    driving: Tensor


def coefficient_rows(face: FaceCoefficients) -> np.ndarray:
    """Rows (n_frames, 230) float32: identity, texture, expression in sd, rotation in radians, translation in dm."""
    n_frames = face.n_frames
    identity = np.broadcast_to(face.identity, (n_frames, len(face.identity)))
    texture = np.broadcast_to(face.texture, (n_frames, len(face.texture)))
    if face.identity_change is not None:
        identity = identity + face.identity_change
    if face.texture_change is not None:
        texture = texture + face.texture_change
    rows = np.concatenate([identity, texture, face.expression, face.rotation, face.translation], axis=1)
    assert rows.shape[1] == EMOSPEAKER_COEFFICIENTS
    return rows.astype(np.float32)


def draw_batch(data: PreparedData, plan: TrainingPlan, number: int, size: int) -> MappingBatch:
    """The batch of a number, the same whenever it is drawn."""
    rng = np.random.default_rng([plan.seed, number])
    rows, pictures = [], []
    for _ in range(plan.batch):
        clip: PreparedClip = data.whole_clip(int(rng.integers(len(data))))
        source, driving = rng.integers(clip.n_frames, size=2)
        around = windows(torch.from_numpy(coefficient_rows(clip.coefficients)))
        rows.append(around[int(driving)])
        pictures += [picture(clip, int(i), size) for i in (source, driving)]
    images = as_tensor(pictures)
    return MappingBatch(torch.stack(rows), images[0::2], images[1::2])


def mapping_losses(mapping: nn.Module, teacher: dict[str, nn.Module], batch: MappingBatch) -> dict[str, Tensor]:
    """Eq. 9: the mapped key points of the driving frame against those that face-vid2vid reads off its picture."""
    with torch.no_grad():
        canonical = teacher["facevid2vid.keypoints"](batch.source)
        wanted = transform(canonical, teacher["facevid2vid.head_pose"](batch.driving))
    return {"keypoints": mapping_loss(transform(canonical, mapping(batch.windows)), wanted)}


def mapping_network(*, small: bool) -> MappingNet:
    """The network of the published size, or a quarter as wide."""
    width = MappingConfig().width // 4 if small else MappingConfig().width
    return MappingNet(MappingConfig(n_coefficients=EMOSPEAKER_COEFFICIENTS, width=width))


def train_mapping(settings: RunSettings, *, teacher: Path | None = None, progress: Progress | None = None) -> None:
    """Trains on a prepared folder and writes mapping.safetensors into settings.out; a stopped run goes on.

    teacher: weights of 'train facevid2vid', by default those in settings.out. Raises InputError where they are missing.
    """
    recordings = open_recordings(settings.data)
    plan = settings.plan(PUBLISHED_PLAN, SMALL_PLAN)
    path = teacher or settings.out / FACEVID2VID_FILE
    networks, facts = load_bundle(path, "facevid2vid.keypoints", "facevid2vid.head_pose", "facevid2vid.generator")
    with_processes(
        settings,
        lambda processes: _train(settings, plan, recordings, networks, int(facts["size"]), path, processes, progress),
    )


def _train(
    settings: RunSettings,
    plan: TrainingPlan,
    recordings: Recordings,
    networks: dict[str, nn.Module],
    size: int,
    path: Path,
    processes: Processes,
    progress: Progress | None,
) -> None:
    torch.manual_seed(plan.seed)
    teacher = moved(networks, processes.device)
    bundle = Bundle({NAME: mapping_network(small=settings.small)})

    def batch(number: int, is_held_out: bool) -> MappingBatch:
        data = recordings.test if is_held_out and recordings.test is not None else recordings.train
        return MappingBatch(*(v.to(processes.device) for v in vars(draw_batch(data, plan, number, size)).values()))

    def sample() -> np.ndarray:
        shown = batch(0, True)
        canonical = teacher["facevid2vid.keypoints"](shown.source)
        source = transform(canonical, teacher["facevid2vid.head_pose"](shown.source))
        driving = transform(canonical, bundle[NAME](shown.windows))
        generator = teacher["facevid2vid.generator"]
        made = generator(generator.encode(shown.source), source, driving)
        columns = [as_images(images) for images in (shown.source, shown.driving, made)]
        return np.concatenate([np.concatenate(list(row), axis=1) for row in zip(*columns)], axis=0)

    trainee = Trainee(
        "mapping",
        bundle,
        lambda number, is_held_out: mapping_losses(bundle[NAME], teacher, batch(number, is_held_out)),
        {
            "networks": bundle.sizes, "size": str(size), "teacher_sha256": file_hash(path),
            "face_model": str(recordings.train.clip(0).coefficients.model),
        },
        sample=sample,
    )  # fmt: skip
    options = RunOptions(optimizer=adam, schedule=constant_rate)
    train_recorded(
        trainee, recordings, settings.out / FILE, settings=settings, plan=plan, options=options, processes=processes,
        progress=progress,
    )  # fmt: skip
