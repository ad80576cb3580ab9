"""Which shape keys a set of named curves drives on a mesh, seen through the ways rigs spell their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .presets import BOTH_SIDES, PREFIXES, SPLIT_SHAPES, VRM_EXPRESSIONS, VRM_SPELLINGS

_SIDE_MARK = re.compile(r"(?:[_.\- ](?i:(l|r|left|right))|(?<=[a-z0-9])(L|R|Left|Right))$")
_SEPARATORS = re.compile(r"[_.\- ]+")
_COPY_NUMBER = re.compile(r"\.\d+$")


@dataclass(frozen=True)
class ShapeMatch:
    """What drives what on one mesh.

    sources: shape key name -> {curve name: gain}; unmatched_curves: curves that no shape key of the mesh takes;
    unmatched_shapes: shape keys (without the rest shape) that no curve drives.
    """

    sources: Mapping[str, Mapping[str, float]]
    unmatched_curves: tuple[str, ...]
    unmatched_shapes: tuple[str, ...]

    @property
    def n_matched_curves(self) -> int:
        """How many different curves reach the mesh."""
        return len({curve for gains in self.sources.values() for curve in gains})

    def shape_weights(self, names: tuple[str, ...], weights: np.ndarray) -> dict[str, np.ndarray]:
        """Shape key name -> values (n_frames,) in 0-1, from weights (n_frames, n_curves) in columns called names."""
        column = {name: index for index, name in enumerate(names)}
        driven = {}
        for shape, gains in self.sources.items():
            total = sum(gain * weights[:, column[curve]] for curve, gain in gains.items())
            driven[shape] = np.clip(total, 0.0, 1.0).astype(np.float32)
        return driven


def match_shapes(curve_names: Iterable[str], shape_names: Iterable[str]) -> ShapeMatch:
    """Finds the shape keys of a mesh (shape_names, without its rest shape) that the curves drive.

    A shape is first sought by a curve's own name; then two-sided and split shapes; then, on a mesh that has none of
    these, VRM expressions. A curve drives every shape spelled like it, so that left-over copies do not stand still.
    """
    curves, shapes = tuple(curve_names), tuple(shape_names)
    by_key: dict[str, list[str]] = {}
    for shape in shapes:
        by_key.setdefault(shape_key(shape), []).append(shape)
    sources = {shape: {curve: 1.0} for curve in curves for shape in by_key.get(shape_key(curve), ())}
    _add_split_shapes(sources, curves, by_key)
    _add_both_sides(sources, curves, by_key)
    if not sources:
        _add_vrm_expressions(sources, curves, shapes)
    reached = {curve for gains in sources.values() for curve in gains}
    return ShapeMatch(
        sources=sources,
        unmatched_curves=tuple(curve for curve in curves if curve not in reached),
        unmatched_shapes=tuple(shape for shape in shapes if shape not in sources),
    )


def shape_key(name: str) -> str:
    """A name without prefix, case and separators, its side spelled out: 'blendShape.eyeBlink_L' -> 'eyeblinkleft'."""
    name = _COPY_NUMBER.sub("", re.split(r"[:|/]", name.strip())[-1])
    _, dot, tail = name.rpartition(".")
    if dot and tail.lower() not in ("l", "r", "left", "right"):
        name = tail
    side = _SIDE_MARK.search(name)
    mark = ""
    if side:
        mark = "left" if (side.group(1) or side.group(2)).lower().startswith("l") else "right"
        name = name[: side.start()]
    words = [word for word in _SEPARATORS.split(name) if word]
    while len(words) > 1 and words[0].lower() in PREFIXES:
        words = words[1:]
    return "".join(words).lower() + mark


def _add_split_shapes(sources: dict, curves: tuple[str, ...], by_key: Mapping[str, list[str]]) -> None:
    """Gives both halves of a split shape its curve, where the mesh has no whole one that would move it twice."""
    for curve in SPLIT_SHAPES:
        if curve not in curves or curve.lower() in by_key:
            continue
        for side in ("left", "right"):
            for shape in by_key.get(curve.lower() + side, ()):
                sources.setdefault(shape, {})[curve] = 1.0


def _add_both_sides(sources: dict, curves: tuple[str, ...], by_key: Mapping[str, list[str]]) -> None:
    """Gives two-sided shapes the mean of their channels, where the mesh has no shape for the sides themselves."""
    reached = {curve for gains in sources.values() for curve in gains}
    for shape_name, channels in BOTH_SIDES.items():
        for shape in by_key.get(shape_key(shape_name), ()):
            if shape not in sources and not reached & set(channels) and set(channels) <= set(curves):
                sources[shape] = dict.fromkeys(channels, 1.0 / len(channels))


def _add_vrm_expressions(sources: dict, curves: tuple[str, ...], shapes: tuple[str, ...]) -> None:
    known = {}
    for shape in shapes:
        known.setdefault(re.split(r"[:|]", shape)[-1].lower(), []).append(shape)
    for expression, spellings in VRM_SPELLINGS.items():
        gains = {curve: gain for curve, gain in VRM_EXPRESSIONS[expression].items() if curve in curves}
        for spelling in spellings if gains else ():
            for shape in known.get(spelling.lower(), ()):
                sources[shape] = gains
