"""Trains EmoSpeaker's decoupler and coefficient networks jointly on recorded clips (Algorithm 1, Eq. 8), with the
paper's sizes, weights and schedule; and the ablations of its Table V.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.models.emospeaker import EmoSpeaker, EmoSpeakerConfig
from backend.training.emospeaker import (
    EXCERPT_FRAMES,
    LOSS_WEIGHTS,
    PUBLISHED_PLAN,
    emospeaker_losses,
    excerpt_batch,
    measure_scales,
)
from backend.training.processes import Processes
from backend.training.recorded import Recordings, open_recordings
from backend.training.recorded_faces import ImportedFeatures, RecordedFaces
from backend.training.recorded_run import RunSettings, Trainee, train_recorded, with_processes
from backend.training.run import Progress
from backend.training.run_options import RunOptions, TrainingPlan, adam, constant_rate

FILE = "emospeaker.safetensors"
SMALL_EXCERPT = 20  # frames: one window of PoseNet
SMALL_PLAN = TrainingPlan(
    steps=300, batch=4, learning_rate=1e-3, warm_up=1, weight_decay=0.001, averaging=0.0, save_every=50
)


def recorded_config(*, small: bool, features: ImportedFeatures | None = None) -> EmoSpeakerConfig:
    """The published sizes, or a quarter as wide. Imported features take the decoupler's place: they are only projected
    to the content's width.
    """
    config = EmoSpeakerConfig()
    if small:
        widths = {f"{name}_width": getattr(config, f"{name}_width") // 4 for name in ("content", "expression", "pose")}
        config = replace(config, **widths, emotion_width=config.emotion_width // 4)
    if features is not None:
        config = replace(config, n_mfcc=features.n_features, mfcc_steps=1, encoder_blocks=0)
    return config


def train_emospeaker_recorded(
    settings: RunSettings, *, without_au: bool = False, features: Path | None = None, progress: Progress | None = None
) -> None:
    """Trains on a prepared folder and writes emospeaker.safetensors into settings.out; a stopped run goes on.

    without_au: without the contrast of action units. features: a folder of KEY.npy that takes the decoupler's place.
    Ablations go into files of their own names.
    """
    recordings = open_recordings(settings.data, needs_sound=True)
    plan = settings.plan(PUBLISHED_PLAN, SMALL_PLAN)
    imported = None if features is None else ImportedFeatures(features)
    with_processes(
        settings, lambda processes: _train(settings, plan, recordings, without_au, imported, processes, progress)
    )


def _train(
    settings: RunSettings,
    plan: TrainingPlan,
    recordings: Recordings,
    without_au: bool,
    imported: ImportedFeatures | None,
    processes: Processes,
    progress: Progress | None,
) -> None:
    torch.manual_seed(plan.seed)
    config = recorded_config(small=settings.small, features=imported)
    n_frames = SMALL_EXCERPT if settings.small else EXCERPT_FRAMES
    faces = RecordedFaces(recordings.train, config, n_frames, listen=imported)
    held_out = None if recordings.test is None else RecordedFaces(recordings.test, config, n_frames, listen=imported)
    network = EmoSpeaker(config)
    measure_scales(network, faces, plan.seed, n_excerpts=min(200, 10 * len(recordings.train)))
    weighs_contrast = not without_au and imported is None

    def losses(number: int, is_held_out: bool) -> dict[str, Tensor]:
        source = held_out if is_held_out and held_out is not None else faces
        batch = {name: value.to(processes.device) for name, value in excerpt_batch(source, plan, number).items()}
        parts = emospeaker_losses(network, batch)
        if not weighs_contrast:
            parts["contrastive"] = 0.0 * parts["contrastive"]
        return parts

    name = "without_au" if without_au else "features" if imported is not None else ""
    more = {"without_au": ("--without-au",), "features": ("--features FOLDER",), "": ()}[name]
    neutral = sum(rest.is_neutral for rest in faces.rests.values())
    metadata = {
        "config": json.dumps(asdict(config)), "loss_weights": json.dumps(LOSS_WEIGHTS), "ablation": name,
        "speakers": str(len(faces.rests)), "speakers_with_neutral": str(neutral),
    }  # fmt: skip
    weights = settings.out / (f"emospeaker_{name}.safetensors" if name else FILE)
    train_recorded(
        Trainee("emospeaker", network, losses, metadata),
        recordings,
        weights,
        settings=settings,
        plan=plan,
        options=RunOptions(optimizer=adam, schedule=constant_rate),
        processes=processes,
        more=more,
        progress=progress,
    )


def predict(network: EmoSpeaker, faces: RecordedFaces, clip_number: int) -> dict[str, np.ndarray]:
    """What the networks say of a whole clip from its first frame on: expression (n, 64), state (n, 224), pose (n, 6)
    beside what was measured, named true_….
    """
    clip = faces.data.whole_clip(clip_number)
    excerpt = faces.excerpt(clip, 1, clip.n_frames - 1, from_rest=False)
    batch = {name: torch.from_numpy(np.ascontiguousarray(v, np.float32))[None] for name, v in vars(excerpt).items()}
    with torch.inference_mode():
        content = network.codes(batch["features"])[-1]
        made = {
            "expression": network.express(content, batch["expression"][:, 0]),
            "state": network.feel(content, batch["state"][:, 0], batch["emotion"], batch["intensity"]),
            "pose": network.turn(content, batch["pose"][:, 0], batch["emotion"], batch["intensity"], batch["style"]),
        }
    predicted = {name: value[0].numpy() for name, value in made.items()}
    return predicted | {f"true_{name}": getattr(excerpt, name)[1:] for name in made}
