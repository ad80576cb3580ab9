"""The command line's verbs for learning: train synthesise and speech; evaluate speech, emotion, fitting, speed …"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from backend.commands import judging, recorded
from backend.errors import InputError

train = typer.Typer(no_args_is_help=True, help="Make the training corpus and train the networks.")
evaluate = typer.Typer(no_args_is_help=True, help="Measure the networks and the machine, beside baselines.")

STREAMING_STEPS = 2500

Seed = Annotated[int, typer.Option(help="Seed of everything random; the same seed makes the same.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command()(prepare)
    recorded.add_to(train)
    judging.add_to(evaluate)
    app.add_typer(train, name="train")
    app.add_typer(evaluate, name="evaluate")


def prepare(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of the data set's videos.")],
    layout: Annotated[str, typer.Option(help="mead, crema-d, hdtf, lrw, ravdess or folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the shards; a stopped run goes on there.")],
    split: Annotated[str | None, typer.Option(help="speakers, emospeaker, eamm, own or all.")] = None,
    fps: Annotated[float, typer.Option(help="Frames per second of what is kept.")] = 25.0,
    size: Annotated[int, typer.Option(help="Side of the kept pictures in pixels.")] = 256,
    with_silent: Annotated[
        bool, typer.Option("--with-silent", help="Keep clips without sound, for networks that need pictures alone.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes that work side by side.")] = 1,
    seed: Seed = 0,
) -> None:
    """Prepare recorded clips for training: faces cut, tracked and fitted, sound in step, kept as shards with a card."""
    from backend.commands.console import progress_bar
    from backend.datasets.measuring import Measuring
    from backend.datasets.prepare import Preparation
    from backend.datasets.prepare import prepare as prepare_dataset

    if not 1 <= fps <= 120:
        raise InputError(f"The frame rate should lie in 1-120, got {fps:g}.")
    if not 32 <= size <= 1024:
        raise InputError(f"The pictures' side should lie in 32-1024 pixels, got {size}.")
    settings = Measuring(fps, size, with_silent)
    wanted = Preparation(dataset, layout, out, split=split, seed=seed, jobs=jobs, settings=settings)
    with progress_bar("clips") as step:
        numbers = prepare_dataset(wanted, progress=step)
    print(f"{out}: {numbers['clips']} clips, {numbers['hours']:.2f} h, {len(numbers['skipped'])} passed over; CARD.md")


@train.command()
def synthesise(
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus; a stopped run goes on there.")],
    hours: Annotated[float, typer.Option(help="Hours of speech.")] = 10.0,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(help="Processes that speak side by side.")] = 1,
    without: Annotated[
        list[str] | None, typer.Option(metavar="VOICE", help="A voice to leave out, such as russian; repeatable.")
    ] = None,
) -> None:
    """Make the speech corpus: sentences by many voices with exact phone timings, kept as features and labels."""
    from backend.commands.console import progress_bar
    from backend.training.synthesise import synthesise as make_corpus

    if not hours > 0:
        raise InputError(f"The hours of the corpus should be above 0, got {hours:g}.")
    with progress_bar("shards") as step:
        description = make_corpus(out, hours=hours, seed=seed, jobs=jobs, without=without or (), progress=step)
    print(f"{out}: {description['shards']} shards, sha256 {description['sha256']}")


@train.command()
def speech(
    corpus: Annotated[Path, typer.Option("--corpus", help="Folder that 'train synthesise' made.")],
    out: Annotated[Path, typer.Option("--out", help="Weights to write, FILE.safetensors; a stopped run goes on.")],
    steps: Annotated[int, typer.Option(help="Steps of 24 excerpts.")] = 5200,
    seed: Seed = 0,
) -> None:
    """Train the speech network on a corpus, by step count."""
    from backend.commands.console import progress_bar
    from backend.training.run import TrainingPlan
    from backend.training.speech import train_speech

    if out.suffix != ".safetensors":
        raise InputError(f"The weights should be a .safetensors file, got '{out.name}'.")
    with progress_bar("steps") as step:
        train_speech(
            corpus, out, plan=TrainingPlan(steps=steps, seed=seed), progress=lambda done, _losses: step(done, steps)
        )
    print(out)


@train.command()
def streaming(
    corpus: Annotated[Path, typer.Option("--corpus", help="Folder that 'train synthesise' made.")],
    out: Annotated[Path, typer.Option("--out", help="Weights to write, FILE.safetensors; a stopped run goes on.")],
    steps: Annotated[int, typer.Option(help="Steps of 16 excerpts.")] = STREAMING_STEPS,
    seed: Seed = 0,
    teacher: Annotated[Path | None, typer.Option(help="Weights that teach, if not the shipped ones.")] = None,
) -> None:
    """Train the streaming speech network on a corpus and the whole-file network's answers, by step count."""
    from backend.commands.console import progress_bar
    from backend.training.streaming import STREAMING_PLAN, train_streaming
    from backend.weights import NETWORKS

    if out.suffix != ".safetensors":
        raise InputError(f"The weights should be a .safetensors file, got '{out.name}'.")
    plan = replace(STREAMING_PLAN, steps=steps, seed=seed)
    with progress_bar("steps") as step:
        train_streaming(
            corpus,
            out,
            plan=plan,
            teacher=teacher or NETWORKS["speech"].path,
            progress=lambda done, _losses: step(done, steps),
        )
    print(out)


