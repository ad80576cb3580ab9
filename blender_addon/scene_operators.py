"""The buttons that set a shot up: emotion keys and presets, the character's meshes, the EmoRig head."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from .emotions import PRESETS, apply_preset, has_mark, remove_mark, set_mark
from .head import add_head
from .protocol.discovery import heads_folder
from .protocol.errors import InputError
from .rig.apply import shape_names


class EMORIG_OT_emotion_key_add(bpy.types.Operator):
    """Key the emotion and its intensity at the playhead"""

    bl_idname = "emorig.emotion_key_add"
    bl_label = "Add Emotion Key"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        """Writes both keys."""
        scene = context.scene
        set_mark(scene, scene.frame_current, scene.emorig.emotion, scene.emorig.intensity)
        return {"FINISHED"}


class EMORIG_OT_emotion_key_remove(bpy.types.Operator):
    """Remove this emotion key"""

    bl_idname = "emorig.emotion_key_remove"
    bl_label = "Remove Emotion Key"
    bl_options = {"REGISTER", "UNDO"}

    frame: FloatProperty(name="Frame", description="Scene frame of the key")

    def execute(self, context):
        """Removes both keys."""
        if not has_mark(context.scene, self.frame):
            self.report({"WARNING"}, f"There is no emotion key at frame {self.frame:g}.")
            return {"CANCELLED"}
        remove_mark(context.scene, self.frame)
        return {"FINISHED"}


class EMORIG_OT_emotion_preset(bpy.types.Operator):
    """Replace the emotion keys by a preset, spread over the shot"""

    bl_idname = "emorig.emotion_preset"
    bl_label = "Emotion Preset"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(
        name="Preset",
        description="Emotions over time",
        items=[(name, name, about) for name, (about, _) in PRESETS.items()],
    )

    @classmethod
    def description(cls, context, properties):
        """What the preset does."""
        return PRESETS[properties.preset][0]

    def execute(self, context):
        """Spreads the preset over the recording, or over the scene where its length is not known."""
        scene, shot = context.scene, context.scene.emorig
        end = shot.audio_end or shot.audio_seconds
        length = (end - shot.audio_start) * scene.render.fps / scene.render.fps_base
        last = shot.start_frame + length if length > 0 else max(scene.frame_end, shot.start_frame + 1)
        apply_preset(scene, self.preset, first_frame=shot.start_frame, last_frame=last)
        return {"FINISHED"}


class EMORIG_MT_emotion_presets(bpy.types.Menu):
    """Emotions over time to start from"""

    bl_label = "Emotion Presets"
    bl_idname = "EMORIG_MT_emotion_presets"

    def draw(self, context):
        """One entry for each preset."""
        for name in PRESETS:
            self.layout.operator("emorig.emotion_preset", text=name).preset = name


class EMORIG_OT_target_add(bpy.types.Operator):
    """Add the selected meshes with shape keys to the character: face, teeth, tongue, lashes"""

    bl_idname = "emorig.target_add"
    bl_label = "Add Selected Meshes"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        """Adds each selected mesh once."""
        shot = context.scene.emorig
        there = {target.mesh for target in shot.targets}
        fresh = [o for o in context.selected_objects if o.type == "MESH" and shape_names(o) and o not in there]
        if not fresh:
            self.report({"ERROR"}, "No further mesh with shape keys is selected: select the character's meshes.")
            return {"CANCELLED"}
        for mesh in fresh:
            shot.targets.add().mesh = mesh
        shot.active_target = len(shot.targets) - 1
        return {"FINISHED"}


class EMORIG_OT_target_remove(bpy.types.Operator):
    """Take the chosen mesh off the character; its keyframes stay"""

    bl_idname = "emorig.target_remove"
    bl_label = "Remove Mesh"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """While there is one."""
        return len(context.scene.emorig.targets) > 0

    def execute(self, context):
        """Removes the row."""
        shot = context.scene.emorig
        shot.targets.remove(shot.active_target)
        shot.active_target = max(min(shot.active_target, len(shot.targets) - 1), 0)
        return {"FINISHED"}


class EMORIG_OT_head_add(bpy.types.Operator):
    """Add a head with all shape keys at the 3D cursor, and let it be the character"""

    bl_idname = "emorig.head_add"
    bl_label = "Add EmoRig Head"
    bl_options = {"REGISTER", "UNDO"}

    raw: BoolProperty(
        name="Raw Coefficient Keys",
        description="Shape keys of all 64 expression coefficients, driven by the coefficients themselves",
    )
    filepath: StringProperty(
        name="Head", description="File of another head, as 'emorig model head' writes it; empty adds EmoRig's own",
        subtype="FILE_PATH",
    )  # fmt: skip

    def execute(self, context):
        """Loads the head and makes it the shot's character."""
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        try:
            if self.filepath:
                path = Path(bpy.path.abspath(self.filepath))
                head = add_head(context, path=path, name=f"{path.stem} Head", raw=self.raw)
            else:
                head = add_head(context, raw=self.raw)
        except InputError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        shot = context.scene.emorig
        shot.targets.clear()
        shot.targets.add().mesh = head
        shot.active_target, shot.head = 0, head
        return {"FINISHED"}


class EMORIG_OT_head_open(bpy.types.Operator):
    """Choose the file of a head that 'emorig model head' wrote, and add it"""

    bl_idname = "emorig.head_open"
    bl_label = "Head from File"

    filepath: StringProperty(name="Head", description="File of the head", subtype="FILE_PATH")
    filter_glob: StringProperty(name="Filter", description="Files that are shown", default="*.npz", options={"HIDDEN"})

    def invoke(self, context, event):
        """Asks for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Adds it."""
        return bpy.ops.emorig.head_add(filepath=self.filepath)


class EMORIG_MT_heads(bpy.types.Menu):
    """Heads of the face models that were imported on this machine"""

    bl_label = "Heads"
    bl_idname = "EMORIG_MT_heads"

    def draw(self, context):
        """One entry for each imported model, and any other file."""
        for path in sorted(heads_folder().glob("*.npz")):
            chosen = self.layout.operator("emorig.head_add", text=path.stem, icon="USER", translate=False)
            chosen.filepath, chosen.raw = str(path), False
        self.layout.operator("emorig.head_open", icon="FILEBROWSER")


CLASSES = (
    EMORIG_OT_head_open,
    EMORIG_MT_heads,
    EMORIG_OT_emotion_key_add,
    EMORIG_OT_emotion_key_remove,
    EMORIG_OT_emotion_preset,
    EMORIG_MT_emotion_presets,
    EMORIG_OT_target_add,
    EMORIG_OT_target_remove,
    EMORIG_OT_head_add,
)
