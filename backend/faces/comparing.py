"""Prints how one face model stands beside another."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from backend.errors import InputError
from bfm.comparison import compare
from bfm.errors import FaceModelError
from bfm.model import FaceModel


def print_comparison(first: FaceModel, second: FaceModel) -> None:
    """Prints distances of the average faces and a row per channel. Raises InputError where no channel is shared."""
    try:
        comparison = compare(first, second)
    except FaceModelError as error:
        raise InputError(f"{error}.") from error
    table = Table(title=f"{second.name} beside {first.name}, displacements of the 68 landmarks")
    table.add_column("channel")
    table.add_column("cosine", justify="right")
    table.add_column("size", justify="right")
    for channel in comparison.channels:
        table.add_row(channel.name, f"{channel.cosine:.2f}", f"{channel.size:.2f}")
    console = Console()
    console.print(table)
    console.print(f"average faces, inner 51 points: {comparison.inner:.1f} mm apart; jaw line: {comparison.jaw:.1f} mm")
    worst = comparison.worst
    console.print(
        f"mean cosine {comparison.mean_cosine:.2f} over {len(comparison.channels)} channels; "
        f"least {worst.cosine:.2f} ({worst.name})"
    )
