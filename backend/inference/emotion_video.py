"""Emotion taken from a video of somebody else's face, as in EAMM: its displacement from neutral without its speech.

A tracked face is the sum of what it feels and what it says. Brows, lids, cheeks and nose belong to the feeling and are
kept as they move. Of the mouth the corners are kept (action units 12, 14, 15 and 20, whose loss behind the mouth mask
EAMM names as its limit), freed of articulation by taking the middle of what they do over half a second. Lips, jaw,
tongue, blinks and gaze are left to the speech and the liveliness of the shot.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.errors import InputError
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_DIMS
from blender_addon.protocol.types import EMOTIONS, EmotionTrack

# Both sides where a channel has them.
FELT = ("browDown", "browInnerUp", "browOuterUp", "browFurrow", "eyeWide", "eyeSquint", "cheekSquint", "noseSneer",
        "nostrilFlare")  # fmt: skip
LIDS = ("eyeBlink",)  # as far as they stay down: blinks come and go
CORNERS = ("mouthSmile", "mouthDimple", "mouthFrown", "mouthStretch")
ARTICULATION = 0.5  # seconds: syllables come and go within it, expressions last longer
FELT_SMOOTHING, CORNER_SMOOTHING = 0.06, 0.12  # seconds, standard deviation
STRETCH = 1.25  # a video up to this much shorter or longer than the shot is stretched to it


@dataclass(frozen=True)
class EmotionVideo:
    """An emotion given by a video instead of keyframes. Raises InputError where the file is missing."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise InputError(f"There is no emotion video '{self.path}': give the path of a video of a face.")

    def sample(self, frame_rate: float, n_frames: int) -> np.ndarray:
        """Weights (n_frames, 7) of named emotions: none, the displacement says it all."""
        return np.zeros((n_frames, len(EMOTIONS)), np.float32)

    def displacement(self, frame_rate: float, n_frames: int) -> np.ndarray:
        """Channel weights (n_frames, 64) 0–1 that the video's emotion adds. Raises InputError where no face is seen."""
        weights, video_rate = _felt_weights(self.path, self.path.stat().st_mtime_ns)
        return fitted_to_shot(weights, video_rate, frame_rate=frame_rate, n_frames=n_frames)

    def to_json(self) -> str:
        """The video's name and hash, in the form of an emotion file."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return json.dumps({"keys": [{"video": self.path.name, "sha256": digest}]})


def displacement_of(emotion: EmotionTrack | EmotionVideo, frame_rate: float, n_frames: int) -> np.ndarray | None:
    """What an emotion video adds (n_frames, 64), None for keyframes."""
    return emotion.displacement(frame_rate, n_frames) if isinstance(emotion, EmotionVideo) else None


@lru_cache(maxsize=8)
def _felt_weights(path: Path, _modified: int) -> tuple[np.ndarray, float]:
    from backend.native_logs import held_back
    from backend.tracking.tracker import track_video

    with held_back():
        tracked = track_video(path)
    return felt_weights(tracked.coefficients.weights, tracked.curves.frame_rate), tracked.curves.frame_rate


def felt_weights(weights: np.ndarray, frame_rate: float) -> np.ndarray:
    """The part (n_frames, 64) of tracked channel weights (n_frames, 64) that is feeling, not speech."""
    from scipy.ndimage import gaussian_filter1d, median_filter, minimum_filter

    felt = np.zeros((len(weights), EXPRESSION_DIMS), np.float32)
    upper, corners = _columns(FELT), _columns(CORNERS)
    felt[:, upper] = gaussian_filter1d(weights[:, upper], FELT_SMOOTHING * frame_rate, axis=0, mode="nearest")
    span = 2 * round(ARTICULATION * frame_rate / 2) + 1
    lids = _columns(LIDS)
    narrowed = minimum_filter(weights[:, lids], size=(span, 1), mode="nearest")
    felt[:, lids] = gaussian_filter1d(narrowed, CORNER_SMOOTHING * frame_rate, axis=0, mode="nearest")
    middle = median_filter(weights[:, corners], size=(span, 1), mode="nearest")
    felt[:, corners] = gaussian_filter1d(middle, CORNER_SMOOTHING * frame_rate, axis=0, mode="nearest")
    return np.clip(felt, 0.0, 1.0)


def fitted_to_shot(weights: np.ndarray, video_rate: float, *, frame_rate: float, n_frames: int) -> np.ndarray:
    """Weights (m, 64) of a video at the times of a shot (n_frames, 64).

    About as long: stretched. Longer: its beginning. Shorter: forwards and backwards by turns, so that nothing jumps.
    """
    times = np.arange(n_frames) / frame_rate
    last = (len(weights) - 1) / video_rate
    end = times[-1] if n_frames else 0.0
    if last > 0 and end > 0 and 1.0 / STRETCH <= end / last <= STRETCH:
        times = times * (last / end)
    elif last > 0:
        phase = np.mod(times, 2.0 * last)
        times = np.minimum(phase, 2.0 * last - phase)
    grid = np.arange(len(weights)) / video_rate
    return np.stack([np.interp(times, grid, column) for column in weights.T], axis=1).astype(np.float32)


def _columns(stems: tuple[str, ...]) -> list[int]:
    names = [name for stem in stems for name in (stem, f"{stem}Left", f"{stem}Right")]
    return [CHANNEL_INDEX[name] for name in names if name in CHANNEL_INDEX]
