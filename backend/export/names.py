"""How channel names are spelled elsewhere, and renaming curves by a user's map."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.errors import InputError
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, channel_subset

_BY_KEY = {name.lower(): name for name in ARKIT_NAMES}
_SIDE = re.compile(r"[_.\- ](l|r|left|right)$", re.IGNORECASE)


def canonical_name(name: str) -> str:
    """The ARKit channel that a spelling means ('EyeBlink_L', 'blendShape1.eyeBlinkLeft'), else the name itself."""
    tail = re.split(r"[:|/]", name.strip())[-1]
    tail = _SIDE.sub(lambda found: "Left" if found.group(1).lower().startswith("l") else "Right", tail)
    tail = tail.rpartition(".")[2]
    return _BY_KEY.get(re.sub(r"[_.\- ]", "", tail).lower(), name)


def canonical_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """canonical_name of each. Raises InputError where two spell the same channel."""
    found = tuple(canonical_name(name) for name in names)
    for name in found:
        if found.count(name) > 1:
            both = [theirs for theirs, ours in zip(names, found) if ours == name]
            raise InputError(f"The names '{both[0]}' and '{both[1]}' both mean the channel '{name}': rename one.")
    return found


def arkit_columns(curves: AnimationCurves) -> np.ndarray:
    """Weights (n_frames, 52) in ARKit's order, zeros where the curves lack a channel."""
    return channel_subset(curves.names, curves.weights, ARKIT_NAMES)


@dataclass(frozen=True)
class NameMap:
    """Target name → {channel: gain}: what a rig's shapes take from the curves."""

    sources: dict[str, dict[str, float]]

    def apply(self, curves: AnimationCurves) -> AnimationCurves:
        """The curves under the target names, clipped to 0-1. Raises InputError for a channel they lack."""
        lacking = sorted({ours for gains in self.sources.values() for ours in gains} - set(curves.names))
        if lacking:
            raise InputError(f"The map names the channel '{lacking[0]}', which these curves do not have.")
        matrix = np.zeros((len(curves.names), len(self.sources)), np.float32)
        for column, gains in enumerate(self.sources.values()):
            for ours, gain in gains.items():
                matrix[curves.names.index(ours), column] = gain
        weights = np.clip(curves.weights @ matrix, 0.0, 1.0)
        layers = {name: layer @ matrix for name, layer in curves.layers.items()}
        return replace(curves, names=tuple(self.sources), weights=weights, layers=layers, coefficients=None)


class _TwinError(Exception):
    """A name that stands twice in one mapping."""


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The mapping of JSON's pairs. Raises _TwinError where json would keep the last of two."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwinError(next(name for name in names if names.count(name) > 1))
    return mapping


def read_name_map(path: Path) -> NameMap:
    """Reads {"theirs": "ours", "theirs2": {"ours1": 0.5, "ours2": 0.5}} JSON. Raises InputError."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_without_twins)
        sources = {
            str(theirs): {ours: 1.0} if isinstance(ours, str) else {str(k): float(v) for k, v in ours.items()}
            for theirs, ours in document.items()
        }
    except _TwinError as error:
        raise InputError(f"The name map '{path}' names '{error}' twice: keep one.") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f'Cannot read the name map \'{path}\': expected JSON such as {{"Mouth_Open": "jawOpen"}}.'
        ) from error
    for theirs, gains in sources.items():
        for ours, gain in gains.items():
            if not np.isfinite(gain):
                raise InputError(f"The name map '{path}' weighs '{ours}' in '{theirs}' by {gain}: give a number.")
    if not sources:
        raise InputError(f"The name map '{path}' is empty: name at least one shape.")
    return NameMap(sources)
