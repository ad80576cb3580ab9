"""EmoSpeaker at work: what is heard becomes content vectors, and these become lips, emotion and head pose."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bfm.coefficients import FULL_ACTIVATION_SD
from blender_addon.protocol.options import Script
from blender_addon.protocol.types import EMOTIONS, Phone, Waveform

from ..audio.articulation import sealed_weights
from ..audio.features import Level, count_frames, log_mels, normalise
from ..audio.frame_features import N_MFCC, cepstra, frame_features, speech_rows
from ..audio.phones import PHONE_INDEX, PHONES, SILENCE
from ..errors import InputError
from ..weights import NETWORKS
from .fine_grained import SETTLING_FRAMES, FineGrainedPath
from .memory import NO_MEMORY, Memory
from .speech import (
    Articulation,
    Heard,
    Listening,
    SpeechArticulator,
    articulation_of,
    feature_chunks,
    follow,
    resample_articulators,
    shape_articulators,
)
from .threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.emospeaker import EmoSpeaker

CHUNK, CONTEXT = 750, 16  # frames of content that one pass answers for, and that it hears before them


class CoefficientNetworks:
    """EmoSpeaker's networks with weights (.safetensors, by default the shipped ones), read at first use."""

    def __init__(self, weights: Path | None = None) -> None:
        self._path = Path(weights) if weights is not None else NETWORKS["emospeaker"].path

    @classmethod
    def holding(cls, network: EmoSpeaker, path: FineGrainedPath | None = None) -> CoefficientNetworks:
        """Networks that are in memory already, calibrated by a path where one is known."""
        networks = cls()
        networks.__dict__["_loaded"] = (network.eval(), path)
        return networks

    @cached_property
    def _loaded(self) -> tuple[EmoSpeaker, FineGrainedPath]:
        """The networks and their calibration. Raises InputError where they are missing or do not fit."""
        from safetensors import safe_open

        from ..models.emospeaker import EmoSpeaker, EmoSpeakerConfig

        if not self._path.is_file():
            raise InputError(f"EmoSpeaker's weights are missing at {self._path}: install the package again.")
        with safe_open(str(self._path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        try:
            network = EmoSpeaker(EmoSpeakerConfig(**json.loads(metadata["config"])))
            network.load_state_dict(state)
            path = FineGrainedPath.from_json(metadata["fine_grained"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(
                f"The weights at {self._path} are not of these networks: install the package again."
            ) from error
        return network.eval(), path

    @property
    def network(self) -> EmoSpeaker:
        """The networks."""
        return self._loaded[0]

    @property
    def path(self) -> FineGrainedPath:
        """The way of an intensity through the fine-grained matrix."""
        return self._loaded[1]

    @property
    def frame_rate(self) -> float:
        """Frames per second of content, emotion and pose."""
        return self.network.config.frame_rate

    def encode(self, mfcc: np.ndarray, speech: np.ndarray, n_frames: int) -> np.ndarray:
        """Content vectors (n_frames, C) of cepstra (n, 12) at 100 Hz and the speech network's opinions (m, 57)."""
        import torch

        config = self.network.config
        parts = []
        for start in range(0, n_frames, CHUNK):
            first, end = max(0, start - CONTEXT), min(start + CHUNK, n_frames)
            heard = frame_features(
                mfcc, speech, frame_rate=config.frame_rate, per_frame=config.expressions_per_frame, start=first, end=end
            )
            with torch.inference_mode():
                content = self.network.codes(torch.from_numpy(heard)[None])[-1]
            parts.append(content[0, start - first :].numpy())
        return np.concatenate(parts)

    def lips(self, content: np.ndarray) -> np.ndarray:
        """ExpNet: channel weights (n * rows, 64) of speech for content (n, C), from lips at rest."""
        import torch

        with torch.inference_mode():
            rows = self.network.express(torch.from_numpy(content)[None], torch.zeros(1, 64))
        return np.clip(rows[0].numpy() / FULL_ACTIVATION_SD, 0.0, 1.0)

    def states(self, content: np.ndarray, label: str, levels: tuple[int, ...], window: int) -> np.ndarray:
        """EmoNet's displacement from neutral (n_levels, n, 224) sd at some levels (1-3), windows of so many frames.

        Every window starts from the last frame of the one before; the first from the state that its own content,
        heard over and over, settles at.
        """
        import torch

        n_frames = -(-len(content) // window) * window  # a shorter last window would be a stronger one
        whole = np.concatenate([content, np.repeat(content[-1:], n_frames - len(content), axis=0)])
        emotion = torch.zeros(len(levels) + 1, n_frames, len(EMOTIONS))
        emotion[:-1, :, EMOTIONS.index(label)] = 1.0
        intensity = torch.tensor([*levels, 0.0])[:, None].expand(-1, n_frames) / 3.0
        heard = torch.from_numpy(whole)[None].expand(len(levels) + 1, -1, -1)
        with torch.inference_mode():
            start = self._settled(heard, emotion, intensity, window)
            states = self.network.feel(heard, start, emotion, intensity, window)
        return (states[:-1] - states[-1:])[:, : len(content)].numpy()

    def _settled(self, heard: Tensor, emotion: Tensor, intensity: Tensor, window: int) -> Tensor:
        """The state (B, 224) before the first frame of a face that has felt this for a while."""
        n_windows = -(-SETTLING_FRAMES // window)
        first = [values[:, :window].repeat(1, n_windows, *[1] * (values.ndim - 2)) for values in (heard, emotion)]
        strength = intensity[:, :window].repeat(1, n_windows)
        at_rest = heard.new_zeros(len(heard), self.network.emotion.reference.in_features)
        return self.network.feel(first[0], at_rest, first[1], strength, window)[:, -1]

    def pose(self, content: np.ndarray, emotion: np.ndarray, style: np.ndarray) -> np.ndarray:
        """PoseNet: rotation, radians, and translation, decimetres, (n, 6) from rest, for emotion weights (n, 7)."""
        import torch

        from ..models.emospeaker import POSE_UNIT

        strength = emotion.sum(1)
        label = emotion / np.maximum(strength, 1e-6)[:, None]
        inputs = (torch.from_numpy(np.ascontiguousarray(v, np.float32))[None] for v in (content, label, strength))
        heard, mixture, intensity = inputs
        with torch.inference_mode():
            turned = self.network.turn(heard, torch.zeros(1, 6), mixture, intensity, torch.from_numpy(style)[None])
        return turned[0].numpy() * POSE_UNIT


@lru_cache(maxsize=1)
def shipped_networks() -> CoefficientNetworks:
    """EmoSpeaker's shipped networks, loaded once per process."""
    return CoefficientNetworks()


class FaceSpeaker:
    """Turns waveforms into articulation: the speech network hears, the decoupler encodes, ExpNet moves the lips."""

    def __init__(
        self, articulator: SpeechArticulator | None = None, networks: CoefficientNetworks | None = None
    ) -> None:
        self.articulator = articulator or SpeechArticulator()
        self.networks = networks or shipped_networks()

    @one_thread()
    def articulate(
        self, waveform: Waveform, frame_rate: float, script: Script | None = None, *, memory: Memory = NO_MEMORY
    ) -> Articulation:
        """Lips, jaw and tongue of a waveform at frame_rate Hz, and the content that emotion and pose need.

        script: its text or phones, where they are known. memory: where what is heard is kept. Raises InputError where
        the frame rate is not above zero, weights are missing or the script cannot be followed.
        """
        if not frame_rate > 0:
            raise InputError(f"The frame rate should be above 0 frames per second, got {frame_rate:g}.")
        n_frames = max(1, round(waveform.duration * frame_rate))
        n_content = count_content(waveform.duration, self.networks.frame_rate)
        heard = memory.recall(lambda: self.articulator.hear(waveform), "heard", waveform.samples, waveform.sample_rate)
        if heard is None:
            return self._listening_face(n_frames, n_content, frame_rate, waveform.duration)
        if script is not None:
            heard = follow(heard, script, waveform.duration)
        content = self.networks.encode(heard_cepstra(heard.samples, heard.level), rows_of(heard.listening), n_content)
        weights = self._lips(content, heard, frame_rate, n_frames)
        return replace(articulation_of(heard, weights, frame_rate), content=content)

    def _lips(self, content: np.ndarray, heard: Heard, frame_rate: float, n_frames: int) -> np.ndarray:
        """Channel weights (n_frames, 64): ExpNet's, sealed where the speech network hears the lips close."""
        moved = self.networks.lips(content)
        rate = self.networks.frame_rate * self.networks.network.config.expressions_per_frame
        closing = resample_articulators(shape_articulators(heard.listening, heard.speaking), frame_rate, n_frames)
        return sealed_weights(resampled(moved, rate, frame_rate, n_frames), closing)

    def _listening_face(self, n_frames: int, n_content: int, frame_rate: float, duration: float) -> Articulation:
        """Closed, relaxed lips throughout, with the content of silence."""
        n_phones = len(PHONES)
        quiet = Listening(np.zeros((1, 13)), np.eye(n_phones)[[PHONE_INDEX[SILENCE]]], np.zeros(1), np.zeros(1))
        content = self.networks.encode(np.zeros((1, N_MFCC), np.float32), rows_of(quiet), n_content)
        still, none = np.zeros(n_frames, np.float32), np.zeros(0, np.float32)
        phones = (Phone(0.0, duration, SILENCE),)
        return Articulation(
            np.zeros((n_frames, 64), np.float32), phones, still, none, float(frame_rate), content=content
        )


def count_content(duration: float, frame_rate: float) -> int:
    """Frames of content for a sound of so many seconds: to its end, and one to read towards."""
    return int(np.ceil(duration * frame_rate)) + 1


def rows_of(listening: Listening) -> np.ndarray:
    """The speech network's opinions as rows (n, 57) at 50 Hz."""
    return speech_rows(listening.articulators, listening.phones, listening.stress, listening.loudness)


def heard_cepstra(samples: np.ndarray, level: Level) -> np.ndarray:
    """Cepstra (n, 12) at 100 Hz of samples at 16 kHz, half a minute at a time."""
    chunks = feature_chunks(count_frames(len(samples)))
    return np.concatenate([cepstra(normalise(log_mels(samples, *chunk), level)) for chunk in chunks])


def resampled(values: np.ndarray, rate: float, frame_rate: float, n_frames: int) -> np.ndarray:
    """Rows (n_frames, k) at frame_rate Hz of values (n, k) at rate Hz, straight between them, the last held."""
    position = np.minimum(np.arange(n_frames) * (rate / frame_rate), len(values) - 1)
    before = np.minimum(position.astype(int), max(len(values) - 2, 0))
    share = (position - before)[:, None]
    after = np.minimum(before + 1, len(values) - 1)
    return ((1.0 - share) * values[before] + share * values[after]).astype(np.float32)
