"""How near the renderer comes to real people: a clip is tracked, rendered from its own first frame, and compared.

emorig evaluate reenactment CLIP… [--size 256] [--out FILE.md]

Every picture, real or rendered, is measured by landmarks that are found again in its own pixels, and aligned by those
that speech leaves in place. The first frame, which is given, does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from backend.evaluation import metrics
from backend.evaluation.clips import RealClip
from backend.evaluation.metrics_sharpness import cpbd
from backend.portrait.affine import similarity
from backend.portrait.landmarks import find_landmarks, mirrored
from backend.portrait.refine import Predict
from backend.portrait.renderer import WarpRenderer
from bfm.landmarks import STEADY
from blender_addon.protocol.errors import InputError

MARGIN = 0.05  # of the face's height round its landmarks, that counts as face
MOUTH_REACH = (0.75, 0.55)  # half width and half height of a mouth crop over the mouth's width
MOST_PSNR = 100.0  # dB, that equal frames count as
STILL, BARE, RENDERED, REAL = "still photo", "warp without layers", "rendered", "real clip"
UNREFINED = "without refiner"


@dataclass(frozen=True)
class Scores:
    """Means over the frames of one clip: mouth_error in grey levels, psnr in dB, ssim, landmark distances and jitter
    in pixels, cpbd. face_lmd holds pose and expression, expression_lmd the expression of aligned faces.
    """

    mouth_error: float
    psnr: float
    ssim: float
    mouth_lmd: float
    face_lmd: float
    expression_lmd: float
    cpbd: float
    jitter: float


class BareWarp(WarpRenderer):
    """The photo's own pixels moved and nothing drawn: the baseline that mouth, eyes and folds are judged against."""

    def _redraw_skin(self, moved: object, lip_fill: float) -> None:
        np.copyto(self._source, self._photo)

    def _draw_mouth(self, frame: np.ndarray, moved: object, landmarks: np.ndarray) -> None:
        pass


@dataclass(frozen=True)
class Measured:
    """frames (n_frames, size, size, 3) uint8 with the landmarks (n_frames, 478, 2) found in them."""

    frames: np.ndarray
    landmarks: np.ndarray

    @staticmethod
    def of(frames: np.ndarray) -> Measured:
        """Where no landmarks are found, those of the frame before stand in. Raises InputError without a first face."""
        found: list[np.ndarray] = []
        for frame in frames:
            points = landmarks_of(frame)
            if points is None and not found:
                raise InputError("No face is found in the clip's first frame at this size: choose a larger --size.")
            found.append(found[-1] if points is None else points)
        return Measured(frames, np.stack(found))

    def held(self, n_frames: int) -> Measured:
        """The first frame held."""
        return Measured(np.repeat(self.frames[:1], n_frames, axis=0), np.repeat(self.landmarks[:1], n_frames, axis=0))


def evaluate_clip(
    clip: RealClip, progress: Callable[[], None] = lambda: None, *, refiner: tuple[Predict, int] | None = None
) -> dict[str, Scores]:
    """Scores of both baselines, of the renderer with a refiner and without it, and of the real frames, by name."""
    size = clip.frames.shape[1]
    real = Measured.of(clip.frames)
    kinds: dict[str, Callable[[], Measured]] = {
        STILL: lambda: real.held(len(clip.frames)),
        BARE: lambda: Measured.of(rendered(BareWarp(clip.portrait, size=size), clip)),
        RENDERED: lambda: Measured.of(rendered(WarpRenderer(clip.portrait, size=size, refiner=refiner), clip)),
        REAL: lambda: real,
    }
    if refiner is not None:
        kinds[UNREFINED] = lambda: Measured.of(rendered(WarpRenderer(clip.portrait, size=size), clip))
    scores = {}
    for name, measure in kinds.items():
        scores[name] = compare(real, measure())
        progress()
    return scores


