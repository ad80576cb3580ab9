"""The EmoRig tab of the 3D viewport's sidebar. Panels draw and change nothing."""

from __future__ import annotations

import bpy

from . import runtime
from .compat import draw_progress, icon
from .emotions import LABELS, emotion_marks, has_mark, listed_curve
from .properties import EMOTION_ICONS
from .protocol.options import LAYERS
from .rig.apply import shape_names
from .session import State

PICTURE_SCALE = 8.0
LISTED_NAMES = 6
CHARACTER_WIDTH = 6.3  # pixels of a usual character in a label
STATE_ICONS = {
    State.OFFLINE: icon("UNLINKED"),
    State.STARTING: icon("SORTTIME", "TIME"),
    State.READY: icon("CHECKMARK"),
    State.BUSY: icon("PLAY"),
    State.LOST: icon("ERROR"),
    State.REFUSED: icon("ERROR"),
    State.UNAVAILABLE: icon("ERROR"),
}


class _Sidebar:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "EmoRig"


class EMORIG_UL_emotion_keys(bpy.types.UIList):
    """The keyframes of the emotion, straight from its F-curve."""

    def draw_item(self, context, layout, data, item, icon_value, active_data, active_property, index=0, flt_flag=0):
        """One key: its emotion, intensity and time."""
        scene = context.scene
        mark = next((m for m in emotion_marks(scene) if abs(m.frame - item.co[0]) < 0.5), None)
        if mark is None:
            return
        seconds = (mark.frame - scene.emorig.start_frame) * scene.render.fps_base / scene.render.fps
        row = layout.row(align=True)
        row.label(text=mark.label.capitalize(), icon=EMOTION_ICONS[mark.label])
        numbers = row.row(align=True)
        numbers.alignment = "RIGHT"
        numbers.label(text="" if mark.label == LABELS[0] else f"{mark.intensity:.0%}")
        numbers.label(text=f"{seconds:.2f} s")
        remove = row.operator("emorig.emotion_key_remove", text="", icon="X", emboss=False)
        remove.frame = mark.frame

    def filter_items(self, context, data, propname):
        """All of them, in the F-curve's order."""
        return [], []


class EMORIG_UL_targets(bpy.types.UIList):
    """The meshes that a shot drives."""

    def draw_item(self, context, layout, data, item, icon_value, active_data, active_property, index=0, flt_flag=0):
        """One mesh and how many of the curves it can take."""
        row = layout.row(align=True)
        if item.mesh is None:
            row.prop(item, "mesh", text="")
            return
        row.label(text=item.mesh.name, icon="MESH_DATA")
        count = row.row()
        count.alignment = "RIGHT"
        match = runtime.match_for(shape_names(item.mesh))
        count.label(text=f"{match.n_matched_curves} of {runtime.n_curves()}")


class EMORIG_PT_main(_Sidebar, bpy.types.Panel):
    """Portrait, recording, state of the backend and what to do."""

    bl_label = "EmoRig"
    bl_idname = "EMORIG_PT_main"

    def draw(self, context):
        """Inputs, the two buttons, the running job and what came of it."""
        layout, shot = self.layout, context.scene.emorig
        _draw_portrait(layout, shot)
        _draw_audio(layout, context.scene, shot)
        layout.separator(factor=0.5)
        _draw_actions(layout, context, shot)
        _draw_news(layout)
        _draw_backend(layout)


class EMORIG_PT_emotion(_Sidebar, bpy.types.Panel):
    """Emotion over time."""

    bl_label = "Emotion"
    bl_parent_id = "EMORIG_PT_main"

    def draw(self, context):
        """The emotion at the playhead, a button that keys it, and the keys."""
        layout, scene = self.layout, context.scene
        shot = scene.emorig
        column = layout.column(align=True)
        row = column.row(align=True)
        row.prop(shot, "emotion", text="")
        row.menu("EMORIG_MT_emotion_presets", text="", icon="PRESET")
        slider = column.row(align=True)
        slider.active = shot.emotion != LABELS[0]
        slider.prop(shot, "intensity", slider=True)
        keyed = has_mark(scene, scene.frame_current)
        layout.operator(
            "emorig.emotion_key_add",
            text=f"Update Key at Frame {scene.frame_current}" if keyed else f"Add Key at Frame {scene.frame_current}",
            icon="KEYFRAME_HLT" if keyed else "KEYFRAME",
        )
        curve = listed_curve(scene)
        if curve is None:
            hint = layout.column(align=True)
            hint.active = False
            _wrapped(hint, "No keys: the same throughout", icon="INFO")
            return
        rows = min(max(len(curve.keyframe_points), 3), 7)
        layout.template_list(
            "EMORIG_UL_emotion_keys", "", curve, "keyframe_points", shot, "active_key", rows=rows, maxrows=7
        )


class EMORIG_PT_character(_Sidebar, bpy.types.Panel):
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
            _draw_unmatched(layout, shot.targets[shot.active_target].mesh)
        layout.operator("emorig.head_add", icon=icon("USER", "MESH_MONKEY"))
        column = layout.column(align=True)
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(shot, "head", text="Head Turns")
        if shot.head is not None and shot.head.type == "ARMATURE":
            column.prop_search(shot, "head_bone", shot.head.data, "bones", text="Bone")


