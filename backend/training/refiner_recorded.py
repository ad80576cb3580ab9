"""Trains the refiner on recorded clips: the warp's frames from a clip's first one, against the clip's own frames."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.datasets.access import PreparedData
from backend.datasets.clip import PreparedClip
from backend.errors import InputError
from backend.evaluation.clips import RealClip, with_tracked_fit
from backend.models.refiner import Refiner, RefinerConfig
from backend.portrait.analysis import analyse_portrait
from backend.portrait.refine import MouthCrop, window
from backend.portrait.renderer import WarpRenderer
from backend.tracking.frames import FaceTrack
from backend.tracking.tracker import tracked_face
from backend.training.processes import Processes
from backend.training.recorded import Recordings, open_recordings, picture
from backend.training.recorded_run import RunSettings, Trainee, train_recorded, with_processes
from backend.training.refiner import PLAN, draw_batch, refiner_loss
from backend.training.refiner_data import Pairs, load_corpus, packed
from backend.training.refiner_scenes import SIDE
from backend.training.run import Progress
from backend.training.run_options import RunOptions, TrainingPlan, adamw, learning_rate

FILE = "refiner.safetensors"
FRAMES_PER_CLIP = 16
MOST_CLIPS, MOST_SMALL_CLIPS = 100_000, 24  # whose squares are cut
HELD_OUT_PART = 4  # of so many held-out clips one is cut: a check draws but a few squares
SMALL_SIDE = 48  # pixels of the square
SMALL_PLAN = replace(PLAN, steps=200, batch=4, averaging=0.95)


def reenactable(clip: PreparedClip, size: int) -> RealClip:
    """A prepared clip with its first frame as portrait and coefficients in the camera of its own pictures.

    Raises InputError where the first picture shows no face.
    """
    side = clip.image(0).shape[0]
    frames = np.stack([picture(clip, i, size) for i in range(clip.n_frames)])
    found = np.ones(clip.n_frames, bool)
    scale = size / side
    tracked = tracked_face(
        FaceTrack(clip.landmarks * np.float32(scale), found, clip.coefficients.frame_rate, size, size)
    )
    portrait = with_tracked_fit(analyse_portrait(frames[0]), tracked.coefficients, tracked.fit.camera)
    return RealClip(clip.label.key, frames, portrait, tracked.coefficients)


def clip_pairs(clip: PreparedClip, side: int) -> Pairs:
    """Squares of some of a clip's frames as the warp makes them and as they are. Raises InputError for no face."""
    real = reenactable(clip, SIDE)
    renderer = WarpRenderer(real.portrait, size=SIDE)
    crop = MouthCrop(renderer.plate, renderer.motion, side)
    frames = np.unique(np.linspace(1, clip.n_frames - 1, FRAMES_PER_CLIP).astype(int))
    scale = SIDE / float(clip.image(0).shape[0])
    rows = []
    for index in frames:
        frame, moved, landmarks = renderer.render_parts(real.coefficients, int(index))
        into = crop.into(landmarks)
        guides = crop.guides(moved, landmarks, into)
        true = crop.cut(real.frames[index], crop.into(clip.landmarks[index, :, :2] * scale))
        shown = window(side, guides)
        rows.append((_bytes(crop.cut(frame, into)), _bytes(true), packed(guides), _bytes(shown)))
    return Pairs(*(np.stack(values) for values in zip(*rows)))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def make_pairs(data: PreparedData, folder: Path, side: int, most: int = MOST_CLIPS) -> list[Path]:
    """The squares of at most so many clips in files of a folder; what is there already is kept, clips without a face
    are left out. Raises InputError where none can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, place in enumerate(data.places[:most]):
        path = folder / f"{place.key}.npz"
        if not path.is_file():
            try:
                pairs = clip_pairs(data.clip(number), side)
            except InputError as error:
                data.damaged[place.key] = str(error)
                continue
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez_compressed(file, **vars(pairs))
            part.replace(path)
        paths.append(path)
    if not paths:
        raise InputError(f"No clip of '{data.folder}' shows a face in its first picture: prepare larger pictures.")
    return paths


def train_refiner_recorded(settings: RunSettings, *, progress: Progress | None = None) -> None:
    """Trains on a prepared folder and writes refiner.safetensors into settings.out; a stopped run goes on."""
    recordings = open_recordings(settings.data)
    plan = settings.plan(PLAN, SMALL_PLAN)
    with_processes(settings, lambda processes: _train(settings, plan, recordings, processes, progress))


def _train(
    settings: RunSettings, plan: TrainingPlan, recordings: Recordings, processes: Processes, progress: Progress | None
) -> None:
    torch.manual_seed(plan.seed)
    config = RefinerConfig(side=SMALL_SIDE) if settings.small else RefinerConfig()
    squares = settings.out / "refiner_squares"
    if processes.is_first:
        most = MOST_SMALL_CLIPS if settings.small else MOST_CLIPS
        make_pairs(recordings.train, squares, config.side, most)
        if recordings.test is not None:
            make_pairs(recordings.test, squares, config.side, max(1, most // HELD_OUT_PART))
    processes.wait()
    pairs = {False: _loaded(recordings.train, squares)}
    pairs[True] = _loaded(recordings.test, squares) if recordings.test is not None else pairs[False]
    network = Refiner(config)

    def losses(number: int, is_held_out: bool) -> dict[str, Tensor]:
        drawn = draw_batch(pairs[is_held_out], plan, number)
        crop, guides, wanted, counts = (value.to(processes.device) for value in drawn)
        return refiner_loss(network(crop, guides), wanted, counts)

    def sample() -> np.ndarray:
        crop, guides, wanted, _ = (value.to(processes.device) for value in draw_batch(pairs[True], plan, 0))
        shown = torch.cat([crop, crop + network(crop, guides), crop + wanted], dim=3).clamp(0.0, 1.0)
        images = np.round(shown.cpu().numpy().transpose(0, 2, 3, 1) * 255.0).astype(np.uint8)
        return np.concatenate(list(images), axis=0)

    trainee = Trainee("refiner", network, losses, {"config": json.dumps(asdict(config))}, sample)
    options = RunOptions(optimizer=adamw, schedule=learning_rate)
    train_recorded(
        trainee, recordings, settings.out / FILE, settings=settings, plan=plan, options=options, processes=processes,
        progress=progress,
    )  # fmt: skip


def _loaded(data: PreparedData, folder: Path) -> Pairs:
    paths = [path for place in data.places if (path := folder / f"{place.key}.npz").is_file()]
    return load_corpus(paths)
