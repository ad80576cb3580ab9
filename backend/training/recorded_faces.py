"""Excerpts for EmoSpeaker from recorded clips: whose face shows what, beside the sound that it was said with.

Every clip's identity, texture and mean expression differ from the speaker's own (see Rest); that difference is the
emotion's state, and what the expression does beside it is speech. Intensity is the clip's level as a share of 3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from backend.audio.features import log_mels, measure_level, normalise
from backend.audio.frame_features import cepstra, frame_features
from backend.datasets.access import PreparedData
from backend.datasets.clip import PreparedClip
from backend.datasets.layouts import LEVELS
from backend.errors import InputError
from backend.models.emospeaker import POSE_UNIT, EmoSpeakerConfig
from backend.training.excerpts import Excerpt
from backend.training.recorded import rest_faces
from blender_addon.protocol.types import EMOTIONS

FROM_REST = 0.5  # share of excerpts whose emotion starts from the speaker's own face
REMEMBERED = 64  # clips whose sound is kept as features

Listen = Callable[[PreparedClip], np.ndarray]  # a clip to features (n_frames, n_features)


class RecordedFaces:
    """Draws excerpts of a data set's clips. Raises InputError where all are shorter than an excerpt."""

    def __init__(
        self, data: PreparedData, config: EmoSpeakerConfig, n_frames: int, *, listen: Listen | None = None
    ) -> None:
        self.data, self.config, self.n_frames = data, config, n_frames
        self.rests = rest_faces(data)
        self._listen = listen or (lambda clip: mfcc_features(clip, config))
        self._heard: dict[str, np.ndarray] = {}
        data.whole_clip(0, self._is_long_enough)

    def draw(self, rng: np.random.Generator) -> Excerpt:
        """One excerpt of n_frames frames."""
        clip = self.data.whole_clip(int(rng.integers(len(self.data))), self._is_long_enough)
        first = int(rng.integers(1, clip.n_frames - self.n_frames + 1))
        return self.excerpt(clip, first, self.n_frames, from_rest=rng.random() < FROM_REST)

    def excerpt(self, clip: PreparedClip, first: int, n_frames: int, *, from_rest: bool) -> Excerpt:
        """n_frames frames of a clip from frame first (at least 1) on; from_rest: the state before is the speaker's own
        face.
        """
        frames = np.arange(first - 1, first + n_frames)
        face, rest = clip.coefficients, self.rests[clip.label.speaker]
        is_felt = clip.label.emotion in EMOTIONS
        shown = np.zeros(64, np.float32)
        changed = np.zeros(160, np.float32)
        if is_felt:
            shown = (face.expression.mean(0) - rest.expression).astype(np.float32)
            changed = np.concatenate([face.identity - rest.identity, face.texture - rest.texture]).astype(np.float32)
        state = np.tile(np.concatenate([changed, shown]), (len(frames), 1))
        if from_rest:
            state[0] = 0.0
        emotion = np.zeros((n_frames, len(EMOTIONS)), np.float32)
        if is_felt:
            emotion[:, EMOTIONS.index(clip.label.emotion)] = 1.0
        strength = clip.label.level / max(LEVELS) if is_felt else 0.0
        pose = np.concatenate([face.rotation, face.translation], axis=1)
        return Excerpt(
            features=self._features(clip)[frames[1:]],
            units=clip.units[frames[1:]],
            expression=self._speech(face.expression - shown, frames),
            state=state,
            pose=((pose - np.median(pose, axis=0)) / POSE_UNIT)[frames].astype(np.float32),
            style=np.zeros((n_frames, self.config.n_style), np.float32),
            emotion=emotion,
            intensity=np.full(n_frames, strength, np.float32),
        )

    def _is_long_enough(self, clip: PreparedClip) -> bool:
        return clip.n_frames > self.n_frames

    def _speech(self, expression: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Rows (n_frames * rows + 1, 64) of expression, the last of the frame before and those of every frame."""
        rows = self.config.expressions_per_frame
        place = np.concatenate([[frames[1] - 1.0 / rows], frames[1] + np.arange((len(frames) - 1) * rows) / rows])
        before = np.clip(np.floor(place).astype(int), 0, len(expression) - 1)
        after = np.minimum(before + 1, len(expression) - 1)
        share = (place - before)[:, None]
        return ((1.0 - share) * expression[before] + share * expression[after]).astype(np.float32)

    def _features(self, clip: PreparedClip) -> np.ndarray:
        key = clip.label.key
        if key not in self._heard:
            if len(self._heard) >= REMEMBERED:
                self._heard.pop(next(iter(self._heard)))
            self._heard[key] = self._listen(clip)
        return self._heard[key]


def mfcc_features(clip: PreparedClip, config: EmoSpeakerConfig) -> np.ndarray:
    """What the published encoder hears (n_frames, 336): 28 steps of 12 cepstra round every frame."""
    mels = log_mels(clip.samples)
    heard = cepstra(normalise(mels, measure_level([mels])))
    nothing = np.zeros((1, 0), np.float32)
    return frame_features(
        heard, nothing, frame_rate=config.frame_rate, per_frame=config.expressions_per_frame, start=0, end=clip.n_frames
    )


class ImportedFeatures:
    """Features that another program has made of the clips' sound, DeepSpeech's or wav2vec's: KEY.npy in a folder,
    (n, d) numbers evenly over the clip.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        first = next(iter(sorted(self._folder.glob("*.npy"))), None)
        if first is None:
            raise InputError(f"There are no features in '{folder}': expected KEY.npy for every clip's key.")
        self.n_features = self._read(first).shape[1]

    def __call__(self, clip: PreparedClip) -> np.ndarray:
        values = self._read(self._folder / f"{clip.label.key}.npy")
        if values.shape[1] != self.n_features:
            raise InputError(
                f"The features of '{clip.label.key}' should have {self.n_features} columns, got {values.shape[1]}."
            )
        place = (np.arange(clip.n_frames) + 0.5) / clip.n_frames * len(values)
        return values[np.clip(place.astype(int), 0, len(values) - 1)].astype(np.float32)

    def _read(self, path: Path) -> np.ndarray:
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"'{path}' holds no features ({error}): expected an .npy of numbers (n, d).") from error
        if values.ndim != 2 or not len(values) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise InputError(f"'{path.name}' should hold finite numbers (n, d), got shape {values.shape}.")
        return values
