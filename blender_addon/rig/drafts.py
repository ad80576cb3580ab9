"""The action that takes another's place: made beside it, filled, then assigned.

A small former action is copied whole. Copying one of a million keyframes would hold the window up: its successor begins
empty, and what is not replaced is carried over curve by curve.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from ..compat import channelbag, curve_group

LARGE = 200_000  # keyframes of an action that is not copied at once
# Attribute of keyframe points -> its width and the number type that Blender takes quickest.
STORED = {
    "co": (2, np.float32), "handle_left": (2, np.float32), "handle_right": (2, np.float32),
    "interpolation": (1, np.uint8), "handle_left_type": (1, np.uint8), "handle_right_type": (1, np.uint8),
    "easing": (1, np.uint8), "type": (1, np.uint8), "back": (1, np.float32), "amplitude": (1, np.float32),
    "period": (1, np.float32),
}  # fmt: skip
SETTINGS = ("extrapolation", "color_mode", "color", "lock", "mute", "hide", "auto_smoothing")
ACTION_SETTINGS = ("use_frame_range", "use_cyclic", "frame_start", "frame_end")
GROUP_SETTINGS = ("color_set", "lock", "mute", "show_expanded", "show_expanded_graph", "use_pin")


def draft_action(id_block, name: str, shared=None, origins: dict[str, str] | None = None):
    """A new action for an ID, not assigned yet, to hold all that its action holds; and the identifier of its slot.

    shared: an action to make a slot in, for an ID without an action of its own (Blender 4.4 and newer). origins: the
    name of each new action -> that of its former one; an action that several IDs play gets one successor.
    """
    data = id_block.animation_data
    former = data.action if data is not None else None
    if former is not None:
        origins = {} if origins is None else origins
        there = next((new for new, old in origins.items() if old == former.name), "") if _has_slots(former) else ""
        action = bpy.data.actions.get(there)
        if action is None:
            action = _successor(former, name)
            origins[action.name] = former.name
        if not _has_slots(former):
            return action, ""
        if data.action_slot is not None:
            return action, data.action_slot.identifier
        return action, action.slots.new(id_block.id_type, id_block.name).identifier
    if shared is None or not _has_slots(shared):
        shared = bpy.data.actions.new(_free_name(name))
    if not _has_slots(shared):
        return shared, ""
    return shared, shared.slots.new(id_block.id_type, id_block.name).identifier


def draft_bag(action, slot_identifier: str):
    """What holds the F-curves of an action that draft_action made."""
    if not _has_slots(action):
        return action
    return channelbag(action, action.slots[slot_identifier], True)


def assign_action(id_block, action, slot_identifier: str, *, keeps_former: bool = True) -> None:
    """Lets an ID play an action; the one it played is kept in the file, or goes where nothing else uses it."""
    data = id_block.animation_data or id_block.animation_data_create()
    former = data.action
    if former is not None and former != action and keeps_former:
        former.use_fake_user = True
    data.action = action
    if _has_slots(action):
        data.action_slot = action.slots[slot_identifier]
    if former is not None and former != action and not keeps_former and not former.users:
        bpy.data.actions.remove(former)


def former_curve(origins: dict[str, str], draft: tuple[str, str], path: str, index: int):
    """The F-curve of a channel in the action that a draft takes the place of, or None."""
    former = bpy.data.actions.get(origins.get(draft[0], ""))
    return None if former is None else _curve(former, draft[1], path, index)


def carry(origins: dict[str, str]) -> Iterator[None]:
    """Brings over what the former actions hold and their successors lack, one F-curve at a time; yields between them.

    Stops where an action is gone, as after an undo; whoever fills the drafts notices that.
    """
    for new, old in origins.items():
        former = bpy.data.actions.get(old)
        for slot, path, index in [] if former is None else list(_channels(former)):
            former, action = bpy.data.actions.get(old), bpy.data.actions.get(new)
            if former is None or action is None:
                return
            source = _curve(former, slot, path, index)
            if source is None or _curve(action, slot, path, index) is not None:
                continue
            bag = draft_bag(action, slot)
            curve = bag.fcurves.new(path, index=index)
            give_settings(curve, settings_of(source))
            if source.group is not None:
                curve.group = _same_group(bag, source.group)
            curve.keyframe_points.add(len(source.keyframe_points))
            for name, values in stored(source).items():
                curve.keyframe_points.foreach_set(name, values.reshape(-1))
            curve.update()
            yield None


def stored(curve) -> dict[str, np.ndarray]:
    """Attribute -> values (n_keys, width) of an F-curve's keyframes."""
    return {name: stored_values(curve, name) for name in STORED}


