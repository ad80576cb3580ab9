"""glTF and GLB: the project's head with its targets and one weights channel, or the animation on a user's own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled, on_even_grid, rate_of_times
from backend.errors import InputError
from backend.export.angles import from_xyzw, to_xyzw
from backend.export.gltf_document import (
    INDEX_BUFFER,
    VERTEX_BUFFER,
    GltfAnimation,
    GltfDocument,
    accessor_values,
    read_document,
)
from backend.export.head_mesh import HeadMesh, head_of
from backend.export.names import arkit_columns, canonical_name, canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves

ANIMATION = "EmoRig"
HEAD, FACE, LEFT_EYE, RIGHT_EYE = "Head", "Face", "LeftEye", "RightEye"
# Head bones of rigs in circulation, in lower case without separators and prefixes.
HEAD_BONES = ("head", "jbipchead", "bip001head", "mixamorighead", "ccbasehead", "headjnt", "defhead")


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the head with the animation, or options.onto's model with it. Raises InputError."""
    if options.onto is not None:
        write_onto(curves, path, onto=options.onto)
        return
    head = head_of(curves)
    document = GltfDocument()
    nodes = add_head(document, head)
    animation = document.animation(ANIMATION)
    times = frame_times(curves)
    animation.channel(nodes[FACE], "weights", times, arkit_columns(curves))
    for name, turn in ((HEAD, curves.head_rotation), (LEFT_EYE, curves.left_eye), (RIGHT_EYE, curves.right_eye)):
        animation.channel(nodes[name], "rotation", times, to_xyzw(turn))
    document.write(path)


def frame_times(curves: AnimationCurves) -> np.ndarray:
    """Times (n_frames,) s of the frames as float32."""
    return (np.arange(curves.n_frames) / curves.frame_rate).astype(np.float32)


