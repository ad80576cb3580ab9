"""What a shot consists of, kept in the scene and saved with the file."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import runtime
from .compat import icon
from .emotions import LABELS, has_mark, listed_curve, set_mark
from .footage import sound_seconds
from .protocol.options import LAYERS, MAX_STRENGTH, POSES
from .rig.apply import shape_names

EMOTION_ICONS = {
    "neutral": icon("SEQUENCE_COLOR_09", "STRIP_COLOR_09", "DOT"),
    "angry": icon("SEQUENCE_COLOR_01", "STRIP_COLOR_01", "DOT"),
    "contempt": icon("SEQUENCE_COLOR_08", "STRIP_COLOR_08", "DOT"),
    "disgusted": icon("SEQUENCE_COLOR_04", "STRIP_COLOR_04", "DOT"),
    "fear": icon("SEQUENCE_COLOR_06", "STRIP_COLOR_06", "DOT"),
    "happy": icon("SEQUENCE_COLOR_03", "STRIP_COLOR_03", "DOT"),
    "sad": icon("SEQUENCE_COLOR_05", "STRIP_COLOR_05", "DOT"),
    "surprised": icon("SEQUENCE_COLOR_02", "STRIP_COLOR_02", "DOT"),
}
EMOTION_ITEMS = [
    (label, label.capitalize(), f"The character is {label}", EMOTION_ICONS[label], number)
    for number, label in enumerate(LABELS)
]
LAYER_HELP = {
    "lips": "Lips, jaw and tongue of the speech",
    "emotion": "Expression of the keyed emotion",
    "brows": "Brow movement on stressed syllables",
    "blinks": "Blinks",
    "gaze": "Small movements of the eyes",
    "head": "Head motion",
}


def _has_shape_keys(_owner, candidate) -> bool:
    return candidate.type == "MESH" and bool(shape_names(candidate))


def _can_turn(_owner, candidate) -> bool:
    return candidate.type in {"MESH", "EMPTY", "ARMATURE"}


def _emotion_changed(shot, context) -> None:
    """Changing a value while the playhead stands on an emotion key changes the key."""
    scene = shot.id_data
    if has_mark(scene, scene.frame_current):
        set_mark(scene, scene.frame_current, shot.emotion, shot.intensity)


def _audio_changed(shot, context) -> None:
    shot.audio_seconds = sound_seconds(bpy.path.abspath(shot.audio_path)) or 0.0


def _portrait_changed(shot, context) -> None:
    runtime.forget_picture("portrait")
    runtime.forget_picture("frame")


def _key_chosen(shot, context) -> None:
    """Choosing a row of the key list moves the playhead to it."""
    curve = listed_curve(shot.id_data)
    if curve is not None and 0 <= shot.active_key < len(curve.keyframe_points):
        shot.id_data.frame_set(round(curve.keyframe_points[shot.active_key].co[0]))


class EmoRigTarget(bpy.types.PropertyGroup):
    """One mesh whose shape keys a shot drives."""

    mesh: PointerProperty(type=bpy.types.Object, poll=_has_shape_keys, name="Mesh", description="Mesh with shape keys")


class EmoRigShot(bpy.types.PropertyGroup):
    """One portrait, one recording, emotion over time, and the character that performs it."""

    portrait: PointerProperty(
        type=bpy.types.Image,
        name="Portrait",
        description="Picture of the person that speaks in the video; curves alone need none",
        update=_portrait_changed,
    )
    audio_path: StringProperty(
        name="Audio",
        description="Recording of the speech: WAV, MP3, FLAC or the sound of a video",
        subtype="FILE_PATH",
        update=_audio_changed,
    )
    audio_seconds: FloatProperty(name="Length", description="Length of the recording in seconds, 0 if unknown")
    audio_start: FloatProperty(
        name="From", description="Second of the recording at which the shot starts", min=0.0, unit="TIME_ABSOLUTE"
    )
    audio_end: FloatProperty(
        name="To", description="Second of the recording at which the shot ends; 0 is its end", min=0.0,
        unit="TIME_ABSOLUTE",
    )  # fmt: skip
    start_frame: IntProperty(name="Start Frame", description="Scene frame at which the speech starts", default=1)

    emotion: EnumProperty(
        name="Emotion", description="What the character feels here", items=EMOTION_ITEMS, update=_emotion_changed
    )
    intensity: FloatProperty(
        name="Intensity", description="How strongly, from not at all to fully", min=0.0, max=1.0, default=0.7,
        subtype="FACTOR", update=_emotion_changed,
    )  # fmt: skip
    active_key: IntProperty(name="Active Key", update=_key_chosen, options=set())

    targets: CollectionProperty(type=EmoRigTarget)
    active_target: IntProperty(name="Active Mesh", options=set())
    head: PointerProperty(
        type=bpy.types.Object,
        poll=_can_turn,
        name="Head",
        description="Object, empty or armature that takes the head's rotation",
    )
    head_bone: StringProperty(name="Head Bone", description="Bone of the armature that takes the head's rotation")

    pose: EnumProperty(
        name="Head Motion",
        items=[(pose, pose.capitalize(), f"{pose.capitalize()} head") for pose in POSES],
        description="Whether the head moves along with the speech",
    )
    seed: IntProperty(name="Seed", description="Another number gives other blinks, glances and nods", min=0)
    use_size: BoolProperty(name="Resize Video", description="Render the video at a size of your own")
    size: IntProperty(
        name="Shorter Side", description="Shorter side of the video in pixels", min=64, max=4096, default=512,
        subtype="PIXEL",
    )  # fmt: skip
    use_thinning: BoolProperty(
        name="Thin Out Keyframes", description="Keep only the keyframes that the curves need", default=True
    )
    tolerance: FloatProperty(
        name="Tolerance", description="Largest deviation of a thinned curve", min=0.0001, max=0.1, default=0.004,
        precision=4,
    )  # fmt: skip
    output_folder: StringProperty(
        name="Output", description="Folder of rendered videos; empty is a folder 'emorig' beside the saved file",
        subtype="DIR_PATH",
    )  # fmt: skip
    curves_path: StringProperty(name="Curves", description="The curves of the last shot as they were received")


def _strength(layer: str) -> FloatProperty:
    return FloatProperty(
        name=layer.capitalize(), description=f"{LAYER_HELP[layer]}: 0 none, 1 as performed, 2 twice", min=0.0,
        max=MAX_STRENGTH, default=1.0, subtype="FACTOR",
    )  # fmt: skip


class EmoRigStrengths(bpy.types.PropertyGroup):
    """Strength of each layer of the performance."""

    __annotations__ = {layer: _strength(layer) for layer in LAYERS}


class EmoRigMonitor(bpy.types.PropertyGroup):
    """The running job as numbers that old versions can draw as a slider."""

    percent: FloatProperty(
        name="Progress", subtype="PERCENTAGE", min=0.0, max=100.0, get=lambda self: 100.0 * runtime.session.progress
    )


CLASSES = (EmoRigTarget, EmoRigStrengths, EmoRigShot, EmoRigMonitor)
EmoRigShot.__annotations__["strengths"] = PointerProperty(type=EmoRigStrengths)


def register() -> None:
    """Adds the shot to scenes and the monitor to the window manager."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.emorig = PointerProperty(type=EmoRigShot)
    bpy.types.WindowManager.emorig = PointerProperty(type=EmoRigMonitor)


def unregister() -> None:
    """Removes them again."""
    del bpy.types.WindowManager.emorig
    del bpy.types.Scene.emorig
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
