"""Times in Blender what an animator waits for: make bench-blender, or

    BPY_PYTHON tests/blender/benchmark.py [--backend .venv/bin/python]

Without a backend: enabling the add-on, and 52 curves of 36,000 frames, syllables at four a second with pauses, landing
on shape keys, thinned as the add-on does by itself and with every frame kept, and at another layer strength. With the
Python of a backend's environment: a minute of speech against the real backend, a frame previewed, and performed again.
"""

import argparse
import contextlib
import itertools
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from addon import blender_addon, bpy, empty_scene, mesh_with_shapes, registered, work_folder

N_FRAMES, RATE = 36_000, 25.0
MINUTE = """
import sys, wave, cv2, numpy as np
from pathlib import Path
from skimage import data
from backend.audio.waveform import load_waveform
import backend
sentence, place = load_waveform(Path(backend.__file__).parent / "media" / "sentence.flac"), Path(sys.argv[1])
with wave.open(str(place / "minute.wav"), "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(sentence.sample_rate)
    samples = np.resize(sentence.samples, 60 * sentence.sample_rate)
    file.writeframes((samples * 32767).astype("<i2").tobytes())
cv2.imwrite(str(place / "astronaut.png"), data.astronaut()[:, :, ::-1])
"""


class Stopwatch:
    """The steps of work that the add-on does on the window's thread, one after the other as in ticks of its timer."""

    def __init__(self) -> None:
        self.wall, self.work = [], []

    def run(self, steps) -> None:
        """Takes all steps, each timed."""
        from blender_addon.rig import landing

        step = None
        while step is not StopIteration:
            seen, spent = time.perf_counter(), time.thread_time()
            step = next(steps, StopIteration)
            self.wall.append(time.perf_counter() - seen)
            self.work.append(time.thread_time() - spent)
            if step is landing.Waiting:
                time.sleep(0.002)

    def __str__(self) -> str:
        return (
            f"{sum(self.work):.2f} s of work in {len(self.work)} steps, the longest {1000 * max(self.work):.0f} ms "
            f"of work, {1000 * max(self.wall):.0f} ms on the clock"
        )


def speech_like():
    """Curves that move as speech does, with two layers."""
    from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, rest_rotations

    rng = np.random.default_rng(0)
    times = np.arange(N_FRAMES)[:, None] / RATE
    speed, phase = 3.5 + rng.random(len(ARKIT_NAMES)), 6.0 * rng.random(len(ARKIT_NAMES))
    speaking = np.sin(0.7 * times) > -0.3
    weights = (speaking * (0.25 + 0.25 * np.sin(2 * np.pi * speed * times + phase))).astype(np.float32)
    rest = rest_rotations(N_FRAMES)
    layers = {"lips": 0.7 * weights, "emotion": 0.3 * weights}
    return AnimationCurves(ARKIT_NAMES, weights, RATE, rest, rest, rest, layers=layers)


def land(curves, mesh, tolerance: float | None) -> str:
    """Lands curves on a mesh, thinned to a tolerance, and says what it took."""
    from blender_addon.rig import landing
    from blender_addon.rig.apply import mesh_part, shape_names
    from blender_addon.rig.mapping import match_shapes

    mapping = match_shapes(curves.names, shape_names(mesh))
    part, _ = mesh_part(mesh, mapping, curves, np.arange(N_FRAMES) + 1, tolerance=tolerance)
    watch = Stopwatch()
    watch.run(landing.land([part], "Benchmark"))
    return f"{part.n_keys:9,} keys  {watch}"


def restrengthen(curves, mesh) -> str:
    """Changes a layer's strength on landed curves; Blender's own undo and evaluation are left out."""
    from blender_addon import compat, operators, runtime
    from blender_addon.performance import landing, note_strengths, targets
    from blender_addon.protocol.options import LAYERS

    compat.undo_step = compat.evaluate = lambda _what: None
    scene = bpy.context.scene
    shot = scene.emorig
    shot.targets.add().mesh = mesh
    shot.start_frame, shot.curves_path = 1, "//curves.emorig"
    runtime.received, runtime.received_path = curves, shot.curves_path
    note_strengths(shot, dict.fromkeys(LAYERS, 1.0), shot.layers.strengths())
    for _step in landing(scene, curves, targets(shot), title="Benchmark"):
        pass
    shot.layers.lips = 0.5
    runtime.drop_work()
    watch, began = Stopwatch(), time.perf_counter()
    watch.run(operators._layers_steps(scene.name))
    return f"{time.perf_counter() - began:.2f} s from slider to character, {watch}"


