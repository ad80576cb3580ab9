"""The panels of the character and what comes after: meshes, mapping, layers, timing, batch and export."""

from __future__ import annotations

import bpy

from . import runtime
from .compat import icon
from .panels import Sidebar, wrapped
from .performance import curve_names, match_of
from .properties import SEEDED
from .protocol.options import LAYERS
from .rig.apply import shape_names
from .rig.controls import has_controls
from .rig.mapping import report

LINE_ICONS = {"WAITS": icon("SORTTIME", "TIME"), "DONE": "CHECKMARK", "FAILED": "ERROR"}


class EMORIG_UL_targets(bpy.types.UIList):
    """The meshes that a shot drives."""

    def draw_item(self, context, layout, data, item, icon_value, active_data, active_property, index=0, flt_flag=0):
        """One mesh and how many of the curves it can take."""
        row = layout.row(align=True)
        if item.mesh is None:
            row.prop(item, "mesh", text="")
            return
        row.label(text=item.mesh.name, icon="MESH_DATA", translate=False)
        count = row.row()
        count.alignment = "RIGHT"
        match = match_of(item.mesh, item)
        count.label(text=f"{match.n_matched_curves} of {len(curve_names())}", translate=False)


class EMORIG_UL_mapping(bpy.types.UIList):
    """The rows of a mesh's own mapping table."""

    def draw_item(self, context, layout, data, item, icon_value, active_data, active_property, index=0, flt_flag=0):
        """One row: shape key, curve, gain and offset."""
        row = layout.row(align=True)
        mesh = data.mesh
        if mesh is not None and mesh.data.shape_keys is not None:
            row.prop_search(item, "shape", mesh.data.shape_keys, "key_blocks", text="")
        else:
            row.prop(item, "shape", text="")
        row.prop(item, "curve", text="")
        row.prop(item, "gain", text="")
        row.prop(item, "offset", text="")


class EMORIG_UL_lines(bpy.types.UIList):
    """The lines of the batch."""

    def draw_item(self, context, layout, data, item, icon_value, active_data, active_property, index=0, flt_flag=0):
        """One line: strip, character, state."""
        row = layout.row(align=True)
        row.label(text=item.strip, icon=LINE_ICONS[item.state], translate=False)
        row.prop(item, "character", text="")


class EMORIG_PT_character(Sidebar, bpy.types.Panel):
    """Which meshes, bones and objects perform."""

    bl_label = "Character"
    bl_parent_id = "EMORIG_PT_main"

    def draw(self, context):
        """Meshes with what they answer to, and what turns as the head."""
        layout, shot = self.layout, context.scene.emorig
        row = layout.row()
        row.template_list("EMORIG_UL_targets", "", shot, "targets", shot, "active_target", rows=2)
        column = row.column(align=True)
        column.operator("emorig.target_add", text="", icon="ADD")
        column.operator("emorig.target_remove", text="", icon="REMOVE")
        if not len(shot.targets):
            active = context.object
            takes = active is not None and active.type == "MESH" and bool(shape_names(active))
            hint = layout.row()
            hint.active = False
            hint.label(text=f"Drives '{active.name}'" if takes else "Drives the active mesh", icon="INFO")
        elif shot.active_target < len(shot.targets) and shot.targets[shot.active_target].mesh is not None:
            target = shot.targets[shot.active_target]
            column = layout.column(align=True)
            column.active = False
            match = match_of(target.mesh, target)
            wrapped(column, report(match, len(curve_names())), icon="INFO" if match.sources else "ERROR")
            if match.sources and match.unmatched_shapes:
                wrapped(column, f"{len(match.unmatched_shapes)} of its shape keys stay still", icon="INFO")
        row = layout.row(align=True)
        buttons = row.split(factor=0.68, align=True)
        for part, raw, text in ((buttons, False, {}), (buttons, True, {"text": "Raw Keys"})):
            chosen = part.operator("emorig.head_add", **text)
            chosen.raw, chosen.filepath = raw, ""
        row.menu("EMORIG_MT_heads", text="", icon="DOWNARROW_HLT")
        column = layout.column(align=True)
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(shot, "head", text="Head Turns")
        if shot.head is not None and shot.head.type == "ARMATURE":
            for part, label in (("head", "Head"), ("jaw", "Jaw"), ("left_eye", "Left Eye"), ("right_eye", "Right Eye")):
                column.prop_search(shot, f"{part}_bone", shot.head.data, "bones", text=label)
            if has_controls(bone.name for bone in shot.head.data.bones):
                column.prop(shot, "use_controls")
            if shot.jaw_bone:
                column.prop(shot, "jaw_angle")


