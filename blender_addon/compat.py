"""What differs between Blender 3.4 and 5.2: F-curve storage, strips, movie output, progress bars, icons."""

from __future__ import annotations

import contextlib

import bpy


def curve_bag(id_block, *, create: bool = False):
    """What holds an ID's F-curves (.fcurves, .groups): its action before 4.4, its slot's channelbag since; or None.

    create makes animation data, action, slot, layer and strip where missing.
    """
    data = id_block.animation_data
    if data is None and create:
        data = id_block.animation_data_create()
    if data is None:
        return None
    if data.action is None and create:
        data.action = bpy.data.actions.new(f"{id_block.name} EmoRig")
    action = data.action
    if action is None or not hasattr(action, "slots"):
        return action
    slot = data.action_slot or (_new_slot(data, id_block) if create else None)
    return _channelbag(action, slot, create) if slot is not None else None


def draft_action(id_block, name: str, shared=None, copies=None):
    """A new action for an ID, not assigned yet, with all that its action holds, and the identifier of its slot.

    shared: an action to make a slot in, for an ID without an action of its own (Blender 4.4 and newer). copies: former
    action's name -> name of its copy; an action that several IDs play is copied once.
    """
    data = id_block.animation_data
    former = data.action if data is not None else None
    if former is not None:
        copies = {} if copies is None else copies
        action = bpy.data.actions.get(copies.get(former.name, "")) if hasattr(former, "slots") else None
        if action is None:
            action = former.copy()
            action.name = _free_name(name)
            if action.users:  # a copy may bear the mark of a fake user without being counted as one
                action.use_fake_user = False
            copies[former.name] = action.name
        if not hasattr(action, "slots"):
            return action, ""
        if data.action_slot is not None:
            return action, data.action_slot.identifier
        return action, action.slots.new(id_block.id_type, id_block.name).identifier
    if shared is None or not hasattr(shared, "slots"):
        shared = bpy.data.actions.new(_free_name(name))
    if not hasattr(shared, "slots"):
        return shared, ""
    return shared, shared.slots.new(id_block.id_type, id_block.name).identifier


def _free_name(name: str) -> str:
    """The name with a number where it is taken: old versions would rename the action that has it."""
    numbered = (f"{name}.{number:03d}" for number in range(1, 100_000))
    return name if name not in bpy.data.actions else next(one for one in numbered if one not in bpy.data.actions)


def draft_bag(action, slot_identifier: str):
    """What holds the F-curves of an action that draft_action made."""
    if not hasattr(action, "slots"):
        return action
    return _channelbag(action, action.slots[slot_identifier], True)


def assign_action(id_block, action, slot_identifier: str, *, keeps_former: bool = True) -> None:
    """Lets an ID play an action; the one it played is kept in the file, or goes where nothing else uses it."""
    data = id_block.animation_data or id_block.animation_data_create()
    former = data.action
    if former is not None and former != action and keeps_former:
        former.use_fake_user = True
    data.action = action
    if hasattr(action, "slots"):
        data.action_slot = action.slots[slot_identifier]
    if former is not None and former != action and not keeps_former and not former.users:
        bpy.data.actions.remove(former)


def _new_slot(data, id_block):
    suitable = list(data.action_suitable_slots)
    slot = suitable[0] if suitable else data.action.slots.new(id_block.id_type, id_block.name)
    data.action_slot = slot
    return slot


def _channelbag(action, slot, create: bool):
    if not create:
        strips = [strip for layer in action.layers for strip in layer.strips if strip.type == "KEYFRAME"]
        return next((bag for bag in (strip.channelbag(slot) for strip in strips) if bag is not None), None)
    layer = action.layers[0] if len(action.layers) else action.layers.new("Layer")
    strip = next((strip for strip in layer.strips if strip.type == "KEYFRAME"), None)
    return (strip or layer.strips.new(type="KEYFRAME")).channelbag(slot, ensure=True)


def curve_group(bag, name: str):
    """The channel group called name in a curve bag, made where missing."""
    return bag.groups.get(name) or bag.groups.new(name)


def strips(scene, *, create: bool = False):
    """The scene's top-level strips collection, or None where it has no sequencer and create is off."""
    if scene.sequence_editor is None and create:
        scene.sequence_editor_create()
    editor = scene.sequence_editor
    if editor is None:
        return None
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def active_strip(scene):
    """The sequencer's active strip, or None."""
    return scene.sequence_editor.active_strip if scene.sequence_editor else None


def strip_span(strip) -> tuple[int, int, float]:
    """First frame of a strip as trimmed, the frame after its last, and the first frame of its untrimmed content."""
    if hasattr(strip, "left_handle"):
        return strip.left_handle, strip.right_handle, strip.content_start
    return strip.frame_final_start, strip.frame_final_end, strip.frame_start


def show_in_sequencer(context, scene) -> None:
    """Since 5.0 the sequencer shows a scene chosen per workspace: chooses this one where none is."""
    workspace = getattr(context, "workspace", None)
    if workspace is not None and hasattr(workspace, "sequencer_scene") and workspace.sequencer_scene is None:
        workspace.sequencer_scene = scene


def draw_progress(layout, owner, name: str, *, factor: float, text: str) -> None:
    """A progress bar of factor 0-1; owner.name is the same as a percentage, for versions without layout.progress."""
    if hasattr(layout, "progress"):
        layout.progress(factor=factor, type="BAR", text=text)
        return
    column = layout.column(align=True)
    column.label(text=text)
    column.prop(owner, name, text="", slider=True)


def icon(*names: str) -> str:
    """The first of the names that this Blender has as an icon, or 'NONE'."""
    known = bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items
    return next((name for name in names if name in known), "NONE")


def redraw_sidebars() -> None:
    """Redraws the sidebars of all 3D viewports, and nothing else."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


@contextlib.contextmanager
def any_window():
    """Gives code run from a timer a window to work in, where there is one."""
    windows = bpy.context.window_manager.windows
    if bpy.context.window is not None or not windows:
        yield
        return
    with bpy.context.temp_override(window=windows[0]):
        yield
