"""OVR visemes 0-14 of curves: from their phones where they have them, else from the shape of the mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.curves.solve import mixed_from
from backend.errors import InputError
from backend.export.decimals import shortest_rows
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves, Phone, channel_subset

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
OF_PHONE = {
    "P": "PP", "B": "PP", "M": "PP", "F": "FF", "V": "FF", "TH": "TH", "DH": "TH", "T": "DD", "D": "DD", "DX": "DD",
    "K": "kk", "G": "kk", "NG": "kk", "HH": "kk", "CH": "CH", "JH": "CH", "SH": "CH", "ZH": "CH", "S": "SS", "Z": "SS",
    "N": "nn", "L": "nn", "R": "RR", "ER": "RR", "W": "ou", "Y": "ih", "AA": "aa", "AE": "aa", "AH": "aa", "EH": "E",
    "IH": "ih", "IY": "ih", "AO": "oh", "UH": "ou", "UW": "ou", "UX": "ou",
}  # fmt: skip
# A diphthong is its first quality, then its second.
GLIDES = {"AW": ("aa", "ou"), "AY": ("aa", "ih"), "EY": ("E", "ih"), "OW": ("oh", "ou"), "OY": ("oh", "ih")}
RAMP = 0.05  # seconds over which one viseme gives way to the next
_BOTH = ("Left", "Right")


def _pose(**channels: float) -> dict[str, float]:
    """A pose by channel; a name that has sides stands for both."""
    sided = {"mouthSmile", "mouthStretch", "mouthPress", "mouthLowerDown", "mouthUpperUp", "mouthFrown", "mouthDimple"}
    return {
        name: value
        for stem, value in channels.items()
        for name in ([stem + side for side in _BOTH] if stem in sided else [stem])
    }


# What the mouth does at each viseme's peak, in ARKit's channels.
POSES = {
    "PP": _pose(mouthClose=0.12, jawOpen=0.12, mouthPress=0.45, mouthRollLower=0.25, mouthRollUpper=0.25),
    "FF": _pose(jawOpen=0.08, mouthRollLower=0.55, mouthUpperUp=0.25, mouthShrugLower=0.2),
    "TH": _pose(jawOpen=0.16, mouthLowerDown=0.3, mouthUpperUp=0.15, tongueOut=0.3),
    "DD": _pose(jawOpen=0.14, mouthLowerDown=0.35, mouthUpperUp=0.15, mouthStretch=0.1),
    "kk": _pose(jawOpen=0.2, mouthLowerDown=0.2, mouthUpperUp=0.1),
    "CH": _pose(jawOpen=0.12, mouthFunnel=0.55, mouthLowerDown=0.25, mouthUpperUp=0.2),
    "SS": _pose(jawOpen=0.06, mouthStretch=0.3, mouthLowerDown=0.4, mouthSmile=0.1),
    "nn": _pose(jawOpen=0.15, mouthLowerDown=0.3, mouthStretch=0.15),
    "RR": _pose(jawOpen=0.14, mouthFunnel=0.35, mouthPucker=0.2),
    "aa": _pose(jawOpen=0.6, mouthLowerDown=0.25, mouthUpperUp=0.2),
    "E": _pose(jawOpen=0.35, mouthStretch=0.3, mouthSmile=0.15, mouthLowerDown=0.3, mouthUpperUp=0.2),
    "ih": _pose(jawOpen=0.18, mouthStretch=0.35, mouthSmile=0.2, mouthLowerDown=0.35),
    "oh": _pose(jawOpen=0.4, mouthFunnel=0.5, mouthPucker=0.2),
    "ou": _pose(jawOpen=0.15, mouthPucker=0.75, mouthFunnel=0.3),
}
MOUTH = tuple(dict.fromkeys(name for pose in POSES.values() for name in pose))


def viseme_weights(curves: AnimationCurves) -> np.ndarray:
    """Weights (n_frames, 15) in the order of VISEMES; a row sums to 1, silence being what the others leave."""
    if curves.phones:
        return weights_of_phones(curves.phones, curves.n_frames, curves.frame_rate)
    mouth = channel_subset(curves.names, curves.layers.get("lips", curves.weights), MOUTH)
    amounts = mixed_from(_pose_matrix(), np.clip(mouth, 0.0, 1.0))
    amounts /= np.maximum(amounts.sum(1, keepdims=True), 1.0)
    return np.concatenate([1.0 - amounts.sum(1, keepdims=True), amounts], axis=1).astype(np.float32)


def viseme_strengths(curves: AnimationCurves) -> np.ndarray:
    """How fully (n_frames, 15) 0-1 the mouth makes each viseme's shape: its projection on the pose; silence is 1.

    Unstressed vowels, quiet speech and a lips layer at half strength stay under 1.
    """
    mouth = np.clip(channel_subset(curves.names, curves.weights, MOUTH), 0.0, 1.0)
    poses = _pose_matrix()
    shares = mouth @ poses.T / (poses**2).sum(1)
    return np.concatenate([np.ones((len(mouth), 1)), np.clip(shares, 0.0, 1.0)], axis=1).astype(np.float32)


def _pose_matrix() -> np.ndarray:
    """The poses (14, n_mouth_channels) in the order of POSES and MOUTH."""
    return np.array([[pose.get(name, 0.0) for name in MOUTH] for pose in POSES.values()])


def viseme_segments(phones: tuple[Phone, ...]) -> list[tuple[float, float, str]]:
    """(start s, end s, viseme) of phones, diphthongs in their two halves."""
    segments = []
    for phone in phones:
        if phone.label in GLIDES:
            middle = 0.5 * (phone.start + phone.end)
            first, second = GLIDES[phone.label]
            segments += [(phone.start, middle, first), (middle, phone.end, second)]
        else:
            segments.append((phone.start, phone.end, OF_PHONE.get(phone.label, "sil")))
    return segments


def weights_of_phones(phones: tuple[Phone, ...], n_frames: int, frame_rate: float) -> np.ndarray:
    """Weights (n_frames, 15): each phone's viseme, cross-faded over RAMP around the boundaries."""
    times = np.arange(n_frames) / frame_rate
    weights = np.zeros((n_frames, len(VISEMES)), np.float32)
    for start, end, viseme in viseme_segments(phones):
        # Two ramps of the same width around each boundary sum to 1 where phones touch.
        rise = np.clip((times - start) / RAMP + 0.5, 0.0, 1.0)
        fall = np.clip((end - times) / RAMP + 0.5, 0.0, 1.0)
        column = VISEMES.index(viseme)
        weights[:, column] += np.minimum(rise, fall)
    spoken = weights[:, 1:].sum(1, keepdims=True)
    weights[:, 1:] /= np.maximum(spoken, 1.0)
    weights[:, 0] = 1.0 - weights[:, 1:].sum(1)
    return np.clip(weights, 0.0, 1.0)


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes time and the 15 visemes per frame as CSV."""
    times = (np.arange(curves.n_frames) / curves.frame_rate).tolist()
    rows = [f"{time:.6f},{row}" for time, row in zip(times, shortest_rows(viseme_weights(curves)))]
    path.write_text("\n".join([",".join(("time", *VISEMES)), *rows]) + "\n", encoding="ascii", newline="")


def read(path: Path) -> AnimationCurves:
    """Curves named by the visemes of a file that write wrote. Raises InputError."""
    from backend.export.tables import read_csv

    curves = read_csv(path)
    if not set(VISEMES) <= set(curves.names):
        raise InputError(f"'{path.name}' lacks visemes: expected the columns {', '.join(VISEMES)}.")
    return curves
