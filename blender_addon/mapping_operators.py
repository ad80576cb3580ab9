"""The mapping table of a mesh: filled from the automatic match, edited row by row, kept as presets."""

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from .footage import user_folder
from .operators import Reporting
from .performance import curve_names
from .protocol.errors import InputError
from .rig.apply import shape_names
from .rig.mapping import match_shapes
from .rig.mapping_files import load_preset, preset_names, save_preset

_listed: list[tuple[str, str, str]] = []  # Blender keeps no reference to an enumeration's texts


def _folder():
    return user_folder() / "mappings"


def _target(context):
    shot = context.scene.emorig
    there = shot.targets[shot.active_target] if shot.active_target < len(shot.targets) else None
    return there if there is not None and there.mesh is not None else None


def _fill(target, rows) -> None:
    target.rows.clear()
    for shape, curve, gain, offset in rows:
        row = target.rows.add()
        row.shape, row.curve, row.gain, row.offset = shape, curve, gain, offset
    target.uses_table, target.active_row = True, 0


class _OfTarget(Reporting):
    @classmethod
    def poll(cls, context):
        """While a mesh is chosen."""
        return _target(context) is not None


class EMORIG_OT_mapping_edit(_OfTarget, bpy.types.Operator):
    """Fill this mesh's table with the automatic match, to be edited; shape keys that nothing drives get a free row"""

    bl_idname = "emorig.mapping_edit"
    bl_label = "Edit Mapping"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Fills the table."""
        target = _target(context)
        match = match_shapes(curve_names(), shape_names(target.mesh))
        rows = [(shape, curve, gain, 0.0) for shape, gains in match.sources.items() for curve, gain in gains.items()]
        _fill(target, rows + [(shape, "", 1.0, 0.0) for shape in match.unmatched_shapes])


class EMORIG_OT_mapping_automatic(_OfTarget, bpy.types.Operator):
    """Drop this mesh's table and drive it by the names of its shape keys"""

    bl_idname = "emorig.mapping_automatic"
    bl_label = "Automatic Mapping"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Empties the table."""
        target = _target(context)
        target.rows.clear()
        target.uses_table = False


class EMORIG_OT_mapping_row(_OfTarget, bpy.types.Operator):
    """Add a row to the table, or remove the chosen one"""

    bl_idname = "emorig.mapping_row"
    bl_label = "Mapping Row"
    bl_options = {"REGISTER", "UNDO"}

    step: IntProperty(name="Step", description="1 adds a row, -1 removes one", default=1)

    def act(self, context):
        """Adds or removes."""
        target = _target(context)
        if self.step > 0:
            target.rows.add()
            target.active_row = len(target.rows) - 1
        elif len(target.rows):
            target.rows.remove(target.active_row)
            target.active_row = max(min(target.active_row, len(target.rows) - 1), 0)


class EMORIG_OT_mapping_save(_OfTarget, bpy.types.Operator):
    """Save this mesh's table as a preset for other meshes and files"""

    bl_idname = "emorig.mapping_save"
    bl_label = "Save Mapping Preset"

    name: StringProperty(name="Name", description="Name of the preset", default="My Rig")

    def invoke(self, context, event):
        """Asks for the name."""
        return context.window_manager.invoke_props_dialog(self)

    def act(self, context):
        """Writes the preset."""
        rows = [(row.shape, row.curve, row.gain, row.offset) for row in _target(context).rows if row.curve]
        save_preset(_folder(), self.name, rows)
        return f"The mapping preset '{self.name}' was saved."


def _presets(_self, _context):
    _listed[:] = [(name, name, f"The table '{name}'") for name in preset_names(_folder())] or [
        ("", "None", "No preset")
    ]
    return _listed


class EMORIG_OT_mapping_load(_OfTarget, bpy.types.Operator):
    """Use a saved table for this mesh"""

    bl_idname = "emorig.mapping_load"
    bl_label = "Load Mapping Preset"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(name="Preset", description="Saved table to use", items=_presets)

    def act(self, context):
        """Fills the table from the preset."""
        if not self.preset:
            raise InputError("No mapping preset is saved yet: edit a mapping and save it.")
        _fill(_target(context), load_preset(_folder(), self.preset))


class EMORIG_MT_mapping_presets(bpy.types.Menu):
    """Saved mapping tables"""

    bl_label = "Mapping Presets"
    bl_idname = "EMORIG_MT_mapping_presets"

    def draw(self, context):
        """One entry for each preset, and saving."""
        for name in preset_names(_folder()):
            self.layout.operator("emorig.mapping_load", text=name).preset = name
        self.layout.operator("emorig.mapping_save", icon="ADD")


CLASSES = (
    EMORIG_OT_mapping_edit,
    EMORIG_OT_mapping_automatic,
    EMORIG_OT_mapping_row,
    EMORIG_OT_mapping_save,
    EMORIG_OT_mapping_load,
    EMORIG_MT_mapping_presets,
)
