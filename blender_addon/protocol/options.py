"""What a user may choose for a shot. The command line, the server and the add-on all build this one type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InputError
from .types import Phone

LAYERS = ("lips", "emotion", "brows", "blinks", "gaze", "head")
RENDERERS = ("warp", "facevid2vid", "eamm")
POSES = ("natural", "still")
HEARINGS = ("whole", "streaming")
KEEP, TRANSPARENT = "keep", "transparent"
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
MAX_STRENGTH = 2.0
MAX_TRANSCRIPT = 200_000  # letters, hours of speech
# Formats that curves can be exported in: name -> suffix of the file, and what it is for.
EXPORTS = {
    "live-link": (".csv", "Live Link Face CSV: Unreal, MetaHuman"),
    "glb": (".glb", "glTF 2.0: head with its targets"),
    "usd": (".usda", "UsdSkel blend shapes"),
    "fbx": (".fbx", "FBX with blend shapes"),
    "unity": (".anim", "Unity animation clip"),
    "godot": (".tres", "Godot 4 animation"),
    "godot3": (".tres", "Godot 3 animation"),
    "vrma": (".vrma", "VRM animation, preset expressions"),
    "vrma-arkit": (".vrma", "VRM animation, ARKit's 52"),
    "a2f": (".json", "Audio2Face JSON: Omniverse"),
    "emorig": (".json", "EmoRig curves with layers and coefficients"),
    "ovr": (".csv", "OVR visemes 0-14"),
    "rhubarb": (".tsv", "Rhubarb mouth shapes"),
    "moho": (".dat", "Moho switch track"),
    "papagayo": (".pgo", "Papagayo lip sync"),
    "openface": (".csv", "FACS action units as OpenFace"),
    "csv": (".csv", "Plain CSV table"),
    "parquet": (".parquet", "Parquet table"),
    "npz": (".npz", "NumPy archive"),
    "coefficients": (".csv", "Raw face coefficients, CSV"),
    "coefficients-npz": (".npz", "Raw face coefficients, NumPy"),
}


@dataclass(frozen=True)
class Script:
    """What is known of the speech: its text, in a language by its code ('en', 'de', 'pt-br'), or its phones.

    phones: with their times in seconds, as curves carry them, edited or not; they come after the text. InputError.
    """

    text: str | None = None
    language: str = "en"
    phones: tuple[Phone, ...] = ()

    def __post_init__(self) -> None:
        if self.text is not None and len(self.text) > MAX_TRANSCRIPT:
            raise InputError(f"A transcript should have at most {MAX_TRANSCRIPT} letters, got {len(self.text)}.")
        if not self.language or not all(part.isalnum() for part in self.language.split("-")):
            raise InputError(f"A language should be a code such as en, de or pt-br, got '{self.language}'.")
        object.__setattr__(self, "phones", tuple(self.phones))


@dataclass(frozen=True)
class ShotOptions:
    """Choices for one shot.

    frame_rate: frames per second, 1-120. size: shorter side of the video in pixels, 64-4096, or None to keep the
    photo up to 1080. pose: 'natural' head motion or 'still'. strengths: layer name -> 0-2, 1 where absent.
    muted: layers that are left out, whatever their strength. seed: of brows, blinks, gaze and head motion; seeds:
    layer name -> its own seed. script: the text or the phones of the speech, where known. hearing: 'whole', or
    'streaming' as a live user would have seen the lips. renderer: a name in RENDERERS, or None for curves alone.
    start, end: the part of the audio to use, seconds; end None is its end. background: KEEP what the photo shows
    behind the person, TRANSPARENT, or a colour as '#rrggbb'. Raises InputError.
    """

    frame_rate: float = 25.0
    size: int | None = None
    pose: str = "natural"
    strengths: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    renderer: str | None = "warp"
    start: float = 0.0
    end: float | None = None
    muted: tuple[str, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)
    script: Script = Script()
    hearing: str = "whole"
    background: str = KEEP

    def __post_init__(self) -> None:
        if not 1.0 <= self.frame_rate <= 120.0:
            raise InputError(f"The frame rate should lie in 1-120 frames per second, got {self.frame_rate:g}.")
        if self.size is not None and not 64 <= self.size <= 4096:
            raise InputError(f"The size (shorter side) should lie in 64-4096 pixels, got {self.size}.")
        if self.pose not in POSES:
            raise InputError(f"Unknown pose '{self.pose}': use one of {', '.join(POSES)}.")
        if self.renderer is not None and self.renderer not in RENDERERS:
            raise InputError(f"Unknown renderer '{self.renderer}': use one of {', '.join(RENDERERS)}.")
        if self.background not in (KEEP, TRANSPARENT) and not COLOUR.fullmatch(self.background):
            raise InputError(
                f"The background should be keep, transparent or a colour #rrggbb, got '{self.background}'."
            )
        if self.hearing not in HEARINGS:
            raise InputError(f"Unknown hearing '{self.hearing}': use one of {', '.join(HEARINGS)}.")
        for layer in (*self.strengths, *self.muted, *self.seeds):
            if layer not in LAYERS:
                raise InputError(f"Unknown layer '{layer}': use one of {', '.join(LAYERS)}.")
        for layer, strength in self.strengths.items():
            if not 0.0 <= strength <= MAX_STRENGTH:
                raise InputError(f"The strength of layer '{layer}' should lie in 0-2, got {strength:g}.")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise InputError(f"The audio's start and end should be in order, got {self.start:g} s to {self.end} s.")
        for seed in (self.seed, *self.seeds.values()):
            if seed < 0:
                raise InputError(f"The seed should be 0 or above, got {seed}.")
        if self.hearing == "streaming" and self.script != Script():
            raise InputError("Streaming hears the sound alone: give a transcript or phones without it.")
        object.__setattr__(self, "muted", tuple(self.muted))

    def strength(self, layer: str) -> float:
        """The strength of a layer, 1 unless chosen, 0 where it is muted."""
        return 0.0 if layer in self.muted else float(self.strengths.get(layer, 1.0))

    def seed_of(self, layer: str) -> int:
        """The seed of a layer: its own, or the shot's."""
        return int(self.seeds.get(layer, self.seed))
