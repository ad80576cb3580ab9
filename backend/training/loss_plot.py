"""A picture of training runs: the losses in their .losses.csv over the steps, one panel for each run."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..delivery import staged
from ..errors import InputError

PANEL_INCHES = (5.2, 3.4)


def read_losses(table: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Steps (n,) and losses (n,) by name of a run's table. Raises InputError where it is none."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            names, *rows = list(csv.reader(file))
        values = np.array(rows, float).reshape(len(rows), len(names))
    except (OSError, ValueError) as error:
        raise InputError(f"'{table}' should be a training run's .losses.csv ({error}).") from error
    if names[0] != "step" or not rows:
        raise InputError(f"'{table}' should be a training run's .losses.csv with a step and losses in each row.")
    return values[:, 0], dict(zip(names[1:], values[:, 1:].T))


def plot_losses(tables: list[Path], out: Path) -> None:
    """Draws the tables' losses on logarithmic axes to a .png or .svg. Raises InputError."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if out.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"The picture should be a .png or .svg file, got '{out.name}'.")
    runs = [(table.name.removesuffix(".losses.csv"), *read_losses(table)) for table in tables]
    size = (PANEL_INCHES[0] * len(runs), PANEL_INCHES[1])
    figure, axes = pyplot.subplots(1, len(runs), figsize=size, squeeze=False, layout="constrained")
    for axis, (name, steps, losses) in zip(axes[0], runs):
        for label, values in losses.items():
            axis.plot(steps, np.maximum(values, 1e-6), label=label, linewidth=1.2)
        axis.set(title=name, xlabel="step", ylabel="loss", yscale="log")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7, ncols=2)
    with staged(out.parent) as folder:
        figure.savefig(folder / out.name, dpi=110)
    pyplot.close(figure)
