"""Run in a Blender window: from the zip to the first shot, a screenshot of each step; docs/blender.md shows them.

    python tests/blender/make_tour.py ZIP FOLDER

A real shot with the real backend: scikit-image's astronaut speaks the sentence that the package ships.
"""

import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy

ZIP, FOLDER = Path(os.environ["EMORIG_TOUR_ZIP"]), Path(os.environ["EMORIG_TOUR_FOLDER"])
PORTRAIT, SPEECH = os.environ["EMORIG_TOUR_PORTRAIT"], os.environ["EMORIG_TOUR_SPEECH"]
PROGRAM = os.environ.get("EMORIG_TOUR_PROGRAM", "")
LAST = int(os.environ.get("EMORIG_TOUR_LAST", "10"))  # picture
LIMIT = 900.0
LOWER = ("DOPESHEET_EDITOR", "GRAPH_EDITOR", "SEQUENCE_EDITOR")
KEYS = ((1, "neutral", 0.0), (30, "surprised", 0.8), (65, "happy", 0.9), (105, "happy", 0.4), (145, "sad", 0.7))
TAB_FROM_TOP, TAB_FROM_RIGHT = 165, 10  # of the tab EmoRig in the sidebar, pixels: the fourth
shots: list[str] = []


def picture(name: str) -> None:
    """The whole screen as it is."""
    shots.append(name)
    subprocess.run(["import", "-window", "root", str(FOLDER / f"{len(shots):02d}_{name}.png")], check=True)
    if len(shots) == LAST:
        finish(0)


def window():
    return bpy.context.window_manager.windows[0]


def area_of(kind: str):
    return next((area for area in window().screen.areas if area.type == kind), None)


def region_of(area, kind: str):
    return next(region for region in area.regions if region.type == kind)


def click(x: int, y: int) -> None:
    """A click of the left button, y from the bottom of the window, as Blender's own event tests make it."""
    window().event_simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    window().event_simulate("LEFTMOUSE", "PRESS", x=x, y=y)
    window().event_simulate("LEFTMOUSE", "RELEASE", x=x, y=y)


def lower_area():
    """The area between view and timeline."""
    return next(a for a in window().screen.areas if a.type in LOWER and a.height > 150)


def override(area):
    return bpy.context.temp_override(window=window(), area=area, region=region_of(area, "WINDOW"))


