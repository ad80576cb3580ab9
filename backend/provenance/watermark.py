"""A faint mark in the picture: 48 bits that survive scaling and strong compression.

Spread spectrum in the middle frequencies of a small grid laid over the whole frame, with the host's own projection
taken away before the mark is added (improved spread spectrum, Malvar and Florencio 2003, eq. 8). What is added stays
below what the eye sees at each place: one level on flat grounds, more where texture hides it. Reading needs neither the
original nor a secret: the mark identifies, it does not prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from backend.errors import InputError

GRID = 128  # cells along either side of the frame
IDENTITY_BITS = 48
CHECK_BITS = 24
N_BITS = IDENTITY_BITS + CHECK_BITS
BAND = (40.0, 90.0)  # radius in the grid's discrete cosine transform, half periods per frame
STRENGTH = 3.0  # a bit's wanted projection, in standard deviations of an unmarked picture's
RENEWAL_SECONDS = 1.0
SMOOTH_CELLS, CONTRAST_CELLS = 1.0, 2.0  # widths of the Gaussians that split off shading and measure contrast
CONTRAST_FLOOR = 1.0  # luma levels
FLAT_STEP = 0.8  # luma levels that a cell without texture may change: after rounding one level, which is not seen
MASKING = 0.5  # luma levels more per level of contrast, once the contrast is well above BUSY
BUSY = 1.0  # luma levels of contrast from which texture begins to hide a change
LARGEST_MASKED = 3.0  # luma levels that texture may add at most
TEXTURE_CELLS = 9  # texture is the median detail of so wide a square: a lone edge in it hides nothing beside it
STEPS_PER_LEVEL, MEDIAN_TO_DEVIATION = 16.0, 1.48
DARK, SHADE = 64.0, 0.5  # below this luma less is changed, down to this share: nothing on flat black
ROUNDED_UP = 1.2  # of a cell's allowance, for a pixel between cells
LARGEST_DEVIATION = 1.65  # luma levels, root mean square: 43 dB below the picture's range
WEAKEST = 0.2  # least share of the strength
PASSES = 4  # how often what an allowance cut off is asked of other cells
ROUNDS = 3  # how often what pixels lose of it is added
RECOVERY = 1.1  # how much stronger than the last second a mark is tried
SHAPE_SEED = b"emorig watermark 1"
N_DOUBTED, MAX_CORRECTED = 12, 2  # a failed check is tried again with so many of the weakest bits turned


class MarkNotFoundError(InputError):
    """The frames carry no mark that can be read."""


@dataclass(frozen=True)
class ReadMark:
    """A mark that was read: identity (48 bits), the 72 bits as received, and how many of them had to be turned."""

    identity: int
    received: np.ndarray
    n_corrected: int


def codeword(identity: int) -> np.ndarray:
    """The 72 bits (bool) of an identity: its 48 bits and 24 of their sha256."""
    if not 0 <= identity < 1 << IDENTITY_BITS:
        raise InputError(f"A mark's identity has {IDENTITY_BITS} bits, got {identity}.")
    data = identity.to_bytes(IDENTITY_BITS // 8, "big")
    check = hashlib.sha256(SHAPE_SEED + data).digest()[: CHECK_BITS // 8]
    return np.unpackbits(np.frombuffer(data + check, np.uint8)).astype(bool)


@lru_cache(maxsize=1)
def patterns() -> np.ndarray:
    """One pattern per bit: (72, GRID * GRID) float32, orthonormal, each of cosines that no other bit uses."""
    frequency = np.arange(GRID)
    basis = np.cos(np.pi * (frequency[None] + 0.5) * frequency[:, None] / GRID) * np.sqrt(2.0 / GRID)
    basis[0] /= np.sqrt(2.0)
    radius = np.hypot(*np.meshgrid(frequency, frequency, indexing="ij"))
    rows, columns = np.nonzero((radius >= BAND[0]) & (radius <= BAND[1]))
    words = np.frombuffer(hashlib.shake_256(SHAPE_SEED).digest(8 * len(rows)), "<u8")
    order = np.argsort(words, kind="stable")
    per_bit = len(rows) // N_BITS
    signs = np.where(words & 1, 1.0, -1.0) / np.sqrt(per_bit)
    result = np.empty((N_BITS, GRID * GRID), np.float32)
    for bit in range(N_BITS):
        chosen = order[bit * per_bit : (bit + 1) * per_bit]
        picture = (basis[rows[chosen]] * signs[chosen, None]).T @ basis[columns[chosen]]
        result[bit] = picture.ravel()
    return result


def _mean(luma: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(luma, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32)


def _cells(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The detail of each cell of a frame's luma (H, W), and the local contrast there: (GRID, GRID) float32 levels."""
    import cv2

    mean = _mean(luma)
    detail = mean - cv2.GaussianBlur(mean, (0, 0), SMOOTH_CELLS)
    return detail, np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), CONTRAST_CELLS))


