"""Identity modes that landmarks of photos cannot tell: skull, neck, ears and depth, from anthropometric surveys.

Spreads are standard deviations of adults in ANSUR II (Gordon et al. 2014): head length 7 mm, head breadth 5.5 mm, neck
circumference about 25 mm (4 mm of radius), ear length 4 mm, ear protrusion 3 mm; nose protrusion 2 mm (Farkas 1994).
"""

from __future__ import annotations

import numpy as np

from bfm.sources.building.anatomy import smoothstep


def anthropometric_modes(points: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Modes (10, n, 3) mm per standard deviation of head points (n, 3) mm; part (n,) names each point's part."""
    x, y, z = points.T
    skull, ear = part == "skull", (part == "left_ear") | (part == "right_ear")
    behind = np.where(skull, smoothstep(z, -25.0, -110.0), 0.0)
    vault = np.where(skull, smoothstep(y, 25.0, 75.0), 0.0)
    sides = np.where(
        skull, smoothstep(np.abs(x), 35.0, 65.0) * smoothstep(z, -35.0, -80.0) * smoothstep(y, -75, -10), 0.0
    )
    neck = np.where(skull, smoothstep(y, -95.0, -135.0), 0.0)
    bottom = np.where(skull, smoothstep(y, -110.0, -170.0), 0.0)
    middle = np.where(ear, np.sign(x) * 78.0, 0.0)
    soft = (part != "left_ear") & (part != "right_ear")
    nose = np.where(soft, np.exp(-((x / 13.0) ** 2) - ((y + 36.0) / 14.0) ** 2) * smoothstep(z, 12.0, 30.0), 0.0)
    chin = np.where(soft, np.exp(-((x / 24.0) ** 2) - ((y + 98.0) / 16.0) ** 2) * smoothstep(z, -35.0, 0.0), 0.0)
    axis = np.sign(x) * np.minimum(np.abs(x) / 60.0, 1.0)
    radial = np.stack([x / 55.0, np.zeros_like(x), (z + 100.0) / 55.0], axis=1)
    zero = np.zeros_like(x)

    def along(weight: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
        return weight[:, None] * np.array(direction)

    ears = ear.astype(float)
    return np.stack(
        [
            along(behind, (0.0, 0.0, -7.0)),
            along(vault, (0.0, 6.0, 0.0)),
            along(sides * axis + 0.6 * ears * np.sign(x), (2.8, 0.0, 0.0)),
            4.0 * neck[:, None] * radial,
            along(bottom, (0.0, -10.0, 0.0)),
            np.stack([zero, ears * (y + 15.0) * 0.065, ears * (z + 76.0) * 0.065], axis=1),
            along(ears * np.sign(x) * smoothstep(np.abs(x - middle), 12.0, 0.0), (3.0, 0.0, 0.0)),
            along(nose, (0.0, 0.0, 2.0)),
            along(chin, (0.0, 0.0, 3.0)),
            along(behind * smoothstep(y, -20.0, 40.0), (0.0, 4.0, -2.0)),
        ]
    )
