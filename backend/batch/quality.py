"""Looks at a shot as a reviewer would: lips that should meet, a mouth that should rest, jitter, limits, sync."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.audio.phones import BILABIALS, SILENCE
from bfm.coefficients import EXPRESSION_CHANNELS, FULL_ACTIVATION_SD, FaceCoefficients
from blender_addon.protocol.types import Phone, Waveform

MM_PER_DM = 100.0
SHUT_MM = 1.0  # inner lips nearer than this are closed
OPEN_SHARE = 0.2  # of the bilabials may stay open before a shot is flagged
SHORTEST_SILENCE = 0.3  # seconds
SETTLING = 0.12  # seconds at either end of a silence in which the mouth still moves
FLAP_MM_PER_SECOND = 12.0  # of lip travel in silence
JITTER_MM = 1.2  # root mean square of what a smooth motion does not explain, per frame at 25 Hz
LIMIT_SHARE = 0.05  # of the frames with a channel at its limit
LIMIT = 0.999
LARGEST_LAG = 0.4  # seconds searched
OFFSET_SECONDS = 0.16  # a lag beyond this is flagged
CLEAR_CORRELATION = 0.35  # below it the lag says nothing
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")  # they close wholly by design


@dataclass(frozen=True)
class Quality:
    """What was measured. aperture (n_frames,): inner lips' distance, mm. loudness (n_frames,): 0-1 of the loudest.

    Shares are 0-1 or None where there was nothing to measure; lag in seconds, positive: lips after sound.
    """

    aperture: np.ndarray
    loudness: np.ndarray
    open_bilabials: tuple[float, ...]
    n_bilabials: int
    silent_travel: float
    jitter: float
    limit_share: float
    limit_channels: tuple[str, ...]
    lag: float | None

    @property
    def flags(self) -> tuple[str, ...]:
        """What a person should look at, one sentence each."""
        found = []
        if self.n_bilabials and len(self.open_bilabials) > OPEN_SHARE * self.n_bilabials:
            times = ", ".join(f"{time:.2f}" for time in self.open_bilabials[:6])
            found.append(f"lips not closed on {len(self.open_bilabials)} of {self.n_bilabials} p, b, m (at {times} s)")
        if self.silent_travel > FLAP_MM_PER_SECOND:
            found.append(f"the mouth flaps in silence ({self.silent_travel:.0f} mm/s)")
        if self.jitter > JITTER_MM:
            found.append(f"the lips jitter ({self.jitter:.2f} mm)")
        if self.limit_share > LIMIT_SHARE:
            names = ", ".join(self.limit_channels[:4])
            found.append(f"the face is at its limits in {100 * self.limit_share:.0f} % of the frames ({names})")
        if self.lag is not None and abs(self.lag) > OFFSET_SECONDS:
            found.append(f"lips and sound are {1000 * abs(self.lag):.0f} ms apart")
        return tuple(found)


def lip_aperture(coefficients: FaceCoefficients) -> np.ndarray:
    """The inner lips' distance of the embedded head under the expression, (n_frames,) mm."""
    from backend.evaluation.lips import measure_landmarks
    from bfm.coefficients import IDENTITY_DIMS
    from bfm.sources.embedded import load_embedded_model

    model = load_embedded_model()
    points = model.landmark_positions(np.zeros(IDENTITY_DIMS, np.float32), coefficients.expression)
    return measure_landmarks(points)[:, 0] * MM_PER_DM


def assess(coefficients: FaceCoefficients, phones: Sequence[Phone], waveform: Waveform) -> Quality:
    """Measures a shot. waveform: the sound of exactly these frames."""
    rate = coefficients.frame_rate
    aperture = lip_aperture(coefficients)
    loudness = _loudness(waveform, rate, len(aperture))
    bilabials = [phone for phone in phones if phone.label in BILABIALS]
    at_limit = coefficients.expression >= LIMIT * FULL_ACTIVATION_SD
    at_limit[:, [EXPRESSION_CHANNELS.index(name) for name in BLINKS]] = False
    by_channel = at_limit.sum(axis=0)
    return Quality(
        aperture=aperture,
        loudness=loudness,
        open_bilabials=tuple(p.start for p in bilabials if _least(aperture, p, rate) > SHUT_MM),
        n_bilabials=len(bilabials),
        silent_travel=_silent_travel(aperture, phones, rate),
        jitter=_jitter(aperture, rate),
        limit_share=float(at_limit.any(axis=1).mean()) if len(at_limit) else 0.0,
        limit_channels=tuple(EXPRESSION_CHANNELS[i] for i in np.argsort(-by_channel) if by_channel[i]),
        lag=_lag(aperture, loudness, rate),
    )


def _least(aperture: np.ndarray, phone: Phone, rate: float) -> float:
    """The smallest aperture between the frames around a phone, mm."""
    first = max(0, int(np.floor(phone.start * rate)) - 1)
    return float(aperture[first : int(np.ceil(phone.end * rate)) + 2].min(initial=np.inf))


def _silent_travel(aperture: np.ndarray, phones: Sequence[Phone], rate: float) -> float:
    """How far the lips move per second within silences, mm/s; the fastest silence counts."""
    fastest = 0.0
    for phone in phones:
        if phone.label != SILENCE or phone.end - phone.start < SHORTEST_SILENCE:
            continue
        piece = aperture[int(np.ceil((phone.start + SETTLING) * rate)) : int((phone.end - SETTLING) * rate) + 1]
        if len(piece) > 2:
            fastest = max(fastest, float(np.abs(np.diff(piece)).sum() * rate / (len(piece) - 1)))
    return fastest


def _jitter(aperture: np.ndarray, rate: float) -> float:
    """Alternation from frame to frame: root mean square of the fourth difference where signs alternate, mm at 25 Hz."""
    steps = np.diff(aperture)
    if len(steps) < 4:
        return 0.0
    alternating = (steps[1:] * steps[:-1] < 0) & (np.abs(steps[1:]) > 0.1) & (np.abs(steps[:-1]) > 0.1)
    twice = alternating[1:] & alternating[:-1]
    return float(np.sqrt(np.mean(np.where(twice, steps[1:-1] ** 2, 0.0)))) * rate / 25.0


def _loudness(waveform: Waveform, rate: float, n_frames: int) -> np.ndarray:
    """Root mean square of the sound around each frame, as a share of the loudest, (n_frames,)."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform.samples, dtype=np.float64))])
    edges = np.clip((np.arange(n_frames + 1) - 0.5) / rate * waveform.sample_rate, 0, len(waveform.samples)).astype(int)
    n_samples = np.maximum(np.diff(edges), 1)
    level = np.sqrt(np.maximum(np.diff(energy[edges]), 0.0) / n_samples)
    return level / max(float(level.max(initial=0.0)), 1e-9)


def _lag(aperture: np.ndarray, loudness: np.ndarray, rate: float) -> float | None:
    """Seconds by which the lips follow the sound where they agree best, or None where they hardly agree."""
    reach = int(LARGEST_LAG * rate)
    if len(aperture) < 4 * reach or aperture.std() < 1e-6 or loudness.std() < 1e-6:
        return None
    a, b = (aperture - aperture.mean()) / aperture.std(), (loudness - loudness.mean()) / loudness.std()
    n = len(a)
    scores = [
        float(np.mean(a[max(0, k) : n + min(0, k)] * b[max(0, -k) : n - max(0, k)])) for k in range(-reach, reach + 1)
    ]
    best = int(np.argmax(scores))
    return (best - reach) / rate if scores[best] >= CLEAR_CORRELATION else None
