"""Run in a Blender window: the panel draws in every state of a shot, the timer brings the results, nothing blocks."""

import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from addon import blender_addon, bpy, empty_scene, mesh_with_shapes
from benchmark import speech_like
from shot import N_FRAMES, START, prepare

from blender_addon import character_panels, compat, panels, runtime

PANELS = [c for c in (*panels.CLASSES, *character_panels.CLASSES) if issubclass(c, bpy.types.Panel)]

LONGEST_WORK = 0.05  # seconds that one poll of the add-on may work on the window's thread
LONGEST_HOLD = 0.25  # seconds that it may take on a busy machine
LIMIT = 100.0
works, holds, states, drawn = [], [], set(), set()


def watch_drawing() -> None:
    """Notes which panels are drawn, and shows them in the tab that is open from the start."""
    for cls in PANELS:
        cls.bl_category = "Item"
        cls.bl_options = set()
        cls.draw = noted(cls.draw, cls.__name__)


def watch_polling() -> None:
    """Notes how long each poll keeps the window's thread, Blender's own undo and evaluation apart."""
    poll, own = runtime.poll, []

    def timed(call):
        def measure(*arguments):
            began, spent = time.monotonic(), time.thread_time()
            call(*arguments)
            own.append((time.monotonic() - began, time.thread_time() - spent))

        return measure

    def timed_poll():
        own.clear()
        began, spent = time.monotonic(), time.thread_time()
        poll()
        holds.append(time.monotonic() - began - sum(hold for hold, _work in own))
        works.append(time.thread_time() - spent - sum(work for _hold, work in own))

    runtime.poll = timed_poll
    compat.undo_step, compat.evaluate = timed(compat.undo_step), timed(compat.evaluate)


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
    holds.clear(), works.clear()
    while runtime.is_busy():
        assert time.monotonic() - began < LIMIT, runtime.session.progress_text
        yield 0.02
    told = check_holds("a shot")
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
    yield from land_a_long_one(bpy.context.scene)
    print(f"passed: window; {told}; {check_holds('24 minutes of curves')}", flush=True)


def check_holds(what: str) -> str:
    """What the longest poll was, in a sentence; none may have held the window up."""
    told = f"{what}: {1000 * max(works):.0f} ms of work in one poll of {len(works)}, {1000 * max(holds):.0f} ms at most"
    assert len(holds) > 2 and max(works) < LONGEST_WORK and max(holds) < LONGEST_HOLD, told
    return told


def land_a_long_one(scene):
    """52 curves of 36,000 frames land on a mesh, every frame kept."""
    from blender_addon.performance import landing, targets

    curves = speech_like()
    scene.emorig.targets.clear()
    scene.emorig.targets.add().mesh = mesh_with_shapes("Long", curves.names)
    scene.emorig.use_thinning = False
    for area in bpy.context.window_manager.windows[0].screen.areas:
        area.type = "INFO"  # what is drawn in software at each change takes far longer than the change
    holds.clear(), works.clear()
    runtime.begin_work(landing(scene, curves, targets(scene.emorig), title="Long"))
    began = time.monotonic()
    while runtime.is_busy():
        assert time.monotonic() - began < LIMIT
        yield 0.02
    assert "2,016,000 keys" in runtime.news[-1].text, runtime.news  # the head turns too


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
