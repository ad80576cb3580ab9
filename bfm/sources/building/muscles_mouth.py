"""Jaw, lips, cheeks and neck: landmark displacements in millimetres at full activation."""

from __future__ import annotations

import numpy as np

from bfm.landmarks import INNER_LIP_PAIRS, LOWER_LIP_RINGS, UPPER_LIP_RINGS
from bfm.sources.building.anatomy import CONDYLE, Anatomy, smoothstep
from bfm.sources.building.muscles_eyes import smiling_eye

JAW_OPEN_RADIANS = 0.40
"""Rotation of the jaw at full jawOpen (about 23°)."""
JAW_OPEN_SLIDE = np.array([0.0, -4.0, 6.0])
"""mm that the condyle slides down and forward along the articular eminence while opening."""

ARCH_CURVATURE = 0.0235
"""1/mm: the lips lie on the teeth's arch, z ≈ z0 − curvature · x²; lateral motion of the lips follows it."""

VERTICAL = np.array([0.0, 1.0, 0.0])


def jaw_weights(anatomy: Anatomy) -> np.ndarray:
    """How much each landmark follows the jaw bone (478,): chin and lower lip 1, mouth corners about one half."""
    p = anatomy.points
    beneath = np.degrees(np.arctan2(CONDYLE[1] - p[:, 1], p[:, 2] - CONDYLE[2] + 1e-9))
    skin = smoothstep(beneath, 17.0, 50.0) * (1.0 - 0.15 * smoothstep(np.abs(p[:, 0]), 40.0, 65.0))
    lower = anatomy.lower_mouth()
    blend = smoothstep(np.abs(p[:, 0]), 22.0, 44.0)
    weights = (1.0 - blend) * lower + blend * skin
    weights *= smoothstep(p[:, 1], -30.0, -50.0)
    half = anatomy.mouth_half_width
    for rings, is_lower in ((UPPER_LIP_RINGS, False), (LOWER_LIP_RINGS, True)):
        for ring in rings:
            inner = list(ring[1:-1])
            across = np.clip(np.abs(p[inner, 0]) / half, 0.0, 1.0)
            weights[inner] = 1.0 - 0.48 * across**2.6 if is_lower else 0.42 * across**4 + 0.02
    for index in (61, 291, 76, 306, 62, 292, 78, 308):
        weights[index] = 0.5
    return weights


def jaw_open_rigid(points: np.ndarray) -> np.ndarray:
    """Displacement (n, 3) mm of points on the jaw bone at full jawOpen: turned about the condyles and slid forward."""
    sine, cosine = np.sin(JAW_OPEN_RADIANS), np.cos(JAW_OPEN_RADIANS)
    y, z = points[:, 1] - CONDYLE[1], points[:, 2] - CONDYLE[2]
    turned = np.stack([np.zeros(len(points)), y * cosine - z * sine - y, y * sine + z * cosine - z], axis=1)
    return turned + JAW_OPEN_SLIDE


def along_arch(anatomy: Anatomy, sideways: np.ndarray) -> np.ndarray:
    """Lateral travel (478,) mm as displacement (478, 3) that follows the dental arch in depth."""
    x = anatomy.field_points[:, 0]
    depth = -ARCH_CURVATURE * ((x + sideways) ** 2 - x**2)
    return np.stack([sideways, np.zeros_like(x), np.clip(depth, -9.0, 9.0)], axis=1)


