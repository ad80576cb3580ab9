"""The whole chain of training and evaluation, command by command, as a laboratory would run it, at the small size:

    python tests/chain.py --out FOLDER [--clips 200] [--steps 300] [--real FOLDER] [--kill]

makes talking clips of a public-domain portrait under MEAD's names (and takes real ones beside them), prepares them,
trains every network, makes clips of people that were kept from training again, compares and reports. --kill ends the
preparation and a training run by SIGKILL on the way and starts them again. Trainings that need nothing of each other
run side by side. Prints how long each command took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SENTENCE = ROOT / "backend" / "media" / "sentence.flac"
SECONDS, SIZE, SPEAKERS = 1.4, 160, 10
REAL_NAMES = {  # by a real clip's name; others are neutral clips of people of their own
    "speech_sad_mead": "M030_sad_3_001", "emotion_contempt": "M090_contempt_3_001",
    "emotion_happy": "M091_happy_3_001", "emotion_surprised": "M092_surprised_3_001",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command: its name in the report, arguments of emorig, and when it is killed (None: never)."""

    name: str
    arguments: tuple[str, ...]
    kill_when: Callable[[], bool] | None = None


def make_clips(folder: Path, n_clips: int, real: Path | None) -> None:
    """Talking clips of mirrored and coloured versions of scikit-image's astronaut, named in MEAD's manner."""
    from skimage import data

    from backend.audio.waveform import load_waveform
    from backend.inference.performance import perform
    from backend.pipeline import articulate
    from backend.portrait.analysis import analyse_portrait
    from backend.portrait.renderer import WarpRenderer
    from backend.video import VideoWriter
    from bfm.coefficients import FULL_ACTIVATION_SD, FaceCoefficients
    from blender_addon.protocol.options import ShotOptions
    from blender_addon.protocol.types import EMOTIONS, EmotionTrack

    folder.mkdir(parents=True, exist_ok=True)
    renderers = {}
    said = articulate(load_waveform(SENTENCE), 25.0)
    for number in range(n_clips):
        rng = np.random.default_rng([7, number])
        speaker, level = number % SPEAKERS, int(rng.integers(1, 4))
        emotion = ("neutral", *EMOTIONS)[(number // SPEAKERS) % 8]
        name = f"{'MW'[speaker % 2]}{speaker + 1:03d}_{emotion}_{level}_{number + 1:03d}.mp4"
        if (folder / name).is_file():
            continue
        if speaker not in renderers:
            face = data.astronaut()[:288, 80:368][:, :: -1 if speaker % 2 else 1]
            tinted = np.clip(face * np.random.default_rng(speaker).uniform(0.75, 1.1, 3), 0, 255).astype(np.uint8)
            portrait = analyse_portrait(np.ascontiguousarray(tinted))
            renderers[speaker] = portrait, WarpRenderer(portrait, size=SIZE)
        portrait, renderer = renderers[speaker]
        track = EmotionTrack.parse(f"{emotion}:{level / 3:.2f}").sample(25.0, len(said.weights))
        acted = perform(said, track, options=ShotOptions(frame_rate=25.0, seed=number))
        first = int(rng.integers(len(said.weights) - round(25 * SECONDS)))
        frames = slice(first, first + round(25 * SECONDS))
        n_frames = frames.stop - frames.start
        shot = FaceCoefficients(
            identity=portrait.fit.identity, texture=portrait.fit.texture,
            expression=acted.weights[frames] * np.float32(FULL_ACTIVATION_SD),
            rotation=portrait.fit.rotation + acted.head_rotation[frames],
            translation=np.tile(portrait.fit.translation, (n_frames, 1)), lighting=portrait.fit.lighting,
            frame_rate=25.0,
        )  # fmt: skip
        part = folder / f".{name}"
        with VideoWriter(
            part, width=renderer.frame_size[0], height=renderer.frame_size[1], frame_rate=25.0, audio=SENTENCE,
            start=first / 25.0, end=(first + n_frames) / 25.0,
        ) as writer:  # fmt: skip
            for index in range(n_frames):
                writer.write(renderer.render(shot, index))
        part.replace(folder / name)
    for number, path in enumerate(sorted(real.glob("*.mp4")) if real is not None else ()):
        name = REAL_NAMES.get(path.stem, f"M{100 + number}_neutral_1_001")
        (folder / f"{name}.mp4").write_bytes(path.read_bytes())


def held_out(clips: Path, data: Path) -> list[Path]:
    """A clip of each of two people kept from training, and the real one with speech and emotion where it is there."""
    card = data / "dataset.json"
    sides = json.loads(card.read_text(encoding="utf-8"))["splits"] if card.is_file() else {}
    speakers = sides.get("test", {"speakers": []})["speakers"][:2]
    chosen = [path for speaker in speakers for path in sorted(clips.glob(f"{speaker}_*.mp4"))[:1]]
    return chosen + [p for p in (clips / f"{REAL_NAMES['speech_sad_mead']}.mp4",) if p.is_file() and p not in chosen]


Lane = list[Step]  # commands that follow each other


def phases(out: Path, n_steps: int, jobs: int, *, kills: bool) -> list[list[Lane]]:
    """The commands in order: lanes of a phase need nothing of each other and run side by side."""
    clips, data, networks = out / "clips", out / "prepared", out / "networks"
    few = str(max(2, n_steps // 3))
    small = ("--data", str(data), "--out", str(networks), "--small", "--save-every", str(max(1, n_steps // 6)))

    def shard_made() -> bool:
        return any(data.glob("*.tar"))

    def checkpoint_made() -> bool:
        return (networks / "facevid2vid.checkpoint.pt").is_file()

    def train(name: str, *more: str, steps: str = str(n_steps), kill_when: Callable[[], bool] | None = None) -> Step:
        arguments = ("train", name.split(",")[0], *more, *small, "--steps", steps)
        return Step(f"train {name}", arguments, kill_when)

    made, videos = out / "selfdrive", out / "selfdrive" / "videos"
    prepared = ("prepare", str(clips), "--layout", "mead", "--with-silent", "--out", str(data), "--size", "128")
    ablated = ("--stage", "emotion", "--ablation", "without-condition")
    return [
        [[Step("prepare", (*prepared, "--jobs", str(jobs)), shard_made if kills else None)]],
        [
            [train("facevid2vid", kill_when=checkpoint_made if kills else None), train("mapping"),
             train("emospeaker, ablation", "--without-au")],
            [train("emospeaker"), train("eamm", steps=few), train("eamm, ablation", *ablated, steps=few),
             train("refiner")],
        ],
        [[
            Step("evaluate selfdrive", ("evaluate", "selfdrive", *(str(p) for p in held_out(clips, data)), "--size",
                                        "128", "--networks", str(networks), "--out", str(made))),
            Step("evaluate video", ("evaluate", "video", "--real", str(videos / "real"), "--fake",
                                    str(videos / "warp_Exp_P____Emo_P"), "--size", "128", "--out",
                                    str(out / "video.md"))),
            Step("evaluate table", ("evaluate", "table", str(made / "selfdrive.json"), "--out",
                                    str(out / "report.html"), "--utterances", "1")),
        ]],
    ]  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """A command's seconds, processor seconds of all its processes, and how often it was killed."""

    name: str
    seconds: float
    spent: float
    kills: int


def run(step: Step, threads: int) -> Ran:
    """Runs a command that computes with so many threads, killed once where that is asked."""
    started, spent, kills = time.monotonic(), 0.0, 0
    command = [sys.executable, "-m", "backend", *step.arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    kill_when = None if step.kill_when is None or step.kill_when() else step.kill_when
    while True:
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        is_killed = False
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if kill_when is not None and not is_killed and kill_when():
                os.killpg(process.pid, signal.SIGKILL)
                is_killed = True
            time.sleep(0.1)
        process.returncode = os.waitstatus_to_exitcode(status)
        spent += used.ru_utime + used.ru_stime
        if not is_killed:
            break
        kills, kill_when = kills + 1, None
    if process.returncode:
        raise SystemExit(f"'{step.name}' ended with {process.returncode}.")
    print(f"{step.name}: {time.monotonic() - started:.0f} s", flush=True)
    return Ran(step.name, time.monotonic() - started, spent, kills)


def run_lanes(lanes: list[Lane]) -> list[Ran]:
    """Runs lanes side by side, each with its share of the cores."""
    threads = max(1, (os.cpu_count() or 1) // len(lanes))
    with ThreadPoolExecutor(len(lanes)) as pool:
        ran = pool.map(lambda lane: [run(step, threads) for step in lane], lanes)
        return [step for lane in ran for step in lane]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--kill", action="store_true")
    chosen = parser.parse_args()
    started = time.monotonic()
    make_clips(chosen.out / "clips", chosen.clips, chosen.real)
    print(f"clips made: {time.monotonic() - started:.0f} s, {time.process_time():.0f} s of processors", flush=True)
    begun, rows = time.monotonic(), []
    for number in range(len(phases(chosen.out, chosen.steps, chosen.jobs, kills=chosen.kill))):
        # Made anew each time: what is evaluated is known only once it is there.
        rows += run_lanes(phases(chosen.out, chosen.steps, chosen.jobs, kills=chosen.kill)[number])
    lines = ["| command | seconds | processor seconds | killed |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.seconds:.0f} | {row.spent:.0f} | {row.kills} |" for row in rows]
    n_clips = len(list((chosen.out / "clips").glob("*.mp4")))
    lines.append(
        f"| all, {n_clips} clips, {chosen.steps} steps | {time.monotonic() - begun:.0f} | "
        f"{sum(row.spent for row in rows):.0f} | {sum(row.kills for row in rows)} |"
    )
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    lines += ["", f"Largest process: {largest:.1f} GiB."]
    (chosen.out / "chain.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
