"""The command line's verbs for curves: export, import, edit, validate, formats, plot, view, stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.errors import InputError

SourceFile = Annotated[Path, typer.Argument(metavar="FILE", help="Curves in any format that is read.")]
OutFile = Annotated[Path, typer.Argument(metavar="OUT", help="File to write; the suffix tells the format.")]
OutFormat = Annotated[str | None, typer.Option("--format", help="Format by name; see emorig formats.")]
SourceFormat = Annotated[str | None, typer.Option("--from", help="Format of FILE, where its contents do not tell.")]
NewRate = Annotated[float | None, typer.Option("--fps", help="Frames per second; resampled by time.")]
NameMapFile = Annotated[Path | None, typer.Option("--map", help='JSON: {"Their_Name": "jawOpen", …}.')]
Layers = Annotated[list[str] | None, typer.Option("--layer", help="NAME=STRENGTH, 0-2; lips emotion brows blinks …")]
Sound = Annotated[Path | None, typer.Option("--audio", help="The sound that belongs to the curves.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(name="export")(export_curves)
    app.command(name="import")(import_curves)
    app.command()(edit)
    app.command()(validate)
    app.command()(formats)
    app.command()(plot)
    app.command()(view)
    app.command()(stream)


def export_curves(
    file: SourceFile,
    out: OutFile,
    format: OutFormat = None,
    source: SourceFormat = None,
    fps: NewRate = None,
    map: NameMapFile = None,
    layer: Layers = None,
    audio: Sound = None,
    onto: Annotated[Path | None, typer.Option(help="A .glb of yours that takes the animation.")] = None,
    mesh: Annotated[str, typer.Option(help="Unity, Godot: the mesh below the animated object.")] = "Head/Face",
    head: Annotated[str, typer.Option(help="Unity, Godot: the head below the animated object.")] = "Head",
    degrees: Annotated[bool, typer.Option(help="Live Link Face CSV: angles in degrees.")] = False,
    tolerance: Annotated[float, typer.Option(help="Unity, Godot: how far thinned curves may stray.")] = 0.0005,
) -> None:
    """Write curves for an engine: Live Link Face CSV, glTF, USD, Unity, Godot, VRM and more."""
    from backend.export.options import ExportOptions
    from backend.export.verbs import export_file

    options = ExportOptions(degrees=degrees, onto=onto, mesh=mesh, head=head, audio=audio, tolerance=tolerance)
    export_file(
        file, out, options=options, name=format, source_name=source, frame_rate=fps, name_map=map,
        strengths=read_strengths(layer),
    )  # fmt: skip


def import_curves(
    file: SourceFile, out: OutFile, source: SourceFormat = None, fps: NewRate = None, map: NameMapFile = None
) -> None:
    """Read a performance captured elsewhere (Live Link Face, Audio2Face, glTF, USD, OpenFace …) into curves."""
    from backend.export.verbs import import_file

    import_file(file, out, name=source, frame_rate=fps, name_map=map)


def edit(
    file: SourceFile,
    out: OutFile,
    layer: Layers = None,
    smooth: Annotated[float, typer.Option(help="Smoothing in seconds; closures stay.")] = 0.0,
    mirror: Annotated[bool, typer.Option(help="Change left and right.")] = False,
    gain: Annotated[list[str] | None, typer.Option(help="CHANNEL=FACTOR or all=FACTOR.")] = None,
    offset: Annotated[list[str] | None, typer.Option(help="CHANNEL=AMOUNT to add.")] = None,
    clamp: Annotated[list[str] | None, typer.Option(help="CHANNEL=LOW:HIGH or all=LOW:HIGH.")] = None,
    pin: Annotated[list[str] | None, typer.Option(help="SECONDS=SECONDS: a moment and where it goes.")] = None,
    take: Annotated[list[str] | None, typer.Option(help="LAYER=FILE: a layer of another performance, or head.")] = None,
    start: Annotated[float, typer.Option(help="Keep from here, seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Keep up to here, seconds.")] = None,
    then: Annotated[list[Path] | None, typer.Option(help="Curves to join after these, without a jump.")] = None,
    fps: NewRate = None,
) -> None:
    """Change curves: layers, smoothing that keeps closures, gain, time warp, mirror, cut, join, frame rate."""
    from backend.export.verbs import CurveEdits, edit_file

    edits = CurveEdits(
        strengths=read_strengths(layer),
        smoothing=smooth,
        mirror=mirror,
        gains=read_strengths(gain),
        offsets=read_strengths(offset),
        limits=_read_limits(clamp),
        start=start,
        end=end,
        then=tuple(then or ()),
        taken=_read_files(take),
        pins=_read_pins(pin),
        frame_rate=fps,
    )
    edit_file(file, out, edits=edits)


def validate(file: SourceFile, source: SourceFormat = None) -> None:
    """Read a curve file back and say what an engine would see; exit code 1 where something needs a look."""
    from backend.export.verbs import validate_file

    raise typer.Exit(validate_file(file, name=source))


def formats() -> None:
    """List the formats that are written and read."""
    from backend.export.verbs import list_formats

    list_formats()


def plot(
    file: SourceFile,
    out: Annotated[Path, typer.Option("--out", help="FILE.png or FILE.html.")],
    audio: Sound = None,
    channel: Annotated[list[str] | None, typer.Option(help="Channels to draw; the liveliest if not given.")] = None,
) -> None:
    """Draw waveform, phones and curves on one time axis."""
    from backend.export.plot import plot_file

    plot_file(file, out, audio=audio, channels=tuple(channel or ()))


def view(
    file: SourceFile,
    audio: Sound = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the page here and do not open it.")] = None,
) -> None:
    """Play curves on the head in the browser: one page that needs no network, with sound, scrubbing and layers."""
    from backend.export.viewer import view_file

    view_file(file, audio=audio, out=out)


def stream(
    file: SourceFile,
    to: Annotated[str, typer.Option("--to", help="HOST:PORT; Unreal listens on port 11111.")],
    subject: Annotated[str, typer.Option(help="Name of the Live Link subject.")] = "EmoRig",
    repeat: Annotated[bool, typer.Option("--repeat", help="Start again at the end, until stopped.")] = False,
) -> None:
    """Send curves as Live Link Face does, in real time over UDP."""
    from backend.export.live_link_udp import stream_file

    stream_file(file, to, subject=subject, repeat=repeat)


def read_strengths(items: list[str] | None) -> dict[str, float]:
    """NAME=NUMBER items as a mapping. Raises InputError."""
    strengths = {}
    for item in items or ():
        name, _, value = item.partition("=")
        try:
            strengths[name.strip()] = float(value)
        except ValueError as error:
            raise InputError(f"Cannot read '{item}': write NAME=NUMBER, for example blinks=0.5.") from error
    return strengths


def _read_pins(items: list[str] | None) -> tuple[tuple[float, float], ...]:
    """SECONDS=SECONDS items as pairs. Raises InputError."""
    try:
        return tuple((float(moment), goal) for moment, goal in read_strengths(items).items())
    except ValueError as error:
        raise InputError("Cannot read a pin: write SECONDS=SECONDS, for example 1.5=1.8.") from error


def _read_limits(items: list[str] | None) -> dict[str, tuple[float, float]]:
    """CHANNEL=LOW:HIGH items as a mapping. Raises InputError."""
    limits = {}
    for item in items or ():
        name, _, values = item.partition("=")
        try:
            low, high = map(float, values.split(":"))
        except ValueError as error:
            raise InputError(f"Cannot read '{item}': write CHANNEL=LOW:HIGH, for example jawOpen=0:0.6.") from error
        limits[name.strip()] = (low, high)
    return limits


def _read_files(items: list[str] | None) -> dict[str, Path]:
    """LAYER=FILE items as a mapping. Raises InputError."""
    files = {}
    for item in items or ():
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise InputError(f"Cannot read '{item}': write LAYER=FILE, for example emotion=happy.json.")
        files[name.strip()] = Path(path)
    return files