class _Mouth:
    """Weights around the mouth that the channels below share; every one is (478,) or (478, 1)."""

    def __init__(self, anatomy: Anatomy):
        self.anatomy = anatomy
        p = anatomy.field_points
        self.y0, self.half = anatomy.mouth_height, anatomy.mouth_half_width
        self.x, self.y = p[:, 0], p[:, 1]
        self.lower = anatomy.lower_mouth()
        self.upper = 1.0 - self.lower
        self.left = anatomy.left(9.0)
        self.ring = self._ring_depth()
        # All of the lips and the skin around them, fading into cheeks, nose and chin.
        across = np.maximum(np.abs(self.x) - self.half, 0.0)
        above = np.maximum(self.y - self.y0 - 8.0, 0.0)
        below = np.maximum(self.y0 - 11.0 - self.y, 0.0)
        self.around = np.exp(-((across / 16.0) ** 2) - (above / 9.0) ** 2 - (below / 12.0) ** 2)
        self.corner = anatomy.bell(self.half, self.y0, 9.5, 9.0)

    def _ring_depth(self) -> np.ndarray:
        """0 at the rim where the lips touch, 1 at the lips' outer border, fading out beyond."""
        depth = np.full(len(self.x), np.nan)
        for rings in (UPPER_LIP_RINGS, LOWER_LIP_RINGS):
            for ring, value in zip(rings, (1.0, 0.72, 0.36, 0.0)):
                depth[list(ring)] = value
        outside = np.isnan(depth)
        reach = np.maximum(np.abs(self.x) - self.half, 0.0) + np.maximum(np.abs(self.y - self.y0) - 9.0, 0.0)
        depth[outside] = np.exp(-((reach[outside] / 8.0) ** 2))
        return depth

    def bell(self, x: float, dy: float, width: float, height: float) -> np.ndarray:
        """Gaussian weights (478, 1) around x and a height dy mm above the mouth corners."""
        return self.anatomy.bell(x, self.y0 + dy, width, height)[:, None]

    def center(self, power: float = 2.0) -> np.ndarray:
        """(478,): 1 at the middle of the lips, exactly 0 from the corners outwards."""
        return np.clip(1.0 - (np.abs(self.x) / (self.half - 1.8)) ** power, 0.0, 1.0)

    def both(self, field: np.ndarray) -> np.ndarray:
        """A left field plus its mirror image."""
        return field + self.anatomy.mirrored(field)


def _jaw(m: _Mouth) -> dict[str, np.ndarray]:
    anatomy = m.anatomy
    weights = jaw_weights(anatomy)[:, None]
    opened = weights * jaw_open_rigid(anatomy.points)
    # Skin drawn down narrows the corners a little; at the cheeks it is stretched inwards over the teeth.
    opened += m.both((m.corner * m.left)[:, None] * [-0.5, 0.0, -0.8])
    for upper, lower in INNER_LIP_PAIRS:
        opened[lower, 0] = opened[upper, 0]
    closing = np.zeros_like(opened)
    for upper, lower in INNER_LIP_PAIRS:
        gap = opened[upper] - opened[lower]
        closing[lower] += 0.88 * gap
        closing[upper] -= 0.12 * gap
    closing += _spread_closing(m, closing)
    slide = weights * np.array([8.4, 0.2, 0.0]) + (m.upper * m.around)[:, None] * [1.0, 0.0, 0.0]
    slide[:, 2] += weights[:, 0] * 0.02 * -anatomy.points[:, 0]
    return {
        "jawOpen": opened,
        "mouthClose": closing,
        "jawForward": weights * np.array([0.0, -1.0, 8.5]),
        "jawLeft": slide,
        "jawRight": anatomy.mirrored(slide),
    }


def _spread_closing(m: _Mouth, closing: np.ndarray) -> np.ndarray:
    """The rest of the lips and the chin's skin following the rims that mouthClose brings together."""
    spread = np.zeros_like(closing)
    for rings in (UPPER_LIP_RINGS, LOWER_LIP_RINGS):
        for ring, share in zip(rings[:3], (0.80, 0.90, 0.97)):
            for column, index in enumerate(ring[1:-1], start=1):
                spread[index] += share * closing[rings[3][column]]
    lowest = closing[14]
    p = m.anatomy.points
    below = np.maximum(p[14, 1] - 9.0 - p[:, 1], 0.0)
    skin = 0.85 * np.exp(-((below / 17.0) ** 2)) * np.exp(-((np.abs(p[:, 0]) / 25.0) ** 2.0)) * m.lower
    lips = [i for rings in (UPPER_LIP_RINGS, LOWER_LIP_RINGS) for ring in rings for i in ring]
    skin[lips] = 0.0
    return spread + skin[:, None] * lowest


def _rounding(m: _Mouth) -> dict[str, np.ndarray]:
    x = m.x
    pout = m.center(2.4)[:, None]
    narrow = along_arch(m.anatomy, -0.36 * x * m.around * np.exp(-((x / 42.0) ** 4)))
    forward = m.around[:, None] * [0.0, 0.0, 5.5]
    fuller = (m.ring * m.around)[:, None] * ((m.upper - m.lower)[:, None] * [0.0, 0.6, 0.0] + [0.0, 0.9, 0.0])
    pucker = narrow + forward + fuller
    tube = along_arch(m.anatomy, -0.20 * x * m.around * np.exp(-((x / 42.0) ** 4)))
    tube = tube + m.around[:, None] * [0.0, 0.0, 5.0] + (m.ring * m.around)[:, None] * [0.0, 0.0, 1.0]
    opening = (m.upper * m.around)[:, None] * [0.0, 4.4, 0.6] + (m.lower * m.around)[:, None] * [0.0, -6.2, -0.6]
    tighten = along_arch(m.anatomy, -0.11 * x * m.around) + _thin(m, 1.9) + m.around[:, None] * [0.0, 0.0, 0.3]
    return {"mouthPucker": pucker, "mouthFunnel": tube + opening * (0.06 + 0.94 * pout), "lipTighten": tighten}


