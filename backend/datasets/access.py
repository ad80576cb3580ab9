"""Any clip of a prepared data set by its number, so that a training run can draw by a seed and go on exactly.

Only where each clip lies in its shard is kept for the whole data set (some bytes a clip); clips themselves stay in
memory up to a limit.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.datasets.clip import PreparedClip, from_members
from backend.datasets.shards import shard_paths
from backend.errors import InputError

MEMORY = 512 << 20  # bytes of clips that are kept
_DAMAGE = (tarfile.TarError, OSError, EOFError, KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class Place:
    """Where a clip lies: its key, its shard's file name, and the range of bytes there."""

    key: str
    shard: str
    start: int
    stop: int


class DamagedClipError(InputError):
    """A clip cannot be read back."""


class NothingHeardError(InputError):
    """A split has no clip with sound."""


class PreparedData:
    """The clips of one split of a prepared folder. Raises InputError where there are none.

    needs_sound: only clips with sound have a number; faces() tells of the others, too, and n_silent how many they are.
    """

    def __init__(self, folder: Path, split: str, *, needs_sound: bool = False, memory: int = MEMORY) -> None:
        self.folder = Path(folder)
        self.damaged: dict[str, str] = {}
        paths = shard_paths(self.folder, split)
        self._whole = [p for path in paths for p in _places(path, self.damaged)]
        self.places = [place for place in self._whole if self._has_sound(place)] if needs_sound else self._whole
        self.n_silent = len(self._whole) - len(self.places)
        if not self._whole:
            raise InputError(f"The shards of '{split}' in '{folder}' hold no whole clip: prepare the data again.")
        if not self.places:
            raise NothingHeardError(f"No clip of '{split}' in '{folder}' has sound, which this network learns from.")
        self._memory, self._held = memory, 0
        self._clips: OrderedDict[int, tuple[PreparedClip, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.places)

    def clip(self, number: int) -> PreparedClip:
        """The clip of a number below the length. Raises DamagedClipError."""
        if number in self._clips:
            self._clips.move_to_end(number)
            return self._clips[number][0]
        place = self.places[number]
        try:
            with (self.folder / place.shard).open("rb") as file:
                file.seek(place.start)
                data = file.read(place.stop - place.start)
            with tarfile.open(fileobj=io.BytesIO(data)) as part:
                members = {info.name.partition(".")[2]: part.extractfile(info).read() for info in part}
            clip = from_members(members)
        except _DAMAGE as error:
            self.damaged[place.key] = f"the clip is damaged ({error})"
            raise DamagedClipError(f"The clip '{place.key}' is damaged ({error}): prepare the data again.") from error
        self._clips[number] = (clip, len(data))
        self._held += len(data)
        while self._held > self._memory and len(self._clips) > 1:
            self._held -= self._clips.popitem(last=False)[1][1]
        return clip

    def whole_clip(self, number: int, fits: Callable[[PreparedClip], bool] = lambda _clip: True) -> PreparedClip:
        """The clip of a number, or the next one that can be read and fits. Raises InputError where none does."""
        for step in range(len(self)):
            try:
                clip = self.clip((number + step) % len(self))
            except DamagedClipError:
                continue
            if fits(clip):
                return clip
        raise InputError(f"No clip in '{self.folder}' can be used: they are too short or damaged.")

    def _has_sound(self, place: Place) -> bool:
        """Whether a clip has sound, as its label tells; one that cannot be read is found damaged when it is drawn."""
        try:
            (label,) = self._first_members(place, 1)
            return json.loads(label).get("has_sound", True)
        except _DAMAGE:
            return True

    def _first_members(self, place: Place, n: int) -> list[bytes]:
        """The first n files of a clip: KEY.json, KEY.npz. Raises one of _DAMAGE."""
        with (self.folder / place.shard).open("rb") as file:
            file.seek(place.start)
            with tarfile.open(fileobj=file) as part:
                return [part.extractfile(part.next()).read() for _ in range(n)]

    def faces(self) -> Iterator[tuple[dict, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """Of every clip what its label says, and identity, texture and mean expression; no picture is read."""
        for place in self._whole:
            try:
                label, arrays = self._first_members(place, 2)
                with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
                    face = stored["identity"], stored["texture"], stored["expression"].mean(0)
                yield json.loads(label), face
            except _DAMAGE as error:
                self.damaged[place.key] = f"the clip is damaged ({error})"

    def card(self) -> dict:
        """What dataset.json says. Raises InputError where it is missing."""
        path = self.folder / "dataset.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"'{path}' cannot be read ({error}): make the data with 'emorig prepare'.") from error


def _places(path: Path, damaged: dict[str, str]) -> list[Place]:
    """The clips of a shard, found by the headers of its files alone; a shard cut short gives what lies before."""
    places: list[Place] = []
    key, start, stop = "", 0, 0
    try:
        with tarfile.open(path) as shard:
            for info in shard:
                found = info.name.partition(".")[0]
                if found != key:
                    if key:
                        places.append(Place(key, path.name, start, stop))
                    key, start = found, info.offset
                stop = info.offset_data + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    except (tarfile.TarError, OSError, EOFError) as error:
        damaged[path.name] = f"the shard is damaged ({error})"
    if key:
        places.append(Place(key, path.name, start, stop))
    return places
