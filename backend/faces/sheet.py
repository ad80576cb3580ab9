"""Contact sheets of a face model: every named channel at full activation, and the emotions at full intensity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.faces.views import open_view
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.facs import EMOTION_AU_INTENSITIES, emotion_weights
from bfm.model import FaceModel

COLUMNS = 8
SUFFIXES = (".png", ".jpg")
TURN = np.radians(12.0)
"""The head is turned so that the side that a channel moves is seen."""
CLOSE_UP = 1.9
# What shows only with the mouth open.
_WITH_JAW = {"mouthClose": 1.0, "tongueOut": 0.35, "tongueUp": 0.35, "tongueToTeeth": 0.35, "tongueBack": 0.35}
_ONE_SIDED = ("contempt",)


def write_sheet(model: FaceModel, out: Path, *, size: int = 240) -> str:
    """Writes the contact sheet of a model with named channels as a picture; gives in words what drew it.

    size: pixels of each square. Raises InputError for a model without named channels and for another suffix.
    """
    import cv2

    from backend.delivery import staged

    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"A contact sheet is written as {' or '.join(SUFFIXES)}, not as '{out.suffix}'.")
    if model.expression_names[: len(EXPRESSION_CHANNELS)] != EXPRESSION_CHANNELS:
        raise InputError(f"The face model '{model.name}' has no named channels to show: use the embedded head or ICT.")
    view, drawn = open_view(model, size=size, zoom=CLOSE_UP)
    identity = np.zeros(len(model.identity_basis), np.float32)
    squares = []
    for title, weights, turn in _poses():
        expression = np.zeros((1, len(model.expression_names)), np.float32)
        expression[0, : len(weights)] = weights * FULL_ACTIVATION_SD
        picture = view.draw(model.vertices(identity, expression)[0], (0.0, turn, 0.0))
        scale = size / 520.0
        cv2.putText(
            picture, title, (4, round(30 * scale)), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA
        )
        squares.append(picture)
    squares += [np.full_like(squares[0], squares[0][0, -1])] * (-len(squares) % COLUMNS)
    rows = [np.hstack(squares[i : i + COLUMNS]) for i in range(0, len(squares), COLUMNS)]
    with staged(out.parent) as folder:
        if not cv2.imwrite(str(folder / out.name), np.vstack(rows)[..., ::-1]):
            raise InputError(f"'{out.name}' could not be written: choose another folder.")
    return drawn


def _poses() -> Iterator[tuple[str, np.ndarray, float]]:
    """Title, channel weights (64,) and turn of the head in radians of every square."""
    for name in EXPRESSION_CHANNELS:
        weights = np.zeros(len(EXPRESSION_CHANNELS), np.float32)
        weights[CHANNEL_INDEX["jawOpen"]] = _WITH_JAW.get(name, 0.0)
        weights[CHANNEL_INDEX[name]] = 1.0
        title = f"{name} + jawOpen {_WITH_JAW[name]:g}" if name in _WITH_JAW else name
        yield title, weights, TURN if name.endswith("Right") else -TURN
    for emotion in EMOTION_AU_INTENSITIES:
        yield emotion, emotion_weights(emotion, side="left" if emotion in _ONE_SIDED else "both"), -TURN
