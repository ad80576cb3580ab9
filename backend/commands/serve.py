"""emorig serve and emorig status: the backend for Blender and other clients."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless keys are given.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 0,
    keys: Annotated[
        Path | None, typer.Option(help="Folder of CURVE keys for serving other machines; made at the first time.")
    ] = None,
    keygen: Annotated[
        str | None, typer.Option("--keygen", metavar="NAME", help="Let one more client in: make its key file and stop.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="cpu or cuda:N; once for each worker, or with --workers.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes for each device.")] = 1,
    jobs: Annotated[
        Path | None, typer.Option(help="Folder in which jobs and results outlive the service; it goes on with them.")
    ] = None,
    metrics: Annotated[int | None, typer.Option(help="Port of the metrics page for Prometheus, on loopback.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Certificate chain (PEM) that signs videos.")] = None,
    certificate_key: Annotated[Path | None, typer.Option("--certificate-key", help="The private key to it.")] = None,
    unmarked: Annotated[bool, typer.Option("--unmarked", help="No watermark, no manifest; recorded.")] = False,
    show_status: Annotated[
        bool, typer.Option("--status", help="Say what the running service is doing and stop; as emorig status.")
    ] = False,
) -> None:
    """Serve Blender and other clients until stopped."""
    if show_status:
        return status()
    from backend.errors import InputError
    from backend.service.endpoints import add_client, keys_in
    from backend.service.server import devices_of
    from backend.service.server import serve as run_server

    if keygen is not None:
        if keys is None:
            raise InputError("Name the folder of the service's keys (--keys) to add a client to.")
        keys_in(keys, host=host, port=port)
        typer.echo(f"{add_client(keys, keygen)}: give this file to the client; the service knows it after a restart.")
        return None
    _hand_marking_to_workers(certificate, certificate_key, unmarked)
    run_server(
        host,
        port,
        keys=None if keys is None else keys_in(keys, host=host, port=port),
        devices=devices_of(device or ["cpu"], workers),
        jobs=jobs,
        metrics_port=metrics,
    )
    return None


def _hand_marking_to_workers(certificate: Path | None, key: Path | None, unmarked: bool) -> None:
    """Worker processes read how videos are labelled from the environment. Raises InputError for what cannot sign."""
    from backend.provenance.label import CERTIFICATE_VARIABLE, KEY_VARIABLE, SWITCH_VARIABLE, Marking

    marking = Marking.chosen(unmarked=unmarked, certificate=certificate, key=key)
    os.environ[SWITCH_VARIABLE] = "on" if marking.is_on else "off"
    if marking.certificate is not None:
        marking.signer()
        os.environ[CERTIFICATE_VARIABLE] = str(marking.certificate.resolve())
        os.environ[KEY_VARIABLE] = str(marking.key.resolve())


def status(
    backend: Annotated[str, typer.Option(help="Address of a backend, its client.json, or 'local'.")] = "local",
) -> None:
    """Say what a running backend is doing: its jobs, their stages and places."""
    from backend.service.remote import report_status

    report_status(backend)
