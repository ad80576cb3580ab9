"""EmoRig in the Object menu, so that Blender's search (F3) finds its actions by the words that animators use."""

import bpy


class EMORIG_MT_object(bpy.types.Menu):
    """Lip sync and facial animation"""

    bl_label = "EmoRig"
    bl_idname = "EMORIG_MT_object"

    def draw(self, context):
        """What there is to do, in words that are searched for."""
        layout = self.layout
        layout.operator("emorig.animate", text="Animate Face from Speech (Lip Sync)")
        layout.operator("emorig.animate_and_render", text="Render Talking Portrait Video")
        layout.operator("emorig.render_edited", text="Render Portrait from Edited Curves")
        layout.operator("emorig.preview_frame", text="Preview Portrait Frame")
        layout.separator()
        layout.operator("emorig.head_add", text="Add EmoRig Head (ARKit Blend Shapes)")
        layout.operator("emorig.emotion_key_add", text="Add Emotion Keyframe")
        layout.operator("emorig.mapping_edit", text="Edit Shape Key Mapping (ARKit, VRM, OVR Visemes)")
        layout.operator("emorig.phones_show", text="Show Phonemes as Markers")
        layout.operator("emorig.phones_retime", text="Retime Lips to Phoneme Markers")
        layout.operator("emorig.batch_add", text="Add Sound Strips to Lip Sync Batch")
        layout.menu("EMORIG_MT_export")
        layout.separator()
        layout.operator("emorig.backend_start")
        layout.operator("emorig.backend_install")


def _draw(self, context) -> None:
    self.layout.separator()
    self.layout.menu("EMORIG_MT_object")


def register() -> None:
    """Adds the menu."""
    bpy.types.VIEW3D_MT_object.append(_draw)


def unregister() -> None:
    """Removes it."""
    bpy.types.VIEW3D_MT_object.remove(_draw)


CLASSES = (EMORIG_MT_object,)
