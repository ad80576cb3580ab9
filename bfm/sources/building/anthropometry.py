"""Identity modes after anthropometric surveys: what landmarks of photos cannot tell, and the spread that they lack.

Photos are aligned and their landmarks drawn to the average, so overall size, skull, neck and ears are missing from the
measured modes, and breadths and lengths of the face vary too little. Each mode here is one such dimension. Those of the
face get the amplitude that brings its standard deviation, together with the measured modes, to the published one.

Standard deviations of adults, mean of women's and men's: face, Zhuang & Bradtmiller 2005 ("Head-and-Face Anthropometric
Survey of U.S. Respirator Users", 3,997 people); head, neck and ears, Gordon et al. 2014 (ANSUR II, 6,068 people).
"""

from __future__ import annotations

import numpy as np

from bfm.landmarks import INNER_LIP_PAIRS
from bfm.sources.building.anatomy import smoothstep

FACE_SPREAD = {
    "bizygomatic breadth": ((234, 454), 6.7),
    "bigonial breadth": ((172, 397), 9.6),
    "menton-sellion length": ((152, 168), 6.6),
    "subnasale-sellion length": ((2, 168), 3.9),
    "nose breadth": ((64, 294), 4.0),
    "nose protrusion": ((2, 4), 2.7),
    "lip length": ((61, 291), 4.1),
}
"""Dimension → the landmarks that it lies between, and its standard deviation in mm."""
SIZE_SPREAD = 0.025
"""Standard deviation of overall size as a share: the first component of head shape in every survey."""
HEAD_LENGTH, HEAD_BREADTH = (197.0, 7.3), (152.0, 5.8)
"""Mean and standard deviation in mm."""
N_MODES = 17

_RIGID = ("upper_teeth", "lower_teeth", "tongue", "left_eye", "right_eye")


