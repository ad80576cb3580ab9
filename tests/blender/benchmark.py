"""Times in Blender what a landing performance costs: make bench-blender, or BPY_PYTHON tests/blender/benchmark.py.

52 curves of 36,000 frames, syllables at four a second with pauses, land on shape keys: thinned as the add-on does by
itself, then with every frame kept. Prints work and the longest step between two ticks of the window.
"""

import time

import numpy as np
from addon import blender_addon, mesh_with_shapes, registered

N_FRAMES, RATE = 36_000, 25.0


def speech_like():
    """Curves that move as speech does."""
    from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

    rng = np.random.default_rng(0)
    times = np.arange(N_FRAMES)[:, None] / RATE
    speed, phase = 3.5 + rng.random(len(ARKIT_NAMES)), 6.0 * rng.random(len(ARKIT_NAMES))
    speaking = np.sin(0.7 * times) > -0.3
    weights = speaking * (0.25 + 0.25 * np.sin(2 * np.pi * speed * times + phase))
    rest = rest_rotations(N_FRAMES)
    return AnimationCurves(ARKIT_NAMES, weights.astype(np.float32), RATE, rest, rest, rest)


def land(curves, mesh, tolerance: float | None) -> str:
    """Lands curves on a mesh, thinned to a tolerance, and says what it took."""
    from blender_addon.rig import landing
    from blender_addon.rig.apply import mesh_part, shape_names
    from blender_addon.rig.mapping import match_shapes

    mapping = match_shapes(curves.names, shape_names(mesh))
    part, _ = mesh_part(mesh, mapping, curves, np.arange(N_FRAMES) + 1, tolerance=tolerance)
    script, wall, work = landing.land([part], "Benchmark"), [], []
    step = None
    while step is not StopIteration:
        seen, spent = time.perf_counter(), time.process_time()
        step = next(script, StopIteration)
        wall.append(time.perf_counter() - seen)
        work.append(time.process_time() - spent)
        if step is landing.Waiting:
            time.sleep(0.005)
    return (
        f"{part.n_keys:9,} keys  {sum(work):.2f} s of work in {len(work)} steps, the longest "
        f"{1000 * max(work):.0f} ms of work, {1000 * max(wall):.0f} ms on the clock"
    )


def main() -> None:
    """Prints the table."""
    started = time.process_time()
    blender_addon.register()
    enabled = time.process_time() - started
    blender_addon.unregister()
    print(f"add-on enabled {enabled:.2f} s of work, its imports included")
    with registered():
        curves, mesh = speech_like(), mesh_with_shapes("Face", speech_like().names)
        for name, tolerance in (("thinned", 0.004), ("every frame", None)):
            print(f"{name:12}{land(curves, mesh, tolerance)}", flush=True)


if __name__ == "__main__":
    main()
