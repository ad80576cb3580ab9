"""The emotion's course over the shot as a small picture: each emotion's intensity in its colour. No bpy."""

from __future__ import annotations

import numpy as np

from .protocol.types import EMOTIONS, EmotionTrack

WIDTH, HEIGHT = 256, 96
GROUND = (0.11, 0.11, 0.12, 1.0)
GRID = (0.2, 0.2, 0.21, 1.0)
# In the order of EMOTIONS; near Blender's own strip colours, which the key list shows.
COLORS = {
    "angry": (0.85, 0.25, 0.22),
    "contempt": (0.55, 0.38, 0.28),
    "disgusted": (0.38, 0.62, 0.25),
    "fear": (0.45, 0.35, 0.75),
    "happy": (0.93, 0.76, 0.2),
    "sad": (0.25, 0.5, 0.85),
    "surprised": (0.93, 0.52, 0.2),
}


def emotion_plot(track: EmotionTrack, seconds: float, playhead: float | None = None) -> np.ndarray:
    """A picture (HEIGHT, WIDTH, 4) float32 RGBA 0-1, rows from below, of a track over so many seconds.

    The filled curves stand on the ground line, 1 at the top; playhead: seconds at which a line is drawn.
    """
    picture = np.empty((HEIGHT, WIDTH, 4), np.float32)
    picture[:] = GROUND
    for share in (0.25, 0.5, 0.75):
        picture[int(share * HEIGHT)] = GRID
    weights = track.sample(WIDTH / max(seconds, 0.1), WIDTH)
    rows = (np.arange(HEIGHT)[:, None] + 0.5) / HEIGHT
    for index in np.argsort(-weights.max(axis=0)):
        level = weights[:, index][None]
        if level.max() <= 0.0:
            continue
        color = np.array((*COLORS[EMOTIONS[index]], 1.0), np.float32)
        below, edge = rows < level, np.abs(rows - level) < 1.2 / HEIGHT
        picture[below] = 0.45 * picture[below] + 0.55 * color
        picture[edge & (level > 0)] = color
    if playhead is not None and 0.0 <= playhead <= seconds:
        column = min(int(playhead / max(seconds, 0.1) * WIDTH), WIDTH - 1)
        picture[:, column] = (0.35, 0.6, 0.95, 1.0)
    return picture
