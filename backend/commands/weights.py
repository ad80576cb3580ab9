"""The command line's verbs for weights of other projects: import, fetch, list, verify; and licences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.errors import InputError

weights = typer.Typer(
    no_args_is_help=True, help="Weights of other projects: SadTalker, Deep3DFaceRecon, EAMM, SyncNet."
)


def add_to(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.add_typer(weights, name="weights")
    app.command()(licences)


@weights.command(name="import")
def import_weights(
    source: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="As the project publishes it.")],
    name: Annotated[str | None, typer.Option("--as", help="What the file is, where its content does not tell.")] = None,
) -> None:
    """Check published files, convert them to safetensors, and keep them. Nothing in them is executed."""
    from backend.checkpoints.importing import import_file, import_folder

    if source.is_dir():
        if name is not None:
            raise InputError("--as names one file: give the file instead of its folder.")
        imported, passed = import_folder(source)
    else:
        imported, passed = [import_file(source, name=name)], []
    for item in imported:
        print(f"{item.file.name}: {item.path}  (licence: {item.file.licence.name})")
    for sentence in passed:
        print(f"passed over: {sentence}")


@weights.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from 'emorig weights list'.")],
    address: Annotated[str | None, typer.Option(help="Another address than the project's own.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Download a published file from its project's address, check its hash and import it."""
    from backend.checkpoints import fetching
    from backend.checkpoints.registry import find_file
    from backend.commands.console import progress_bar

    file = find_file(name)
    offered = fetching.offer(file, address)
    size = "of unknown size" if offered.size is None else f"{offered.size / 1e6:.1f} MB"
    print(f"{file.file} of {file.project}, {size}, from {offered.address}")
    print(f"Licence: {file.licence.name}; {file.licence.note}.")
    if not yes and not typer.confirm("Download it?"):
        raise InputError("Nothing was downloaded.")
    with progress_bar("bytes") as step:
        imported = fetching.fetch(file, offered, progress=step)
    print(imported.path)


@weights.command(name="list")
def list_weights() -> None:
    """List the published files that are known, and which of them are here."""
    from rich.console import Console
    from rich.table import Table

    from backend.checkpoints.registry import FILES
    from backend.checkpoints.store import installed

    here = {item.file.name: item for item in installed()}
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "here", "published as", "project", "licence", "address"):
        table.add_column(heading, overflow="fold")
    for file in FILES:
        size = f"{here[file.name].size / 1e6:.0f} MB" if file.name in here else "no"
        table.add_row(file.name, size, file.file, file.project, file.licence.name, file.address or "none")
    Console(highlight=False).print(table)


@weights.command()
def verify() -> None:
    """Compare every imported file with the hash that was recorded."""
    from backend.checkpoints.store import installed
    from backend.checkpoints.store import verify as problem_of

    items = installed()
    if not items:
        print("No weights are imported.")
    problems = {item.file.name: problem_of(item) for item in items}
    for name, problem in problems.items():
        print(f"{name}: {problem or 'good'}")
    wrong = [name for name, problem in problems.items() if problem]
    if wrong:
        raise InputError(f"Damaged or unknown: {', '.join(wrong)}; import them again.")


def licences() -> None:
    """Say what each model, weight and library of this very set-up allows, and whether results may be sold."""
    from rich.console import Console
    from rich.table import Table

    from backend.checkpoints.licences import survey, verdicts

    table = Table(box=None, pad_edge=False)
    for heading in ("what", "licence", "results may be sold", "heed"):
        table.add_column(heading, overflow="fold")
    rows = survey()
    for row in rows:
        table.add_row(row.what, row.licence, row.sells, row.note)
    console = Console(highlight=False)
    console.print(table)
    for sentence in verdicts(rows):
        console.print(f"\n{sentence}")
