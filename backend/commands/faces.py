"""The command line's verbs for faces: track a video; list, describe, import and preview face models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

model = typer.Typer(no_args_is_help=True, help="Face models: the embedded one, BFM 2009-2019, ICT-FaceKit and FLAME.")


def add_to(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command()(track)
    app.add_typer(model, name="model")


def track(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video of one person's face.")],
    out: Annotated[Path, typer.Option("--out", help="The curve file; its suffix tells the format.")],
    start: Annotated[float, typer.Option(help="Start in the video, seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="End in the video, seconds.")] = None,
    coefficients: Annotated[Path | None, typer.Option(help="Also write the coefficients, .npz.")] = None,
    units: Annotated[Path | None, typer.Option(help="Also write FACS action units per frame, .csv.")] = None,
    format: Annotated[str | None, typer.Option("--format", help="Format by name; see emorig formats.")] = None,
) -> None:
    """Track a real talking face: curves, and if wanted its coefficients and action units."""
    from backend.tracking.delivery import track_to_files

    track_to_files(video, out, start=start, end=end, coefficients=coefficients, units=units, format=format)


@model.command(name="list")
def list_models() -> None:
    """List the face models that can be used by name."""
    from backend.faces.models import known_models

    for known in known_models():
        place = "in the program" if known.path is None else str(known.path)
        print(f"{known.name:20} {known.size / 1e6:7.1f} MB  {place}")


@model.command()
def info(name: Annotated[str, typer.Argument(help="A model's name, or the path of one.")] = "embedded") -> None:
    """Say what a face model holds."""
    from backend.faces.models import find_model

    found = find_model(name)
    named = [channel for channel in found.expression_names if not channel[-1].isdigit()]
    facts = {
        "name": found.name,
        "vertices": found.n_vertices,
        "triangles": len(found.triangles),
        "quads": len(found.quads),
        "identity modes": len(found.identity_basis),
        "expression modes": f"{len(found.expression_names)}, {len(named)} of them named channels",
        "texture modes": len(found.texture_basis),
        "regions": ", ".join(found.region_names),
        "landmarks": f"{len(found.landmark_triangles)} and {len(found.landmarks_68)}",
        "size": " x ".join(f"{edge * 100:.0f}" for edge in (found.mean.max(0) - found.mean.min(0))) + " mm",
        "lids and lips": "meet" if found.has_contacts else "as the basis moves them",
    }
    for what, value in facts.items():
        print(f"{what:>17}: {value}")


@model.command()
def compare(
    name: Annotated[str, typer.Argument(help="A model's name, or the path of one.")],
    beside: Annotated[str, typer.Option("--beside", help="The model that it stands beside.")] = "embedded",
) -> None:
    """Compare two face models at the 68 landmarks: average faces, and what channels of the same name do."""
    from backend.faces.comparing import print_comparison
    from backend.faces.models import find_model

    print_comparison(find_model(beside), find_model(name))


@model.command(name="import")
def import_files(
    source: Annotated[Path, typer.Argument(metavar="PATH", help="File or folder of the model as published.")],
    name: Annotated[str | None, typer.Option(help="What to call it; its kind if not given.")] = None,
    kind: Annotated[str | None, typer.Option(help="bfm2009, bfm2019, ict or flame; guessed if not given.")] = None,
    index: Annotated[Path | None, typer.Option(help="BFM 2009: folder of the index files, if not PATH.")] = None,
    front: Annotated[Path | None, typer.Option(help="BFM 2009: also write BFM_model_front.mat here.")] = None,
) -> None:
    """Read a face model that you have and keep it under a name."""
    from backend.faces.models import LICENCES, guess_kind, import_model, write_front_of

    kind = kind or guess_kind(source)
    path = import_model(source, kind=kind, name=name, index=index)
    print(path)
    if front is not None:
        write_front_of(source, front, index=index)
        print(front)
    if kind in LICENCES:
        print(f"Licence of the model: {LICENCES[kind]}.")


@model.command()
def head(
    name: Annotated[str, typer.Argument(help="A model's name, or the path of one.")],
    out: Annotated[Path, typer.Option("--out", help="The file for Blender, .npz.")],
) -> None:
    """Write a model's head as a file that the Blender add-on adds to a scene, on another machine too."""
    from backend.errors import InputError
    from backend.export.addon_head import write_head
    from backend.faces.models import find_model

    if out.suffix != ".npz":
        raise InputError(f"A head for Blender is an .npz file, got '{out.name}': change its suffix.")
    print(write_head(find_model(name), out))


@model.command()
def preview(
    name: Annotated[str, typer.Argument(help="A model's name, or the path of one.")] = "embedded",
    out: Annotated[Path, typer.Option("--out", help=".mp4, .png, .obj or .glb")] = Path("preview.mp4"),
    curves: Annotated[Path | None, typer.Option(help="Curves to play on it; a turntable if not given.")] = None,
    audio: Annotated[Path | None, typer.Option(help="The sound that belongs to the curves.")] = None,
    size: Annotated[int, typer.Option(help="Pixels of the square picture.")] = 512,
) -> None:
    """Show a face model: a turntable or curves as video, views as a picture, or the mesh as OBJ or glTF."""
    from backend.export.formats import read_curves
    from backend.faces.models import find_model
    from backend.faces.preview import write_preview

    played = None if curves is None else read_curves(curves)[0]
    drawn = write_preview(find_model(name), out, curves=played, audio=audio, size=size)
    print(out)
    if drawn:
        print(f"emorig: {drawn}.", file=sys.stderr)


@model.command()
def sheet(
    name: Annotated[str, typer.Argument(help="A model's name, or the path of one.")] = "embedded",
    out: Annotated[Path, typer.Option("--out", help="The picture, .png or .jpg.")] = Path("sheet.png"),
    size: Annotated[int, typer.Option(help="Pixels of each square.")] = 240,
) -> None:
    """Draw every named channel at full activation, and the emotions, on one contact sheet."""
    from backend.faces.models import find_model
    from backend.faces.sheet import write_sheet

    drawn = write_sheet(find_model(name), out, size=size)
    print(out)
    print(f"emorig: {drawn}.", file=sys.stderr)