def add_head(document: GltfDocument, head: HeadMesh) -> dict[str, int]:
    """Adds the head's mesh, material and nodes as the scene; gives the nodes by name."""
    attributes = {
        "POSITION": document.accessor(head.vertices, target=VERTEX_BUFFER, bounds=True),
        "NORMAL": document.accessor(head.normals, target=VERTEX_BUFFER),
        # glTF's v runs downwards.
        "TEXCOORD_0": document.accessor(
            np.stack([head.uv[:, 0], 1.0 - head.uv[:, 1]], axis=1).astype(np.float32), target=VERTEX_BUFFER
        ),
        "COLOR_0": document.accessor(np.clip(head.colors, 0, 1).astype(np.float32), target=VERTEX_BUFFER),
    }
    targets = []
    for i in range(len(head.names)):
        rows = head.moved_points(i)
        moved = document.sparse_accessor(head.targets[i], rows, bounds=True)
        targets.append({"POSITION": moved, "NORMAL": document.sparse_accessor(head.target_normals[i], rows)})
    skin = {"name": "Skin", "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.6}}
    primitive = {
        "attributes": attributes,
        "indices": document.accessor(head.triangles.ravel().astype(np.uint32), target=INDEX_BUFFER),
        "material": document.add("materials", skin),
        "targets": targets,
    }
    mesh = document.add(
        "meshes",
        {
            "name": FACE,
            "primitives": [primitive],
            "weights": [0.0] * len(targets),
            "extras": {"targetNames": list(head.names)},
        },
    )
    nodes = {FACE: document.add("nodes", {"name": FACE, "mesh": mesh, "translation": _list(-head.pivot)})}
    for name, centre in ((LEFT_EYE, head.left_eye), (RIGHT_EYE, head.right_eye)):
        nodes[name] = document.add("nodes", {"name": name, "translation": _list(centre - head.pivot)})
    item = {"name": HEAD, "translation": _list(head.pivot), "children": list(nodes.values())}
    nodes[HEAD] = document.add("nodes", item)
    document.json["scene"] = document.add("scenes", {"nodes": [nodes[HEAD]]})
    return nodes


def write_onto(curves: AnimationCurves, path: Path, *, onto: Path) -> None:
    """Writes a user's model with the animation added: every mesh whose targets bear our names, and its head bone.

    Raises InputError where no target of the model is matched, naming what it has.
    """
    source, binary = read_document(onto)
    if len(source.get("buffers", [])) > 1:
        raise InputError(f"'{onto.name}' has more than one buffer: save it as one .glb first.")
    document = GltfDocument(source, binary)
    animation = document.animation(ANIMATION)
    try:
        matched = _animate_meshes(curves, document, animation)
        if not matched:
            raise InputError(_nothing_matched(source, onto))
        _animate_head(curves, document, animation)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{onto.name}' is not a valid glTF model ({error}).") from error
    document.write(path)


def target_names(mesh: dict) -> tuple[str, ...]:
    """Names of a mesh's targets, by the targetNames convention; empty where it states none."""
    names = mesh.get("extras", {}).get("targetNames")
    if names is None:
        names = next(
            (p["extras"]["targetNames"] for p in mesh["primitives"] if "targetNames" in p.get("extras", {})), ()
        )
    n_targets = len(mesh["primitives"][0].get("targets", ()))
    return tuple(names) if len(names) == n_targets else ()


def _animate_meshes(curves: AnimationCurves, document: GltfDocument, animation: GltfAnimation) -> int:
    """Adds a weights channel to each node whose mesh has matching targets; gives how many targets are driven."""
    matched, times = 0, frame_times(curves)
    column = {name: i for i, name in enumerate(curves.names)}
    for index, node in enumerate(document.json.get("nodes", [])):
        if "mesh" not in node:
            continue
        mesh = document.json["meshes"][node["mesh"]]
        names = target_names(mesh)
        found = [column.get(name, column.get(canonical_name(name))) for name in names]
        if not any(f is not None for f in found):
            continue
        rest = node.get("weights", mesh.get("weights", [0.0] * len(names)))
        weights = np.tile(np.array(rest, np.float32), (curves.n_frames, 1))
        for target, source in enumerate(found):
            if source is not None:
                weights[:, target] = curves.weights[:, source]
                matched += 1
        animation.channel(index, "weights", times, weights)
    return matched


def _animate_head(curves: AnimationCurves, document: GltfDocument, animation: GltfAnimation) -> None:
    """Turns the model's head bone, whatever its rest orientation, by the curves' rotation in the model's space."""
    from scipy.spatial.transform import Rotation

    nodes = document.json.get("nodes", [])
    head = next((i for i, node in enumerate(nodes) if _is_head(node)), None)
    if head is None or "matrix" in nodes[head]:
        return
    parent_of = {child: i for i, node in enumerate(nodes) for child in node.get("children", ())}
    above, at = Rotation.identity(), head
    for _ in nodes:
        if at not in parent_of:
            break
        at = parent_of[at]
        above = Rotation.from_quat(nodes[at].get("rotation", (0, 0, 0, 1))) * above
    rest = Rotation.from_quat(nodes[head].get("rotation", (0, 0, 0, 1)))
    turn = Rotation.from_quat(curves.head_rotation[:, [1, 2, 3, 0]])
    local = (above.inv() * turn * above * rest).as_quat()[:, [3, 0, 1, 2]]
    animation.channel(head, "rotation", frame_times(curves), to_xyzw(local))


def _is_head(node: dict) -> bool:
    name = "".join(c for c in node.get("name", "").lower() if c.isalnum())
    return name in HEAD_BONES and "mesh" not in node


def _nothing_matched(document: dict, onto: Path) -> str:
    names = [name for mesh in document.get("meshes", []) for name in target_names(mesh)]
    if not names:
        return f"'{onto.name}' has no named targets (shape keys): export the model with its shape keys and their names."
    return f"'{onto.name}' has {len(names)} targets such as '{names[0]}', none named as these curves: use --map."


def read(path: Path) -> AnimationCurves:
    """The curves of a file's first animation that has a weights channel. Raises InputError."""
    document, binary = read_document(path)
    try:
        for animation in document.get("animations", []):
            for channel in animation["channels"]:
                node = document["nodes"][channel["target"]["node"]]
                if channel["target"]["path"] == "weights":
                    names = target_names(document["meshes"][node["mesh"]])
                    if names:
                        return _read_animation(document, binary, animation, channel, names)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{path.name}' is not valid glTF ({error}).") from error
    raise InputError(f"'{path.name}' animates no named targets (shape keys): expected a 'weights' channel.")


def _read_animation(document, binary: bytes, animation: dict, channel: dict, names: tuple[str, ...]) -> AnimationCurves:
    times, values = _sampled(document, binary, animation, channel)
    weights = values.reshape(len(times), len(names))
    rate = rate_of_times(times.astype(np.float64))
    turns = {}
    for other in animation["channels"]:
        name = document["nodes"][other["target"]["node"]].get("name", "")
        if other["target"]["path"] == "rotation" and name in (HEAD, LEFT_EYE, RIGHT_EYE):
            turn_times, turn = _sampled(document, binary, animation, other)
            if len(turn_times) == len(times):
                turns[name] = from_xyzw(turn)
    return assembled(
        canonical_names(names),
        on_even_grid(times.astype(np.float64), weights, rate),
        rate,
        head=turns.get(HEAD),
        left_eye=turns.get(LEFT_EYE),
        right_eye=turns.get(RIGHT_EYE),
    )


def _sampled(document, binary: bytes, animation: dict, channel: dict) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) and values (n rows) of a channel; of cubic splines the values at the keys."""
    sampler = animation["samplers"][channel["sampler"]]
    times = accessor_values(document, binary, sampler["input"])
    values = accessor_values(document, binary, sampler["output"])
    if sampler.get("interpolation") == "CUBICSPLINE":
        values = values.reshape(len(times), 3, -1)[:, 1]
    return times, values


def _list(values: np.ndarray) -> list[float]:
    return [float(v) for v in values]
