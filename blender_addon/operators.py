"""The buttons of jobs and of the backend: each gathers what the panel holds, calls one function and reports."""

import json

import bpy
from bpy.props import BoolProperty, EnumProperty

from . import pictures, runtime, shots
from .compat import redraw_sidebars
from .delivery import deliver
from .footage import active_sound, camera_view, speaker_audio
from .performance import (
    has_landed,
    landing,
    note_strengths,
    reading_edits,
    shares_of,
    stored_curves,
    targets,
    with_edits,
)
from .preferences import backend_choice
from .protocol.errors import InputError
from .protocol.layers import combined
from .rig.controls import has_controls
from .rig.landing import on_thread


class Reporting:
    """An operator that says in one sentence what the user must mend."""

    def execute(self, context):
        """Runs the operator's one action."""
        try:
            sentence = self.act(context)
        except InputError as error:
            runtime.tell("ERROR", str(error))
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if sentence:
            self.report({"INFO"}, sentence)
        return {"FINISHED"}


class EMORIG_OT_animate(Reporting, bpy.types.Operator):
    """Let the character speak the recording with the keyed emotion: keyframes on its shape keys"""

    bl_idname = "emorig.animate"
    bl_label = "Animate"

    keeps_edits: BoolProperty(
        name="Keep Edits", description="Lay what was changed on the character over the new curves"
    )

    def act(self, context):
        """Asks for curves alone."""
        runtime.news.clear()
        shot = context.scene.emorig
        rig = shot.head if shot.head is not None and shot.head.type == "ARMATURE" and shot.use_controls else None
        has_face = rig is not None and has_controls(bone.name for bone in rig.data.bones)
        if not targets(shot, context.object) and not has_face:
            raise InputError("No character is chosen: select a mesh with shape keys, or add the EmoRig head.")
        shots.hand_in(context, shots.shot_request(context.scene, renders=False, keeps_edits=self.keeps_edits))


class EMORIG_OT_animate_and_render(Reporting, bpy.types.Operator):
    """Animate the character, and let the portrait speak in a video"""

    bl_idname = "emorig.animate_and_render"
    bl_label = "Animate + Render Video"

    draft: BoolProperty(name="Draft", description="Render small, 256 pixels, to judge the timing quickly")

    @classmethod
    def description(cls, context, properties):
        """What a draft is, where it is one."""
        return cls.__doc__ + (", small and quick: 256 pixels" if properties.draft else "")

    def act(self, context):
        """Asks for curves and video."""
        runtime.news.clear()
        shots.hand_in(context, shots.shot_request(context.scene, renders=True, is_draft=self.draft))


class EMORIG_OT_render_edited(Reporting, bpy.types.Operator):
    """Render the video again with the curves as they are now, only the frames that were changed"""

    bl_idname = "emorig.render_edited"
    bl_label = "Render Edited Curves"

    @classmethod
    def poll(cls, context):
        """Once a shot was animated."""
        return bool(context.scene.emorig.curves_path)

    def act(self, context):
        """Reads the F-curves back and asks for the video alone."""
        runtime.news.clear()
        shots.hand_in(context, shots.rerender_request(context))


class EMORIG_OT_preview_frame(Reporting, bpy.types.Operator):
    """Render the portrait as it looks at the playhead, one frame"""

    bl_idname = "emorig.preview_frame"
    bl_label = "Preview Frame"

    def act(self, context):
        """Asks for one frame."""
        runtime.news.clear()
        shots.hand_in(context, shots.preview_request(context))


class EMORIG_OT_cancel(Reporting, bpy.types.Operator):
    """Stop what is being made; what has come so far stays"""

    bl_idname = "emorig.cancel"
    bl_label = "Cancel"

    def act(self, context):
        """Asks the backend to stop, and lets go of what waits."""
        runtime.drop_work()
        runtime.session.cancel()
        redraw_sidebars()


class EMORIG_OT_layers_apply(Reporting, bpy.types.Operator):
    """Bring the character's curves to the strengths of the layers; what was edited stays"""

    bl_idname = "emorig.layers_apply"
    bl_label = "Apply Layers"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        """Once a shot was animated."""
        return bool(context.scene.emorig.curves_path)

    def act(self, context):
        """Sums the layers anew and lands them; the action that this replaces is not kept, it can be made again."""
        runtime.soon("layers", context.scene.name)