class EMORIG_PT_options(_Sidebar, bpy.types.Panel):
    """How it performs and what is written."""

    bl_label = "Performance"
    bl_parent_id = "EMORIG_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Strength of the layers, head motion and seed."""
        layout, shot = self.layout, context.scene.emorig
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(align=True)
        for layer in LAYERS:
            column.prop(shot.strengths, layer, slider=True)
        layout.prop(shot, "pose")
        layout.prop(shot, "seed")


class EMORIG_PT_output(_Sidebar, bpy.types.Panel):
    """Timing, keyframes and the video file."""

    bl_label = "Timing and Output"
    bl_parent_id = "EMORIG_PT_main"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Start, trim, keyframe thinning, size and folder."""
        layout, scene = self.layout, context.scene
        shot = scene.emorig
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(align=True)
        column.prop(shot, "start_frame")
        column.prop(shot, "audio_start")
        column.prop(shot, "audio_end")
        column = layout.column(heading="Thin Out Keys", align=True)
        row = column.row(align=True)
        row.prop(shot, "use_thinning", text="")
        field = row.row()
        field.active = shot.use_thinning
        field.prop(shot, "tolerance", text="")
        column = layout.column(heading="Resize Video", align=True)
        row = column.row(align=True)
        row.prop(shot, "use_size", text="")
        field = row.row()
        field.active = shot.use_size
        field.prop(shot, "size", text="")
        layout.prop(shot, "output_folder")


def _draw_portrait(layout, shot) -> None:
    """The portrait, or the newest rendered frame while a video is made."""
    picture = runtime.picture_icon("frame") or runtime.portrait_icon(shot.portrait)
    if picture:
        layout.template_icon(icon_value=picture, scale=PICTURE_SCALE)
    else:
        layout.label(text="Portrait", icon=icon("USER", "IMAGE_DATA"))
    layout.template_ID(shot, "portrait", open="image.open")


def _draw_audio(layout, scene, shot) -> None:
    if not shot.audio_path:
        layout.label(text="Recording", icon="SPEAKER")
    row = layout.row(align=True)
    hint = {"placeholder": "Recording"} if runtime.HAS_PLACEHOLDER else {}
    row.prop(shot, "audio_path", text="", icon="SOUND", **hint)
    row.operator("emorig.audio_from_strip", text="", icon="SEQUENCE")
    info = layout.row()
    info.active = False
    rate = scene.render.fps / scene.render.fps_base
    length = f"{shot.audio_seconds:.1f} s, " if shot.audio_seconds else ""
    info.label(text=f"{length}from frame {shot.start_frame} at {rate:g} fps")


def _draw_actions(layout, context, shot) -> None:
    session = runtime.session
    if session.job is not None:
        draw_progress(
            layout, context.window_manager.emorig, "percent", factor=session.progress, text=session.progress_text
        )
        layout.operator("emorig.cancel", icon="CANCEL")
        return
    column = layout.column(align=True)
    column.scale_y = 1.3
    column.enabled = session.state is not State.UNAVAILABLE
    column.operator("emorig.animate", icon=icon("SHAPEKEY_DATA"))
    column.operator("emorig.animate_and_render", icon="RENDER_ANIMATION")
    if shot.curves_path:
        column.operator("emorig.render_edited", icon="FCURVE")


def _draw_news(layout) -> None:
    """What came of the last job, and what it noticed."""
    news = runtime.news
    if not news:
        return
    box = layout.box().column(align=True)
    for item in news:
        _wrapped(box, item.text, icon={"ERROR": "ERROR", "WARNING": icon("INFO")}.get(item.kind, "CHECKMARK"))


def _draw_backend(layout) -> None:
    session = runtime.session
    row = layout.row(align=True)
    row.label(text=session.headline, icon=STATE_ICONS[session.state])
    if session.state in {State.READY, State.BUSY, State.STARTING, State.LOST, State.REFUSED}:
        row.operator("emorig.backend_stop", text="", icon="X", emboss=False)
    elif session.state is State.OFFLINE:
        row.operator("emorig.backend_start", text="", icon="PLAY", emboss=False)
    row.operator("preferences.addon_show", text="", icon="PREFERENCES", emboss=False).module = __package__
    if session.detail:
        _wrapped(layout.column(align=True), session.detail)


def _draw_unmatched(layout, mesh_object) -> None:
    """Names of curves that find no shape key; shape keys that no curve moves are counted."""
    match = runtime.match_for(shape_names(mesh_object))
    column = layout.column(align=True)
    column.active = False
    lost, still = match.unmatched_curves, len(match.unmatched_shapes)
    if lost:
        more = f" and {len(lost) - LISTED_NAMES} more" if len(lost) > LISTED_NAMES else ""
        _wrapped(column, f"No shape key for {', '.join(lost[:LISTED_NAMES])}{more}", icon="INFO")
    if still:
        _wrapped(column, f"{still} of its shape keys stay still", icon="INFO")


def _wrapped(layout, text: str, *, icon: str = "NONE") -> None:
    """Text over as many lines as the sidebar's width asks for."""
    width = bpy.context.region.width if bpy.context.region else 260
    scale = bpy.context.preferences.system.ui_scale or 1.0  # 0 without a window
    room = max(int((width / scale - 70.0) / CHARACTER_WIDTH), 14)
    for number, line in enumerate(runtime.wrap(text, room)):
        layout.label(text=line, icon=icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE"))


CLASSES = (
    EMORIG_UL_emotion_keys,
    EMORIG_UL_targets,
    EMORIG_PT_main,
    EMORIG_PT_emotion,
    EMORIG_PT_character,
    EMORIG_PT_options,
    EMORIG_PT_output,
)