def anthropometric_modes(points: np.ndarray, part: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Modes (17, n, 3) mm per standard deviation of head points (n, 3) mm whose first are the skin's landmarks.

    part (n,): name of each point's part. measured (k, 478, 3) mm: the other identity modes.
    """
    fixed = np.concatenate([_size(points)[None], _head_and_neck(points, part)])
    face = _rigid_parts_carried(_face(points), part)
    face *= amplitudes(points, measured, fixed, face)[:, None, None]
    return np.concatenate([face, fixed])


def amplitudes(points: np.ndarray, measured: np.ndarray, fixed: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Standard deviations (7,) of the face's fields (7, n, 3) that complete the published spread of FACE_SPREAD."""
    from scipy.optimize import nnls

    def slopes(modes: np.ndarray) -> np.ndarray:
        """Change of each dimension (7, k) in mm under each mode (k, n, 3)."""
        rows = []
        for (first, second), _ in FACE_SPREAD.values():
            along = points[first] - points[second]
            rows.append((modes[:, first] - modes[:, second]) @ along / np.linalg.norm(along))
        return np.stack(rows)

    wanted = np.array([deviation**2 for _, deviation in FACE_SPREAD.values()])
    present = (slopes(measured) ** 2).sum(1) + (slopes(fixed) ** 2).sum(1)
    relative = slopes(face) ** 2 / wanted[:, None]
    return np.sqrt(nnls(relative, np.maximum(wanted - present, 0.0) / wanted)[0])


def _size(points: np.ndarray) -> np.ndarray:
    """Overall size about the eyes' midpoint (n, 3)."""
    return SIZE_SPREAD * points


def _face(points: np.ndarray) -> np.ndarray:
    """Fields (7, n, 3), one for each dimension of FACE_SPREAD, about 1 mm each."""
    x, y, z = points.T
    side, across = np.sign(x), np.abs(x)
    zero = np.zeros_like(x)

    def along(weight: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
        return weight[:, None] * np.array(direction)

    cheeks = side * smoothstep(across, 24.0, 66.0) * np.exp(-(((y + 22.0) / 34.0) ** 2)) * smoothstep(z, -100.0, -55.0)
    jaw = side * smoothstep(across, 8.0, 52.0) * np.exp(-(((y + 78.0) / 30.0) ** 2)) * smoothstep(z, -88.0, -45.0)
    front = smoothstep(z, -80.0, -30.0)
    lower = -smoothstep(y, -46.0, -98.0) * front
    middle = -smoothstep(y, -4.0, -46.0) * front
    wings = np.tanh(x / 9.0) * np.exp(-((np.maximum(across - 17.0, 0.0) / 8.0) ** 2) - ((y + 40.0) / 11.0) ** 2)
    wings *= smoothstep(z, 2.0, 16.0)
    nose = np.exp(-((x / 13.0) ** 2) - ((y + 36.0) / 14.0) ** 2) * smoothstep(z, 12.0, 30.0)
    mouth = np.tanh(x / 20.0) * np.exp(-((np.maximum(across - 26.0, 0.0) / 13.0) ** 2) - ((y + 72.0) / 17.0) ** 2)
    mouth *= smoothstep(z, -40.0, -10.0)
    return np.stack(
        [
            along(cheeks, (0.5, 0.0, 0.0)),
            along(jaw, (0.5, 0.0, 0.0)),
            along(lower, (0.0, 1.0, 0.0)),
            along(middle, (0.0, 1.0, 0.0)),
            along(wings, (0.5, 0.0, 0.0)),
            along(nose, (0.0, 0.0, 1.0)),
            np.stack([0.5 * mouth, zero, -0.012 * np.abs(mouth) * across], axis=1),
        ]
    )


def _rigid_parts_carried(fields: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Fields (k, n, 3) under which teeth and tongue go as one with the lips, and eyeballs stay."""
    carried = fields.copy()
    lips = fields[:, [index for pair in INNER_LIP_PAIRS for index in pair]].mean(1)
    for name in _RIGID:
        carried[:, part == name] = 0.0 if name.endswith("eye") else lips[:, None]
    return carried


def _head_and_neck(points: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Modes (9, n, 3) mm per standard deviation of skull, neck, ears and chin, beyond what size does to them.

    Neck circumference 25 mm (4 mm of radius), ear length 4 mm, ear protrusion 3 mm.
    """
    x, y, z = points.T
    skull, ear = part == "skull", (part == "left_ear") | (part == "right_ear")
    behind = np.where(skull, smoothstep(z, -25.0, -110.0), 0.0)
    vault = np.where(skull, smoothstep(y, 25.0, 75.0), 0.0)
    sides = np.where(
        skull, smoothstep(np.abs(x), 35.0, 65.0) * smoothstep(z, -35.0, -80.0) * smoothstep(y, -75, -10), 0.0
    )
    neck = np.where(skull, smoothstep(y, -95.0, -135.0), 0.0)
    bottom = np.where(skull, smoothstep(y, -110.0, -170.0), 0.0)
    chin = np.where(~ear, np.exp(-((x / 24.0) ** 2) - ((y + 98.0) / 16.0) ** 2) * smoothstep(z, -35.0, 0.0), 0.0)
    axis = np.sign(x) * np.minimum(np.abs(x) / 60.0, 1.0)
    radial = np.stack([x / 55.0, np.zeros_like(x), (z + 100.0) / 55.0], axis=1)
    longer, broader = (
        np.sqrt(deviation**2 - (SIZE_SPREAD * mean) ** 2) for mean, deviation in (HEAD_LENGTH, HEAD_BREADTH)
    )

    def along(weight: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
        return weight[:, None] * np.array(direction)

    ears = ear.astype(float)
    return np.stack(
        [
            along(behind, (0.0, 0.0, -longer)),
            along(vault, (0.0, 6.0, 0.0)),
            along(sides * axis + 0.9 * ears * np.sign(x), (broader / 2.0, 0.0, 0.0)),
            4.0 * neck[:, None] * radial,
            along(bottom, (0.0, -10.0, 0.0)),
            np.stack([np.zeros_like(x), ears * (y + 15.0) * 0.065, ears * (z + 76.0) * 0.065], axis=1),
            along(ears * np.sign(x) * smoothstep(np.abs(x), 74.0, 92.0), (3.0, 0.0, 0.0)),
            along(chin, (0.0, 0.0, 3.0)),
            along(behind * smoothstep(y, -20.0, 40.0), (0.0, 4.0, -2.0)),
        ]
    )
