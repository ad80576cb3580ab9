"""The networks that come with the program, and what each of them decides."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class ShippedNetwork:
    """A network whose weights lie in the package: its file and the coefficient columns that it predicts."""

    name: str
    file: str
    predicts: str
    licence: str = "MIT OR GPL-3.0-or-later"

    @property
    def path(self) -> Path:
        """Where the weights lie."""
        return SHIPPED / self.file

    def sha256(self) -> str:
        """The hash of the weights' file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def metadata(self) -> dict[str, str]:
        """What the weights say of themselves: config, seed, command and data. Empty where they say nothing."""
        with self.path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return json.loads(file.read(length)).get("__metadata__", {})


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Writes tensors as .safetensors that others on the machine may read, which the library keeps to their owner."""
    from safetensors.torch import save_file

    save_file(tensors, str(path), metadata=metadata)
    path.chmod(0o644)


NETWORKS = {
    "speech": ShippedNetwork(
        name="speech",
        file="speech.safetensors",
        predicts="what is said (articulators, phones, stress) and when the lips seal; pocketsphinx's acoustic model "
        "gives it evidence, and it feeds the EmoSpeaker networks",
    ),
    "streaming": ShippedNetwork(
        name="streaming",
        file="streaming.safetensors",
        predicts="the same from the past and a tenth of a second ahead: a second opinion, and all that a stream has",
    ),
    "emospeaker": ShippedNetwork(
        name="emospeaker",
        file="emospeaker.safetensors",
        predicts="expression (ExpNet, EmoNet), identity_change and texture_change (EmoNet), rotation and translation "
        "(PoseNet)",
    ),
    "refiner": ShippedNetwork(
        name="refiner",
        file="refiner.safetensors",
        predicts="what is added round the mouth of a rendered frame; no coefficient",
    ),
}

# What makes each column of the coefficients, in the order in which it adds.
COLUMN_SOURCES = {
    "identity": ("fit to the portrait",),
    "texture": ("fit to the portrait",),
    "lighting": ("fit to the portrait",),
    "identity_change": ("emospeaker: EmoNet",),
    "texture_change": ("emospeaker: EmoNet",),
    "expression": (
        "emospeaker: ExpNet (layer lips)",
        "speech: when the lips seal (layer lips)",
        "emospeaker: EmoNet (layer emotion)",
        "seeded rules (layers brows, blinks, gaze)",
    ),
    "rotation": ("fit to the portrait", "emospeaker: PoseNet"),
    "translation": ("fit to the portrait", "emospeaker: PoseNet"),
}


def shipped_networks() -> list[dict[str, str]]:
    """Name, what it predicts, sha256 and training command of each network in the package."""
    rows = []
    for network in NETWORKS.values():
        row = {"name": network.name, "predicts": network.predicts, "licence": network.licence}
        if network.path.is_file():
            said = network.metadata()
            row |= {"sha256": network.sha256(), "trained_by": said.get("command", "")}
            row |= {"history": said["history"]} if "history" in said else {}
        rows.append(row)
    return rows
