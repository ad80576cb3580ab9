"""The folder where imported weights lie: one .safetensors per published file, and a ledger of hashes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.checkpoints.registry import FILES, PublishedFile, files_with
from backend.errors import InputError, OutputError
from backend.weights import write_tensors

if TYPE_CHECKING:
    from torch import nn

    from backend.checkpoints.recognising import States

FOLDER_VARIABLE = "EMORIG_WEIGHTS"
LEDGER = "ledger.json"
FORMAT = "emorig-weights"


class MissingWeightsError(InputError):
    """No imported file holds a network that is needed."""


@dataclass(frozen=True)
class Installed:
    """A published file that is here: where, its size in bytes and what the ledger knows of it."""

    file: PublishedFile
    path: Path
    size: int
    source_sha256: str
    stored_sha256: str


def weights_folder() -> Path:
    """Where imported weights lie; EMORIG_WEIGHTS moves it."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "emorig" / "weights"


def sha256_of(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_ledger() -> dict[str, dict[str, str]]:
    """What is known of each file by name: source_sha256 (as published or first seen) and stored_sha256 (as kept)."""
    path = weights_folder() / LEDGER
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read ({error}): delete it and import the weights again.") from error


def record(name: str, **facts: str) -> None:
    """Adds facts on a file to the ledger."""
    ledger = read_ledger()
    ledger[name] = ledger.get(name, {}) | facts
    path = weights_folder() / LEDGER
    part = path.with_suffix(".part")
    part.write_text(json.dumps(ledger, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(part, path)


def keep(file: PublishedFile, states: States, *, source: Path, source_sha256: str) -> Path:
    """Writes the networks of a published file into the folder, whole or not at all. Raises OutputError."""
    target = weights_folder() / f"{file.name}.safetensors"
    part = target.with_suffix(".part")
    tensors = {f"{network}/{key}": value for network, state in states.items() for key, value in state.items()}
    tensors = {key: value.contiguous().clone() for key, value in tensors.items()}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(tensors, part, _metadata(file, states, source, source_sha256))
        stored = sha256_of(part)
        os.replace(part, target)
        record(file.name, source_sha256=source_sha256, stored_sha256=stored)
    except OSError as error:
        text = f"Cannot write '{target}' ({error.strerror or error}): free space, or set {FOLDER_VARIABLE} to a folder."
        raise OutputError(text) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def installed() -> list[Installed]:
    """The published files that were imported."""
    ledger, found = read_ledger(), []
    for file in FILES:
        path = weights_folder() / f"{file.name}.safetensors"
        if path.is_file():
            facts = ledger.get(file.name, {})
            hashes = (facts.get(key, "") for key in ("source_sha256", "stored_sha256"))
            found.append(Installed(file, path, path.stat().st_size, *hashes))
    return found


def verify(item: Installed) -> str | None:
    """What is wrong with an imported file, or None."""
    if not item.stored_sha256:
        return "the ledger does not know it: import it again"
    if sha256_of(item.path) != item.stored_sha256:
        return "its content has changed since it was imported: import it again"
    return None


def source_of(network: str, *, preferred: tuple[str, ...] = ()) -> Installed:
    """The imported file that holds a network, preferred ones first. Raises MissingWeightsError."""
    here = {item.file.name: item for item in installed()}
    order = [*preferred, *(file.name for file in files_with(network))]
    for name in order:
        if name in here and any(part.network == network for part in here[name].file.parts):
            return here[name]
    raise MissingWeightsError(_what_to_bring(network))


def load_network(network: str, *, preferred: tuple[str, ...] = ()) -> nn.Module:
    """A network with imported weights, for inference on the CPU. Raises MissingWeightsError and InputError."""
    from safetensors import SafetensorError, safe_open

    from backend.models.published import NETWORKS

    item = source_of(network, preferred=preferred)
    prefix = f"{network}/"
    try:
        with safe_open(item.path, framework="pt") as file:
            state = {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
        return NETWORKS[network].loaded(state)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(f"'{item.path}' is damaged: import '{item.file.file}' again.") from error


def _what_to_bring(network: str) -> str:
    files = files_with(network)
    choices = " or ".join(f"'{file.file}'" for file in files)
    first = files[0]
    how = f"run 'emorig weights fetch {first.name}', or 'emorig weights import FILE' on a copy that you have"
    if first.address is None:
        how = "train it on your clips, then run 'emorig weights import FILE'"
    elif first.by_hand:
        how = f"download it from {first.address}, then run 'emorig weights import FILE'"
    return f"The weights of {network} are not here: bring {choices} of {first.project}; {how}."


def _metadata(file: PublishedFile, states: States, source: Path, source_sha256: str) -> dict[str, str]:
    return {
        "format": FORMAT,
        "version": "1",
        "name": file.name,
        "project": file.project,
        "licence": file.licence.name,
        "source": source.name,
        "source_sha256": source_sha256,
        "networks": json.dumps({network: _config(network) for network in states}),
    }


def _config(network: str) -> dict[str, Any]:
    """The config of a network as plain values."""
    from backend.models.published import NETWORKS

    config = getattr(NETWORKS[network].module, "config", None)
    return asdict(config) if is_dataclass(config) else {}
