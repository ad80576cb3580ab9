"""The command line of EmoRig."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.commands import curves as curve_commands
from backend.commands import faces as face_commands
from backend.commands import learning as learning_commands
from backend.commands import weights as weight_commands
from backend.commands.batch import batch
from backend.commands.curves import read_strengths
from backend.commands.live import live
from backend.commands.scripts import read_script
from backend.commands.serve import serve, status
from blender_addon.protocol.errors import InputError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One portrait and one recording become a face that speaks with feeling: rig curves and video.",
)

DRAFT_SIZE = 256  # pixels, shorter side
AudioFile = Annotated[Path, typer.Option("--audio", help="Speech: any sound file, or a video with sound.")]
PortraitFile = Annotated[Path, typer.Option("--portrait", help="Photo or painting of one person.")]
Emotion = Annotated[
    str,
    typer.Option("--emotion", help="'happy:0.8', '0:neutral:0,1.5:happy:0.8,3:angry:1', a JSON file, or video:FILE."),
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
FrameRate = Annotated[float, typer.Option("--fps", help="Frames per second.")]
Size = Annotated[int | None, typer.Option(help="Shorter side in pixels; the photo's own up to 1080 if not given.")]
Draft = Annotated[bool, typer.Option("--draft", help="A quick look: 256 pixels.")]
Background = Annotated[
    str, typer.Option(help="keep, transparent (a ProRes 4444 .mov, for a still a PNG with alpha), or a colour #rrggbb.")
]
Renderer = Annotated[str, typer.Option(help="Renderer: warp, facevid2vid or eamm.")]
Pose = Annotated[str, typer.Option(help="Head motion: natural or still.")]
Layer = Annotated[list[str] | None, typer.Option("--layer", help="NAME=STRENGTH, 0-2; lips emotion brows blinks …")]
Mute = Annotated[list[str] | None, typer.Option("--mute", help="A layer to leave out; may be given again.")]
Seed = Annotated[int, typer.Option(help="Seed of brows, blinks, gaze and head motion.")]
LayerSeed = Annotated[list[str] | None, typer.Option("--layer-seed", help="NAME=SEED: a layer's own seed.")]
Transcript = Annotated[Path | None, typer.Option("--transcript", help="What is said: a text file, .srt or .vtt.")]
Language = Annotated[str, typer.Option(help="Language of the transcript; others than en need espeak-ng.")]
Phones = Annotated[
    Path | None, typer.Option("--phones", help="Phones with times: an edited curves.json, JSON or Praat TextGrid.")
]
Streaming = Annotated[bool, typer.Option("--streaming", help="Lips as a live stream shows them, 0.15 s behind.")]
Start = Annotated[float, typer.Option(help="Start in the audio, seconds.")]
End = Annotated[float | None, typer.Option(help="End in the audio, seconds.")]
Backend = Annotated[str | None, typer.Option(help="Address of a running backend, its client.json, or 'local'.")]

Unmarked = Annotated[
    bool, typer.Option("--unmarked", help="No watermark, no manifest: for studios that mark by other means. Recorded.")
]
Device = Annotated[str, typer.Option(help="Where the warp moves pixels and the refiner runs: cpu or cuda.")]
Certificate = Annotated[
    Path | None, typer.Option(help="Your certificate chain (PEM) that signs videos; a self-made one if not given.")
]
CertificateKey = Annotated[Path | None, typer.Option("--certificate-key", help="The private key (PEM) to it.")]
Consent = Annotated[str, typer.Option(help="What the person shown and heard has agreed to; recorded with the video.")]


@app.command()
def render(
    portrait: PortraitFile,
    audio: AudioFile,
    out: OutFolder,
    emotion: Emotion = "neutral:0",
    fps: FrameRate = 25.0,
    size: Size = None,
    renderer: Renderer = "warp",
    pose: Pose = "natural",
    layer: Layer = None,
    mute: Mute = None,
    seed: Seed = 0,
    layer_seed: LayerSeed = None,
    transcript: Transcript = None,
    language: Language = "en",
    phones: Phones = None,
    streaming: Streaming = False,
    start: Start = 0.0,
    end: End = None,
    draft: Draft = False,
    background: Background = "keep",
    device: Device = "cpu",
    backend: Backend = None,
    consent: Consent = "",
    certificate: Certificate = None,
    certificate_key: CertificateKey = None,
    unmarked: Unmarked = False,
) -> None:
    """Render a portrait that speaks: video.mp4, curves.json, coefficients.npz and settings.json in a folder."""
    from backend.commands.shots import render_to_folder

    pose, poses = ("natural", pose) if pose.startswith("video:") or pose.endswith(".npy") else (pose, None)
    options = _options(
        fps, _size(size, draft), pose, layer, seed, start, end, renderer, mute=mute, layer_seed=layer_seed,
        script=read_script(transcript, language, phones), streaming=streaming, background=background,
    )  # fmt: skip
    marking = _marking(unmarked, certificate, certificate_key, consent)
    render_to_folder(
        portrait, audio, out, emotion=emotion, options=options, backend=backend, marking=marking, poses=poses,
        device=device,
    )  # fmt: skip


@app.command()
def animate(
    audio: AudioFile,
    out: Annotated[Path, typer.Option("--out", help="The curve file; its suffix tells the format.")],
    emotion: Emotion = "neutral:0",
    fps: FrameRate = 25.0,
    pose: Pose = "natural",
    layer: Layer = None,
    mute: Mute = None,
    seed: Seed = 0,
    layer_seed: LayerSeed = None,
    transcript: Transcript = None,
    language: Language = "en",
    phones: Phones = None,
    streaming: Streaming = False,
    start: Start = 0.0,
    end: End = None,
    format: Annotated[str | None, typer.Option("--format", help="Format by name; see emorig formats.")] = None,
) -> None:
    """Make rig curves alone, without a portrait."""
    from backend.commands.shots import animate_to_file

    options = _options(
        fps, None, pose, layer, seed, start, end, None, mute=mute, layer_seed=layer_seed,
        script=read_script(transcript, language, phones), streaming=streaming,
    )  # fmt: skip
    animate_to_file(audio, out, emotion=emotion, options=options, format=format)


@app.command()
def rerender(
    portrait: PortraitFile,
    curves: Annotated[Path, typer.Option("--curves", help="Curves: a curves.json, edited or not, or another format.")],
    out: OutFolder,
    audio: Annotated[Path | None, typer.Option("--audio", help="The speech; --frame needs none.")] = None,
    size: Size = None,
    draft: Draft = False,
    start: Start = 0.0,
    end: End = None,
    frames: Annotated[
        str | None,
        typer.Option(help="A:B renders frames A up to but without B alone, into the video that is in the folder."),
    ] = None,
    frame: Annotated[int | None, typer.Option(help="Renders this one frame as a PNG.")] = None,
    renderer: Renderer = "warp",
    background: Background = "keep",
    device: Device = "cpu",
    consent: Consent = "",
    certificate: Certificate = None,
    certificate_key: CertificateKey = None,
    unmarked: Unmarked = False,
) -> None:
    """Render a portrait again from edited curves: the video, coefficients.npz and settings.json, or one still."""
    from backend.commands.shots import read_range, rerender_to_folder, still_to_folder

    size = _size(size, draft)
    if frame is not None:
        if frames is not None:
            raise InputError("Give either --frame for a still or --frames for a part of the video.")
        still_to_folder(
            portrait, curves, out, frame=frame, size=size, background=background, renderer=renderer, device=device
        )
        return
    if audio is None:
        raise InputError("A video needs its sound: give --audio.")
    wanted = None if frames is None else read_range(frames)
    marking = _marking(unmarked, certificate, certificate_key, consent)
    rerender_to_folder(
        portrait, curves, audio, out, size=size, start=start, end=end, frames=wanted, background=background,
        renderer=renderer, marking=marking, device=device,
    )  # fmt: skip


app.command()(batch)


app.command()(live)
app.command()(serve)
app.command()(status)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A video.")],
    trust: Annotated[Path | None, typer.Option(help="Root certificates (PEM) that you trust.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say where a video comes from: its manifest, its watermark and the settings beside it."""
    from backend.provenance.verification import report_verification

    raise typer.Exit(report_verification(file, trust=trust, as_json=json))