class Backend:
    """The add-on and the real backend making shots of a minute of speech; times from button to result."""

    def __init__(self, python: Path) -> None:
        folder = work_folder()
        subprocess.run([str(python), "-c", MINUTE, str(folder)], check=True)
        os.environ["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        os.environ["EMORIG_STATE_DIR"] = str(folder / "state")
        scene = empty_scene()
        self.shot = scene.emorig
        self.shot.audio_path, self.shot.output_folder = str(folder / "minute.wav"), str(folder / "videos")
        self.shot.portrait = bpy.data.images.load(str(folder / "astronaut.png"))
        self.shot.start_frame = 1
        self.shot.targets.clear()
        bpy.ops.emorig.head_add()

    def time(self, call) -> str:
        """How long it takes until the job of a call has ended and landed, and what of it the backend works."""
        from blender_addon import runtime

        began, spent = time.perf_counter(), backend_work()
        call()
        while runtime.is_busy() or runtime.queue:
            runtime.poll()
            time.sleep(0.005)
        wrong = [item.text for item in runtime.news if item.kind == "ERROR"]
        assert not wrong, wrong
        return f"{time.perf_counter() - began:.2f} s on the clock, {backend_work() - spent:.2f} s of the backend's work"

    def move_a_phone(self) -> None:
        """One marker of the phones a frame later, and the lips retimed."""
        scene = bpy.context.scene
        bpy.ops.emorig.phones_show()
        markers = sorted(scene.timeline_markers, key=lambda marker: marker.frame)
        marker = next(m for m, after in itertools.pairwise(markers) if m.frame > 200 and after.frame - m.frame > 2)
        marker.frame += 1
        bpy.ops.emorig.phones_retime()

    def report(self) -> None:
        """Prints what each takes, with a backend that has loaded its networks and knows neither voice nor portrait."""
        from blender_addon import runtime
        from blender_addon.session import State

        bpy.ops.emorig.backend_start()
        while runtime.session.state is not State.READY:
            runtime.poll()
            time.sleep(0.01)
        ops = bpy.ops.emorig
        self.shot.audio_start, self.shot.audio_end = 3.0, 5.0
        self.time(ops.animate)
        self.shot.audio_start, self.shot.audio_end = 0.0, 0.0
        print(f"a minute of speech       {self.time(ops.animate)}", flush=True)
        bpy.context.scene.frame_set(40)
        for name in ("not seen yet", "seen before"):
            print(f"preview, face {name:13}{self.time(ops.preview_frame)}", flush=True)
        self.shot.layers.seed_blinks = 5
        print(f"another seed             {self.time(lambda: ops.animate(keeps_edits=True))}", flush=True)
        print(f"a phone moved            {self.time(self.move_a_phone)}", flush=True)
        print(f"another strength         {self.time(lambda: setattr(self.shot.layers, 'lips', 0.8))}")
        runtime.session.close()


def backend_work() -> float:
    """Seconds of processor time of the running backend and its workers so far; NaN where the system does not tell."""
    from blender_addon.protocol.discovery import read_endpoint

    rows = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            rows[int(stat.parent.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours = {read_endpoint().pid}
    ours |= {pid for pid, (parent, _ticks) in rows.items() if parent in ours}
    return sum(rows[pid][1] for pid in ours) / os.sysconf("SC_CLK_TCK") if rows else float("nan")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", type=Path)
    python = parser.parse_args().backend
    started = time.process_time()
    blender_addon.register()
    enabled = time.process_time() - started
    blender_addon.unregister()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, Blender {bpy.app.version_string}")
    print(f"add-on enabled           {enabled:.2f} s of work, its imports included")
    with registered():
        curves = speech_like()
        for name, tolerance in (("thinned", 0.004), ("every frame", None)):
            mesh = mesh_with_shapes("Face", curves.names)
            print(f"{name:12}{land(curves, mesh, tolerance)}", flush=True)
        print(f"landed over {land(replace(curves, layers={}), mesh, 0.004)}")
        print(f"another strength, {N_FRAMES:,} frames: {restrengthen(curves, mesh)}", flush=True)
    if python is not None:
        with registered():
            Backend(python.absolute()).report()


if __name__ == "__main__":
    main()
