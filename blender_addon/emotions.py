"""Emotion on Blender's timeline: a scene's keyframed `emotion` and `intensity` as keys, presets and EmotionTrack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .compat import curve_bag, curve_group
from .keyframes import kept_samples, seconds_at
from .protocol.types import EMOTIONS, NEUTRAL, EmotionKey, EmotionTrack

LABELS = (NEUTRAL, *EMOTIONS)
EMOTION_PATH, INTENSITY_PATH = "emorig.emotion", "emorig.intensity"
SHAPE_TOLERANCE = 0.01
SAME_FRAME = 0.5

# Name -> what it does, and keys of (share of the shot, label, intensity).
PRESETS = {
    "Neutral": ("No emotion", ((0.0, NEUTRAL, 0.0),)),
    "Friendly": ("A light smile throughout", ((0.0, "happy", 0.35),)),
    "Delighted": ("A happy face that grows", ((0.0, "happy", 0.3), (0.4, "happy", 0.9), (1.0, "happy", 0.7))),
    "Good News": (
        "Surprise turns into joy",
        ((0.0, NEUTRAL, 0.0), (0.2, "surprised", 0.9), (0.5, "happy", 0.9), (1.0, "happy", 0.6)),
    ),
    "Bad News": ("The face falls", ((0.0, NEUTRAL, 0.0), (0.35, "sad", 0.4), (1.0, "sad", 0.9))),
    "Losing Temper": (
        "Calm, then scorn, then anger",
        ((0.0, NEUTRAL, 0.0), (0.3, "contempt", 0.6), (0.65, "angry", 0.7), (1.0, "angry", 1.0)),
    ),
    "Frightened": ("A start, then fear", ((0.0, "surprised", 0.6), (0.25, "fear", 0.9), (1.0, "fear", 0.6))),
}


@dataclass(frozen=True)
class EmotionMark:
    """One keyed moment: scene frame, label, intensity 0-1, and the kind of F-curve interpolation that follows it."""

    frame: float
    label: str
    intensity: float
    interpolation: str


def emotion_curves(scene):
    """The scene's F-curves of emotion and intensity; None for one that is not keyed."""
    bag = curve_bag(scene)
    if bag is None:
        return None, None
    return bag.fcurves.find(EMOTION_PATH), bag.fcurves.find(INTENSITY_PATH)


def listed_curve(scene):
    """The F-curve whose keyframes the panel lists: of emotion and intensity the one with more; None without keys."""
    keyed = [curve for curve in emotion_curves(scene) if curve is not None]
    return max(keyed, key=lambda curve: len(curve.keyframe_points), default=None)


def emotion_marks(scene) -> list[EmotionMark]:
    """Every frame at which emotion or intensity is keyed, in order; empty where nothing is."""
    labels, levels = emotion_curves(scene)
    points = {}
    for curve in (labels, levels):
        for point in curve.keyframe_points if curve is not None else ():
            points[round(point.co[0], 3)] = "BEZIER"
    for point in levels.keyframe_points if levels is not None else ():
        points[round(point.co[0], 3)] = point.interpolation
    return [EmotionMark(frame, *_state_at(scene, labels, levels, frame), points[frame]) for frame in sorted(points)]


def emotion_track(scene) -> EmotionTrack:
    """The scene's keyframed emotion from its shot's first frame on; without keys, the panel's values throughout.

    Emotions blend from key to key, as the intensity curve interpolates; between keys of one emotion the curve's own
    shape is kept, within 0.01.
    """
    shot, marks = scene.emorig, emotion_marks(scene)
    if not marks:
        return EmotionTrack((EmotionKey(0.0, shot.emotion, shot.intensity),))
    _, levels = emotion_curves(scene)
    rate = scene.render.fps / scene.render.fps_base
    keys = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        for frame, intensity, kind in _travel(mark, following, levels):
            keys.append((seconds_at(frame, scene_rate=rate, start_frame=shot.start_frame), mark.label, intensity, kind))
    return EmotionTrack(_from_zero(keys))