def _thin(m: _Mouth, amount: float) -> np.ndarray:
    """Lips pressed thin by an amount in mm at their outer border, (478, 3)."""
    weight = m.ring * m.around * (0.35 + 0.65 * m.center(3.0))
    return amount * (weight * (m.lower - m.upper))[:, None] * VERTICAL


def _sideways(m: _Mouth) -> dict[str, np.ndarray]:
    shifted = along_arch(m.anatomy, 11.0 * m.around)
    shifted += (m.around * m.left)[:, None] * [0.0, 1.0, 0.0]
    return {"mouthLeft": shifted, "mouthRight": m.anatomy.mirrored(shifted)}


def _corner_field(m: _Mouth, sideways: float, vertical: float, depth: float, *, reach: float = 1.0) -> np.ndarray:
    """The left mouth corner drawn by (sideways, vertical, depth) mm; along the lips the pull fades to the middle."""
    along = smoothstep(m.x, -9.0, m.half * 1.02) ** 1.2
    across = np.maximum(m.x - m.half, 0.0)
    fade = np.exp(-((across / (15.0 * reach)) ** 2))
    height = np.exp(-0.5 * ((m.y - m.y0) / (11.0 * reach)) ** 2)
    weight = along * fade * height
    field = along_arch(m.anatomy, sideways * weight)
    return field + weight[:, None] * np.array([0.0, vertical, depth])


def _corners(m: _Mouth) -> dict[str, np.ndarray]:
    left = m.left[:, None]
    smile = _corner_field(m, 7.2, 8.6, 0.0)
    apple = m.bell(40.0, 34.0, 13.0, 11.0) * [1.2, 4.2, 3.4] * left
    sulcus = m.bell(33.0, 15.0, 9.0, 9.0) * [3.0, 3.6, 0.8] * left
    jaw_skin = m.bell(38.0, -14.0, 13.0, 11.0) * [1.6, 2.4, -0.6] * left
    thinner = _thin(m, 1.0) * left
    # Drawn tight over the teeth, the middle of the lips goes back.
    smile += (m.around * m.left)[:, None] * [0.0, 0.9, -1.0]
    smile = smile + apple + sulcus + jaw_skin + thinner + smiling_eye(m.anatomy)
    frown = _corner_field(m, 1.6, -5.2, -0.8, reach=1.25) + m.bell(28.0, -16.0, 9.0, 9.0) * [0.6, -1.8, 0.8] * left
    frown = frown + m.bell(0.0, -22.0, 14.0, 7.0) * [0.0, 1.0, 1.0] * left
    dimple = _corner_field(m, 3.6, 1.8, -2.6, reach=0.8) + m.bell(33.0, 2.0, 6.0, 8.0) * [-0.4, 0.6, 1.6] * left
    stretch = _corner_field(m, 7.4, -2.6, -0.4) + m.bell(36.0, -20.0, 14.0, 13.0) * [2.0, -1.6, -0.4] * left
    return {
        "mouthSmileLeft": smile,
        "mouthFrownLeft": frown,
        "mouthDimpleLeft": dimple,
        "mouthStretchLeft": stretch + 0.6 * thinner,
    }