class EMORIG_PT_mapping(Sidebar, bpy.types.Panel):
    """The chosen mesh's own mapping table."""

    bl_label = "Mapping"
    bl_parent_id = "EMORIG_PT_character"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        """While a mesh is chosen."""
        shot = context.scene.emorig
        return shot.active_target < len(shot.targets) and shot.targets[shot.active_target].mesh is not None

    def draw(self, context):
        """The table, and how to fill, drop, save and load it."""
        layout, shot = self.layout, context.scene.emorig
        target = shot.targets[shot.active_target]
        row = layout.row(align=True)
        row.operator("emorig.mapping_edit", icon="GREASEPENCIL" if not target.uses_table else "FILE_REFRESH")
        row.operator("emorig.mapping_automatic", text="", icon="LOOP_BACK")
        row.menu("EMORIG_MT_mapping_presets", text="", icon="PRESET")
        if not target.uses_table:
            return
        row = layout.row()
        row.template_list("EMORIG_UL_mapping", "", target, "rows", target, "active_row", rows=6)
        column = row.column(align=True)
        column.operator("emorig.mapping_row", text="", icon="ADD").step = 1
        column.operator("emorig.mapping_row", text="", icon="REMOVE").step = -1


class EMORIG_PT_layers(Sidebar, bpy.types.Panel):
    """How it performs."""

    bl_label = "Layers"
    bl_parent_id = "EMORIG_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Strength, mute and seed of the layers; phones."""
        layout, shot = self.layout, context.scene.emorig
        column = layout.column(align=True)
        for layer in LAYERS:
            row = column.row(align=True)
            is_mute = getattr(shot.layers, f"mute_{layer}")
            row.prop(shot.layers, f"mute_{layer}", text="", icon="HIDE_ON" if is_mute else "HIDE_OFF", emboss=False)
            field = row.row(align=True)
            field.active = not is_mute
            field.prop(shot.layers, layer, slider=True)
            if layer in SEEDED:
                field.prop(shot.layers, f"seed_{layer}", text="")
        column = layout.column(align=True)
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(shot, "pose")
        column.prop(shot, "seed")
        if shot.curves_path:
            layout.operator("emorig.animate", text="Perform Again", icon="FILE_REFRESH").keeps_edits = True
            row = layout.row(align=True)
            row.operator("emorig.phones_show", icon="MARKER")
            row.operator("emorig.phones_hide", text="", icon="X")
            layout.operator("emorig.phones_retime", icon="MOD_TIME")


class EMORIG_PT_output(Sidebar, bpy.types.Panel):
    """Timing, keyframes and the video file."""

    bl_label = "Timing and Output"
    bl_parent_id = "EMORIG_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Start, trim, keyframe thinning, size, place and folder."""
        layout, scene = self.layout, context.scene
        shot = scene.emorig
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(align=True)
        column.prop(shot, "start_frame")
        column.prop(shot, "audio_start")
        column.prop(shot, "audio_end")
        layout.prop(shot, "transcript")
        _checked(layout, shot, "use_thinning", "tolerance", "Thin Out Keys")
        _checked(layout, shot, "use_size", "size", "Resize Video")
        layout.prop(shot, "footage")
        layout.prop(shot, "output_folder")


def _checked(layout, shot, switch: str, value: str, heading: str) -> None:
    """A value that counts where its box is checked."""
    row = layout.column(heading=heading, align=True).row(align=True)
    row.prop(shot, switch, text="")
    field = row.row()
    field.active = getattr(shot, switch)
    field.prop(shot, value, text="")


class EMORIG_PT_batch(Sidebar, bpy.types.Panel):
    """Several lines at once."""

    bl_label = "Batch"
    bl_parent_id = "EMORIG_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """The lines, the portrait of the chosen one, and the button."""
        layout, batch = self.layout, context.scene.emorig_batch
        row = layout.row()
        row.template_list("EMORIG_UL_lines", "", batch, "lines", batch, "active", rows=2)
        column = row.column(align=True)
        column.operator("emorig.batch_add", text="", icon="ADD")
        column.operator("emorig.batch_remove", text="", icon="REMOVE")
        if batch.active < len(batch.lines):
            layout.template_ID(batch.lines[batch.active], "portrait", open="image.open")
        column = layout.column()
        column.enabled = not runtime.is_busy()
        column.operator("emorig.batch_run", icon="PLAY")


class EMORIG_PT_export(Sidebar, bpy.types.Panel):
    """Files for other programs."""

    bl_label = "Export"
    bl_parent_id = "EMORIG_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Curves in every format; the character by Blender's exporters."""
        layout = self.layout
        column = layout.column()
        column.enabled = bool(context.scene.emorig.curves_path)
        column.menu("EMORIG_MT_export", icon="EXPORT")
        layout.label(text="Character")
        row = layout.row(align=True)
        row.operator_context = "INVOKE_DEFAULT"
        for kind, label in (("FBX", "FBX"), ("GLTF", "glTF"), ("USD", "USD")):
            row.operator("emorig.export_character", text=label).format = kind


CLASSES = (
    EMORIG_UL_targets,
    EMORIG_UL_mapping,
    EMORIG_UL_lines,
    EMORIG_PT_character,
    EMORIG_PT_mapping,
    EMORIG_PT_layers,
    EMORIG_PT_output,
    EMORIG_PT_batch,
    EMORIG_PT_export,
)
