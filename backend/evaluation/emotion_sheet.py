"""Whether emotions can be read off the frames: portraits in every emotion, shuffled, for judges who see only that.

The sheet numbers its pictures; which emotion each number shows stands in a key beside it, for afterwards.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from backend.errors import InputError
from backend.inference.performance import perform
from backend.native_logs import held_back
from backend.pipeline import articulate, read_portrait
from backend.portrait.refiner_network import shipped_refiner
from backend.portrait.renderer import WarpRenderer
from bfm.coefficients import FULL_ACTIVATION_SD, FaceCoefficients
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EMOTIONS, Waveform

NEUTRAL = "neutral"
HELD_SECONDS, SAMPLE_RATE = 4.0, 16_000
TILE = 380  # pixels
COLUMNS, PER_SHEET = 4, 8
MARGIN = 0.45  # of the face's height around it
BAR = 34  # pixels under each picture for its number


def make_sheets(portraits: list[Path], out: Path, *, strength: float = 1.0, seed: int = 0) -> list[Path]:
    """Writes sheet_1.png … and key.json into out: every portrait in eight emotions, all in one random order.

    Portraits are mixed, so that a sheet may hold an emotion twice or not at all: none can be found by leaving out the
    others. strength: 0–1 of every emotion. Returns the files. Raises InputError.
    """
    if not 0.0 < strength <= 1.0:
        raise InputError(f"The strength should lie above 0 and up to 1, got {strength:g}.")
    out.mkdir(parents=True, exist_ok=True)
    labels = [*EMOTIONS, NEUTRAL]
    weights = _held_weights(strength)
    shown = [
        (face, portrait.name, label) for portrait in portraits for face, label in zip(_faces(portrait, weights), labels)
    ]
    order = np.random.default_rng(seed).permutation(len(shown))
    pictures = {str(n): {"portrait": shown[i][1], "emotion": shown[i][2]} for n, i in enumerate(order, start=1)}
    tiles = [_numbered(shown[i][0], number) for number, i in enumerate(order, start=1)]
    paths = []
    for place, first in enumerate(range(0, len(tiles), PER_SHEET), start=1):
        page = tiles[first : first + PER_SHEET]
        rows = [np.hstack(page[i : i + COLUMNS]) for i in range(0, len(page), COLUMNS)]
        paths.append(_save(out / f"sheet_{place}.png", np.vstack(rows)))
    document = out / "key.json"
    key = {"strength": strength, "seed": seed, "choices": labels, "pictures": pictures}
    document.write_text(json.dumps(key, indent=2) + "\n", encoding="utf-8")
    return [*paths, document]


def score(key: Path, answers: Path) -> tuple[float, np.ndarray, list[str]]:
    """How many answers were right (0–1), the confusion matrix (8, 8), shown by answered, and the labels.

    answers: JSON, {"1": "happy", …} by the sheet's numbers. Raises InputError.
    """
    try:
        truth, given = (json.loads(path.read_text(encoding="utf-8")) for path in (key, answers))
        labels, pictures = truth["choices"], truth["pictures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{key}' and '{answers}' should be a key and answers by number ({error}).") from error
    matrix = np.zeros((len(labels), len(labels)), int)
    for number, label in given.items():
        if number not in pictures or label not in labels:
            raise InputError(f"The answer '{number}: {label}' should be a number of the sheet and one of {labels}.")
        matrix[labels.index(pictures[number]["emotion"]), labels.index(label)] += 1
    return float(np.trace(matrix) / max(matrix.sum(), 1)), matrix, labels


def report_score(key: Path, answers: Path) -> None:
    """Prints how many answers were right, and what was taken for what."""
    from rich.console import Console
    from rich.table import Table

    right, matrix, labels = score(key, answers)
    table = Table(title=f"{right:.0%} of {matrix.sum()} pictures read as meant (guessing: {1 / len(labels):.0%})")
    for name in ("shown", *labels):
        table.add_column(name)
    for label, row in zip(labels, matrix):
        table.add_row(label, *(str(count) if count else "" for count in row))
    Console().print(table)


def _held_weights(strength: float) -> np.ndarray:
    """Channel weights (8, 64) of a silent face that holds each emotion, neutral last, as a shot would show them."""
    options = ShotOptions(pose="still", muted=("blinks", "gaze", "head", "brows"))
    silence = Waveform(np.zeros(round(HELD_SECONDS * SAMPLE_RATE), np.float32), SAMPLE_RATE)
    articulation = articulate(silence, options.frame_rate)
    n_frames, held = len(articulation.weights), []
    for emotion in (*np.eye(len(EMOTIONS), dtype=np.float32), np.zeros(len(EMOTIONS), np.float32)):
        track = np.repeat(strength * emotion[None], n_frames, axis=0)
        held.append(perform(articulation, track, options=options).weights[n_frames // 2])
    return np.stack(held)


def _faces(path: Path, weights: np.ndarray):
    """Close-ups (TILE, TILE, 3) uint8 of a portrait with channel weights (n, 64)."""
    with held_back():
        portrait = read_portrait(path)
    renderer, fit = WarpRenderer(portrait, refiner=shipped_refiner()), portrait.fit
    n_frames = len(weights)
    coefficients = FaceCoefficients(
        identity=fit.identity,
        texture=fit.texture,
        expression=weights * np.float32(FULL_ACTIVATION_SD),
        rotation=np.repeat(fit.rotation[None], n_frames, axis=0),
        translation=np.repeat(fit.translation[None], n_frames, axis=0),
        lighting=fit.lighting,
        frame_rate=25.0,
    )
    points, face = renderer.plate.landmarks, renderer.plate.face_height
    center, half = (points.min(axis=0) + points.max(axis=0)) / 2.0, face * (0.5 + MARGIN)
    for index in range(n_frames):
        frame = renderer.render(coefficients, index)
        left, top = np.maximum(np.int32(center - half), 0)
        right, bottom = np.minimum(np.int32(center + half), frame.shape[1::-1])
        crop = frame[top:bottom, left:right]
        scale = TILE / max(crop.shape[:2])
        method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=method)[:TILE, :TILE]
        tile = np.full((TILE, TILE, 3), 255, np.uint8)
        tile[: crop.shape[0], : crop.shape[1]] = crop
        yield tile


def _numbered(tile: np.ndarray, number: int) -> np.ndarray:
    bar = np.full((BAR, TILE, 3), 255, np.uint8)
    cv2.putText(bar, str(number), (TILE // 2 - 14, BAR - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2, cv2.LINE_AA)
    return np.vstack([tile, bar])


def _save(path: Path, image: np.ndarray) -> Path:
    from PIL import Image

    Image.fromarray(image).save(path)
    return path