@app.command()
def doctor() -> None:
    """Say what is installed, which device and models there are, what is missing and how to get it."""
    from backend.commands.doctor import report

    raise typer.Exit(report())


@app.command()
def demo(out: OutFolder = Path("demo")) -> None:
    """Render the demonstration: a public-domain portrait speaks, neutral to happy to angry."""
    from backend.commands.demo import render_demo

    render_demo(out)


curve_commands.add_to(app)
learning_commands.add_to(app)
face_commands.add_to(app)
weight_commands.add_to(app)


def _options(
    fps, size, pose, layer, seed, start, end, renderer, *, mute, layer_seed, script, streaming, background="keep"
):
    """ShotOptions of the command line's values."""
    from blender_addon.protocol.options import ShotOptions

    return ShotOptions(
        frame_rate=fps,
        size=size,
        pose=pose,
        strengths=read_strengths(layer),
        muted=tuple(mute or ()),
        seed=seed,
        seeds={name: int(value) for name, value in read_strengths(layer_seed).items()},
        renderer=renderer,
        start=start,
        end=end,
        script=script,
        hearing="streaming" if streaming else "whole",
        background=background,
    )


def _size(size: int | None, draft: bool) -> int | None:
    if draft and size is not None:
        raise InputError("Give either --size or --draft.")
    return DRAFT_SIZE if draft else size


def _marking(unmarked, certificate, certificate_key, consent):
    """How videos are labelled, of the command line's values."""
    from backend.provenance.label import Marking

    return Marking.chosen(unmarked=unmarked, certificate=certificate, key=certificate_key, consent=consent)


def _terminated(number: int, _frame: object) -> None:
    """Ends as an exception does, so that half-written files are removed; the service has its own way to stop."""
    sys.exit(128 + number)


def main() -> None:
    """Entry point: bad input is one sentence on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except InputError as error:
        print(f"emorig: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("emorig: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
