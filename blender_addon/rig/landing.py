"""Curves onto a character in small steps: a new action is filled a few milliseconds at a time, then taken into use.

What takes time without Blender (thinning, rotations) is done on a thread. Between two steps the user may do anything,
undo included, so that a step finds everything it needs by name; nothing of the character changes before the last one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import bpy
import numpy as np

from ..compat import curve_group
from ..keyframes import merged_keys
from ..protocol.errors import InputError
from .drafts import (
    STORED,
    assign_action,
    carry,
    draft_action,
    draft_bag,
    former_curve,
    give_settings,
    settings_of,
    stored,
    stored_values,
)

LINEAR, AUTO_CLAMPED = 1, 4
Result = TypeVar("Result")
MANY = 4000  # keyframes that are written in several steps


class Waiting:
    """What a landing yields while its thread is not done: there is nothing to do on the main thread yet."""


class UndoneError(Exception):
    """What was being filled is gone, as after an undo: begin again."""


@dataclass
class Part:
    """One ID whose channels are written: where it is found, and its channels once they are computed.

    collection, name: in bpy.data. make: returns rows of (data path, index, group, keyframes (n_keys, 2)), on a thread.
    """

    collection: str
    name: str
    make: Callable[[], list[tuple[str, int, str, np.ndarray]]]
    rows: list[tuple[str, int, str, np.ndarray]] = field(default_factory=list)

    def find(self):
        """The ID, or None where it is gone."""
        return next(
            (one for one in getattr(bpy.data, self.collection) if one.name == self.name and not one.library), None
        )

    @property
    def n_keys(self) -> int:
        """Keyframes that it takes."""
        return sum(len(row[3]) for row in self.rows)


def land(parts: list[Part], action_name: str, *, keeps_former: bool = True) -> Iterator[type[Waiting] | None]:
    """Fills new actions with the parts' channels and takes them into use at the end; yields between small steps.

    keeps_former: whether the actions played until then stay in the file. Raises InputError where the computation fails.
    """
    yield from on_thread(lambda: _compute(parts))
    while True:
        drafts: dict[str, tuple[str, str]] = {}
        try:
            yield from _fill(parts, action_name, drafts)
            break
        except UndoneError:
            _drop(drafts)
            yield None
        except GeneratorExit:
            _drop(drafts)
            raise
    for part in parts:
        one = part.find()
        if one is not None and part.name in drafts:
            action, slot = drafts[part.name]
            assign_action(one, bpy.data.actions[action], slot, keeps_former=keeps_former)
            one.update_tag()


def land_now(parts: list[Part], action_name: str) -> None:
    """The same at once, for scripts and the background."""
    for state in land(parts, action_name):
        if state is Waiting:
            time.sleep(0.001)


def on_thread(compute: Callable[[], Result]) -> Generator[type[Waiting], None, Result]:
    """Yields Waiting while a function without Blender works on a thread, and returns its result. Raises InputError."""
    results: list[Result] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(compute())
        except Exception as error:  # it belongs to the main thread
            failures.append(error)

    thread = threading.Thread(target=run, name="emorig-curves", daemon=True)
    thread.start()
    while thread.is_alive():
        yield Waiting
    if failures and isinstance(failures[0], InputError):
        raise failures[0]
    if failures:
        raise InputError(f"The curves could not be prepared: {failures[0]}") from failures[0]
    return results[0]


def _compute(parts: list[Part]) -> None:
    for part in parts:
        part.rows = part.make()


def _fill(parts: list[Part], action_name: str, drafts: dict[str, tuple[str, str]]) -> Iterator[None]:
    shared, origins = "", {}
    for part in parts:
        one = part.find()
        if one is None or not part.rows:
            continue
        action, slot = draft_action(one, action_name, bpy.data.actions.get(shared), origins)
        drafts[part.name] = (action.name, slot)
        shared = shared or (action.name if one.animation_data is None or one.animation_data.action is None else "")
        yield None
        for path, index, group, table in part.rows:
            yield from _write(drafts[part.name], origins, path, index, group, table)
    yield from carry(origins)
    for draft in drafts.values():
        _bag(draft)


def _bag(draft: tuple[str, str]):
    action = bpy.data.actions.get(draft[0])
    if action is None:
        raise UndoneError
    return draft_bag(action, draft[1])


def _write(
    draft: tuple[str, str], origins: dict[str, str], path: str, index: int, group: str, table: np.ndarray
) -> Iterator[None]:
    """Writes one channel as straight lines; keys outside the new ones' range stay."""
    bag = _bag(draft)
    curve = bag.fcurves.find(path, index=index)
    columns, settings = _columns(table), {}
    former = curve or former_curve(origins, draft, path, index)
    if former is not None:
        columns, settings = _with_former(former, columns, table), settings_of(former)
    if curve is not None:
        if hasattr(curve.keyframe_points, "clear"):
            curve.keyframe_points.clear()
        else:
            bag.fcurves.remove(curve)
            curve = None
    if curve is None:
        curve = bag.fcurves.new(path, index=index)
        curve.group = curve_group(bag, group)
        give_settings(curve, settings)
    curve.keyframe_points.add(len(columns["co"]))
    for step, (name, column) in enumerate(columns.items()):
        if step and len(table) > MANY:
            yield None
            curve = _bag(draft).fcurves.find(path, index=index)
            if curve is None or len(curve.keyframe_points) != len(columns["co"]):
                raise UndoneError
        curve.keyframe_points.foreach_set(name, column.reshape(-1))
    if len(table) > MANY:
        yield None
        curve = _bag(draft).fcurves.find(path, index=index)
        if curve is None:
            raise UndoneError
    curve.update()
    yield None


def _columns(table: np.ndarray) -> dict[str, np.ndarray]:
    kinds = {"interpolation": LINEAR, "handle_left_type": AUTO_CLAMPED, "handle_right_type": AUTO_CLAMPED}
    return {"co": np.ascontiguousarray(table, np.float32)} | {
        name: np.full(len(table), kind, STORED[name][1]) for name, kind in kinds.items()
    }


def _with_former(curve, columns: dict[str, np.ndarray], table: np.ndarray) -> dict[str, np.ndarray]:
    """The columns with the keys of a curve that lie outside the new ones' range, as they are."""
    first, last = merged_keys(stored_values(curve, "co"), table)
    if not len(first) and not len(last):
        return columns
    former = stored(curve)
    new = columns | {"handle_left": columns["co"], "handle_right": columns["co"]}
    return {
        name: np.concatenate([
            former[name][first],
            new.get(name, np.zeros(len(table), kind)).reshape(-1, width),
            former[name][last],
        ])
        for name, (width, kind) in STORED.items()
    }  # fmt: skip


def _drop(drafts: dict[str, tuple[str, str]]) -> None:
    for name, _slot in drafts.values():
        action = bpy.data.actions.get(name)
        if action is not None and not action.users:
            bpy.data.actions.remove(action)