@train.command()
def emospeaker(
    out: Annotated[Path, typer.Option("--out", help="Weights, FILE.safetensors; with --data their folder.")],
    corpus: Annotated[Path | None, typer.Option("--corpus", help="Folder that 'train synthesise' made.")] = None,
    data: recorded.SomeDataFolder = None,
    without_au: Annotated[bool, typer.Option("--without-au", help="Ablation: no contrast of action units.")] = False,
    features: Annotated[
        Path | None, typer.Option(help="Ablation: KEY.npy of DeepSpeech or wav2vec in place of the decoupler.")
    ] = None,
    small: recorded.Small = False,
    steps: recorded.Steps = None,
    batch: recorded.Batch = None,
    learning_rate: recorded.Rate = None,
    accumulate: recorded.Accumulate = 1,
    precision: recorded.Precision = "float32",
    patience: recorded.Patience = None,
    save_every: recorded.SaveEvery = None,
    device: recorded.Device = "auto",
    seed: Seed = 0,
) -> None:
    """Train EmoSpeaker's networks jointly: on a synthesised corpus, fed by the shipped speech network, or on clips."""
    if data is not None and corpus is None:
        from backend.training.emospeaker_recorded import train_emospeaker_recorded

        recorded.run_recorded(
            lambda settings, progress: train_emospeaker_recorded(
                settings, without_au=without_au, features=features, progress=progress
            ),
            data, out, hears=True, small=small, steps=steps, batch=batch, learning_rate=learning_rate,
            accumulation=accumulate, precision=precision, patience=patience, save_every=save_every, device=device,
            seed=seed,
        )  # fmt: skip
        return
    if corpus is None or data is not None:
        raise InputError("Give either --corpus (what 'train synthesise' made) or --data (what 'prepare' made).")
    from backend.commands.console import progress_bar
    from backend.training.emospeaker import SHIPPED_PLAN, listen_to_corpus, train_emospeaker

    if out.suffix != ".safetensors":
        raise InputError(f"The weights should be a .safetensors file, got '{out.name}'.")
    plan = replace(SHIPPED_PLAN, steps=SHIPPED_PLAN.steps if steps is None else steps, seed=seed)
    with progress_bar("shards heard") as heard:
        listen_to_corpus(corpus, seed=seed, progress=heard)
    with progress_bar("steps") as step:
        train_emospeaker(corpus, out, plan=plan, progress=lambda done, _losses: step(done, plan.steps))
    print(out)


