"""The refiner's corpus: squares round warped mouths with their guides, and the true squares, in shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from backend.errors import InputError
from backend.models.refiner import N_GUIDES, RefinerConfig
from backend.portrait.refine import MouthCrop, window
from backend.portrait.renderer import WarpRenderer
from backend.training.refiner_scenes import SIDE, MadeFace, draw_expression
from bfm.camera import rotation_angles
from bfm.coefficients import FULL_ACTIVATION_SD, LIGHTING_DIMS, TEXTURE_DIMS, FaceCoefficients
from bfm.sources.embedded import load_embedded_model

FACES_PER_SHARD, FRAMES_PER_FACE = 8, 8
POSE_CHANGE = np.radians([2.5, 4.0, 2.0])
# What moves the photo knows the truth only about: expressions fall short and scatter, poses scatter, light changes.
REACHED, SCATTER, POSE_SCATTER, LIGHT_SCATTER = (0.87, 1.08), 0.036, np.radians([0.45, 0.45, 0.25]), 0.02
NOISE, QUALITY = (0.0, 5.0), (35, 95)  # of the photo's sensor in grey levels, and of its compression (JPEG)


@dataclass(frozen=True)
class Pairs:
    """crop, truth (n, 3, side, side) uint8; guides (n, 12, side, side) int8 in 1/127, the photo's first three moved
    by a half; window (n, side, side) uint8 in 1/255: where the truth counts.
    """

    crop: np.ndarray
    truth: np.ndarray
    guides: np.ndarray
    window: np.ndarray


def make_corpus(
    folder: Path, *, faces: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Makes shards of made-up faces in folder and returns their paths; what is there already is kept.

    Raises InputError for no faces.
    """
    if faces < 1:
        raise InputError(f"The corpus should have at least 1 face, got {faces}.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"shard_{seed}_{index:04d}.npz" for index in range(-(-faces // FACES_PER_SHARD))]
    for index, path in enumerate(paths):
        if not path.is_file():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez_compressed(file, **vars(make_shard(seed, index)))
            part.replace(path)
        if progress is not None:
            progress(index + 1, len(paths))
    return paths


def load_corpus(paths: list[Path]) -> Pairs:
    """All pairs of shards."""
    shards = [dict(np.load(path)) for path in paths]
    return Pairs(**{name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]})


def corpus_hash(pairs: Pairs) -> str:
    """One hash of all that a corpus holds."""
    total = hashlib.sha256()
    for name, values in sorted(vars(pairs).items()):
        total.update(name.encode() + values.tobytes())
    return total.hexdigest()


def make_shard(seed: int, index: int) -> Pairs:
    """The pairs of one shard, the same whenever it is made."""
    model, side = load_embedded_model(), RefinerConfig().side
    rows: list[tuple[np.ndarray, ...]] = []
    for number in range(FACES_PER_SHARD):
        rng = np.random.default_rng([seed, index, number])
        face = MadeFace(model, rng)
        rows += _pairs_of(face, rng, side)
    crop, truth, guides, windows = (np.stack(values) for values in zip(*rows))
    return Pairs(crop, truth, guides, windows)


def _pairs_of(face: MadeFace, rng: np.random.Generator, side: int) -> list[tuple[np.ndarray, ...]]:
    portrait = face.portrait()
    portrait = replace(portrait, image=_recorded(portrait.image, rng))
    renderer = WarpRenderer(portrait, size=SIDE)
    crop = MouthCrop(renderer.plate, renderer.motion, side)
    rows = []
    for _ in range(FRAMES_PER_FACE):
        expression = draw_expression(rng)
        rotation = (face.rotation + POSE_CHANGE * rng.normal(size=3)).astype(np.float32)
        known = _guessed(expression, face.expression, rng)
        frame, moved, landmarks = renderer.render_parts(_single(face, known, rotation), 0)
        turned = rotation_angles(moved.pose.matrix) + POSE_SCATTER * rng.normal(size=3)
        true = face.truth(expression, turned.astype(np.float32), moved.pose.translation)
        light = (1.0 + LIGHT_SCATTER * rng.normal()) * (1.0 + 0.3 * LIGHT_SCATTER * rng.normal(size=3))
        true = np.clip(true * light + 0.5, 0.0, 255.0).astype(np.uint8)
        into = crop.into(landmarks)
        guides = crop.guides(moved, landmarks, into)
        assert len(guides) == N_GUIDES
        shown = window(side, guides)
        rows.append((_bytes(crop.cut(frame, into)), _bytes(crop.cut(true, into)), packed(guides), _bytes(shown)))
    return rows


def _guessed(expression: np.ndarray, rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An expression (64,) sd as a tracker would see it beside the photo's own."""
    guess = rest + rng.uniform(*REACHED) * (expression - rest)
    moving = np.abs(expression - rest) > 0.0
    scatter = SCATTER * FULL_ACTIVATION_SD * rng.normal(size=expression.shape) * moving
    return np.clip(guess + scatter, 0.0, FULL_ACTIVATION_SD).astype(np.float32)


def _recorded(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """image (h, w, 3) uint8 with a sensor's noise, compressed."""
    noisy = np.clip(image + rng.uniform(*NOISE) * rng.normal(size=image.shape), 0.0, 255.0).astype(np.uint8)
    _, packet = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITY))])
    return np.ascontiguousarray(cv2.imdecode(packet, cv2.IMREAD_COLOR)[..., ::-1])


def _single(face: MadeFace, expression: np.ndarray, rotation: np.ndarray) -> FaceCoefficients:
    """One frame of coefficients."""
    return FaceCoefficients(
        identity=face.identity,
        texture=np.zeros(TEXTURE_DIMS, np.float32),
        expression=expression[None],
        rotation=rotation[None],
        translation=face.translation[None],
        lighting=np.zeros(LIGHTING_DIMS, np.float32),
        frame_rate=25.0,
    )


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def packed(guides: np.ndarray) -> np.ndarray:
    """Guides float32 as int8; all lie within −1 to 1."""
    values = guides.copy()
    values[..., :3, :, :] -= 0.5
    return np.round(np.clip(values, -1.0, 1.0) * 127.0).astype(np.int8)


def unpacked(guides: np.ndarray) -> np.ndarray:
    """Guides int8 as float32."""
    values = guides.astype(np.float32) / np.float32(127.0)
    values[..., :3, :, :] += np.float32(0.5)
    return values