def stored_values(curve, name: str) -> np.ndarray:
    """One attribute (n_keys, width) of an F-curve's keyframes."""
    width, kind = STORED[name]
    values = np.empty((len(curve.keyframe_points), width), kind)
    curve.keyframe_points.foreach_get(name, values.reshape(-1))
    return values


def settings_of(curve) -> dict[str, object]:
    """How an F-curve is drawn and goes on beyond its keyframes."""
    return {name: _plain(getattr(curve, name)) for name in SETTINGS}


def give_settings(curve, settings: dict[str, object]) -> None:
    """Gives an F-curve what settings_of() read."""
    for name, value in settings.items():
        setattr(curve, name, value)


def _successor(former, name: str):
    n_keys = sum(len(curve.keyframe_points) for curve in _curves(former))
    if n_keys < LARGE or not _is_simple(former):
        action = former.copy()
        action.name = _free_name(name)
        if action.users:  # a copy may bear the mark of a fake user without being counted as one
            action.use_fake_user = False
        return action
    action = bpy.data.actions.new(_free_name(name))
    for setting in ACTION_SETTINGS:
        setattr(action, setting, getattr(former, setting))
    if _has_slots(former):
        for slot in former.slots:
            action.slots.new(slot.target_id_type, slot.name_display)
    return action


def _is_simple(action) -> bool:
    """Whether an action holds nothing but keyframes in one layer with one strip."""
    if len(action.pose_markers) or action.keys() or action.asset_data is not None:
        return False
    if _has_slots(action):
        if len(action.layers) > 1 or any(len(layer.strips) > 1 for layer in action.layers):
            return False
        if any(slot.target_id_type == "UNSPECIFIED" for slot in action.slots):
            return False
    return not any(len(curve.modifiers) or len(curve.sampled_points) for curve in _curves(action))


def _has_slots(action) -> bool:
    return hasattr(action, "slots")


def _bags(action) -> list[tuple[str, object]]:
    """Slot identifiers, and what holds their F-curves."""
    if not _has_slots(action):
        return [("", action)]
    bags = ((slot.identifier, channelbag(action, slot, False)) for slot in action.slots)
    return [(slot, bag) for slot, bag in bags if bag is not None]


def _curves(action) -> list:
    return [curve for _slot, bag in _bags(action) for curve in bag.fcurves]


def _channels(action) -> Iterator[tuple[str, str, int]]:
    return ((slot, curve.data_path, curve.array_index) for slot, bag in _bags(action) for curve in bag.fcurves)


def _curve(action, slot: str, path: str, index: int):
    bag = dict(_bags(action)).get(slot)
    return None if bag is None else bag.fcurves.find(path, index=index)


def _same_group(bag, group):
    """The group of that name in another bag, made like it where missing."""
    is_new = group.name not in bag.groups
    same = curve_group(bag, group.name)
    for name in GROUP_SETTINGS if is_new else ():
        setattr(same, name, getattr(group, name))
    return same


def _free_name(name: str) -> str:
    """The name with a number where it is taken: old versions would rename the action that has it."""
    numbered = (f"{name}.{number:03d}" for number in range(1, 100_000))
    return name if name not in bpy.data.actions else next(one for one in numbered if one not in bpy.data.actions)


def _plain(value):
    return tuple(value) if hasattr(value, "__len__") and not isinstance(value, str) else value
