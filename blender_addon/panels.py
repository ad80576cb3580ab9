"""The EmoRig tab of the 3D viewport's sidebar: the shot, its emotion, what runs. Panels draw and change nothing."""

from __future__ import annotations

import bpy

from . import pictures, runtime
from .compat import draw_progress, icon
from .emotion_plot import emotion_plot
from .emotions import LABELS, emotion_marks, emotion_track, has_mark, listed_curve
from .preferences import backend_wheel, chosen, needs_install
from .properties import EMOTION_ICONS
from .protocol.errors import InputError
from .session import State

PICTURE_SCALE = 8.0
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


class Sidebar:
    """Where all panels are."""

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


class EMORIG_PT_main(Sidebar, bpy.types.Panel):
    """Portrait, recording, state of the backend and what to do."""

    bl_label = "EmoRig"
    bl_idname = "EMORIG_PT_main"

    def draw(self, context):
        """Inputs, the buttons, the running job and what came of it."""
        layout, shot = self.layout, context.scene.emorig
        if needs_install(context) or runtime.is_installing():
            _draw_install(layout, context)
        _draw_portrait(layout, shot)
        _draw_audio(layout, context.scene, shot)
        layout.separator(factor=0.5)
        _draw_actions(layout, context, shot)
        _draw_news(layout)
        _draw_backend(layout)


class EMORIG_PT_emotion(Sidebar, bpy.types.Panel):
    """Emotion over time."""

    bl_label = "Emotion"
    bl_parent_id = "EMORIG_PT_main"

    def draw(self, context):
        """The emotion at the playhead, a button that keys it, its course and the keys."""
        layout, scene = self.layout, context.scene
        shot = scene.emorig
        if shot.emotion_video:
            layout.prop(shot, "emotion_video", text="")
            wrapped(layout.column(align=True), "The feeling comes from this video; clear it to use keys.", icon="INFO")
            return
        column = layout.column(align=True)
        row = column.row(align=True)
        row.prop(shot, "emotion", text="")
        row.menu("EMORIG_MT_emotion_presets", text="", icon="PRESET")
        slider = column.row(align=True)
        slider.active = shot.emotion != LABELS[0]
        slider.prop(shot, "intensity", slider=True)
        keyed = has_mark(scene, scene.frame_current)
        frame = scene.frame_current
        text = bpy.app.translations.pgettext_iface("Update Key at Frame {}" if keyed else "Add Key at Frame {}")
        layout.operator("emorig.emotion_key_add", text=text.format(frame), icon="KEYFRAME_HLT" if keyed else "KEYFRAME")
        curve = listed_curve(scene)
        if curve is None:
            hint = layout.column(align=True)
            hint.active = False
            wrapped(hint, "No keys: the same throughout", icon="INFO")
        else:
            _draw_course(layout, scene)
            rows = min(max(len(curve.keyframe_points), 3), 7)
            layout.template_list(
                "EMORIG_UL_emotion_keys", "", curve, "keyframe_points", shot, "active_key", rows=rows, maxrows=7
            )
        layout.prop(shot, "emotion_video", text="Video")


def _draw_course(layout, scene) -> None:
    """The emotion's course as a picture, drawn anew where it has changed."""
    shot, rate = scene.emorig, scene.render.fps / scene.render.fps_base
    marks = emotion_marks(scene)
    last = max((marks[-1].frame - shot.start_frame) / rate if marks else 0.0, 0.5)
    seconds = max((shot.audio_end or shot.audio_seconds) - shot.audio_start, last)
    try:
        track = emotion_track(scene)
    except InputError:
        return  # a key was dragged onto another
    playhead = (scene.frame_current - shot.start_frame) / rate
    state = (track.keys, seconds, round(playhead * 10))
    if _course.get("state") != state:
        pictures.draw("course", emotion_plot(track, seconds, playhead))
        _course["state"] = state
    if number := pictures.icon_of("course"):
        layout.template_icon(icon_value=number, scale=5.0)


_course: dict = {}