@train.command()
def refiner(
    out: Annotated[Path, typer.Option("--out", help="Weights, FILE.safetensors; with --data their folder.")],
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Folder of made-up faces; what lacks is made there first.")
    ] = None,
    data: recorded.SomeDataFolder = None,
    faces: Annotated[int, typer.Option(help="Made-up faces, eight frames each.")] = 400,
    small: recorded.Small = False,
    steps: recorded.Steps = None,
    batch: recorded.Batch = None,
    patience: recorded.Patience = None,
    save_every: recorded.SaveEvery = None,
    device: recorded.Device = "auto",
    seed: Seed = 0,
) -> None:
    """Train the refiner of the portrait's mouth on made-up faces or on recorded clips, by step count."""
    if data is not None and corpus is None:
        from backend.training.refiner_recorded import train_refiner_recorded

        recorded.run_recorded(
            lambda settings, progress: train_refiner_recorded(settings, progress=progress), data, out, small=small,
            steps=steps, batch=batch, patience=patience, save_every=save_every, device=device, seed=seed,
        )  # fmt: skip
        return
    if corpus is None or data is not None:
        raise InputError("Give either --corpus (a folder for made-up faces) or --data (what 'prepare' made).")
    from backend.commands.console import progress_bar
    from backend.training.refiner import PLAN, train_refiner

    if out.suffix != ".safetensors":
        raise InputError(f"The weights should be a .safetensors file, got '{out.name}'.")
    plan = replace(PLAN, steps=PLAN.steps if steps is None else steps, seed=seed)
    if plan.steps < 1:
        raise InputError(f"The steps should be at least 1, got {plan.steps}.")
    with progress_bar("shards, then steps") as step:
        train_refiner(
            corpus, out, faces=faces, plan=plan, making=step,
            progress=lambda done, _losses: step(done, plan.steps),
        )  # fmt: skip
    print(out)


@train.command()
def curves(
    tables: Annotated[list[Path], typer.Argument(metavar="FILE.losses.csv…", help="Tables that training runs left.")],
    out: Annotated[Path, typer.Option("--out", help="Picture to write, .png or .svg.")],
) -> None:
    """Draw how the losses of training runs fell."""
    from backend.training.loss_plot import plot_losses

    plot_losses(tables, out)
    print(out)


@evaluate.command(name="speech")
def evaluate_speech(
    clips: Annotated[list[Path] | None, typer.Argument(metavar="CLIP…", help="Videos of people who speak.")] = None,
    recordings: Annotated[int, typer.Option(help="Held-out recordings to use, where festvox-ru is installed.")] = 40,
    labelled: Annotated[Path | None, typer.Option(help="Folder of recordings with .json or .TextGrid phones.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Other weights than the shipped ones.")] = None,
    streaming_weights: Annotated[Path | None, typer.Option(help="Other weights of the streaming network.")] = None,
) -> None:
    """Lips against phone labels and the tracked lips of real speakers, beside baselines; robustness, speed."""
    from backend.evaluation.speech import report

    missing = [clip for clip in clips or () if not clip.is_file()]
    if missing:
        raise InputError(f"No video at '{missing[0]}': give videos of people who speak.")
    report(
        clips or [],
        n_recordings=recordings,
        weights=weights,
        streaming_weights=streaming_weights,
        labelled=labelled,
    )


@evaluate.command(name="reenactment")
def evaluate_reenactment(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP…", help="Videos of one person's face.")],
    size: Annotated[int, typer.Option(help="Side of the square frames that are compared, pixels.")] = 256,
    end: Annotated[float | None, typer.Option(help="Seconds of each clip from its start; all by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="FILE.md for the table; FILE.json is written too.")] = None,
    refiner: Annotated[Path | None, typer.Option(help="Weights in place of the shipped refiner's.")] = None,
    device: Annotated[str, typer.Option(help="Where the refiner runs: cpu, cuda or openvino.")] = "cpu",
) -> None:
    """Render real clips from their own first frames and compare, beside the still photo and a warp without layers."""
    from backend.evaluation.reenactment_report import report

    missing = [clip for clip in clips if not clip.is_file()]
    if missing:
        raise InputError(f"No video at '{missing[0]}': give videos of one person's face.")
    if end is not None and end <= 0.0:
        raise InputError(f"The end should be above 0 seconds, got {end:g}.")
    if not 96 <= size <= 1024:
        raise InputError(f"The size should be between 96 and 1024 pixels, got {size}.")
    report(clips, size=size, end=end, out=out, refiner=refiner, device=device)


@evaluate.command(name="emotion")
def evaluate_emotion(
    sounds: Annotated[list[Path] | None, typer.Argument(metavar="SOUND…", help="Speech; festvox-ru's if none.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Other weights than the shipped ones.")] = None,
) -> None:
    """EmoNet's fine-grained matrix, growth with intensity, and lip closures under emotion."""
    from backend.evaluation.emotion import report

    missing = [sound for sound in sounds or () if not sound.is_file()]
    if missing:
        raise InputError(f"No sound at '{missing[0]}': give recordings of speech.")
    report(sounds or [], weights=weights)


@evaluate.command(name="fitting")
def evaluate_fitting(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="Portraits and clips of people.")] = None,
) -> None:
    """Fit the face model to portraits and clips: landmark errors, and identity within clips beside between people."""
    from backend.evaluation.fitting import report

    missing = [path for path in files or () if not path.is_file()]
    if missing:
        raise InputError(f"No file at '{missing[0]}': give portraits and videos of people.")
    report(files or [])


