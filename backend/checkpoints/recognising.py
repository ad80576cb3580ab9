"""Tells which published file a checkpoint is, by the names and shapes in it, and brings its arrays under our names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from backend.checkpoints.registry import FILES, Part, PublishedFile, find_file
from backend.errors import InputError
from backend.models.published import NETWORKS
from backend.models.state_names import StateNameError, renamed

States = dict[str, dict[str, Tensor]]


class LayoutError(Exception):
    """A checkpoint lacks what a published file should hold; the text says what, and agreement how much fits (0-1)."""

    def __init__(self, text: str, agreement: float) -> None:
        super().__init__(text)
        self.agreement = agreement


def recognise(held: Mapping[str, Any], path: Path, name: str | None = None) -> tuple[PublishedFile, States]:
    """The published file that a checkpoint is, and the state dict of each network in it under our names.

    name: what the user says that it is. Files of one layout are told apart by their file name. Raises InputError.
    """
    wanted = [find_file(name)] if name else sorted(FILES, key=lambda file: file.file != path.name)
    failures = []
    for file in wanted:
        try:
            return file, {part.network: take(held, part) for part in file.parts}
        except LayoutError as error:
            failures.append((error.agreement, file, str(error)))
    agreement, nearest, text = max(failures, key=lambda failure: failure[0])
    if agreement < 0.5:
        known = ", ".join(sorted({file.project for file in FILES}))
        raise InputError(
            f"'{path.name}' is not a checkpoint that is known here (its first name is "
            f"'{next(iter(held), 'none')}'): expected one of {known}, as its project publishes it."
        )
    raise InputError(
        f"'{path.name}' looks like '{nearest.file}' but {text}: bring the file as {nearest.project} has it."
    )


def take(held: Mapping[str, Any], part: Part) -> dict[str, Tensor]:
    """The state dict of one network in a checkpoint, under our names, in float32. Raises LayoutError."""
    state = held if part.key is None else held.get(part.key)
    if not isinstance(state, Mapping):
        raise LayoutError(f"has no '{part.key}'", 0.0)
    state = {key.removeprefix(part.prefix): value for key, value in state.items() if key.startswith(part.prefix)}
    state = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not state:
        raise LayoutError(f"has no arrays of {part.network}", 0.0)
    shapes = network_shapes(part.network)
    try:
        named = state if part.ours else renamed(state, NETWORKS[part.network].names)
    except StateNameError as error:
        known = _agreement(state, part)
        raise LayoutError(f"holds '{part.prefix}{error}', which {part.network} does not have", known) from error
    missing = [key for key in shapes if key not in named]
    if missing:
        share = 1 - len(missing) / len(shapes)
        raise LayoutError(f"lacks {len(missing)} arrays of {part.network}, the first '{missing[0]}'", share)
    for key, value in named.items():
        if key not in shapes:
            raise LayoutError(f"holds '{key}', which {part.network} does not have", 0.9)
        if tuple(value.shape) != shapes[key]:
            text = f"'{key}' of {part.network} should have shape {shapes[key]}, got {tuple(value.shape)}"
            raise LayoutError(text, 0.8)
    return {key: value.float() if value.is_floating_point() else value for key, value in named.items()}


@cache
def network_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's state."""
    return {key: tuple(value.shape) for key, value in NETWORKS[network].module.state_dict().items()}


def _agreement(state: Mapping[str, Tensor], part: Part) -> float:
    """The share of a network's arrays that a state dict has names for."""
    shapes, found = network_shapes(part.network), set()
    for key in state:
        try:
            found |= set(renamed({key: None}, NETWORKS[part.network].names))
        except StateNameError:
            continue
    return len(found & shapes.keys()) / len(shapes)
