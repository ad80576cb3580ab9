"""The command line's training verbs on recorded clips, and the options that they share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from backend.errors import InputError

DataFolder = Annotated[Path, typer.Option("--data", help="Folder that 'emorig prepare' made.")]
SomeDataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder that 'emorig prepare' made, in place of --corpus.")
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder of the weights; a stopped run goes on there.")]
Small = Annotated[bool, typer.Option("--small", help="64 pixels and a quarter of the width: to try things out.")]
Steps = Annotated[int | None, typer.Option(help="Steps; the paper's or, with --small, a few hundred if not given.")]
Batch = Annotated[int | None, typer.Option(help="Clips of a batch.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="The paper's if not given.")]
Accumulate = Annotated[int, typer.Option("--accumulate", help="Batches whose gradients make one step.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: mixed precision.")]
Patience = Annotated[int | None, typer.Option(help="End after so many saves without a lower held-out loss.")]
SaveEvery = Annotated[int | None, typer.Option("--save-every", help="Steps between checkpoints, checks and samples.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
Vgg = Annotated[
    Path | None, typer.Option("--vgg", help="torchvision's VGG-19 weights for perceptual losses; pixels without.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random; the same seed makes the same.")]


def run_recorded(train: Callable, data: Path, out: Path, *, hears: bool = False, **chosen) -> None:
    """Trains on recorded clips with a bar on the terminal and says where the results lie.

    hears: whether the network learns from sound, so that silent clips are passed over and that is said.
    """
    from backend.commands.console import progress_bar
    from backend.training.recorded import silent_clips
    from backend.training.recorded_run import RunSettings

    if out.suffix == ".safetensors":
        raise InputError(f"With --data, --out is the folder of the weights, got the file '{out.name}'.")
    settings = RunSettings(data, out, **chosen)
    if hears and (n_silent := silent_clips(data)):
        print(f"{n_silent} clips without sound are passed over: this network learns from sound.", file=sys.stderr)
    latest: dict[str, float] = {}
    with progress_bar("steps") as bar:

        def progress(step: int, losses: dict[str, float]) -> None:
            latest.update(losses)
            bar(step, max(step, settings.steps or step))

        train(settings, progress)
    print(f"{out}: " + ", ".join(f"{name} {value:.3g}" for name, value in latest.items()))


def facevid2vid(
    data: DataFolder,
    out: OutFolder,
    small: Small = False,
    steps: Steps = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    accumulate: Accumulate = 1,
    precision: Precision = "float32",
    patience: Patience = None,
    save_every: SaveEvery = None,
    device: Device = "auto",
    vgg: Vgg = None,
    seed: Seed = 0,
) -> None:
    """Train face-vid2vid on recorded clips: key points, head pose, generator and discriminator together."""
    from backend.training.facevid2vid import train_facevid2vid

    run_recorded(
        lambda settings, progress: train_facevid2vid(settings, progress=progress), data, out, small=small, steps=steps,
        batch=batch, learning_rate=learning_rate, accumulation=accumulate, precision=precision, patience=patience,
        save_every=save_every, device=device, vgg=vgg, seed=seed,
    )  # fmt: skip


def mapping(
    data: DataFolder,
    out: OutFolder,
    teacher: Annotated[
        Path | None, typer.Option(help="Weights of 'train facevid2vid'; those in --out if none.")
    ] = None,
    small: Small = False,
    steps: Steps = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    accumulate: Accumulate = 1,
    precision: Precision = "float32",
    patience: Patience = None,
    save_every: SaveEvery = None,
    device: Device = "auto",
    seed: Seed = 0,
) -> None:
    """Train EmoSpeaker's MappingNet on recorded clips: coefficients to the key points of a trained face-vid2vid."""
    from backend.training.mapping import train_mapping

    run_recorded(
        lambda settings, progress: train_mapping(settings, teacher=teacher, progress=progress), data, out, small=small,
        steps=steps, batch=batch, learning_rate=learning_rate, accumulation=accumulate, precision=precision,
        patience=patience, save_every=save_every, device=device, seed=seed,
    )  # fmt: skip


def eamm(
    data: DataFolder,
    out: OutFolder,
    stage: Annotated[list[str] | None, typer.Option(help="motion, sound, pictures, emotion; all if none.")] = None,
    motion: Annotated[Path | None, typer.Option(help="Weights of another motion stage than in --out.")] = None,
    ablation: Annotated[
        str | None, typer.Option(help="feature-based, without-augmentation, without-condition or all-points.")
    ] = None,
    small: Small = False,
    steps: Steps = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    accumulate: Accumulate = 1,
    precision: Precision = "float32",
    patience: Patience = None,
    save_every: SaveEvery = None,
    device: Device = "auto",
    vgg: Vgg = None,
    seed: Seed = 0,
) -> None:
    """Train EAMM on recorded clips, stage after stage: motion model, key points of sound, pictures, emotion."""
    from backend.training.eamm import STAGES, train_eamm

    run_recorded(
        lambda settings, progress: train_eamm(
            settings, stages=tuple(stage or STAGES), motion=motion, ablation=ablation, progress=progress
        ),
        data, out, hears=set(stage or STAGES) != {"motion"}, small=small, steps=steps, batch=batch,
        learning_rate=learning_rate, accumulation=accumulate, precision=precision, patience=patience,
        save_every=save_every, device=device, vgg=vgg, seed=seed,
    )  # fmt: skip


def add_to(train: typer.Typer) -> None:
    """Adds the verbs to 'emorig train'."""
    for verb in (facevid2vid, mapping, eamm):
        train.command()(verb)
