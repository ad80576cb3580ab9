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
    return channelbag(action, slot, create) if slot is not None else None


def _new_slot(data, id_block):
    suitable = list(data.action_suitable_slots)
    slot = suitable[0] if suitable else data.action.slots.new(id_block.id_type, id_block.name)
    data.action_slot = slot
    return slot


def channelbag(action, slot, create: bool):
    """What holds the F-curves of a slot of an action, or None where it has none and create is off."""
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


def evaluate(scene) -> None:
    """Shows what was changed; Blender copies the actions for that, which takes its time for millions of keyframes."""
    scene.frame_set(scene.frame_current)


def undo_step(message: str) -> None:
    """Ends a step of undo; without a window old versions have none."""
    with contextlib.suppress(RuntimeError):
        bpy.ops.ed.undo_push(message=message)


@contextlib.contextmanager
def any_window():
    """Gives code run from a timer a window to work in, where there is one."""
    windows = bpy.context.window_manager.windows
    if bpy.context.window is not None or not windows:
        yield
        return
    with bpy.context.temp_override(window=windows[0]):
        yield
