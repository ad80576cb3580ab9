"""Displacements of the landmarks in millimetres under each expression channel at full activation.

Every function returns (478, 3) mm. Paired channels are made for the character's left and mirrored. Openings between the
lips are never negative except for mouthClose, which takes back exactly what jawOpen opens; lid motions are multiples of
the rest opening, so that FaceModel can close them exactly. Amplitudes follow the 1st–99th percentiles of measured
landmarks of 14 speaking and grimacing faces (inner-lip opening 0–38 mm, mouth width 30–66 mm, brow travel ±5 mm).
"""

from __future__ import annotations

import numpy as np

from bfm.coefficients import EXPRESSION_CHANNELS
from bfm.sources.building import muscles_eyes, muscles_mouth
from bfm.sources.building.anatomy import Anatomy


def channel_displacements(anatomy: Anatomy) -> np.ndarray:
    """Displacements (64, 478, 3) in mm at full activation, in the order of EXPRESSION_CHANNELS."""
    fields = {**muscles_eyes.displacements(anatomy), **muscles_mouth.displacements(anatomy)}
    for name in [name for name in fields if name.endswith("Left")]:
        fields.setdefault(name[: -len("Left")] + "Right", anatomy.mirrored(fields[name]))
    unknown = set(fields) - set(EXPRESSION_CHANNELS)
    assert not unknown, f"fields without a channel: {sorted(unknown)}"
    still = np.zeros_like(anatomy.points)
    return np.stack([fields.get(name, still) for name in EXPRESSION_CHANNELS])
