"""Run by the bpy package's Python: a backend on another machine through the panel's preferences, with CURVE keys.

BPY_PYTHON remote.py EXTENSION_ZIP CLIENT_JSON STRANGERS_CLIENT_JSON
"""

import sys
import time
import wave
from pathlib import Path

import bpy

NAME = "bl_ext.user_default.emorig"
ZIP, KEYS, STRANGE = sys.argv[1:4]


def make_shot(folder: Path):
    """A head, a tone of a second."""
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes(b"\0\x10\0\xf0" * 8000)
    shot = bpy.context.scene.emorig
    shot.audio_path, shot.output_folder = str(folder / "tone.wav"), str(folder)
    bpy.ops.emorig.head_add()
    return shot.targets[0].mesh


def finish(runtime) -> str:
    """Polls until the job has ended, and gives what the panel says."""
    end = time.monotonic() + 40
    while runtime.is_busy() or runtime.queue:
        assert time.monotonic() < end, runtime.session.headline
        runtime.poll()
        time.sleep(0.01)
    return " | ".join(item.text for item in runtime.news)


def main() -> None:
    """The shot is refused while Blender is offline, made with the keys, and not with a stranger's."""
    import addon_utils  # comes with bpy

    bpy.ops.extensions.package_install_files(repo="user_default", filepath=ZIP, enable_on_install=True, overwrite=True)
    try:
        runtime = sys.modules[NAME].runtime
        preferences = bpy.context.preferences.addons[NAME].preferences
        head = make_shot(Path(KEYS).parent)
        preferences.keys_path = KEYS
        bpy.context.preferences.system.use_online_access = False
        try:
            bpy.ops.emorig.animate()
        except RuntimeError as error:
            assert "Online access is off" in str(error), error
        else:
            raise AssertionError("another machine was reached while Blender is offline")
        bpy.context.preferences.system.use_online_access = True
        assert bpy.ops.emorig.animate() == {"FINISHED"}
        said = finish(runtime)
        assert "Done" in said and "Ready (" in runtime.session.headline, (said, runtime.session.headline)
        assert head.data.shape_keys.animation_data.action is not None
        bpy.ops.emorig.backend_stop()
        preferences.keys_path = STRANGE
        bpy.ops.emorig.animate()
        said = finish(runtime)
        assert "does not answer" in said, said
        assert runtime.session.state.name == "OFFLINE" and runtime.session.job is None
        print("passed: remote,", said)
    finally:
        addon_utils.disable(NAME)


if __name__ == "__main__":
    main()
