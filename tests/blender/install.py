"""Run by the bpy package's Python: the extension zip named on the command line installs, registers and comes off."""

import sys

import bpy

NAME = "bl_ext.user_default.emorig"

if __name__ == "__main__":
    import addon_utils  # comes with bpy

    bpy.ops.extensions.package_install_files(
        repo="user_default", filepath=sys.argv[1], enable_on_install=True, overwrite=True
    )
    try:
        assert hasattr(bpy.types.Scene, "emorig") and hasattr(bpy.types, "EMORIG_PT_main")
        bpy.context.scene.emorig.emotion = "happy"
        assert bpy.ops.emorig.emotion_key_add() == {"FINISHED"}
        module = sys.modules[NAME]
        assert module.runtime.session.detail == "", module.runtime.session.detail
        assert "user_default" in str(module.footage.user_folder()), module.footage.user_folder()
        module.preferences.backend_choice(bpy.context)
        assert "blender_addon" not in sys.modules
        print("zmq from", __import__("zmq").__file__)
    finally:
        addon_utils.disable(NAME)
    assert not hasattr(bpy.types.Scene, "emorig") and not hasattr(bpy.types, "EMORIG_PT_main")
    print("passed: install")
