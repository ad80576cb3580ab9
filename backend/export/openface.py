"""FACS action units with OpenFace's columns: intensities 0-5, presence, head pose and gaze in its camera's axes.

OpenFace's axes: x right in the picture, y down, z away from the camera, R = Rx Ry Rz, radians and millimetres.
Gaze vectors are in these axes too and hold the head's rotation; gaze_0 is the eye to the left in the picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled, on_even_grid, rate_of_times
from backend.errors import InputError
from backend.export.angles import OPENFACE
from backend.export.decimals import fixed_rows
from backend.export.options import ExportOptions
from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS, EXPRESSION_DIMS
from bfm.facs import AU_CHANNELS, au_weights
from blender_addon.protocol.types import ARKIT_NAMES, AnimationCurves, channel_subset

INTENSITY_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
PRESENCE_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)
FULL = 5.0  # intensity of FACS level E
PRESENT = 1.0  # intensity from which a unit counts as present
DISTANCE = 1000.0  # millimetres from the camera, which curves do not know
FLIP = np.array([1.0, -1.0, -1.0])  # our axes to OpenFace's
HEADER = (
    "frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x", "gaze_0_y", "gaze_0_z", "gaze_1_x",
    "gaze_1_y", "gaze_1_z", "gaze_angle_x", "gaze_angle_y", "pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry",
    "pose_Rz", *(f"AU{unit:02d}_r" for unit in INTENSITY_UNITS), *(f"AU{unit:02d}_c" for unit in PRESENCE_UNITS),
)  # fmt: skip


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes one row per frame; action units are solved from the channels, the eyes from the head and eye rotations."""
    n_frames = curves.n_frames
    intensities = unit_intensities(curves, PRESENCE_UNITS) * FULL
    shown = intensities[:, [PRESENCE_UNITS.index(unit) for unit in INTENSITY_UNITS]]
    gaze = [_direction(curves.head_rotation, eye) for eye in (curves.right_eye, curves.left_eye)]
    mean = gaze[0] + gaze[1]
    angles = np.arctan2(mean[:, :2], -mean[:, 2:])
    place = np.broadcast_to([0.0, 0.0, DISTANCE], (n_frames, 3))
    pose = OPENFACE.angles(curves.head_rotation)
    values = np.concatenate([*gaze, angles, place, pose, shown], axis=1)
    present = (intensities >= PRESENT).astype(int).tolist()
    rows = [
        f"{i + 1},0,{i / curves.frame_rate:.3f},1.00,1,{row},{','.join(map(str, flags))}"
        for i, (row, flags) in enumerate(zip(fixed_rows(values, 4), present))
    ]
    path.write_text("\n".join([",".join(HEADER), *rows]) + "\n", encoding="ascii", newline="")


def unit_intensities(curves: AnimationCurves, units: tuple[int, ...]) -> np.ndarray:
    """Intensities (n_frames, n_units) 0-1 of action units that best explain the channels."""
    from backend.curves.convert import arkit_weights
    from backend.curves.solve import mixed_from

    poses = arkit_weights(np.stack([au_weights({unit: 1.0}) for unit in units]), clip=False)
    return mixed_from(poses, channel_subset(curves.names, curves.weights, ARKIT_NAMES))