def apply_layers(scene_name: str) -> None:
    """Lands the stored performance at the panel's strengths, with the edits that are on the character."""
    scene = bpy.data.scenes.get(scene_name)
    if scene is not None and scene.emorig.curves_path:
        runtime.news.clear()
        runtime.begin_work(_layers_steps(scene_name))


def _layers_steps(scene_name: str):
    """Reads the character, sums the layers on a thread, and lands what comes of it. Raises InputError."""
    scene = bpy.data.scenes[scene_name]
    shot = scene.emorig
    curves, now = stored_curves(shot), shot.layers.strengths()
    shares = shares_of(shot), shares_of(shot, now)
    edited = None
    if has_landed(shot):
        edited = yield from reading_edits(scene, _active())

    def wanted():
        before, after = (combined(curves, share) if share else curves for share in shares)
        return after if edited is None else with_edits(after, before, edited(before))

    landed = yield from on_thread(wanted)
    scene = bpy.data.scenes.get(scene_name)
    if scene is None or stored_curves(scene.emorig) is not curves:
        return  # other curves have come meanwhile
    shot = scene.emorig
    note_strengths(shot, json.loads(shot.applied or "{}").get("asked", {}), now)
    yield from landing(scene, landed, targets(shot, _active()), title="EmoRig Layers", keeps_former=False)


def _active():
    return bpy.context.view_layer.objects.active if bpy.context.view_layer else None


class EMORIG_OT_backend_start(Reporting, bpy.types.Operator):
    """Start the backend now, so that the first shot need not wait for it"""

    bl_idname = "emorig.backend_start"
    bl_label = "Start Backend"

    def act(self, context):
        """Starts or finds the backend."""
        runtime.news.clear()
        runtime.session.connect(backend_choice(context))
        runtime.start_timer(deliver)


class EMORIG_OT_backend_stop(Reporting, bpy.types.Operator):
    """Leave the backend; one that was started from here is stopped"""

    bl_idname = "emorig.backend_stop"
    bl_label = "Stop Backend"

    def act(self, context):
        """Ends the conversation."""
        runtime.session.close(wait_for_process=False)
        pictures.forget("frame")


class EMORIG_OT_audio_from_strip(Reporting, bpy.types.Operator):
    """Use the sequencer's active sound strip: its file, its trim and its start frame"""

    bl_idname = "emorig.audio_from_strip"
    bl_label = "Use Active Sound Strip"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Copies the strip's file and timing."""
        found = active_sound(context.scene)
        if found is None:
            raise InputError("No sound strip is active in the sequencer: click one there first.")
        _use_audio(context.scene.emorig, found)


class EMORIG_OT_audio_from_speaker(Reporting, bpy.types.Operator):
    """Use the sound of the selected speaker object"""

    bl_idname = "emorig.audio_from_speaker"
    bl_label = "Use Speaker Object"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Copies the speaker's file and start."""
        speakers = [thing for thing in context.selected_objects if thing.type == "SPEAKER"]
        _use_audio(context.scene.emorig, speaker_audio(context.scene, speakers[0] if speakers else context.object))


def _use_audio(shot, found: dict) -> None:
    for name, value in found.items():
        setattr(shot, name, value)


class EMORIG_OT_portrait_from_camera(Reporting, bpy.types.Operator):
    """Use what the scene's camera sees at the playhead as the portrait"""

    bl_idname = "emorig.portrait_from_camera"
    bl_label = "Portrait from Camera"
    bl_options = {"REGISTER", "UNDO"}

    method: EnumProperty(
        name="Method",
        description="How the camera's view is made",
        items=[
            ("VIEWPORT", "Viewport", "As the viewport draws it, at once"),
            ("RENDER", "Render", "By the scene's render engine"),
        ],
    )

    def act(self, context):
        """Renders the view and keeps it in the file."""
        context.scene.emorig.portrait = camera_view(context.scene, renders=self.method == "RENDER")


CLASSES = (
    EMORIG_OT_animate,
    EMORIG_OT_animate_and_render,
    EMORIG_OT_render_edited,
    EMORIG_OT_preview_frame,
    EMORIG_OT_cancel,
    EMORIG_OT_layers_apply,
    EMORIG_OT_backend_start,
    EMORIG_OT_backend_stop,
    EMORIG_OT_audio_from_strip,
    EMORIG_OT_audio_from_speaker,
    EMORIG_OT_portrait_from_camera,
)
runtime.on_soon("layers", apply_layers)
