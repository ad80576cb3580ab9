"""What a run leaves for people: a table of losses, TensorBoard's events, and sample pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


class RunLogs:
    """Logs beside a weights file; after a stop, what came after the step gone on from is dropped."""

    def __init__(self, weights: Path, *, step: int, events: bool) -> None:
        self._table = weights.with_suffix(".losses.csv")
        self._samples = weights.with_suffix(".samples")
        _drop_after(self._table, step)
        self._writer = None
        if events:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(weights.with_suffix(".board")), purge_step=step + 1)

    def losses(self, step: int, losses: dict[str, float]) -> None:
        """Appends a row of losses."""
        with self._table.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(",".join(("step", *losses)) + "\n")
            file.write(",".join((str(step), *(f"{value:.5f}" for value in losses.values()))) + "\n")
        for name, value in losses.items():
            self.number(f"loss/{name}", step, value)

    def number(self, name: str, step: int, value: float) -> None:
        """A curve's point for TensorBoard."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def sample(self, step: int, picture: np.ndarray) -> None:
        """Keeps a picture (H, W, 3) uint8 RGB of a step."""
        from PIL import Image

        self._samples.mkdir(exist_ok=True)
        Image.fromarray(picture).save(self._samples / f"{step:07d}.png")
        if self._writer is not None:
            self._writer.add_image("sample", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Writes what waits."""
        if self._writer is not None:
            self._writer.close()


def _drop_after(table: Path, step: int) -> None:
    """Leaves the rows of a table of losses up to a step."""
    if not table.is_file():
        return
    with table.open(newline="", encoding="utf-8") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    # A row that the disk had no room for is cut short.
    rows = [row for row in rows if len(row) == len(header) and int(row[0]) <= step]
    kept = "".join(",".join(row) + "\n" for row in [header, *rows])
    partial = table.with_suffix(".part")
    try:
        partial.write_text(kept if rows else "", encoding="utf-8")
        partial.replace(table)
    finally:
        partial.unlink(missing_ok=True)