def _draw_install(layout, context) -> None:
    """The backend is missing: what it is, the choices, the button, or how far its installation is."""
    box = layout.box().column()
    if runtime.is_installing():
        one = runtime.installation
        draw_progress(box, context.window_manager.emorig, "percent", factor=one.fraction, text=one.stage)
        box.operator("emorig.backend_install_cancel", icon="CANCEL")
        return
    wrapped(box, "EmoRig works in a program beside Blender, the backend. It is installed once.", icon="INFO")
    own = chosen(context)
    if own is not None:
        box.prop(own, "compute", text="")
        box.prop(own, "python", text="Python")
    row = box.row()
    row.scale_y = 1.3
    row.operator("emorig.backend_install", icon="IMPORT")
    if runtime.installation is not None and runtime.installation.error:
        wrapped(box, runtime.installation.error, icon="ERROR")


def _draw_portrait(layout, shot) -> None:
    """The portrait, or the newest rendered frame while a video is made."""
    picture = pictures.icon_of("frame") or pictures.portrait_icon(shot.portrait)
    if picture:
        layout.template_icon(icon_value=picture, scale=PICTURE_SCALE)
    else:
        layout.label(text="Portrait", icon=icon("USER", "IMAGE_DATA"))
    row = layout.row(align=True)
    row.template_ID(shot, "portrait", open="image.open")
    row.operator("emorig.portrait_from_camera", text="", icon="CAMERA_DATA")


def _draw_audio(layout, scene, shot) -> None:
    if not shot.audio_path:
        layout.label(text="Recording", icon="SPEAKER")
    row = layout.row(align=True)
    hint = {"placeholder": "Recording"} if runtime.HAS_PLACEHOLDER else {}
    row.prop(shot, "audio_path", text="", icon="SOUND", **hint)
    row.operator("emorig.audio_from_strip", text="", icon="SEQUENCE")
    row.operator("emorig.audio_from_speaker", text="", icon="SPEAKER")
    info = layout.row()
    info.active = False
    rate = scene.render.fps / scene.render.fps_base
    length = f"{shot.audio_seconds:.1f} s, " if shot.audio_seconds else ""
    info.label(text=f"{length}from frame {shot.start_frame} at {rate:.5g} fps", translate=False)


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
    column.enabled = session.state is not State.UNAVAILABLE and not runtime.is_installing()
    column.operator("emorig.animate", icon=icon("SHAPEKEY_DATA"))
    column.operator("emorig.animate_and_render", icon="RENDER_ANIMATION").draft = False
    if shot.portrait is not None:
        row = column.split(factor=0.36, align=True)
        row.operator("emorig.animate_and_render", text="Draft").draft = True
        row.operator("emorig.preview_frame")
    if shot.curves_path:
        column.operator("emorig.render_edited", icon="FCURVE")


def _draw_news(layout) -> None:
    """What came of the last job, and what it noticed."""
    done = runtime.installation.sentence if runtime.installation is not None else ""
    if done and not runtime.news:
        wrapped(layout.box().column(align=True), done, icon="CHECKMARK")
    if not runtime.news:
        return
    box = layout.box().column(align=True)
    for item in runtime.news[-8:]:
        wrapped(box, item.text, icon={"ERROR": "ERROR", "WARNING": icon("INFO")}.get(item.kind, "CHECKMARK"))


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
        wrapped(layout.column(align=True), session.detail)
    if session.state is State.REFUSED and backend_wheel() is not None:
        layout.operator("emorig.backend_install", text="Update Backend", icon="IMPORT")


def wrapped(layout, text: str, *, icon: str = "NONE") -> None:
    """Text over as many lines as the sidebar's width asks for."""
    text = bpy.app.translations.pgettext_iface(text)
    width = bpy.context.region.width if bpy.context.region else 260
    scale = bpy.context.preferences.system.ui_scale or 1.0  # 0 without a window
    room = max(int((width / scale - 70.0) / CHARACTER_WIDTH), 14)
    for number, line in enumerate(runtime.wrap(text, room)):
        layout.label(text=line, icon=icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE"), translate=False)


CLASSES = (EMORIG_UL_emotion_keys, EMORIG_PT_main, EMORIG_PT_emotion)
