"""Progress and results of a shot on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from blender_addon.protocol.types import AnimationCurves


class _FrameRateColumn(ProgressColumn):
    """Frames per second of the running stage."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:5.1f} fps" if task.speed else "", style="cyan")


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal and the function that says how far the work is: step(done, total)."""
    with Progress(
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(unit, total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class ConsoleSink:
    """Shows a shot's progress bar with stage, frames per second and time left; never cancels."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<20}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _FrameRateColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._task = None
        self._stage = ""

    def __enter__(self) -> ConsoleSink:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bar.stop()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Shows done of total frames of a stage; total 0 means that its length is unknown."""
        if stage != self._stage:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._stage = self._bar.add_task(stage, total=total or 1), stage
            if not self.console.is_terminal:
                self.console.print(f"{stage} …")
        self._bar.update(self._task, completed=done)

    def notice(self, text: str) -> None:
        """Prints what the user should know."""
        self.console.print(f"note: {text}")

    def curves(self, curves: AnimationCurves) -> None:
        """Curves are written when the shot is done."""

    def frame(self, index: int, image: np.ndarray) -> None:
        """Frames go into the video."""

    def video(self, path: Path) -> None:
        """The video is delivered with the other files."""

    def cancelled(self) -> bool:
        """A terminal cancels by Ctrl-C."""
        return False
