"""The buttons of jobs and of the backend: each gathers what the panel holds, calls one function and reports."""

from pathlib import Path

import bpy
from bpy.props import StringProperty

from . import delivery, runtime
from .compat import redraw_sidebars
from .emotions import emotion_track
from .footage import active_sound, audio_bytes, portrait_bytes
from .preferences import backend_choice
from .protocol.errors import InputError
from .protocol.options import LAYERS, ShotOptions
from .rig.edits import edited_curves
from .session import Request

PREVIEW_FRAME_SIDE = 384


def shot_options(scene, *, renders: bool) -> ShotOptions:
    """The panel's choices. Raises InputError for a value out of its range."""
    shot = scene.emorig
    return ShotOptions(
        frame_rate=scene.render.fps / scene.render.fps_base,
        size=shot.size if shot.use_size else None,
        pose=shot.pose,
        strengths={layer: getattr(shot.strengths, layer) for layer in LAYERS},
        seed=shot.seed,
        renderer="warp" if renders else None,
        start=shot.audio_start,
        end=shot.audio_end or None,
    )


def shot_request(scene, *, renders: bool, curves=None) -> Request:
    """The scene's shot, ready to hand in. Raises InputError for what is missing."""
    shot = scene.emorig
    audio_name, audio = audio_bytes(shot.audio_path)
    portrait_name, portrait = portrait_bytes(shot.portrait) if renders else ("", None)
    arguments = {
        "audio": audio,
        "audio_name": audio_name,
        "portrait": portrait,
        "portrait_name": portrait_name,
        "emotion": emotion_track(scene),
        "options": shot_options(scene, renders=renders),
        "curves": curves,
        "frame_encoding": "jpeg" if renders else "none",
        "frame_size": PREVIEW_FRAME_SIDE,
    }
    stems = [Path(audio_name).stem] + ([Path(portrait_name).stem] if renders else [])
    memo = {
        "scene": scene.name,
        "start_frame": shot.start_frame,
        "stems": tuple(stems),
        "is_rerender": curves is not None,
    }
    return Request(arguments, memo)


def hand_in(context, request: Request) -> None:
    """Starts a job and, where needed, the backend. Raises InputError."""
    session = runtime.session
    if session.job is not None:
        raise InputError("A shot is being made: wait for it, or cancel it first.")
    session.connect(backend_choice(context))
    session.submit(request)
    runtime.news.clear()
    runtime.forget_picture("frame")
    runtime.memo.clear()
    runtime.memo.update(request.memo)
    runtime.start_timer(delivery.deliver)


class _Reporting:
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


class EMORIG_OT_animate(_Reporting, bpy.types.Operator):
    """Let the character speak the recording with the keyed emotion: keyframes on its shape keys"""

    bl_idname = "emorig.animate"
    bl_label = "Animate"

    def act(self, context):
        """Asks for curves alone."""
        runtime.news.clear()
        if not delivery.target_meshes(context.scene.emorig, context.object):
            raise InputError("No character is chosen: select a mesh with shape keys, or add the EmoRig head.")
        hand_in(context, shot_request(context.scene, renders=False))


class EMORIG_OT_animate_and_render(_Reporting, bpy.types.Operator):
    """Animate the character, and let the portrait speak in a video that lands in the sequencer"""

    bl_idname = "emorig.animate_and_render"
    bl_label = "Animate + Render Video"

    def act(self, context):
        """Asks for curves and video."""
        runtime.news.clear()
        hand_in(context, shot_request(context.scene, renders=True))


class EMORIG_OT_render_edited(_Reporting, bpy.types.Operator):
    """Render the video again with the curves as they are now, after editing them"""

    bl_idname = "emorig.render_edited"
    bl_label = "Render Edited Curves"

    @classmethod
    def poll(cls, context):
        """Once a shot was animated."""
        return bool(context.scene.emorig.curves_path)

    def act(self, context):
        """Reads the F-curves back and asks for the video alone."""
        runtime.news.clear()
        scene, shot = context.scene, context.scene.emorig
        received = delivery.stored_curves(shot)
        curves = edited_curves(
            received,
            delivery.curve_frames(scene, received),
            meshes=delivery.target_meshes(shot, context.object),
            head=shot.head,
            bone_name=delivery.bone_of(shot),
            tolerance=delivery.tolerance_of(shot),
        )
        hand_in(context, shot_request(scene, renders=True, curves=curves))


class EMORIG_OT_cancel(_Reporting, bpy.types.Operator):
    """Stop the shot that is being made; what has come so far stays"""

    bl_idname = "emorig.cancel"
    bl_label = "Cancel"

    def act(self, context):
        """Asks the backend to stop."""
        runtime.session.cancel()
        redraw_sidebars()


class EMORIG_OT_backend_start(_Reporting, bpy.types.Operator):
    """Start the backend now, so that the first shot need not wait for it"""

    bl_idname = "emorig.backend_start"
    bl_label = "Start Backend"

    def act(self, context):
        """Starts or finds the backend."""
        runtime.news.clear()
        runtime.session.connect(backend_choice(context))
        runtime.start_timer(delivery.deliver)


class EMORIG_OT_backend_stop(_Reporting, bpy.types.Operator):
    """Leave the backend; one that was started from here is stopped"""

    bl_idname = "emorig.backend_stop"
    bl_label = "Stop Backend"

    def act(self, context):
        """Ends the conversation."""
        runtime.session.close(wait_for_process=False)
        runtime.forget_picture("frame")


class EMORIG_OT_audio_from_strip(_Reporting, bpy.types.Operator):
    """Use the sequencer's active sound strip: its file, its trim and its start frame"""

    bl_idname = "emorig.audio_from_strip"
    bl_label = "Use Active Sound Strip"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Copies the strip's file and timing."""
        found = active_sound(context.scene)
        if found is None:
            raise InputError("No sound strip is active in the sequencer: click one there first.")
        for name, value in found.items():
            setattr(context.scene.emorig, name, value)


class EMORIG_OT_apply_curves(bpy.types.Operator):
    """Apply the received curves to the character"""

    bl_idname = "emorig.apply_curves"
    bl_label = "Apply EmoRig Curves"
    bl_options = {"INTERNAL", "UNDO"}

    def execute(self, context):
        """One undo step for all meshes and the head."""
        active = context.view_layer.objects.active if context.view_layer else None
        try:
            scene = delivery.job_scene()
            self.report({"INFO"}, delivery.apply_received(scene, delivery.target_meshes(scene.emorig, active)))
        except InputError as error:
            runtime.tell("ERROR", str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class EMORIG_OT_add_video(bpy.types.Operator):
    """Lay a rendered video into the sequencer"""

    bl_idname = "emorig.add_video"
    bl_label = "Add EmoRig Video"
    bl_options = {"INTERNAL", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH")

    def execute(self, context):
        """One undo step for picture and sound."""
        try:
            self.report({"INFO"}, delivery.place_video(delivery.job_scene(), self.filepath))
        except InputError as error:
            runtime.tell("ERROR", str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (
    EMORIG_OT_animate,
    EMORIG_OT_animate_and_render,
    EMORIG_OT_render_edited,
    EMORIG_OT_cancel,
    EMORIG_OT_backend_start,
    EMORIG_OT_backend_stop,
    EMORIG_OT_audio_from_strip,
    EMORIG_OT_apply_curves,
    EMORIG_OT_add_video,
)