@evaluate.command(name="emotion-sheet")
def evaluate_emotion_sheet(
    portraits: Annotated[list[Path] | None, typer.Argument(metavar="PORTRAIT…", help="Photos of people.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the sheets and key.json.")] = Path("emotion-sheet"),
    strength: Annotated[float, typer.Option(help="Of every emotion, 0-1.")] = 1.0,
    seed: Seed = 0,
    answers: Annotated[Path | None, typer.Option(help="JSON {number: emotion}, scored by key.json in --out.")] = None,
) -> None:
    """Draw portraits in every emotion, numbered and shuffled, for judges who do not know; or score their answers."""
    from backend.evaluation.emotion_sheet import make_sheets, report_score

    if answers is not None:
        report_score(out / "key.json", answers)
        return
    if not portraits:
        raise InputError("Give the portraits to draw, or --answers to score.")
    for path in make_sheets(portraits, out, strength=strength, seed=seed):
        print(path)


@evaluate.command(name="speed")
def evaluate_speed(
    seconds: Annotated[float, typer.Option(help="Length of the shot.")] = 8.0,
    size: Annotated[list[int] | None, typer.Option(help="Shorter sides in pixels.")] = None,
    device: Annotated[str, typer.Option(help="Where pixels are moved: cpu or cuda.")] = "cpu",
    refiner: Annotated[Path | None, typer.Option(help="Weights of a refiner, to time a shot with it.")] = None,
) -> None:
    """Time every stage of a shot on this machine."""
    from backend.evaluation.speed import report

    report(seconds, tuple(size or (256, 512)), device=device, refiner=refiner)


@evaluate.command(name="neural")
def evaluate_neural(
    size: Annotated[int, typer.Option(help="Pixels of the square picture, a multiple of 128.")] = 256,
    frames: Annotated[int, typer.Option(help="Frames to render.")] = 4,
) -> None:
    """Time face-vid2vid beside the same network frame by frame as published; say how far they differ."""
    from backend.evaluation.neural_speed import report

    if size % 128 or not 128 <= size <= 1024 or not 1 <= frames <= 1000:
        raise InputError(f"The size should be 128 to 1024 in steps of 128 and frames 1-1000, got {size} and {frames}.")
    report(size=size, n_frames=frames)


@evaluate.command(name="watermark")
def evaluate_watermark(
    portraits: Annotated[list[Path] | None, typer.Argument(metavar="PORTRAIT…", help="Photos to animate.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of each video.")] = 3.0,
) -> None:
    """How well the watermark is hidden, and how many bits are wrong after re-encoding."""
    from backend.evaluation.watermark import report

    missing = [portrait for portrait in portraits or () if not portrait.is_file()]
    if missing:
        raise InputError(f"No picture at '{missing[0]}': give photos of people.")
    report(portraits or [], seconds=seconds)


@evaluate.command(name="formats")
def evaluate_formats(
    minutes: Annotated[float, typer.Option(help="Length of the performance, at 60 frames per second.")] = 10.0,
) -> None:
    """Time how long each format takes to write and to read back."""
    from backend.evaluation.formats import report

    report(minutes)
