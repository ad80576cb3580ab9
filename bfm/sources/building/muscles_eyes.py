"""Eyes, brows, forehead and nose: landmark displacements in millimetres at full activation."""

from __future__ import annotations

import numpy as np

from bfm.camera import rotation_matrix
from bfm.landmarks import LEFT_IRIS, LEFT_LID_PAIRS, LEFT_LOWER_LID_RINGS, LEFT_UPPER_LID_RINGS
from bfm.sources.building.anatomy import EYEBALL_RADIUS, LID_THICKNESS, Anatomy, smoothstep

BLINK_LOWER_SHARE = 0.14
"""Share of the rest opening that the lower lid travels in a blink; the upper lid travels the rest."""

GAZE_DEGREES = {
    "eyeLookUp": (-25.0, 0.0),
    "eyeLookDown": (30.0, 0.0),
    "eyeLookIn": (0.0, -32.0),
    "eyeLookOut": (0.0, 36.0),
}
"""Left eyeball's rotation (pitch, yaw) in degrees at full activation; in = towards the nose."""

# Change of the opening at full activation, as a share of the rest opening: (upper lid's part, lower lid's part).
LID_SHARES = {
    "eyeLookDown": (-0.62, -0.20),
    "eyeLookUp": (0.26, 0.12),
    "eyeSquint": (-0.08, 0.22),
    "eyeWide": (0.32, -0.04),
    "cheekSquint": (-0.01, 0.15),
    "mouthSmile": (-0.01, 0.05),
}

BROW_LINE = ((0.0, 12.5, 20.0, 28.0, 41.0, 50.0, 56.0, 66.0), (14.0, 16.5, 19.0, 20.5, 20.0, 17.5, 15.5, 13.0))
"""Middle of the left brow: x and y in mm."""

# How much of the margin's travel the rings beyond it follow, from the margin outwards.
UPPER_FOLLOW = (1.0, 0.42, 0.10)
LOWER_FOLLOW = (1.0, 0.62, 0.30)


def _lid_field(anatomy: Anatomy, upper_share: float, lower_share: float) -> np.ndarray:
    """Lids moved by shares of the rest opening (positive = up) and kept on the eyeball at their own distance."""
    p, center = anatomy.points, anatomy.eyeballs[1]
    field = np.zeros_like(p)
    for column, (upper, lower) in enumerate(LEFT_LID_PAIRS, start=1):
        opening = p[upper] - p[lower]
        for index, share, rings, follow in (
            (upper, upper_share, LEFT_UPPER_LID_RINGS, UPPER_FOLLOW),
            (lower, lower_share, LEFT_LOWER_LID_RINGS, LOWER_FOLLOW),
        ):
            moved = p[index] + share * opening
            moved[2] += _bulge(p[index], moved, center)
            travel = moved - p[index]
            for ring, part in zip(rings, follow):
                field[ring[column]] += part * travel * ([1.0, 1.0, 1.0] if part == 1.0 else [1.0, 1.0, 0.5])
    return field


def _bulge(start: np.ndarray, moved: np.ndarray, center: np.ndarray) -> float:
    """Depth in mm to add so that a lid point keeps its distance from the eyeball's centre on its way."""
    radius = np.linalg.norm(start - center)
    room = radius**2 - ((moved[:2] - center[:2]) ** 2).sum()
    return float(center[2] + np.sqrt(max(room, 0.0)) - moved[2]) if room > 0 else 0.0


def _blink(anatomy: Anatomy) -> np.ndarray:
    """The left eye closed: both margins meet on one line over the eyeball, most of the way travelled by the upper."""
    p, center = anatomy.points, anatomy.eyeballs[1]
    field = _lid_field(anatomy, -(1.0 - BLINK_LOWER_SHARE), BLINK_LOWER_SHARE)
    for upper, lower in LEFT_LID_PAIRS:
        meeting = p[lower] + BLINK_LOWER_SHARE * (p[upper] - p[lower])
        away = np.linalg.norm(meeting[:2] - center[:2])
        reach = EYEBALL_RADIUS + LID_THICKNESS
        surface = center[2] + np.sqrt(max(reach**2 - away**2, 0.0))
        meeting[2] = max(surface, meeting[2])
        field[upper], field[lower] = meeting - p[upper], meeting - p[lower]
    return field


def _gaze(anatomy: Anatomy, name: str) -> np.ndarray:
    """The left iris turned with the eyeball and the lids that follow it."""
    p, center = anatomy.points, anatomy.eyeballs[1]
    pitch, yaw = np.radians(GAZE_DEGREES[name])
    turn = rotation_matrix(np.array([pitch, yaw, 0.0]))
    field = _lid_field(anatomy, *LID_SHARES.get(name, (0.0, 0.0)))
    iris = list(LEFT_IRIS)
    field[iris] = (p[iris] - center) @ turn.T + center - p[iris]
    if yaw:
        lids = anatomy.bell(center[0], center[1], 9.0, 7.0) * anatomy.left()
        lids[iris] = 0.0
        field += lids[:, None] * np.array([2.0 * np.sign(yaw), 0.1, 0.0])
    return field


