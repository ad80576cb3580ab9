"""Run in a Blender window: the panel draws in every state of a shot, the timer brings the results, nothing blocks."""

import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from addon import blender_addon, bpy, empty_scene
from shot import N_FRAMES, START, prepare

from blender_addon import character_panels, compat, panels, runtime

PANELS = [c for c in (*panels.CLASSES, *character_panels.CLASSES) if issubclass(c, bpy.types.Panel)]

LONGEST_HOLD = 0.25  # seconds that one poll of the add-on may keep the window's thread
LIMIT = 60.0
holds, states, drawn = [], set(), set()


def watch_drawing() -> None:
    """Notes which panels are drawn, and shows them in the tab that is open from the start."""
    for cls in PANELS:
        cls.bl_category = "Item"
        cls.bl_options = set()
        cls.draw = noted(cls.draw, cls.__name__)


def watch_polling() -> None:
    """Notes how long each poll keeps the window's thread."""
    poll = runtime.poll

    def timed_poll():
        began = time.monotonic()
        poll()
        holds.append(time.monotonic() - began)

    runtime.poll = timed_poll


def noted(draw, name: str):
    """A panel's draw function that notes that it came to its end."""

    def draw_and_note(self, context):
        draw(self, context)
        drawn.add(name)
        states.add((runtime.session.state.name, runtime.session.progress > 0))

    return draw_and_note


def steps():
    """The shot as an animator makes it; yields while waiting."""
    area = next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")
    area.spaces.active.show_region_ui = True
    scene, head, _folder = prepare()
    scene.emorig.seed = 99
    yield 0.5
    with compat.any_window():
        bpy.ops.ed.undo_push(message="Prepared")
        assert bpy.ops.emorig.animate_and_render() == {"FINISHED"}
    began = time.monotonic()
    holds.clear()
    while runtime.is_busy():
        assert time.monotonic() - began < LIMIT, runtime.session.progress_text
        yield 0.02
    assert len(holds) > 2 and max(holds) < LONGEST_HOLD, sorted(holds)[-5:]
    yield 0.5
    assert len(compat.curve_bag(head.data.shape_keys).fcurves) == 52
    assert compat.strip_span(compat.strips(scene)["EmoRig"])[:2] == (START, START + N_FRAMES)
    with compat.any_window():
        bpy.ops.ed.undo()
    assert not len(compat.strips(bpy.context.scene) or ())
    assert len(compat.curve_bag(bpy.data.objects["Test Head"].data.shape_keys).fcurves) == 52
    with compat.any_window():
        bpy.ops.ed.undo()
    keys = bpy.data.objects["Test Head"].data.shape_keys
    bag = compat.curve_bag(keys)
    assert bag is None or not len(bag.fcurves), "curves and video are one step of undo each"
    assert {cls.__name__ for cls in PANELS} - {"EMORIG_PT_mapping"} <= drawn, drawn
    assert {"BUSY", "READY"} <= {state for state, _ in states}, states
    print(f"passed: window, longest hold {max(holds):.2f} s", flush=True)


def run(script) -> float | None:
    try:
        return next(script)
    except StopIteration:
        finish(0)
    except BaseException:
        traceback.print_exc()
        finish(1)
    return None


def finish(code: int) -> None:
    blender_addon.unregister()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    bpy.context.preferences.view.show_splash = False
    try:
        empty_scene()
        watch_drawing()
        watch_polling()
        blender_addon.register()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    script = steps()
    bpy.app.timers.register(lambda: run(script), first_interval=1.0)
