"""Which shape keys a set of named curves drives on a mesh, seen through the ways rigs spell their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .aliases import ALIASES
from .presets import BOTH_SIDES, PREFIXES, SPLIT_SHAPES, VRM_EXPRESSIONS, VRM_SPELLINGS

_SIDE_MARK = re.compile(r"(?:[_.\- ](?i:(l|r|left|right))|(?<=[a-z0-9])(L|R|Left|Right))$")
_SEPARATORS = re.compile(r"[_.\- ]+")
_COPY_NUMBER = re.compile(r"\.\d+$")
MOST_EXTREME = (-10.0, 10.0)  # Blender's own range of a shape key
LISTED_NAMES = 6


@dataclass(frozen=True)
class ShapeMatch:
    """What drives what on one mesh.

    sources: shape key name -> {curve name: gain}; unmatched_curves: curves that no shape key of the mesh takes;
    unmatched_shapes: shape keys (without the rest shape) that no curve drives. offsets: what is added to a shape's sum.
    is_edited: the user's own table, whose gains and offsets may leave 0-1.
    """

    sources: Mapping[str, Mapping[str, float]]
    unmatched_curves: tuple[str, ...]
    unmatched_shapes: tuple[str, ...]
    offsets: Mapping[str, float] = field(default_factory=dict)
    is_edited: bool = False

    @property
    def n_matched_curves(self) -> int:
        """How many different curves reach the mesh."""
        return len({curve for gains in self.sources.values() for curve in gains})

    def shape_weights(self, names: tuple[str, ...], weights: np.ndarray) -> dict[str, np.ndarray]:
        """Shape key name -> values (n_frames,) from weights (n_frames, n_curves) in columns called names.

        They stay in 0-1, and in MOST_EXTREME where the user's own table says so.
        """
        column = {name: index for index, name in enumerate(names)}
        driven = {}
        for shape, gains in self.sources.items():
            total = sum(gain * weights[:, column[curve]] for curve, gain in gains.items())
            total = total + self.offsets.get(shape, 0.0)
            driven[shape] = np.clip(total, *(MOST_EXTREME if self.is_edited else (0.0, 1.0))).astype(np.float32)
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
    _add_aliases(sources, curves, by_key)
    _add_split_shapes(sources, curves, by_key)
    _add_both_sides(sources, curves, by_key)
    if not sources:
        _add_vrm_expressions(sources, curves, shapes)
    return _match(sources, curves, shapes)


def match_rows(
    curve_names: Iterable[str], shape_names: Iterable[str], rows: Iterable[tuple[str, str, float, float]]
) -> ShapeMatch:
    """The match that a user's table of (shape, curve, gain, offset) describes; unknown names are passed over."""
    curves, shapes = tuple(curve_names), tuple(shape_names)
    sources: dict[str, dict[str, float]] = {}
    offsets: dict[str, float] = {}
    for shape, curve, gain, offset in rows:
        if shape in shapes and curve in curves and (gain or offset):
            gains = sources.setdefault(shape, {})
            gains[curve] = gains.get(curve, 0.0) + gain
            offsets[shape] = offsets.get(shape, 0.0) + offset
    return _match(sources, curves, shapes, offsets=offsets, is_edited=True)


def report(match: ShapeMatch, n_curves: int) -> str:
    """What was matched, in a line for the panel: '47 of 52 matched; missing: ...', and why where nothing was."""
    shapes = (*match.sources, *match.unmatched_shapes)
    if not match.sources:
        if not shapes:
            return f"0 of {n_curves} matched: the mesh has no shape keys. Choose the mesh of the face."
        named = ", ".join(f"'{shape}'" for shape in match.unmatched_shapes[:3])
        return f"0 of {n_curves} matched: no known rig names shape keys like {named}. Choose curves in the table."
    text = f"{match.n_matched_curves} of {n_curves} matched"
    lost = match.unmatched_curves
    if lost:
        more = f" and {len(lost) - LISTED_NAMES} more" if len(lost) > LISTED_NAMES else ""
        text += f"; missing: {', '.join(lost[:LISTED_NAMES])}{more}"
    return text


def _match(sources: dict, curves: tuple[str, ...], shapes: tuple[str, ...], **more) -> ShapeMatch:
    reached = {curve for gains in sources.values() for curve, gain in gains.items() if gain}
    return ShapeMatch(
        sources=sources,
        unmatched_curves=tuple(curve for curve in curves if curve not in reached),
        unmatched_shapes=tuple(shape for shape in shapes if shape not in sources),
        **more,
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


def _add_aliases(sources: dict, curves: tuple[str, ...], by_key: Mapping[str, list[str]]) -> None:
    """Gives shapes that a rig's maker has named his own way their curve, where no shape has the curve's own name."""
    named = {curve for gains in sources.values() for curve in gains}
    for alias, curve in ALIASES.items():
        if curve in curves and curve not in named:
            for shape in by_key.get(shape_key(alias), ()):
                sources.setdefault(shape, {})[curve] = 1.0


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
