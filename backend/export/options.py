"""What a user may choose for an export, besides its format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportOptions:
    """Choices for one exported file.

    degrees: angles of Live Link Face CSV in degrees instead of radians. onto: a user's .glb that takes the animation.
    mesh, head: where the animated mesh and head bone lie below the animated object (Unity, Godot). audio: the sound
    that belongs to the curves, named in formats that name it. tolerance: how far a thinned curve may stray, in weight
    (0-1) or quaternion components, in formats whose size asks for thinning; 0 keeps every frame.
    """

    degrees: bool = False
    onto: Path | None = None
    mesh: str = "Head/Face"
    head: str = "Head"
    audio: Path | None = None
    tolerance: float = 0.0005
