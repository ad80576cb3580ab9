"""Files for other programs: the project's own formats through the backend, and Blender's exporters with the options
that faces need."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from . import runtime, shots
from .footage import output_path
from .operators import Reporting
from .performance import targets
from .protocol.errors import InputError
from .protocol.options import EXPORTS

BLENDER_EXPORTS = {"FBX": ".fbx", "GLTF": ".glb", "USD": ".usdc"}


class EMORIG_OT_export_curves(Reporting, bpy.types.Operator):
    """Write the character's curves, as they are now, for an engine or another program"""

    bl_idname = "emorig.export_curves"
    bl_label = "Export Curves"

    format: EnumProperty(
        name="Format",
        description="What the file is for",
        items=[(name, label, f"{label} ({suffix})") for name, (suffix, label) in EXPORTS.items()],
    )
    filepath: StringProperty(name="File", description="File to write", subtype="FILE_PATH")

    @classmethod
    def poll(cls, context):
        """Once a shot was animated."""
        return bool(context.scene.emorig.curves_path)

    def invoke(self, context, event):
        """Asks for the file."""
        self.filepath = str(_default_path(context.scene, EXPORTS[self.format][0]))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, context):
        """Asks the backend for the file."""
        runtime.news.clear()
        suffix = EXPORTS[self.format][0]
        path = Path(bpy.path.abspath(self.filepath)) if self.filepath else _default_path(context.scene, suffix)
        shots.hand_in(context, shots.export_request(context, self.format, path.with_suffix(suffix)))


class EMORIG_MT_export(bpy.types.Menu):
    """Formats of curves"""

    bl_label = "Export Curves"
    bl_idname = "EMORIG_MT_export"

    def draw(self, context):
        """One entry for each format."""
        self.layout.operator_context = "INVOKE_DEFAULT"
        for name, (suffix, label) in EXPORTS.items():
            self.layout.operator("emorig.export_curves", text=f"{label} ({suffix})").format = name


class EMORIG_OT_export_character(Reporting, bpy.types.Operator):
    """Write the animated character itself with Blender's own exporter, shape keys and their animation included"""

    bl_idname = "emorig.export_character"
    bl_label = "Export Character"

    format: EnumProperty(
        name="Format",
        description="File format of the character",
        items=[
            ("FBX", "FBX", "Unreal, Unity, Maya: blend shapes baked frame by frame"),
            ("GLTF", "glTF", "Godot, web, VRM tools: morph targets with one animation"),
            ("USD", "USD", "Omniverse, Houdini: blend shapes sampled over the scene's frames"),
        ],
    )
    filepath: StringProperty(name="File", description="File to write", subtype="FILE_PATH")

    def invoke(self, context, event):
        """Asks for the file."""
        self.filepath = str(_default_path(context.scene, BLENDER_EXPORTS[self.format]))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def act(self, context):
        """Selects the character for the exporter and gives the selection back."""
        scene = context.scene
        meshes = [mesh for mesh, _match in targets(scene.emorig, context.object)]
        if not meshes:
            raise InputError("No character is chosen: select a mesh with shape keys, or add the EmoRig head.")
        suffix = BLENDER_EXPORTS[self.format]
        path = Path(bpy.path.abspath(self.filepath)) if self.filepath else _default_path(scene, suffix)
        things = set(meshes) | {scene.emorig.head} | {mesh.find_armature() for mesh in meshes} - {None}
        kept = list(context.selected_objects)
        for thing in context.view_layer.objects:
            thing.select_set(thing in things)
        try:
            _export(self.format, str(path.with_suffix(suffix)))
        except (AttributeError, RuntimeError, TypeError) as error:
            raise InputError(
                f"This Blender cannot write {self.format}: {str(error).strip().splitlines()[-1]}"
            ) from error
        finally:
            for thing in context.view_layer.objects:
                thing.select_set(thing in kept)
        return f"The character is in '{path.with_suffix(suffix)}'."


def _export(kind: str, path: str) -> None:
    if kind == "FBX":
        bpy.ops.export_scene.fbx(
            filepath=path, use_selection=True, add_leaf_bones=False, use_mesh_modifiers=False, bake_anim=True,
            bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False, bake_anim_simplify_factor=0.0,
        )  # fmt: skip
    elif kind == "GLTF":
        options = {"filepath": path, "use_selection": True, "export_format": "GLB", "export_morph": True}
        if "export_animation_mode" in bpy.ops.export_scene.gltf.get_rna_type().properties:
            options |= {"export_animation_mode": "ACTIVE_ACTIONS", "export_force_sampling": True}
        bpy.ops.export_scene.gltf(**options)
    else:
        bpy.ops.wm.usd_export(filepath=path, selected_objects_only=True, export_animation=True)


def _default_path(scene, suffix: str) -> Path:
    stem = Path(scene.emorig.curves_path or "character").stem
    return output_path(scene.emorig.output_folder, f"{stem}_export", suffix=suffix)


CLASSES = (EMORIG_OT_export_curves, EMORIG_MT_export, EMORIG_OT_export_character)
