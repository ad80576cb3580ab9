"""VRM animation (.vrma): glTF with VRMC_vrm_animation; an expression's weight is the X translation of its node."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled, rate_of_times
from backend.curves.resample import between
from backend.curves.solve import emotion_amounts
from backend.errors import InputError
from backend.export.angles import from_xyzw, to_xyzw
from backend.export.gltf import frame_times
from backend.export.gltf_document import GltfDocument, accessor_values, read_document
from backend.export.names import arkit_columns, canonical_name
from backend.export.options import ExportOptions
from backend.export.visemes import VISEMES, viseme_strengths, viseme_weights
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, channel_subset

EXTENSION = "VRMC_vrm_animation"
# The bones that VRM 1.0 requires, with their parents and offsets (m) in a T-pose: +X the character's left, +Z ahead.
BONES = {
    "hips": (None, (0.0, 0.95, 0.0)),
    "spine": ("hips", (0.0, 0.12, 0.0)),
    "head": ("spine", (0.0, 0.45, 0.0)),
    **{
        f"{side}{bone}": (side + parent if parent[0].isupper() else parent, (sign * x, y, 0.0))
        for side, sign in (("left", 1.0), ("right", -1.0))
        for bone, parent, x, y in (
            ("UpperLeg", "hips", 0.09, -0.06), ("LowerLeg", "UpperLeg", 0.0, -0.42), ("Foot", "LowerLeg", 0.0, -0.40),
            ("UpperArm", "spine", 0.16, 0.33), ("LowerArm", "UpperArm", 0.27, 0.0), ("Hand", "LowerArm", 0.25, 0.0),
        )
    },
}  # fmt: skip
LOOK_OFFSET = (0.0, 0.06, 0.0)  # of the gaze from the head bone, metres
# OVR viseme → VRM's five mouths, its consonants as the vowels that they resemble.
VOWELS = ("aa", "ih", "ou", "ee", "oh")
OF_VISEME = {
    "aa": {"aa": 1.0}, "E": {"ee": 1.0}, "ih": {"ih": 1.0}, "oh": {"oh": 1.0}, "ou": {"ou": 1.0}, "CH": {"ou": 0.35},
    "SS": {"ih": 0.3}, "DD": {"ih": 0.25}, "nn": {"ih": 0.25}, "TH": {"ih": 0.2}, "kk": {"aa": 0.2},
    "RR": {"ou": 0.3}, "FF": {"ih": 0.1},
}  # fmt: skip
EMOTION_PRESETS = ("happy", "angry", "sad", "surprised")  # what VRM calls as we do; it has none for the others
BLINKS = {"eyeBlinkLeft": "blinkLeft", "eyeBlinkRight": "blinkRight"}
PRESETS = ("happy", "angry", "sad", "relaxed", "surprised", *VOWELS, "blink", *BLINKS.values(), "lookUp", "lookDown",
           "lookLeft", "lookRight", "neutral")  # fmt: skip


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes VRM's preset expressions: five mouths, blinks and emotions, which every VRM model has."""
    _write(curves, path, preset_weights(curves), "preset")


def write_arkit(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes ARKit's 52 as custom expressions, for models made for it (Perfect Sync)."""
    _write(curves, path, dict(zip(ARKIT_NAMES, arkit_columns(curves).T)), "custom")


def preset_weights(curves: AnimationCurves) -> dict[str, np.ndarray]:
    """VRM 1.0 preset → weights (n_frames,) 0-1; an emotion counts where the curves have it as a layer."""
    # Phones say which mouth; how far it opens is the performance's.
    visemes = viseme_weights(curves) * viseme_strengths(curves)
    presets = {vowel: np.zeros(curves.n_frames, np.float32) for vowel in VOWELS}
    for viseme, shares in OF_VISEME.items():
        for vowel, share in shares.items():
            presets[vowel] += share * visemes[:, VISEMES.index(viseme)]
    for channel, preset in BLINKS.items():
        presets[preset] = channel_subset(curves.names, curves.weights, (channel,))[:, 0]
    presets |= {emotion: amount for emotion, amount in emotion_amounts(curves).items() if emotion in EMOTION_PRESETS}
    return {name: np.clip(weights, 0.0, 1.0) for name, weights in presets.items()}


def _write(curves: AnimationCurves, path: Path, expressions: dict[str, np.ndarray], kind: str) -> None:
    document = GltfDocument()
    bones = _add_bones(document)
    animation = document.animation("EmoRig")
    times = frame_times(curves)
    animation.channel(bones["head"], "rotation", times, to_xyzw(curves.head_rotation))
    roots = [bones["hips"]]
    nodes = {}
    for name, weights in expressions.items():
        node = document.add("nodes", {"name": f"Expression_{name}"})
        moved = np.zeros((curves.n_frames, 3), np.float32)
        moved[:, 0] = weights
        animation.channel(node, "translation", times, moved)
        nodes[name] = {"node": node}
        roots.append(node)
    look = document.add("nodes", {"name": "LookAt"})
    roots.append(look)
    middle = between(curves.left_eye, curves.right_eye, np.full(curves.n_frames, 0.5, np.float32))
    animation.channel(look, "rotation", times, to_xyzw(middle))
    document.json["scene"] = document.add("scenes", {"nodes": roots})
    document.json["extensionsUsed"] = [EXTENSION]
    document.json["extensions"] = {
        EXTENSION: {
            "specVersion": "1.0",
            "humanoid": {"humanBones": {name: {"node": node} for name, node in bones.items()}},
            "expressions": {kind: nodes},
            "lookAt": {"node": look, "offsetFromHeadBone": list(LOOK_OFFSET)},
        }
    }
    document.write(path)


def _add_bones(document: GltfDocument) -> dict[str, int]:
    """Adds the humanoid in its T-pose; gives the nodes by bone."""
    nodes = {
        name: document.add("nodes", {"name": name, "translation": list(offset)}) for name, (_, offset) in BONES.items()
    }
    for name, (parent, _) in BONES.items():
        if parent is not None:
            document.json["nodes"][nodes[parent]].setdefault("children", []).append(nodes[name])
    return nodes


def read(path: Path) -> AnimationCurves:
    """Expressions as channels (presets keep VRM's names), the head's rotation and the gaze. Raises InputError."""
    document, binary = read_document(path)
    try:
        extension = document["extensions"][EXTENSION]
        expressions = {
            item["node"]: canonical_name(name)
            for kind in ("preset", "custom")
            for name, item in extension.get("expressions", {}).get(kind, {}).items()
        }
        head = extension.get("humanoid", {}).get("humanBones", {}).get("head", {}).get("node")
        look = extension.get("lookAt", {}).get("node")
        animation = document["animations"][0]
        columns, turns, times = {}, {}, None
        for channel in animation["channels"]:
            node, what = channel["target"]["node"], channel["target"]["path"]
            sampler = animation["samplers"][channel["sampler"]]
            values = accessor_values(document, binary, sampler["output"])
            if what == "translation" and node in expressions:
                columns[expressions[node]] = values[:, 0]
                times = accessor_values(document, binary, sampler["input"])
            elif what == "rotation" and node in (head, look):
                turns[node] = from_xyzw(values)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"'{path.name}' is no VRM animation ({type(error).__name__}: {error}).") from error
    if not columns:
        raise InputError(f"'{path.name}' animates no expressions.")
    weights = np.stack(list(columns.values()), axis=1)
    gaze = turns.get(look)
    return assembled(
        tuple(columns), weights, rate_of_times(times.astype(np.float64)), head=turns.get(head), left_eye=gaze,
        right_eye=gaze,
    )  # fmt: skip