def _direction(head: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Unit gaze vectors (n_frames, 3) in OpenFace's axes of quaternions (n_frames, 4)."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_quat(head[:, [1, 2, 3, 0]]) * Rotation.from_quat(eye[:, [1, 2, 3, 0]])
    return turn.apply([0.0, 0.0, 1.0]) * FLIP


def read(path: Path) -> AnimationCurves:
    """Curves of OpenFace's output; frames that it did not track are filled from their neighbours. Raises InputError."""
    from backend.curves.convert import arkit_weights

    column, values = _read_table(path)
    times, values = _tracked(path, column, values)
    rate = rate_of_times(times)
    values = on_even_grid(times, values, rate)
    weights = np.zeros((len(values), EXPRESSION_DIMS), np.float32)
    for unit, channels in AU_CHANNELS.items():
        name = f"AU{unit:02d}_r"
        if name not in column:
            continue
        intensity = np.clip(values[:, column[name]] / FULL, 0.0, 1.0)
        for channel, share in channels.items():
            index = EXPRESSION_CHANNELS.index(channel)
            weights[:, index] = np.maximum(weights[:, index], share * intensity)
    head, left, right = _rotations(column, values)
    if left is not None:
        _look(weights, left, right)
    return assembled(ARKIT_NAMES, arkit_weights(weights), rate, head=head, left_eye=left, right_eye=right)


def _read_table(path: Path) -> tuple[dict[str, int], np.ndarray]:
    """Column number by name, and the values (n_rows, n_columns)."""
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    column = {name: i for i, name in enumerate(header)}
    if not any(name.startswith("AU") and name.endswith("_r") for name in header):
        raise InputError(f"'{path.name}' has no action unit intensities (AU01_r …): run OpenFace with -aus.")
    if "timestamp" not in column:
        raise InputError(f"'{path.name}' has no 'timestamp' column: expected OpenFace's output of a video.")
    try:
        values = np.array([line.split(",") for line in lines[1:]], np.float64).reshape(-1, len(header))
    except ValueError as error:
        raise InputError(f"'{path.name}' holds rows that are no numbers or of other lengths ({error}).") from error
    return column, values


def _tracked(path: Path, column: dict[str, int], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) s and rows of the one face's tracked frames. Raises InputError for several faces or none."""
    if "face_id" in column and len(set(values[:, column["face_id"]].tolist())) > 1:
        raise InputError(f"'{path.name}' holds several faces: keep the rows of one face_id.")
    if "success" in column:
        values = values[values[:, column["success"]] > 0.5]
    if len(values) == 0:
        raise InputError(f"'{path.name}' holds no tracked frame.")
    if not np.isfinite(values).all():
        raise InputError(f"'{path.name}' holds values that are not finite numbers.")
    return values[:, column["timestamp"]], values


def _rotations(column: dict[str, int], values: np.ndarray) -> tuple[np.ndarray | None, ...]:
    """Head, left and right eye (n_frames, 4), None for what the columns lack."""
    from scipy.spatial.transform import Rotation

    def columns(*names: str) -> np.ndarray | None:
        return values[:, [column[name] for name in names]] if set(names) <= set(column) else None

    pose = columns("pose_Rx", "pose_Ry", "pose_Rz")
    head = None if pose is None else OPENFACE.quaternions(pose)
    turn = Rotation.identity(len(values)) if head is None else Rotation.from_quat(head[:, [1, 2, 3, 0]])
    eyes = []
    for eye in (1, 0):
        gaze = columns(f"gaze_{eye}_x", f"gaze_{eye}_y", f"gaze_{eye}_z")
        if gaze is None:
            return head, None, None
        x, y, z = turn.inv().apply(gaze * FLIP).T
        angles = np.stack([np.arctan2(-y, np.hypot(x, z)), np.arctan2(x, z)], axis=1)
        eyes.append(_pitch_yaw(angles))
    return head, eyes[0], eyes[1]


def _pitch_yaw(angles: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) w x y z that look down by pitch and to the character's left by yaw (n, 2)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("YX", angles[:, ::-1]).as_quat()[:, [3, 0, 1, 2]]


def _look(weights: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Sets the eyeLook channels (in place) that turn the eyes as the rotations do."""
    from backend.export.angles import LIVE_LINK
    from blender_addon.protocol.layers import EYE_PITCH_RANGE, EYE_YAW_RANGE

    for side, turn, outward in (("Left", left, 1.0), ("Right", right, -1.0)):
        pitch, yaw, _ = LIVE_LINK.angles(turn).T
        amounts = {
            "Out": outward * yaw / EYE_YAW_RANGE,
            "In": -outward * yaw / EYE_YAW_RANGE,
            "Down": pitch / EYE_PITCH_RANGE,
            "Up": -pitch / EYE_PITCH_RANGE,
        }
        for way, amount in amounts.items():
            weights[:, CHANNEL_INDEX[f"eyeLook{way}{side}"]] = np.clip(amount, 0.0, 1.0)
