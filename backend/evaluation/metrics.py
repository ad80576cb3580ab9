"""How near rendered frames come to real ones, in pixels and in landmarks. Sharpness lies in metrics_sharpness."""

from __future__ import annotations

import numpy as np

from backend.portrait.affine import apply, similarity
from bfm.landmarks import LANDMARKS_68, STEADY

MOUTH = np.array(LANDMARKS_68[48:])
"""The 20 lip points of the 300-W scheme."""
FACE = np.array(LANDMARKS_68)


def psnr(real: np.ndarray, rendered: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit images (height, width, 3), over the pixels where (height, width) is
    True, by default all; inf where they are equal.
    """
    difference = real.astype(np.float64) - rendered
    squares = difference**2 if where is None else difference[where] ** 2
    mean = float(squares.mean())
    return float("inf") if mean == 0.0 else float(10.0 * np.log10(255.0**2 / mean))


def ssim(real: np.ndarray, rendered: np.ndarray, where: np.ndarray | None = None) -> float:
    """Structural similarity −1 to 1 of 8-bit RGB images (height, width, 3), the mean over channels and over the pixels
    where (height, width) is True, by default all but the border that the window does not fill.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", eq. 13: Gaussian
    window of 1.5 pixels, K1 = 0.01, K2 = 0.03.
    """
    from skimage.metrics import structural_similarity

    mean, everywhere = structural_similarity(
        real, rendered, channel_axis=-1, data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    return float(mean if where is None else everywhere[where].mean())


def mean_error(real: np.ndarray, rendered: np.ndarray) -> float:
    """Mean absolute difference of 8-bit images in grey levels 0–255."""
    return float(np.abs(real.astype(np.float32) - rendered).mean())


def aligned(landmarks: np.ndarray, template: np.ndarray) -> np.ndarray:
    """landmarks (n_frames, 478, 2) moved by similarities so that their steady points lie on template's (478, 2)."""
    moved = np.empty_like(landmarks, dtype=np.float64)
    for i, points in enumerate(landmarks):
        into = similarity(points[list(STEADY)], template[list(STEADY)])
        moved[i] = apply(into, points)
    return moved


def landmark_distance(real: np.ndarray, rendered: np.ndarray, which: np.ndarray) -> float:
    """Mean distance in pixels between landmarks (n_frames, 478, 2), over those in which.

    Chen et al. 2019, "Hierarchical Cross-Modal Talking Face Generation with Dynamic Pixel-Wise Loss", §4.2; EAMM's
    M-LMD takes the mouth's points, F-LMD the whole face's.
    """
    return float(np.linalg.norm(np.asarray(real)[:, which] - np.asarray(rendered)[:, which], axis=-1).mean())


def landmark_jitter(landmarks: np.ndarray, which: np.ndarray = FACE) -> float:
    """Mean size in pixels of the second difference over time of landmarks (n_frames, 478, 2): what a smooth motion
    lacks and a trembling one has; 0 for fewer than three frames.
    """
    points = np.asarray(landmarks, np.float64)[:, which]
    if len(points) < 3:
        return 0.0
    return float(np.linalg.norm(points[2:] - 2.0 * points[1:-1] + points[:-2], axis=-1).mean())
