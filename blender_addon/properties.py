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

from . import pictures, runtime
from .compat import icon
from .emotions import LABELS, has_mark, listed_curve, set_mark
from .footage import sound_seconds
from .protocol.options import LAYERS, MAX_STRENGTH, POSES
from .protocol.types import ARKIT_NAMES
from .rig.apply import shape_names
from .rig.bones import find_bones

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
    (label, label.capitalize(), "The face shows this emotion", EMOTION_ICONS[label], number)
    for number, label in enumerate(LABELS)
]
FOOTAGE_ITEMS = [
    ("STRIP", "Sequencer", "A movie strip with its sound in the sequencer"),
    ("CAMERA", "Camera Background", "Behind the scene's camera, in step with the rig"),
    ("PLANE", "Image Plane", "On a plane beside the character, in step with the rig"),
]
LAYER_HELP = {
    "lips": "Lips, jaw and tongue of the speech",
    "emotion": "Expression of the keyed emotion",
    "brows": "Brow movement on stressed syllables",
    "blinks": "Blinks",
    "gaze": "Small movements of the eyes",
    "head": "Head motion",
}
SEEDED = LAYERS[1:]  # lips follow the sound alone


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
    pictures.forget("portrait")
    pictures.forget("frame")


def _head_changed(shot, context) -> None:
    """An armature's bones are found by their names, where these tell; those of another rig are let go."""
    if shot.head is None or shot.head.type != "ARMATURE":
        return
    for part in ("head", "jaw", "left_eye", "right_eye"):
        if getattr(shot, f"{part}_bone") not in shot.head.data.bones:
            setattr(shot, f"{part}_bone", "")
    for part, bone in find_bones(bone.name for bone in shot.head.data.bones).items():
        setattr(shot, f"{part}_bone", bone)


def _key_chosen(shot, context) -> None:
    """Choosing a row of the key list moves the playhead to it."""
    curve = listed_curve(shot.id_data)
    if curve is not None and 0 <= shot.active_key < len(curve.keyframe_points):
        shot.id_data.frame_set(round(curve.keyframe_points[shot.active_key].co[0]))


def _layers_changed(layers, context) -> None:
    """A strength or mute changes the character's curves at once, without the backend."""
    if layers.id_data.emorig.curves_path:
        runtime.soon("layers", layers.id_data.name)


def _curve_names(_row, _context, text: str) -> list[str]:
    return [name for name in ARKIT_NAMES if text.lower() in name.lower()]


class EmoRigMapping(bpy.types.PropertyGroup):
    """One row of a mesh's own mapping table: what a curve gives to a shape key."""

    shape: StringProperty(name="Shape Key", description="Shape key that is driven")
    curve: StringProperty(name="Curve", description="Curve that drives it, as jawOpen", search=_curve_names)
    gain: FloatProperty(
        name="Gain", description="How far the curve moves the shape key", default=1.0, soft_min=-2.0, soft_max=2.0
    )
    offset: FloatProperty(
        name="Offset", description="What is added to the shape key throughout", soft_min=-1.0, soft_max=1.0
    )


class EmoRigTarget(bpy.types.PropertyGroup):
    """One mesh whose shape keys a shot drives."""

    mesh: PointerProperty(type=bpy.types.Object, poll=_has_shape_keys, name="Mesh", description="Mesh with shape keys")
    uses_table: BoolProperty(
        name="Own Mapping", description="Drive this mesh by its own table instead of by the names of its shape keys"
    )
    rows: CollectionProperty(type=EmoRigMapping, name="Rows", description="The mapping table")
    active_row: IntProperty(name="Active Row", description="Chosen row of the mapping table", options=set())


class EmoRigLayers(bpy.types.PropertyGroup):
    """Strength, mute and seed of each layer of the performance."""

    __annotations__ = (
        {
            layer: FloatProperty(
                name=layer.capitalize(), description=f"{LAYER_HELP[layer]}: 0 none, 1 as performed, 2 twice", min=0.0,
                max=MAX_STRENGTH, default=1.0, subtype="FACTOR", update=_layers_changed,
            )
            for layer in LAYERS
        }
        | {
            f"mute_{layer}": BoolProperty(
                name=f"Mute {layer.capitalize()}", description="Leave this layer out", update=_layers_changed,
            )
            for layer in LAYERS
        }
        | {
            f"seed_{layer}": IntProperty(
                name=f"{layer.capitalize()} Seed", min=0, description="Another number gives another performance of it"
            )
            for layer in SEEDED
        }
    )  # fmt: skip

    def strengths(self) -> dict[str, float]:
        """Layer -> its strength, 0 where it is muted."""
        return {layer: 0.0 if getattr(self, f"mute_{layer}") else getattr(self, layer) for layer in LAYERS}

    def seeds(self) -> dict[str, int]:
        """Layer -> its own seed, where it has one."""
        return {layer: seed for layer in SEEDED if (seed := getattr(self, f"seed_{layer}"))}


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
    transcript: StringProperty(
        name="Transcript",
        description="What is said, where it is known, for the lips to follow; empty listens to the sound alone",
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
    active_key: IntProperty(
        name="Active Key", description="Chosen emotion key; choosing one moves the playhead there",
        update=_key_chosen, options=set(),
    )  # fmt: skip
    emotion_video: StringProperty(
        name="Emotion Video",
        description="Video of a face whose feeling the character takes over, instead of the keys",
        subtype="FILE_PATH",
    )

    targets: CollectionProperty(type=EmoRigTarget, name="Meshes", description="The meshes that speak")
    active_target: IntProperty(name="Active Mesh", description="Chosen mesh of the character", options=set())
    head: PointerProperty(
        type=bpy.types.Object,
        poll=_can_turn,
        name="Head",
        description="Object, empty or armature that takes the head's rotation",
        update=_head_changed,
    )
    head_bone: StringProperty(name="Head Bone", description="Bone of the armature that takes the head's rotation")
    jaw_bone: StringProperty(name="Jaw Bone", description="Bone that opens the mouth, on rigs without a jaw shape key")
    jaw_angle: FloatProperty(
        name="Jaw Angle", description="How far the jaw bone turns when the mouth is open as wide as it goes",
        min=0.0, max=1.0, default=0.35, subtype="ANGLE",
    )  # fmt: skip
    use_controls: BoolProperty(
        name="Face Controls", default=True,
        description="Move the rig's own controls of lips, brows and lids, as Rigify names them, "
        "where no mesh takes curves",
    )  # fmt: skip
    left_eye_bone: StringProperty(name="Left Eye", description="Bone of the character's left eye")
    right_eye_bone: StringProperty(name="Right Eye", description="Bone of the character's right eye")

    layers: PointerProperty(
        type=EmoRigLayers, name="Layers", description="Strength, mute and seed of what the performance is made of"
    )
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
    footage: EnumProperty(name="Video To", description="Where the rendered video goes", items=FOOTAGE_ITEMS)
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
    rendered_path: StringProperty(name="Rendered", description="The curves that the last video was rendered from")
    applied: StringProperty(name="Applied", description="The strengths that were asked for and are applied, as JSON")


class EmoRigMonitor(bpy.types.PropertyGroup):
    """The running job as numbers that old versions can draw as a slider."""

    percent: FloatProperty(
        name="Progress", description="How far the running job is", subtype="PERCENTAGE", min=0.0, max=100.0,
        get=lambda self: 100.0 * runtime.progress(),
    )  # fmt: skip


CLASSES = (EmoRigMapping, EmoRigTarget, EmoRigLayers, EmoRigShot, EmoRigMonitor)


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