def rendered(renderer: WarpRenderer, clip: RealClip) -> np.ndarray:
    """The clip's coefficients as frames (n_frames, size, size, 3) uint8."""
    return np.stack([renderer.render(clip.coefficients, i) for i in range(clip.coefficients.n_frames)])


def landmarks_of(frame: np.ndarray) -> np.ndarray | None:
    """Landmarks (478, 2) in pixels, the mean over the frame and its mirror image; None where there is no face."""
    plain, turned = find_landmarks(frame), find_landmarks(frame[:, ::-1])
    if plain is None or turned is None:
        return None
    turned = turned[mirrored()]
    turned[:, 0] = frame.shape[1] - turned[:, 0]
    return (plain[:, :2] + turned[:, :2]) / 2.0 - 0.5


def compare(real: Measured, other: Measured) -> Scores:
    """Scores of other frames against real ones, each face aligned by its own landmarks."""
    template = real.landmarks[0]
    face, mouth = face_region(template, real.frames.shape[1]), mouth_box(template, real.frames.shape[1])
    rows = [
        _likeness(
            aligned_face(real.frames[i], real.landmarks[i], template),
            aligned_face(other.frames[i], other.landmarks[i], template),
            face,
            mouth,
        )
        for i in range(1, len(real.frames))
    ]
    error, ratio, likeness = np.mean(rows, axis=0)
    own, true = (metrics.aligned(taken.landmarks[1:], template) for taken in (other, real))
    return Scores(
        mouth_error=float(error),
        psnr=float(ratio),
        ssim=float(likeness),
        mouth_lmd=metrics.landmark_distance(true, own, metrics.MOUTH),
        face_lmd=metrics.landmark_distance(real.landmarks[1:], other.landmarks[1:], metrics.FACE),
        expression_lmd=metrics.landmark_distance(true, own, metrics.FACE),
        cpbd=_sharpness(other.frames[1:]),
        jitter=metrics.landmark_jitter(own),
    )


def _likeness(
    truth: np.ndarray, made: np.ndarray, face: np.ndarray, mouth: tuple[slice, slice]
) -> tuple[float, float, float]:
    """Mouth error, PSNR and SSIM of aligned pictures."""
    if np.array_equal(truth, made):
        return 0.0, MOST_PSNR, 1.0
    rows, columns = (slice(int(taken.min()), int(taken.max()) + 1) for taken in np.nonzero(face))
    likeness = metrics.ssim(truth[rows, columns], made[rows, columns], face[rows, columns])
    return metrics.mean_error(truth[mouth], made[mouth]), min(metrics.psnr(truth, made, face), MOST_PSNR), likeness


def _sharpness(frames: np.ndarray) -> float:
    """Mean CPBD; of a held picture it is measured once."""
    distinct = frames[:1] if (frames == frames[0]).all() else frames
    return float(np.mean([cpbd(frame) for frame in distinct]))


def aligned_face(frame: np.ndarray, landmarks: np.ndarray, template: np.ndarray) -> np.ndarray:
    """frame moved so that the steady ones of its landmarks (478, 2) lie on template's (478, 2)."""
    into = similarity(landmarks[list(STEADY)], template[list(STEADY)])
    return cv2.warpAffine(frame, into, frame.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def face_region(template: np.ndarray, size: int) -> np.ndarray:
    """Where an aligned picture shows the face (size, size) bool: what lies behind a head is none of its likeness."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(template).astype(np.int32)), 1)
    reach = round(MARGIN * float(np.linalg.norm(template[10] - template[152])))
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))) > 0


def mouth_box(template: np.ndarray, size: int) -> tuple[slice, slice]:
    """Rows and columns of the mouth's crop in an aligned picture."""
    width, center = np.linalg.norm(template[61] - template[291]), template[[13, 14, 61, 291]].mean(0)
    reach = width * np.array(MOUTH_REACH)
    (left, top), (right, bottom) = np.clip(np.round([center - reach, center + reach]).astype(int), 0, size)
    return slice(int(top), int(bottom)), slice(int(left), int(right))