def _brows(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Frontalis, corrugator and procerus: brows and forehead of the left side, and the furrow of both."""
    p = anatomy.field_points
    x, y = np.abs(p[:, 0]), p[:, 1]
    left = anatomy.left(7.0)
    # The brow and 4 mm around it move fully; the skin above follows with a falloff to the hairline, the lid little.
    above = y - np.interp(x, *BROW_LINE)
    band = np.exp(
        -0.5 * np.where(above > 0.0, np.maximum(above - 4.0, 0.0) / 15.0, np.maximum(-above - 3.5, 0.0) / 4.2) ** 2
    )
    inner, outer = smoothstep(x, 50.0, 12.0), smoothstep(x, 14.0, 40.0) * smoothstep(x, 76.0, 50.0)
    whole = smoothstep(x, 78.0, 44.0) * (0.55 + 0.45 * smoothstep(x, 2.0, 14.0))
    glabella = np.exp(-0.5 * (x / 9.0) ** 2) * np.exp(-0.5 * ((y - 12.0) / 8.0) ** 2)

    def push(weight: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
        return weight[:, None] * np.array(direction)

    raise_inner = push(band * inner * left, (0.2, 6.2, -0.3)) + push(glabella * 0.3 * left, (0.0, 3.0, 0.0))
    lower = push(band * whole * left * (0.75 + 0.25 * smoothstep(x, 4.0, 24.0)), (-3.0, -4.8, 1.8))
    lower += push(glabella * left, (0.0, -1.6, 0.6))
    gather = push(band * inner * left * smoothstep(x, 0.0, 9.0), (-3.6, -1.6, 1.2))
    furrow = gather + anatomy.mirrored(gather) + push(glabella, (0.0, -1.2, 1.2))
    return {
        "browInnerUpLeft": raise_inner,
        "browInnerUp": raise_inner + anatomy.mirrored(raise_inner),
        "browOuterUpLeft": push(band * outer * left, (1.6, 7.6, -2.2)),
        "browDownLeft": lower,
        "browFurrow": furrow,
    }


def _nose_and_cheek(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Levator alaeque nasi, nasalis and the upper cheek of the left side."""
    left, left_lip = anatomy.left(5.0)[:, None], anatomy.left(11.0)[:, None]
    bell = anatomy.bell
    wing = bell(18.5, -38.0, 6.0, 7.0)[:, None]
    bridge = bell(9.0, -8.0, 7.0, 11.0)[:, None]
    fold = bell(27.0, -45.0, 9.0, 9.0)[:, None]
    lip = (bell(10.5, -60.0, 13.0, 8.5) * (1.0 - anatomy.lower_mouth()))[:, None]
    inner_brow = bell(13.0, 15.0, 9.0, 6.0)[:, None]
    sneer = wing * [0.6, 5.2, 0.2] + bridge * [-0.8, 1.6, 1.0] + fold * [0.3, 4.0, 1.2]
    sneer = sneer + inner_brow * [-0.6, -1.6, 0.4]
    cheek = bell(38.0, -24.0, 15.0, 13.0)[:, None]
    raised = cheek * [-0.2, 4.6, 3.4] + bell(32.0, -13.0, 14.0, 6.0)[:, None] * [-0.6, 1.4, 0.8]
    raised[[index for rings in (LEFT_UPPER_LID_RINGS, LEFT_LOWER_LID_RINGS) for index in rings[0]]] = 0.0
    raised = (
        raised
        + bell(50.0, -48.0, 14.0, 16.0)[:, None] * [0.2, 1.5, 1.2]
        + bell(23.0, -66.0, 7.0, 7.0)[:, None]
        * [
            0.4,
            0.6,
            -0.5,
        ]
    )
    flare = bell(18.0, -39.5, 4.5, 5.0)[:, None] * [2.6, 0.9, -0.3]
    flare = flare * left
    return {
        "noseSneerLeft": sneer * left + lip * left_lip * [0.2, 5.0, -0.2],
        "cheekSquintLeft": raised * left + _lid_field(anatomy, *LID_SHARES["cheekSquint"]),
        "nostrilFlare": flare + anatomy.mirrored(flare),
    }


def smiling_eye(anatomy: Anatomy) -> np.ndarray:
    """What a smile does to the left lids."""
    return _lid_field(anatomy, *LID_SHARES["mouthSmile"])


def displacements(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Channel name → displacement (478, 3) mm of the upper face; left sides only where a channel has two."""
    squint = _lid_field(anatomy, *LID_SHARES["eyeSquint"])
    margin = [index for pair in LEFT_LID_PAIRS for index in pair]
    pouch = (anatomy.bell(33.0, -13.0, 13.0, 5.0) * anatomy.left())[:, None] * np.array([-0.7, 1.0, 0.6])
    pouch[margin] = 0.0
    wide = _lid_field(anatomy, *LID_SHARES["eyeWide"])
    lifted = (anatomy.bell(33.0, 17.0, 16.0, 6.0) * anatomy.left())[:, None] * np.array([0.0, 0.9, 0.0])
    return {
        "eyeBlinkLeft": _blink(anatomy),
        "eyeSquintLeft": squint + pouch,
        "eyeWideLeft": wide + lifted,
        **{f"{name}Left": _gaze(anatomy, name) for name in GAZE_DEGREES},
        **_brows(anatomy),
        **_nose_and_cheek(anatomy),
    }
