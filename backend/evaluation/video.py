"""Generated videos beside real ones, by the papers' measures.

emorig evaluate video --real DIR --fake DIR

Pairs are files of one name. Both are read 25 times a second at one size (EAMM §4.1), tracked alike, and compared
frame by frame over the time that both last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from backend.datasets.layouts import VIDEO_SUFFIXES
from backend.datasets.measuring import at_times
from backend.datasets.offset import estimate_offset, lip_opening, predicted_opening
from backend.errors import InputError
from backend.evaluation import metrics
from backend.evaluation.emotion_units import emotion_accuracy
from backend.evaluation.metrics_sharpness import cpbd
from backend.evaluation.sound_sync import SoundSync
from backend.tracking.frames import read_frames, track_landmarks
from backend.tracking.tracker import tracked_face
from blender_addon.protocol.types import Waveform

FRAME_RATE = 25.0  # Hz
ASPECT_TOLERANCE = 0.03  # of the real picture's, that a generated one may differ by
MOST_PSNR = 100.0  # dB, that equal frames count as


@dataclass(frozen=True)
class SeenVideo:
    """A video as it is measured: frames (n, H, W, 3) uint8 at FRAME_RATE, landmarks (n, 478, 3) in their pixels, action
    units (n, 17) by unit_names, the fitted identity (80,) in sd, and its sound where there is any.
    """

    name: str
    frames: np.ndarray
    landmarks: np.ndarray
    units: np.ndarray
    unit_names: tuple[str, ...]
    identity: np.ndarray
    waveform: Waveform | None

    def first(self, n_frames: int) -> SeenVideo:
        """The first n_frames frames."""
        if n_frames == len(self.frames):
            return self
        return SeenVideo(
            self.name, self.frames[:n_frames], self.landmarks[:n_frames], self.units[:n_frames], self.unit_names,
            self.identity, self.waveform,
        )  # fmt: skip

    @cached_property
    def sharpness(self) -> float:
        """Mean CPBD of the frames; of a held picture it is measured once."""
        distinct = self.frames[:1] if (self.frames == self.frames[0]).all() else self.frames
        return float(np.mean([cpbd(frame) for frame in distinct]))

    @cached_property
    def heard(self) -> np.ndarray | None:
        """The opening of the lips that our speech network hears in its sound, at FRAME_RATE; None without sound."""
        return None if self.waveform is None else predicted_opening(self.waveform, FRAME_RATE)


@dataclass(frozen=True)
class VideoScores:
    """Measures of one generated video beside the real one; None where they cannot be computed.

    psnr in dB, ssim, over whole frames; cpbd of the generated and of the real video; landmark distances and jitter in
    pixels; identity: cosine of the fitted identities. lip_offset in seconds that the sound comes late and
    lip_correlation by our own lips; sync_…: SyncNet's distance, confidence and offset in frames. emotion_accuracy:
    share of frames whose action units show the wanted emotion. units: the mean intensity of each action unit, and
    unit_error how far they are from the real video's on average.
    """

    n_frames: int
    psnr: float
    ssim: float
    cpbd: float
    real_cpbd: float
    mouth_lmd: float
    face_lmd: float
    jitter: float
    real_jitter: float
    identity: float
    unit_error: float
    lip_offset: float | None
    lip_correlation: float | None
    sync_distance: float | None
    sync_confidence: float | None
    sync_offset: int | None
    emotion_accuracy: float | None
    units: dict[str, float]


def see_video(path: Path, *, size: int, shape: tuple[int, int] | None = None, end: float | None = None) -> SeenVideo:
    """Reads and tracks a video up to end (s): its shorter side is size pixels, or its frames have a shape (H, W).

    Raises InputError where it is no video, shows no face, or has another aspect ratio than shape.
    """
    from backend.audio.waveform import load_waveform

    track = track_landmarks(path, end=end)
    scale = size / min(track.height, track.width)
    height, width = shape or (round(track.height * scale), round(track.width * scale))
    if abs((width / height) / (track.width / track.height) - 1.0) > ASPECT_TOLERANCE:
        raise InputError(
            f"'{path.name}' is {track.width} x {track.height}, the real video {width} : {height}: render alike."
        )
    seconds = len(track.landmarks) / track.frame_rate
    times = np.arange(max(1, int(seconds * FRAME_RATE + 1e-6))) / FRAME_RATE
    face = tracked_face(track)
    landmarks = at_times(times, track.landmarks, track.frame_rate)
    landmarks *= np.float32([width / track.width, height / track.height, width / track.width])
    try:
        waveform = load_waveform(path, end=end)
    except InputError:
        waveform = None  # silent videos are measured by their pictures
    return SeenVideo(
        path.stem, _frames_at(path, times, (height, width)), landmarks,
        np.clip(at_times(times, face.units, track.frame_rate), 0.0, 1.0), face.unit_names, face.fit.identity, waveform,
    )  # fmt: skip


def _frames_at(path: Path, times: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Frames (n, H, W, 3) uint8, at each time the one that is shown then."""
    frames: list[np.ndarray] = []
    latest: np.ndarray | None = None
    height, width = shape
    for time, image in read_frames(path):
        while latest is not None and len(frames) < len(times) and times[len(frames)] < time - 1e-6:
            frames.append(latest)
        if len(frames) == len(times):
            break
        method = cv2.INTER_AREA if height < len(image) else cv2.INTER_LINEAR
        latest = image.copy() if image.shape[:2] == shape else cv2.resize(image, (width, height), interpolation=method)
    while latest is not None and len(frames) < len(times):
        frames.append(latest)
    return np.stack(frames)


