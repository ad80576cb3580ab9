"""Shards of the synthesised corpus: log-mels and phone labels of a few minutes of speech each, as one .npz file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.features import FEATURE_RATE

NEUTRAL = -1  # of Clip.emotion


@dataclass(frozen=True)
class Clip:
    """One utterance: log-mels (n_frames, 80) at 100 Hz; phones' ends (seconds), labels (indices), stress (1, 0, -1).

    emotion: the one it is spoken with, an index into EMOTIONS or NEUTRAL; level: its intensity, 1-3, 0 when neutral.
    """

    mels: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    stress: np.ndarray
    voice: str
    emotion: int = NEUTRAL
    level: int = 0

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.mels) / FEATURE_RATE


def write_shard(path: Path, clips: list[Clip]) -> None:
    """Writes clips as float16 log-mels and labels under a temporary name, then renames."""
    arrays = {
        "mels": np.concatenate([c.mels for c in clips]).astype(np.float16),
        "n_frames": np.array([len(c.mels) for c in clips], np.int32),
        "ends": np.concatenate([c.ends for c in clips]).astype(np.float32),
        "labels": np.concatenate([c.labels for c in clips]).astype(np.int8),
        "stress": np.concatenate([c.stress for c in clips]).astype(np.int8),
        "n_phones": np.array([len(c.ends) for c in clips], np.int32),
        "voices": np.array([c.voice for c in clips]),
        "emotions": np.array([c.emotion for c in clips], np.int8),
        "levels": np.array([c.level for c in clips], np.int8),
    }
    temporary = path.with_suffix(f".{os.getpid()}.part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.replace(path)


def read_shard(path: Path) -> list[Clip]:
    """The clips of one shard, mels as float16."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    mels = np.split(arrays["mels"], np.cumsum(arrays["n_frames"])[:-1])
    cuts = np.cumsum(arrays["n_phones"])[:-1]
    rows = (np.split(arrays[name], cuts) for name in ("ends", "labels", "stress"))
    named = (arrays[name].tolist() for name in ("voices", "emotions", "levels"))
    return [Clip(*row) for row in zip(mels, *rows, *named)]


def shard_paths(folder: Path) -> list[Path]:
    """The corpus's shards, sorted by name."""
    return sorted(folder.glob("shard_*.npz"))


def corpus_provenance(folder: Path) -> dict[str, str]:
    """What weights say of the corpus that they were trained on: its hash, and the command that made it."""
    description = folder / "corpus.json"
    made = json.loads(description.read_text(encoding="utf-8")) if description.is_file() else {}
    return {"corpus_sha256": corpus_hash(folder), "corpus_command": made.get("command", "not known")}


def corpus_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of the shards' arrays, in order."""
    digest = hashlib.sha256()
    for path in shard_paths(folder):
        digest.update(path.name.encode())
        for clip in read_shard(path):
            for array in (clip.mels, clip.ends, clip.labels, clip.stress, np.int8([clip.emotion, clip.level])):
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
