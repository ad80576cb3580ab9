"""What a user may choose for a shot. The command line, the server and the add-on all build this one type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InputError

LAYERS = ("lips", "emotion", "brows", "blinks", "gaze", "head")
RENDERERS = ("warp",)
POSES = ("natural", "still")
MAX_STRENGTH = 2.0


@dataclass(frozen=True)
class ShotOptions:
    """Choices for one shot.

    frame_rate: frames per second, 1-120. size: shorter side of the video in pixels, 64-4096, or None to keep the
    photo up to 1080. pose: 'natural' head motion or 'still'. strengths: layer name -> 0-2, 1 where absent.
    seed: of blinks, gaze and head motion. renderer: a name in RENDERERS, or None for curves alone.
    start, end: the part of the audio to use, seconds; end None is its end. Raises InputError.
    """

    frame_rate: float = 25.0
    size: int | None = None
    pose: str = "natural"
    strengths: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    renderer: str | None = "warp"
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.frame_rate <= 120.0:
            raise InputError(f"The frame rate should lie in 1-120 frames per second, got {self.frame_rate:g}.")
        if self.size is not None and not 64 <= self.size <= 4096:
            raise InputError(f"The size (shorter side) should lie in 64-4096 pixels, got {self.size}.")
        if self.pose not in POSES:
            raise InputError(f"Unknown pose '{self.pose}': use one of {', '.join(POSES)}.")
        if self.renderer is not None and self.renderer not in RENDERERS:
            raise InputError(f"Unknown renderer '{self.renderer}': use one of {', '.join(RENDERERS)}.")
        for layer, strength in self.strengths.items():
            if layer not in LAYERS:
                raise InputError(f"Unknown layer '{layer}': use one of {', '.join(LAYERS)}.")
            if not 0.0 <= strength <= MAX_STRENGTH:
                raise InputError(f"The strength of layer '{layer}' should lie in 0-2, got {strength:g}.")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise InputError(f"The audio's start and end should be in order, got {self.start:g} s to {self.end} s.")
        if self.seed < 0:
            raise InputError(f"The seed should be 0 or above, got {self.seed}.")

    def strength(self, layer: str) -> float:
        """The strength of a layer, 1 unless chosen."""
        return float(self.strengths.get(layer, 1.0))