def widen_sidebar(area, pixels: int) -> None:
    """Drags the sidebar's left edge; yields between the events."""
    region = region_of(area, "UI")
    x, y = region.x + 1, region.y + region.height // 3
    window().event_simulate("MOUSEMOVE", "NOTHING", x=x - 40, y=y)
    yield 0.2
    window().event_simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    yield 0.2
    window().event_simulate("LEFTMOUSE", "PRESS", x=x, y=y)
    for step in range(1, 6):
        yield 0.1
        window().event_simulate("MOUSEMOVE", "NOTHING", x=x - pixels * step // 5, y=y)
    window().event_simulate("LEFTMOUSE", "RELEASE", x=x - pixels, y=y)


def redraw() -> None:
    for area in window().screen.areas:
        area.tag_redraw()


def wait_for(condition, limit: float = LIMIT):
    """Yields until a condition holds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited too long"
        yield 0.1


def steps():
    """The tour; yields seconds to wait."""
    yield 1.0
    yield from install()
    yield from prepare()
    yield from emotion()
    yield from character()
    yield from perform()
    yield from edit()


def install():
    """The zip comes in through the preferences; the panel offers to install the backend."""
    bpy.ops.preferences.addon_install(filepath=str(ZIP))
    bpy.ops.preferences.addon_enable(module="emorig")
    area = area_of("VIEW_3D")
    area.ui_type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "EmoRig"
    import addon_utils  # comes with Blender
    import emorig

    emorig.bl_info["show_expanded"] = True
    for module in addon_utils.modules():
        if module.__name__ == "emorig":
            addon_utils.module_bl_info(module)["show_expanded"] = True
            place, module.__file__ = module.__file__, "scripts/addons/emorig/__init__.py"  # not this machine's
    yield 1.5
    picture("install_zip")
    for module in addon_utils.modules(refresh=False):
        if module.__name__ == "emorig":
            module.__file__ = place
    area.ui_type = "VIEW_3D"
    area.spaces.active.show_region_ui = True
    yield 0.5
    yield from widen_sidebar(area, 130)
    yield 0.5
    region = region_of(area, "UI")
    for _again in range(2):  # a slow machine may still be drawing at the first
        click(region.x + region.width - TAB_FROM_RIGHT, region.y + region.height - TAB_FROM_TOP)
        yield 3.0
    picture("install_backend")
    import emorig.runtime as runtime

    bpy.ops.emorig.backend_install()
    yield from wait_for(lambda: runtime.installation.fraction > 0.1 or runtime.installation.error)
    yield 3.0
    redraw()
    yield 0.5
    picture("installing")
    if PROGRAM:
        bpy.ops.emorig.backend_install_cancel()
        yield from wait_for(lambda: not runtime.is_installing())
        runtime.installation = None
        bpy.context.preferences.addons["emorig"].preferences.program = PROGRAM
    else:
        yield from wait_for(lambda: not runtime.is_installing(), 1200.0)
        assert not runtime.installation.error, runtime.installation.error


def prepare():
    """Portrait and recording."""
    scene = bpy.context.scene
    for thing in [o for o in scene.objects if o.type == "MESH"]:
        bpy.data.objects.remove(thing)
    scene.render.fps = 25
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "shot.blend"))  # paths are shown from where it lies
    shot = scene.emorig
    shot.output_folder = "//videos"
    shot.portrait = bpy.data.images.load(PORTRAIT)
    shot.audio_path, shot.audio_end = f"//{Path(SPEECH).name}", 6.0
    shot.use_size, shot.size = True, 480
    for _ in range(8):  # pictures are read beside
        redraw()
        yield 0.5
    picture("portrait_and_recording")


def emotion():
    """Emotion keys, and their course."""
    scene, shot = bpy.context.scene, bpy.context.scene.emorig
    for frame, label, intensity in KEYS:
        scene.frame_set(frame)
        shot.emotion, shot.intensity = label, intensity
        bpy.ops.emorig.emotion_key_add()
    for _ in range(6):
        redraw()
        yield 0.5
    picture("emotion_keys")


def character():
    """The head, and what of it answers."""
    area = area_of("VIEW_3D")
    bpy.ops.emorig.head_add()
    area.spaces.active.shading.type = "MATERIAL"
    area.spaces.active.overlay.show_relationship_lines = False
    with override(area):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    scene = bpy.context.scene
    scene.frame_set(1)
    for _ in range(10):  # shaders are compiled beside
        redraw()
        yield 0.5
    picture("character")


def perform():
    """Preview, curves, then the video."""
    import emorig.runtime as runtime

    scene = bpy.context.scene
    with override(area_of("VIEW_3D")):
        bpy.ops.emorig.animate_and_render()
    yield from wait_for(lambda: runtime.session.progress > 0.05)
    for _ in range(3):  # panels move down for the news
        redraw()
        yield 0.3
    picture("rendering")
    yield from wait_for(lambda: not runtime.is_busy())
    with override(area_of("VIEW_3D")):
        bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.4)
    yield 0.5
    min((a for a in window().screen.areas if a.type == "VIEW_3D"), key=lambda a: a.y).type = "DOPESHEET_EDITOR"
    scene.frame_set(40)
    yield 0.5
    lower_area().type = "GRAPH_EDITOR"
    yield 1.0
    with override(area_of("GRAPH_EDITOR")):
        bpy.ops.graph.view_all()
    lower_area().spaces.active.show_region_ui = False
    yield 1.0
    picture("curves")
    area_of("GRAPH_EDITOR").type = "SEQUENCE_EDITOR"
    yield 0.5
    sequencer = area_of("SEQUENCE_EDITOR")
    with override(sequencer):
        bpy.ops.sequencer.view_all()
    sequencer.spaces.active.view_type = "SEQUENCER_PREVIEW"
    scene.frame_set(64)
    yield 1.5
    picture("video")


def edit():
    """A curve is changed and only its frames are rendered again."""
    import emorig.runtime as runtime
    from emorig.compat import curve_bag

    scene = bpy.context.scene
    head = scene.emorig.targets[0].mesh
    curve = curve_bag(head.data.shape_keys).fcurves.find('key_blocks["browInnerUp"].value')
    for point in curve.keyframe_points:
        if 90 < point.co[0] < 115:
            point.co[1] = 0.9
    curve.update()
    with override(area_of("VIEW_3D")):
        bpy.ops.emorig.render_edited()
    yield from wait_for(lambda: not runtime.is_busy())
    scene.frame_set(100)
    with override(area_of("SEQUENCE_EDITOR")):
        bpy.ops.sequencer.view_all()
    yield 1.5
    picture("rendered_again")
    for layer, strength in (("emotion", 1.5), ("blinks", 0.6)):
        setattr(scene.emorig.layers, layer, strength)
    yield 1.0
    yield from wait_for(lambda: not runtime.is_busy() and any("curves with" in item.text for item in runtime.news))
    print("news:", [item.text for item in runtime.news], flush=True)


def run(script) -> float | None:
    try:
        return next(script)
    except StopIteration:
        finish(0)
    except BaseException:
        traceback.print_exc()
        picture("failed")
        finish(1)
    return None


def finish(code: int) -> None:
    if "emorig" in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module="emorig")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    bpy.context.preferences.view.show_splash = False
    script = steps()
    bpy.app.timers.register(lambda: run(script), first_interval=1.0, persistent=True)
