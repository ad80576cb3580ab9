"""emorig batch: hundreds of shots in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def batch(
    jobs: Annotated[Path, typer.Argument(help="The jobs: .csv, .jsonl or .yaml; paths relative to it.")],
    out: Annotated[Path, typer.Option(help="Folder for the results, the ledger and the report.")],
    name: Annotated[
        str, typer.Option("--name", help="Folder of each job, of {index} {audio} {portrait} {emotion} …")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(help="Processes, half the cores if not given; actors with --ray.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep what is done and whole.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every job, make nothing.")] = False,
    ray: Annotated[str | None, typer.Option(help="Run on a Ray cluster: its address, 'auto' or 'local'.")] = None,
    consent: Annotated[str, typer.Option(help="Consent statement of jobs that have none of their own.")] = "",
    certificate: Annotated[Path | None, typer.Option(help="Your certificate chain (PEM) that signs videos.")] = None,
    certificate_key: Annotated[Path | None, typer.Option("--certificate-key", help="The private key to it.")] = None,
    unmarked: Annotated[bool, typer.Option("--unmarked", help="No watermark, no manifest; recorded.")] = False,
) -> None:
    """Make all shots of a jobs file: a folder for each, a ledger, a report; exit code 1 where any failed."""
    from backend.batch.jobs import DEFAULT_NAME
    from backend.batch.rehearsal import rehearse
    from backend.batch.run import BatchOptions, run_batch
    from backend.provenance.label import Marking

    marking = Marking.chosen(unmarked=unmarked, certificate=certificate, key=certificate_key, consent=consent)
    options = BatchOptions(out, name or DEFAULT_NAME, workers, resume, ray, marking)
    raise typer.Exit(rehearse(jobs, options) if dry_run else run_batch(jobs, options))
