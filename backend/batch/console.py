"""Progress of a batch on the terminal: a bar for the whole and one for each worker; plain lines where there is none."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from backend.batch.ledger import DONE, Entry
from backend.batch.workers import StageReport


class BatchConsole:
    """Shows how many of n_jobs have ended and what each worker is doing."""

    def __init__(self, n_jobs: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._whole = self._bar.add_task("all jobs", total=n_jobs)
        self._workers: dict[str, TaskID] = {}
        self._n_jobs, self._n_ended = n_jobs, 0

    def __enter__(self) -> BatchConsole:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, report: StageReport) -> None:
        """Shows how far a worker is in its job."""
        if report.worker not in self._workers:
            self._workers[report.worker] = self._bar.add_task("", total=1)
        text = escape(f"{report.worker} {report.job.name[:26]} {report.stage}"[:44])
        task = self._workers[report.worker]
        self._bar.update(task, description=text, completed=report.done, total=report.total or 1)

    def ended(self, entry: Entry) -> None:
        """Counts a job and says how it ended."""
        self._n_ended += 1
        self._bar.update(self._whole, completed=self._n_ended)
        note = entry.reason if entry.state != DONE else "; ".join(entry.flags)
        if not self._console.is_terminal or note:
            self.say(f"[{self._n_ended}/{self._n_jobs}] {entry.name}: {entry.state}{f', {note}' if note else ''}")

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._console.print(escape(text), soft_wrap=True)
