"""Names for the 478 landmarks of mediapipe's face mesh: rings of lips and lids, pairs that meet, the 68 points.

Index 0–467 are skin, 468–472 the right iris (centre, then four rim points), 473–477 the left. "Right" and "left" are
the character's; the right half lies at negative x. Every ring runs from the character's right to left or, round an eye,
from the outer corner to the inner.
"""

from __future__ import annotations

import numpy as np

N_LANDMARKS = 478

# Lip rings from the outer border (0) to the rim where the lips touch (3); corners included at both ends.
UPPER_LIP_RINGS = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
)
LOWER_LIP_RINGS = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
INNER_LIP_PAIRS = tuple(zip(UPPER_LIP_RINGS[3][1:-1], LOWER_LIP_RINGS[3][1:-1], strict=True))

# Lid rings of the right eye from the margin (0) outwards, outer corner first; then the same of the left eye.
RIGHT_UPPER_LID_RINGS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (130, 247, 30, 29, 27, 28, 56, 190, 243),
    (226, 113, 225, 224, 223, 222, 221, 189, 244),
)
RIGHT_LOWER_LID_RINGS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (130, 25, 110, 24, 23, 22, 26, 112, 243),
    (226, 31, 228, 229, 230, 231, 232, 233, 244),
)
LEFT_UPPER_LID_RINGS = (
    (263, 466, 388, 387, 386, 385, 384, 398, 362),
    (359, 467, 260, 259, 257, 258, 286, 414, 463),
    (446, 342, 445, 444, 443, 442, 441, 413, 464),
)
LEFT_LOWER_LID_RINGS = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362),
    (359, 255, 339, 254, 253, 252, 256, 341, 463),
    (446, 261, 448, 449, 450, 451, 452, 453, 464),
)
RIGHT_LID_PAIRS = tuple(zip(RIGHT_UPPER_LID_RINGS[0][1:-1], RIGHT_LOWER_LID_RINGS[0][1:-1], strict=True))
LEFT_LID_PAIRS = tuple(zip(LEFT_UPPER_LID_RINGS[0][1:-1], LEFT_LOWER_LID_RINGS[0][1:-1], strict=True))

RIGHT_BROW = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
LEFT_BROW = (300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

# Corners of the eyes, the nose and the temples: what speech and expression move least.
STEADY = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 98, 327, 127, 356)

# The 68 points of the 300-W scheme: jaw 17, brows 10, nose 9, eyes 12, lips 20, from the character's right.
LANDMARKS_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip


def mirror_indices(points: np.ndarray) -> np.ndarray:
    """For each landmark the index of its twin across the sagittal plane (n_landmarks,), from a near-frontal face.

    points (n_landmarks, 3). The reflected cloud is re-aligned and matched one to one until the pairs settle; the result
    is an involution. Raises ValueError where it is not (a face too far from symmetric).
    """
    from scipy.optimize import linear_sum_assignment

    reflected = points * [-1.0, 1.0, 1.0]
    twins = linear_sum_assignment(np.linalg.norm(reflected[:, None] - points[None], axis=-1))[1]
    for _ in range(4):
        source, target = reflected - reflected.mean(0), points[twins] - points[twins].mean(0)
        u, _, vt = np.linalg.svd(source.T @ target)
        aligned = source @ (u @ vt) + points[twins].mean(0)
        twins = linear_sum_assignment(np.linalg.norm(aligned[:, None] - points[None], axis=-1))[1]
    if not (twins[twins] == np.arange(len(points))).all():
        raise ValueError("mirror_indices: the landmarks do not pair up; give a face that is nearly symmetric")
    return twins