def compare_videos(
    real: SeenVideo, fake: SeenVideo, *, emotion: str | None = None, sync: SoundSync | None = None
) -> VideoScores:
    """Measures a generated video beside the real one, over the time that both last.

    emotion: what it should show. sync: SyncNet, where its weights are here; without sound of its own the generated
    video is measured with the real one's.
    """
    n_frames = min(len(real.frames), len(fake.frames))
    real, fake = real.first(n_frames), fake.first(n_frames)
    ratios = [min(metrics.psnr(a, b), MOST_PSNR) for a, b in zip(real.frames, fake.frames)]
    alike = [metrics.ssim(a, b) for a, b in zip(real.frames, fake.frames)]
    true, made = real.landmarks[..., :2], fake.landmarks[..., :2]
    template = true[0].astype(np.float64)
    own, aligned = (metrics.aligned(points.astype(np.float64), template) for points in (made, true))
    spoken = fake if fake.waveform is not None else real
    offset = correlation = None
    synced = None
    if spoken.waveform is not None:
        offset, correlation = estimate_offset(lip_opening(fake.landmarks), spoken.heard, FRAME_RATE)
        if sync is not None:
            synced = sync.measure(fake.frames, fake.landmarks, spoken.waveform)
    return VideoScores(
        n_frames=n_frames,
        psnr=float(np.mean(ratios)),
        ssim=float(np.mean(alike)),
        cpbd=fake.sharpness,
        real_cpbd=real.sharpness,
        mouth_lmd=metrics.landmark_distance(true, made, metrics.MOUTH),
        face_lmd=metrics.landmark_distance(true, made, metrics.FACE),
        jitter=metrics.landmark_jitter(own),
        real_jitter=metrics.landmark_jitter(aligned),
        identity=identity_similarity(real.identity, fake.identity),
        unit_error=float(np.abs(real.units - fake.units).mean()),
        lip_offset=offset,
        lip_correlation=correlation,
        sync_distance=None if synced is None else synced.distance,
        sync_confidence=None if synced is None else synced.confidence,
        sync_offset=None if synced is None else synced.offset,
        emotion_accuracy=None if emotion is None else emotion_accuracy(fake.units, fake.unit_names, emotion),
        units=dict(zip(fake.unit_names, (float(v) for v in fake.units.mean(0)))),
    )


def identity_similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two identities (80,) in standard deviations; 1 where both are the average face."""
    sizes = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1.0 if sizes < 1e-9 else float(np.dot(one, other) / sizes)


def paired_videos(real: Path, fake: Path) -> list[tuple[Path, Path]]:
    """Files of one name in two folders, or below subfolders 'NAME/video.mp4' as 'emorig render' leaves them.

    Raises InputError where there are no pairs.
    """
    for folder in (real, fake):
        if not folder.is_dir():
            raise InputError(f"There is no folder '{folder}': give folders of videos.")
    made = _videos(fake)
    pairs = [(path, made[name]) for name, path in sorted(_videos(real).items()) if name in made]
    if not pairs:
        raise InputError(f"No video in '{fake}' has the name of one in '{real}': name them alike.")
    return pairs


def _videos(folder: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            found.setdefault(path.parent.name if path.stem == "video" else path.stem, path)
    return found
