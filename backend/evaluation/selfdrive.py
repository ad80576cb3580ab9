"""The papers' self-driving protocol: a clip's first frame and its own sound, the tracked head pose and the labelled
emotion make the clip again, and that is compared with the clip (EmoSpeaker §IV.B, EAMM §4.1).

Coefficients are crossed as in EmoSpeaker's Table VI. What is tracked is parted into speech and emotion by what the
networks predict: the emotion of a clip is its mean expression less that of the predicted speech.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.datasets.clip import SOUND_RATE, PreparedClip
from backend.datasets.layouts import NEUTRAL, ClipFile, named_clip
from backend.datasets.measuring import Measuring, prepare_clip
from backend.errors import InputError
from backend.evaluation.clips import RealClip
from backend.evaluation.sound_sync import SoundSync
from backend.evaluation.video import FRAME_RATE, SeenVideo, VideoScores, compare_videos
from backend.portrait.landmarks import find_landmarks
from backend.portrait.renderer import WarpRenderer
from backend.tracking.frames import FaceTrack
from backend.tracking.tracker import tracked_face
from backend.training.refiner_recorded import reenactable
from bfm.coefficients import FULL_ACTIVATION_SD, FaceCoefficients
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EMOTIONS, EmotionTrack, Waveform

STILL = "still photo"
CROSSED = {  # EmoSpeaker's Table VI: true or predicted speech, and emotion
    "Exp(T) + Emo(T)": (True, True), "Exp(T) + Emo(P)": (True, False),
    "Exp(P) + Emo(T)": (False, True), "Exp(P) + Emo(P)": (False, False),
}  # fmt: skip
FULL_LEVEL = 3


@dataclass(frozen=True)
class DrivenClip:
    """A clip to be made again: as prepared, with portrait and coefficients in its own pictures, and parts of the
    expression (n_frames, 64) sd that are predicted.
    """

    prepared: PreparedClip
    real: RealClip
    spoken: np.ndarray
    felt: np.ndarray

    @property
    def waveform(self) -> Waveform:
        """The clip's sound, in step with its pictures."""
        return Waveform(self.prepared.samples, SOUND_RATE)

    def coefficients(self, has_true_speech: bool, has_true_emotion: bool) -> FaceCoefficients:
        """The tracked pose with speech and emotion, each true or predicted."""
        tracked = self.real.coefficients.expression
        true_emotion = (tracked.mean(0) - self.spoken.mean(0))[None]
        speech = tracked - true_emotion if has_true_speech else self.spoken
        emotion = true_emotion if has_true_emotion else self.felt
        return replace(self.real.coefficients, expression=np.clip(speech + emotion, 0.0, FULL_ACTIVATION_SD))


Method = Callable[[DrivenClip], np.ndarray]  # a clip to frames (n_frames, size, size, 3) uint8


def labelled_file(path: Path, label: str | None) -> ClipFile:
    """The clip of a path with speaker and emotion by its name (MEAD, CREMA-D), or by label 'happy:2' (level 1-3).

    Raises InputError for another label.
    """
    found = named_clip(path)
    if label is None:
        return found
    emotion, _, level = label.partition(":")
    if emotion not in (*EMOTIONS, NEUTRAL) or (level or "2") not in ("1", "2", "3"):
        raise InputError(f"The emotion should be like 'happy:2' or 'neutral', got '{label}'.")
    return replace(found, emotion=emotion, level=0 if emotion == NEUTRAL else int(level or 2))


def load_driven(path: Path, *, size: int, label: str | None = None) -> DrivenClip:
    """Prepares a clip, and predicts what its sound and label say. Raises InputError where it cannot be used."""
    from backend.inference.performance import perform
    from backend.pipeline import articulate

    clip = prepare_clip(labelled_file(path, label), "test", Measuring(FRAME_RATE, size))
    real = reenactable(clip, size)
    said = articulate(Waveform(clip.samples, SOUND_RATE), FRAME_RATE)
    n_frames = clip.n_frames
    emotion = clip.label.emotion if clip.label.emotion in EMOTIONS else NEUTRAL
    track = EmotionTrack.parse(f"{emotion}:{clip.label.level / FULL_LEVEL:.3f}")
    acted = perform(said, track.sample(FRAME_RATE, len(said.weights)), options=ShotOptions(frame_rate=FRAME_RATE))
    spoken, felt = (
        _of_length(layer, n_frames) * np.float32(FULL_ACTIVATION_SD)
        for layer in (said.weights, acted.layers["emotion"])
    )
    return DrivenClip(clip, real, spoken, felt)


def _of_length(rows: np.ndarray, n_frames: int) -> np.ndarray:
    """Rows cut or held to a length."""
    return rows[np.minimum(np.arange(n_frames), len(rows) - 1)]


def warp_methods(size: int) -> dict[str, Method]:
    """The still photo, and the geometry-guided renderer on the four crossings."""

    def warp(clip: DrivenClip, true_speech: bool, true_emotion: bool) -> np.ndarray:
        renderer = WarpRenderer(clip.real.portrait, size=size)
        coefficients = clip.coefficients(true_speech, true_emotion)
        return np.stack([renderer.render(coefficients, i) for i in range(coefficients.n_frames)])

    def still(clip: DrivenClip) -> np.ndarray:
        return np.repeat(clip.real.frames[:1], len(clip.real.frames), axis=0)

    methods: dict[str, Method] = {STILL: still}
    for name, (speech, emotion) in CROSSED.items():
        methods[f"warp {name}"] = lambda clip, s=speech, e=emotion: warp(clip, s, e)
    return methods


def see_frames(name: str, frames: np.ndarray, waveform: Waveform | None) -> SeenVideo:
    """Frames (n, size, size, 3) uint8 as they are measured; where no face is found, the frame before stands in.

    Raises InputError where none shows a face.
    """
    points: list[np.ndarray | None] = [find_landmarks(frame) for frame in _distinct(frames)]
    if len(points) < len(frames):
        points = points * len(frames)
    first = next((p for p in points if p is not None), None)
    if first is None:
        raise InputError(f"No picture of '{name}' shows a face.")
    found = np.array([p is not None for p in points])
    held, latest = [], first
    for point in points:
        latest = latest if point is None else point
        held.append(latest)
    track = FaceTrack(np.stack(held).astype(np.float32), found, FRAME_RATE, *frames.shape[1:3])
    face = tracked_face(track)
    return SeenVideo(
        name, frames, track.landmarks, np.clip(face.units, 0.0, 1.0), face.unit_names, face.fit.identity, waveform
    )


def _distinct(frames: np.ndarray) -> np.ndarray:
    """The frames; only the first where all are equal."""
    return frames[:1] if (frames == frames[0]).all() else frames


def drive_clip(
    clip: DrivenClip, methods: dict[str, Method], *, sync: SoundSync | None = None
) -> Iterator[tuple[str, VideoScores | str, np.ndarray | None]]:
    """Makes a clip by every method and measures it: name, scores or the reason why there are none, and the frames, None
    where it could make none.
    """
    real = see_frames("real", clip.real.frames, clip.waveform)
    for name, method in methods.items():
        frames = None
        try:
            frames = method(clip)
            made = see_frames(name, frames, None)  # the real clip's sound, which is heard once
            yield name, compare_videos(real, made, emotion=clip.prepared.label.emotion, sync=sync), frames
        except InputError as error:
            yield name, str(error), frames
