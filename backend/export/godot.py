"""Godot's Animation as a text resource: blend shape tracks and rotations of head and eyes, for Godot 4 and Godot 3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled
from backend.errors import InputError
from backend.export.angles import LIVE_LINK_DEGREES, from_xyzw, to_xyzw
from backend.export.decimals import shortest_rows
from backend.export.keys import keyed_columns, keyed_rows
from backend.export.names import canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves

EASE_LINEAR = 1.0  # Godot's transition of a key
# Godot's own Euler angles are about Y, then X, then Z, in its axes, which are ours: the same as Live Link's.
GODOT_DEGREES = LIVE_LINK_DEGREES


@dataclass(frozen=True)
class Track:
    """One track's header: Godot's type and path."""

    kind: str
    path: str

    def header(self, index: int) -> list[str]:
        """The lines before its keys."""
        fields = {"type": f'"{self.kind}"', "imported": "false", "enabled": "true",
                  "path": f'NodePath("{self.path}")', "interp": "1", "loop_wrap": "true"}  # fmt: skip
        return [f"tracks/{index}/{name} = {value}" for name, value in fields.items()]


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the resource for Godot 4."""
    _check_names(curves)
    tracks: list[tuple[Track, str]] = []
    for name, (frames, values) in zip(curves.names, keyed_columns(curves.weights, options.tolerance)):
        rows = np.stack([frames / curves.frame_rate, np.full(len(frames), EASE_LINEAR), values], axis=1)
        tracks.append((Track("blend_shape", f"{options.mesh}:{name}"), f"PackedFloat32Array({_flat(rows)})"))
    for where, turn in _turns(curves, options):
        frames, values = keyed_rows(to_xyzw(turn), options.tolerance)
        times = np.stack([frames / curves.frame_rate, np.full(len(frames), EASE_LINEAR)], axis=1)
        keys = _flat(np.concatenate([times, values], axis=1))
        tracks.append((Track("rotation_3d", where), f"PackedFloat32Array({keys})"))
    _write(path, '[gd_resource type="Animation" format=3]', curves, tracks)


def write_godot3(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the resource for Godot 3, which animates blend shapes and angles as properties."""
    _check_names(curves)
    tracks = []
    for name, (frames, values) in zip(curves.names, keyed_columns(curves.weights, options.tolerance)):
        keys = _value_keys(frames / curves.frame_rate, _flat(values[:, None]))
        tracks.append((Track("value", f"{options.mesh}:blend_shapes/{name}"), keys))
    for where, turn in _turns(curves, options):
        # Angles run over a hundred times wider than quaternion components.
        frames, angles = keyed_rows(GODOT_DEGREES.angles(turn), options.tolerance * 100)
        vectors = ", ".join(f"Vector3( {row} )" for row in shortest_rows(angles, ", "))
        tracks.append((Track("value", f"{where}:rotation_degrees"), _value_keys(frames / curves.frame_rate, vectors)))
    _write(path, '[gd_resource type="Animation" format=2]', curves, tracks)


def _value_keys(times: np.ndarray, values: str) -> str:
    ones = ", ".join(["1"] * len(times))
    return (
        '{\n"times": PoolRealArray( ' + _flat(times[:, None]) + ' ),\n"transitions": PoolRealArray( ' + ones + " ),\n"
        '"update": 0,\n"values": [ ' + values + " ]\n}"
    )


def _turns(curves: AnimationCurves, options: ExportOptions) -> list[tuple[str, np.ndarray]]:
    """Where each rotation goes, and its quaternions w x y z."""
    return [
        (options.head, curves.head_rotation),
        (f"{options.head}/LeftEye", curves.left_eye),
        (f"{options.head}/RightEye", curves.right_eye),
    ]


def _check_names(curves: AnimationCurves) -> None:
    for name in curves.names:
        if any(c in name for c in ':/"@%'):
            raise InputError(f"Godot takes no blend shape called '{name}' in an animation: rename it with --map.")


def _flat(rows: np.ndarray) -> str:
    return shortest_rows(rows.reshape(1, -1), ", ")[0]


def _write(path: Path, top: str, curves: AnimationCurves, tracks: list[tuple[Track, str]]) -> None:
    lines = [top, "", "[resource]", f'resource_name = "{re.sub(chr(34), "", path.stem)}"']
    lines += [
        f"length = {max((curves.n_frames - 1) / curves.frame_rate, 0.001):.9g}",
        f"step = {1 / curves.frame_rate:.9g}",
    ]
    for index, (track, keys) in enumerate(tracks):
        lines += [*track.header(index), f"tracks/{index}/keys = {keys}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def read(path: Path) -> AnimationCurves:
    """Curves of an Animation resource's blend shape and rotation tracks. Raises InputError."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith('[gd_resource type="Animation"'):
        raise InputError(f"'{path.name}' is no Godot Animation in text form.")
    step = re.search(r"^step = (\S+)$", text, re.MULTILINE)
    length = re.search(r"^length = (\S+)$", text, re.MULTILINE)
    rate = 1.0 / float(step.group(1)) if step else 30.0
    rate = round(rate) if abs(rate - round(rate)) < 1e-4 * rate else rate
    grid = np.arange(round(float(length.group(1) if length else 1.0) * rate) + 1) / rate
    shapes, turns = {}, {}
    pattern = (
        r'tracks/\d+/type = "(\w+)".*?/path = NodePath\("([^"]+)"\).*?/keys = (PackedFloat32Array\(.*?\)|\{.*?\n\})'
    )
    for kind, where, keys in re.findall(pattern, text, re.DOTALL):
        node, _, name = where.partition(":")
        joint = node.rpartition("/")[2]
        times, values = _read_keys(kind, name, keys)
        rows = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
        if kind == "blend_shape" or name.startswith("blend_shapes/"):
            shapes[name.removeprefix("blend_shapes/")] = rows[:, 0]
        elif kind == "rotation_3d":
            turns[joint] = from_xyzw(rows)
        elif name == "rotation_degrees":
            turns[joint] = GODOT_DEGREES.quaternions(rows)
    if not shapes:
        raise InputError(f"'{path.name}' animates no blend shapes.")
    return assembled(
        canonical_names(tuple(shapes)),
        np.stack(list(shapes.values()), axis=1),
        rate,
        head=turns.get("Head"),
        left_eye=turns.get("LeftEye"),
        right_eye=turns.get("RightEye"),
    )


def _read_keys(kind: str, name: str, keys: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (k,) s and values (k, width) of a track's keys."""
    try:
        if keys.startswith("Packed"):
            width = 6 if kind == "rotation_3d" else 3
            rows = np.array(keys[keys.index("(") + 1 : -1].split(","), np.float64).reshape(-1, width)
            return rows[:, 0], rows[:, 2:]
        times = re.search(r'"times": PoolRealArray\((.*?)\)', keys).group(1)
        values = re.sub(r"Vector3\(|\)", "", re.search(r'"values": \[(.*?)\]', keys, re.DOTALL).group(1))
        width = 3 if name == "rotation_degrees" else 1
        return np.array(times.split(","), np.float64), np.array(values.split(","), np.float64).reshape(-1, width)
    except (ValueError, AttributeError) as error:
        raise InputError(f"The keys of the track '{name or kind}' cannot be read ({error}).") from error