def _allowance(detail: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """How far each cell may change unseen, (GRID, GRID) float32 levels: little on flat grounds, more in texture."""
    import cv2

    steps = np.minimum(np.abs(detail) * STEPS_PER_LEVEL, 255).astype(np.uint8)
    texture = cv2.medianBlur(steps, TEXTURE_CELLS).astype(np.float32) * (MEDIAN_TO_DEVIATION / STEPS_PER_LEVEL)
    masked = np.minimum(MASKING * texture * texture / (texture + BUSY), LARGEST_MASKED)
    return ((FLAT_STEP + masked) * np.clip(mean / DARK, SHADE, 1.0)).astype(np.float32)


class Watermark:
    """Writes one identity into the luma of frames of one size, in order; what it adds is renewed once a second."""

    def __init__(self, identity: int, *, frame_rate: float) -> None:
        self.identity = identity
        self._wanted = np.where(codeword(identity), STRENGTH, -STRENGTH).astype(np.float32)
        self._period = max(1, round(frame_rate * RENEWAL_SECONDS))
        self._n_frames, self._share = 0, 1.0
        self._plus = self._minus = np.zeros((0, 0), np.uint8)

    def apply(self, luma: np.ndarray) -> None:
        """Marks the luma (H, W) uint8 of the next frame in place."""
        import cv2

        if self._n_frames % self._period == 0:
            change = self._change(luma)
            self._plus = np.maximum(change, 0).astype(np.uint8)
            self._minus = np.maximum(-change, 0).astype(np.uint8)
        self._n_frames += 1
        cv2.add(luma, self._plus, dst=luma)
        cv2.subtract(luma, self._minus, dst=luma)

    def _change(self, luma: np.ndarray) -> np.ndarray:
        """What to add to a frame, (H, W) int16 levels: each bit's projection becomes what is wanted, or comes near.

        Bits that the picture itself holds already ask for nothing. A change above LARGEST_DEVIATION is tried weaker.
        """
        spread = _Spread(luma)
        share = min(1.0, RECOVERY * self._share)
        while True:
            wanted = share * self._wanted
            asked = wanted.copy()
            for _ in range(ROUNDS):
                change = spread.on_pixels(spread.least_seen(asked))
                missing = wanted - projections([(luma + change).clip(0, 255).astype(np.uint8)])
                asked += np.where(missing * self._wanted > 0, missing, 0.0)
            deviation = float(change.std())
            if deviation <= LARGEST_DEVIATION or share <= WEAKEST:
                self._share = share
                return change
            share = max(WEAKEST, share * max(0.6, min(0.93, LARGEST_DEVIATION / deviation)))


class _Spread:
    """How a frame takes changes: what its cells hold of each bit, and how far each may change unseen."""

    def __init__(self, luma: np.ndarray) -> None:
        detail, contrast = _cells(luma)
        self._shape, self._allowed = luma.shape, _allowance(detail, _mean(luma))
        self._shapes = patterns() / (contrast.ravel() + CONTRAST_FLOOR)
        self._host = self._shapes @ detail.ravel()
        self._carried = self._shapes * self._allowed.ravel() ** 2
        self._solve = np.linalg.inv(self._shapes @ self._carried.T).astype(np.float32)

    def least_seen(self, wanted: np.ndarray) -> np.ndarray:
        """The change (GRID, GRID) that gives the bits projections (72,) of at least so much, least by allowance."""
        allowed = self._allowed.ravel()
        change = np.zeros_like(allowed)
        for _ in range(PASSES):
            missing = wanted - self._host - self._shapes @ change
            missing[missing * wanted < 0] = 0.0
            change = np.clip(change + (self._solve @ missing) @ self._carried, -allowed, allowed)
        return change.reshape(GRID, GRID)

    def on_pixels(self, change: np.ndarray) -> np.ndarray:
        """A change of cells as whole levels of pixels (H, W) int16, within the allowances there."""
        import cv2

        size = self._shape[::-1]
        whole = cv2.resize(change, size, interpolation=cv2.INTER_CUBIC)
        most = cv2.resize(self._allowed, size, interpolation=cv2.INTER_LINEAR) * ROUNDED_UP
        return np.rint(np.clip(whole, -most, most)).astype(np.int16)


def projections(lumas: Iterable[np.ndarray]) -> np.ndarray:
    """What the luma (H, W) uint8 of frames holds of each bit's pattern, (72,). Raises MarkNotFoundError for none."""
    total, n_frames = np.zeros((GRID, GRID), np.float32), 0
    for luma in lumas:
        detail, contrast = _cells(luma)
        total += detail / (contrast + CONTRAST_FLOOR)
        n_frames += 1
    if not n_frames:
        raise MarkNotFoundError("There is no picture to read a mark from.")
    return patterns() @ (total.ravel() / n_frames)


def received_bits(lumas: Iterable[np.ndarray]) -> np.ndarray:
    """The 72 bits (bool) as they arrive, right or wrong."""
    return projections(lumas) > 0


def read_mark(lumas: Iterable[np.ndarray]) -> ReadMark:
    """Reads the mark of frames' luma (H, W) uint8. Raises MarkNotFoundError."""
    projection = projections(lumas)
    received = projection > 0
    weakest = np.argsort(np.abs(projection))[:N_DOUBTED]
    for n_corrected in range(MAX_CORRECTED + 1):
        for turned in combinations(weakest, n_corrected):
            bits = received.copy()
            bits[list(turned)] ^= True
            identity = int.from_bytes(np.packbits(bits[:IDENTITY_BITS]).tobytes(), "big")
            if np.array_equal(codeword(identity), bits):
                return ReadMark(identity, received, n_corrected)
    raise MarkNotFoundError("The picture carries no readable mark of EmoRig.")
