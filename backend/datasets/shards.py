"""Shards: tar files in WebDataset's manner (the files of one clip follow each other and share the name before the dot).

They are read from front to back, one clip in memory at a time, so that a data set of any size needs no more memory
than its longest clip.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from backend.datasets.clip import PreparedClip, from_members, to_members
from backend.errors import InputError

Skipped = Callable[[str, str], None]  # name of a shard or clip, reason


def write_shard(path: Path, clips: Iterable[PreparedClip]) -> int:
    """Writes clips to path under a temporary name, then renames. Returns how many. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    n_clips = 0
    try:
        with tarfile.open(partial, "w") as shard:
            for clip in clips:
                for name, data in to_members(clip):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    shard.addfile(info, io.BytesIO(data))
                n_clips += 1
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return n_clips


def shard_paths(folder: Path, split: str) -> list[Path]:
    """The shards of a split in order. Raises InputError where there are none."""
    paths = sorted(Path(folder).glob(f"{split}-*.tar"))
    if not paths:
        raise InputError(f"No shards of the split '{split}' in '{folder}': make them with 'emorig prepare'.")
    return paths


def read_shard(path: Path, *, skipped: Skipped) -> Iterator[PreparedClip]:
    """The clips of a shard in order; what is damaged is told to skipped and passed over."""
    key, members = "", {}
    try:
        with tarfile.open(path) as shard:
            for info in shard:
                found, _, name = info.name.partition(".")
                if found != key and members:
                    yield from _whole(key, members, skipped)
                    members = {}
                key = found
                members[name] = shard.extractfile(info).read()
    except (tarfile.TarError, OSError, EOFError) as error:
        skipped(path.name, f"the shard is damaged ({error})")
        return
    if members:
        yield from _whole(key, members, skipped)


def _whole(key: str, members: dict[str, bytes], skipped: Skipped) -> Iterator[PreparedClip]:
    """The clip of its files, nothing where they are not whole."""
    try:
        clip = from_members(members)
    except (KeyError, ValueError, OSError, TypeError) as error:
        skipped(key, f"the clip is damaged ({error})")
        return
    yield clip


def read_clips(
    folder: Path, split: str, *, rng: np.random.Generator | None = None, window: int = 16, skipped: Skipped
) -> Iterator[PreparedClip]:
    """Every clip of a split once: in order, or with rng shards shuffled and clips drawn from a window of them."""
    paths = shard_paths(folder, split)
    if rng is None:
        for path in paths:
            yield from read_shard(path, skipped=skipped)
        return
    waiting: list[PreparedClip] = []
    for index in rng.permutation(len(paths)):
        for clip in read_shard(paths[index], skipped=skipped):
            waiting.append(clip)
            if len(waiting) > window:
                yield waiting.pop(int(rng.integers(len(waiting))))
    while waiting:
        yield waiting.pop(int(rng.integers(len(waiting))))
