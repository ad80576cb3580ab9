"""The whole chain of training and evaluation, command by command, as a laboratory would run it, at the small size:

    python tests/chain.py --out FOLDER [--clips 200] [--steps 300] [--real FOLDER] [--kill]

makes talking clips of a public-domain portrait (and takes real ones beside them), prepares them, trains every network,
makes held-out clips again, compares and reports. --kill ends the preparation and a training run by SIGKILL on the way
and starts them again. Prints how long each command took.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SENTENCE = ROOT / "backend" / "media" / "sentence.flac"
SECONDS, SIZE, SPEAKERS = 1.4, 160, 10
LABELLED = {"speech_sad_mead": ("M030", "sad", "3")}


@dataclass(frozen=True)
class Step:
    """One command: its name in the report, arguments of emorig, and when it is killed (None: never)."""

    name: str
    arguments: tuple[str, ...]
    kill_when: Callable[[], bool] | None = None


def make_clips(folder: Path, n_clips: int, real: Path | None) -> None:
    """Talking clips of mirrored, cut and coloured versions of scikit-image's astronaut, with labels.csv."""
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
    rows, renderers = [], {}
    said = articulate(load_waveform(SENTENCE), 25.0)
    for number in range(n_clips):
        rng = np.random.default_rng([7, number])
        speaker, level = number % SPEAKERS, int(rng.integers(1, 4))
        emotion = ("neutral", *EMOTIONS)[(number // SPEAKERS) % 8]
        name = f"s{speaker}_{emotion}_{number:03d}.mp4"
        rows.append((name, f"s{speaker}", emotion, "0" if emotion == "neutral" else str(level)))
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
    for path in sorted(real.glob("*.mp4")) if real is not None else ():
        (folder / path.name).write_bytes(path.read_bytes())
        rows.append((path.name, *LABELLED.get(path.stem, (path.stem, "neutral", "0"))))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "speaker", "emotion", "level"), *rows])


def steps(out: Path, n_steps: int, jobs: int, *, kills: bool) -> list[Step]:
    """The commands in order."""
    clips, data, networks = out / "clips", out / "prepared", out / "networks"
    held_out = out / "held_out"
    few = str(max(2, n_steps // 3))
    small = ("--data", str(data), "--out", str(networks), "--small", "--save-every", str(max(1, n_steps // 6)))

    def shard_made() -> bool:
        return any(data.glob("*.tar"))

    def checkpoint_made() -> bool:
        return (networks / "facevid2vid.checkpoint.pt").is_file()

    return [
        Step("prepare", ("prepare", str(clips), "--layout", "folder", "--out", str(data), "--size", "128", "--jobs",
                         str(jobs)), shard_made if kills else None),
        Step("train emospeaker", ("train", "emospeaker", *small, "--steps", str(n_steps))),
        Step("train emospeaker, ablation", ("train", "emospeaker", "--without-au", *small, "--steps", str(n_steps))),
        Step("train facevid2vid", ("train", "facevid2vid", *small, "--steps", str(n_steps)),
             checkpoint_made if kills else None),
        Step("train mapping", ("train", "mapping", *small, "--steps", str(n_steps))),
        Step("train eamm", ("train", "eamm", *small, "--steps", few)),
        Step("train eamm, ablation", ("train", "eamm", "--stage", "emotion", "--ablation", "without-condition", *small,
                                      "--steps", few)),
        Step("train refiner", ("train", "refiner", *small, "--steps", str(n_steps))),
        Step("evaluate selfdrive", ("evaluate", "selfdrive", *(str(p) for p in sorted(held_out.glob("*.mp4"))),
                                    "--size", "128", "--networks", str(networks), "--out", str(out / "selfdrive"))),
        Step("evaluate video", ("evaluate", "video", "--real", str(out / "selfdrive" / "videos" / "real"), "--fake",
                                str(out / "selfdrive" / "videos" / "warp_Exp_P____Emo_P"), "--size", "128", "--out",
                                str(out / "video.md"))),
        Step("evaluate table", ("evaluate", "table", str(out / "selfdrive" / "selfdrive.json"), "--out",
                                str(out / "report.html"), "--utterances", "1")),
    ]  # fmt: skip


def run(step: Step) -> tuple[float, float, int]:
    """Runs a command, killed once where that is asked: seconds, processor seconds, and how often it was killed."""
    command = [sys.executable, "-m", "backend", *step.arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started, before, kills = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), 0
    if step.kill_when is not None and not step.kill_when():
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        while process.poll() is None and not step.kill_when():
            time.sleep(0.2)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills = 1
        process.wait()
    subprocess.run(command, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, spent, kills


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
    held_out = chosen.out / "held_out"
    held_out.mkdir(exist_ok=True)
    shown = sorted((chosen.out / "clips").glob("*.mp4"))
    made = next(path for path in shown if path.stem.startswith("s0_"))
    for path in [made, *(p for p in shown if p.stem in LABELLED)]:
        name = "M030_sad_3_001" if path.stem in LABELLED else path.stem
        (held_out / f"{name}.mp4").write_bytes(path.read_bytes())
    rows = [("make clips", time.monotonic() - started, time.process_time(), 0)]
    for number in range(len(steps(chosen.out, chosen.steps, chosen.jobs, kills=chosen.kill))):
        # Made anew each time: what is evaluated is known only once it is there.
        step = steps(chosen.out, chosen.steps, chosen.jobs, kills=chosen.kill)[number]
        rows.append((step.name, *run(step)))
        print(f"{step.name}: {rows[-1][1]:.0f} s", flush=True)
    lines = ["| command | seconds | processor seconds | killed |", "|---|---|---|---|"]
    lines += [f"| {name} | {seconds:.0f} | {spent:.0f} | {kills} |" for name, seconds, spent, kills in rows]
    lines.append(f"| all | {sum(r[1] for r in rows):.0f} | {sum(r[2] for r in rows):.0f} | {sum(r[3] for r in rows)} |")
    (chosen.out / "chain.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