def set_mark(scene, frame: float, label: str, intensity: float) -> None:
    """Keys emotion and intensity at a frame, in place of a key that was there."""
    bag = curve_bag(scene, create=True)
    group = curve_group(bag, "EmoRig")
    for path, value, kind in ((EMOTION_PATH, LABELS.index(label), "CONSTANT"), (INTENSITY_PATH, intensity, "BEZIER")):
        curve = bag.fcurves.find(path)
        if curve is None:
            curve = bag.fcurves.new(path)
            curve.group = group
        point = _point_at(curve, frame)
        if point is None:
            point = curve.keyframe_points.insert(frame, value)
            point.interpolation = kind
            point.handle_left_type = point.handle_right_type = "AUTO_CLAMPED"
        point.co_ui = (point.co[0], value)
        curve.update()
    scene.update_tag()


def remove_mark(scene, frame: float) -> bool:
    """Removes the keys at a frame; says whether there were any. The last key takes its F-curve along."""
    bag, removed = curve_bag(scene), False
    for curve in emotion_curves(scene):
        point = _point_at(curve, frame) if curve is not None else None
        if point is not None:
            curve.keyframe_points.remove(point)
            removed = True
            if not len(curve.keyframe_points):
                bag.fcurves.remove(curve)
    return removed


def clear_marks(scene) -> None:
    """Removes all emotion keys."""
    bag = curve_bag(scene)
    for curve in emotion_curves(scene):
        if curve is not None:
            bag.fcurves.remove(curve)


def has_mark(scene, frame: float) -> bool:
    """Whether emotion or intensity is keyed at a frame."""
    return any(curve is not None and _point_at(curve, frame) is not None for curve in emotion_curves(scene))


def apply_preset(scene, name: str, *, first_frame: float, last_frame: float) -> None:
    """Replaces the emotion keys by those of a preset, spread over first_frame..last_frame."""
    clear_marks(scene)
    for share, label, intensity in PRESETS[name][1]:
        set_mark(scene, round(first_frame + share * (last_frame - first_frame)), label, intensity)


def _state_at(scene, labels, levels, frame: float) -> tuple[str, float]:
    """Label and intensity (0-1) at a frame, from the curves where keyed, else the panel's values."""
    shot = scene.emorig
    label = shot.emotion if labels is None else LABELS[int(np.clip(round(labels.evaluate(frame)), 0, len(LABELS) - 1))]
    intensity = shot.intensity if levels is None else float(np.clip(levels.evaluate(frame), 0.0, 1.0))
    return label, intensity


def _travel(mark: EmotionMark, following: EmotionMark | None, levels) -> list[tuple[float, float, str]]:
    """Keys (frame, intensity, interpolation) from a mark up to, not including, the following one."""
    kind = {"CONSTANT": "constant", "LINEAR": "linear"}.get(mark.interpolation, "smooth")
    shaped = following is not None and following.label == mark.label and kind == "smooth" and levels is not None
    if not shaped or following.frame - mark.frame < 2:
        return [(mark.frame, mark.intensity, kind)]
    frames = np.append(np.arange(mark.frame, following.frame), following.frame)
    values = np.clip([levels.evaluate(float(frame)) for frame in frames], 0.0, 1.0)
    kept = kept_samples(values, SHAPE_TOLERANCE)[:-1]
    return [(float(frames[i]), float(values[i]), "linear") for i in kept]


def _from_zero(keys: list[tuple[float, str, float, str]]) -> tuple[EmotionKey, ...]:
    """Keys (seconds, label, intensity, interpolation) from 0 s on; the last one before that holds at 0 s."""
    early = [key for key in keys if key[0] <= 0.0]
    late = [EmotionKey(*key) for key in keys if key[0] > 0.0]
    return (EmotionKey(0.0, *early[-1][1:]), *late) if early else tuple(late)


def _point_at(curve, frame: float):
    return next((point for point in curve.keyframe_points if abs(point.co[0] - frame) < SAME_FRAME), None)