def _lips(m: _Mouth) -> dict[str, np.ndarray]:
    middle = m.center()
    roll = m.around * (0.25 + 0.75 * m.center(3.0))
    lip_upper, lip_lower = m.ring * roll * m.upper, m.ring * roll * m.lower
    rim_upper, rim_lower = (1.0 - m.ring) * roll * m.upper, (1.0 - m.ring) * roll * m.lower
    rolled_lower = lip_lower[:, None] * [0.0, 7.0, -2.8] + rim_lower[:, None] * [0.0, 0.0, -7.0]
    rolled_upper = lip_upper[:, None] * [0.0, -5.2, -4.2] + rim_upper[:, None] * [0.0, 0.2, -7.0]
    chin = m.bell(0.0, -31.0, 17.0, 10.0) * m.lower[:, None]
    shrug = (m.around * m.lower * (0.35 + 0.65 * middle))[:, None] * [0.0, 6.4, 3.4] + chin * [0.0, 6.4, 3.6]
    carried = (m.upper * m.around * (1.0 - 0.55 * m.ring) * (0.35 + 0.65 * middle))[:, None] * [0.0, 6.4, 2.4]
    shrug_upper = (m.upper * m.around * (0.25 + 0.75 * middle))[:, None] * [0.0, 4.8, 1.4]
    parted = middle[:, None] * (
        (m.upper * m.around)[:, None] * [0.0, 1.5, 0.2] + (m.lower * m.around)[:, None] * [0.0, -3.8, -0.6]
    )
    bite = (m.lower * m.around * (0.3 + 0.7 * middle))[:, None] * [0.0, 0.8, 0.0] + 0.45 * rolled_lower
    bite = bite + rim_lower[:, None] * [0.0, 0.6, -1.6]
    cleared = (m.upper * m.around * middle)[:, None] * [0.0, 3.0, 0.6]
    return {
        "mouthRollLower": rolled_lower,
        "mouthRollUpper": rolled_upper,
        "mouthShrugLower": _rims_alike(shrug + carried),
        "mouthShrugUpper": shrug_upper,
        "lipsPart": parted,
        "lowerLipToTeeth": bite + cleared,
    }


def _rims_alike(field: np.ndarray) -> np.ndarray:
    """The field with both rims of a contact pair moving by their mean, so that it neither opens nor crosses them."""
    alike = field.copy()
    for upper, lower in INNER_LIP_PAIRS:
        alike[[upper, lower]] = (field[upper] + field[lower]) / 2.0
    return alike


def _lip_halves(m: _Mouth) -> dict[str, np.ndarray]:
    """Levator and depressor of one half of a lip, and the press of one half."""
    left = m.anatomy.left(10.0)[:, None]
    middle = m.center(2.6)
    spread = np.exp(-0.5 * ((m.x - 9.0) / 13.0) ** 2)
    reach = np.where(m.ring > 0.999, 1.0, m.around)
    bulk = (reach * spread * (0.12 + 0.88 * middle))[:, None]
    lip_down = bulk * m.lower[:, None] * [0.9, -6.4, -1.0] + m.bell(12.0, -24.0, 13.0, 9.0) * [0.3, -2.2, -0.6]
    lip_up = bulk * m.upper[:, None] * [0.8, 6.6, -0.3]
    fold = m.bell(24.0, 17.0, 9.0, 9.0) * [1.2, 4.8, 0.6] + m.bell(18.5, 28.0, 5.0, 6.0) * [0.4, 1.8, 0.0]
    press = _thin(m, 1.6) * left + _corner_field(m, -0.4, 1.0, 0.2, reach=0.7)
    press = press + (m.lower * m.around * m.ring)[:, None] * [0.0, 1.0, 0.6] * left
    press = press + m.bell(15.0, -32.0, 14.0, 14.0) * [0.0, 3.0, 1.4] * left
    return {
        "mouthLowerDownLeft": lip_down * left,
        "mouthUpperUpLeft": (lip_up + fold * m.upper[:, None]) * left,
        "mouthPressLeft": press,
    }


def _cheeks_and_neck(m: _Mouth) -> dict[str, np.ndarray]:
    pouch = m.bell(43.0, 2.0, 13.0, 14.0)
    puff = m.both(pouch * [6.0, 0.0, 8.0]) + m.around[:, None] * [0.0, 0.0, 4.5]
    puff += along_arch(m.anatomy, -0.07 * m.x * m.around)
    suck = m.both(pouch * [-5.0, 0.0, -3.5]) + along_arch(m.anatomy, -0.12 * m.x * m.around)
    jaw_line = m.bell(34.0, -34.0, 16.0, 12.0) * [1.2, -2.2, 0.2] + _corner_field(m, 1.6, -1.6, 0.0)
    return {"cheekPuff": puff, "cheekSuck": suck, "neckTighten": m.both(jaw_line)}


def displacements(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Channel name → displacement (478, 3) mm of the lower face; left sides only where a channel has two."""
    mouth = _Mouth(anatomy)
    fields: dict[str, np.ndarray] = {}
    for part in (_jaw, _rounding, _sideways, _corners, _lips, _lip_halves, _cheeks_and_neck):
        fields.update(part(mouth))
    for name, field in fields.items():
        iris = slice(468, 478)
        field[iris] = 0.0
        assert np.isfinite(field).all(), name
    return fields
