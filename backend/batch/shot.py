"""Makes one job of a batch: every file of it in one folder, with what a reviewer wants to see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.batch.jobs import BatchJob
from backend.provenance.label import Marking, shot_settings

REVIEW, THUMBNAILS = "review.json", "thumbnails.jpg"
THUMBNAIL_SIDE = 160  # pixels
JPEG_QUALITY = 85
DECIMALS = 3
CONTENT_VERSION = 1  # of what a job's files hold; a new one makes every shot again

Report = Callable[[str, int, int], None]


class _ReviewSink:
    """Passes progress on and keeps small pictures of the frames that tell most."""

    def __init__(self, report: Report) -> None:
        self.progress = report
        self._wanted: set[int] = set()
        self.pictures: list[np.ndarray] = []

    def notice(self, text: str) -> None:
        """Notices come with the result."""

    def curves(self, curves) -> None:
        """Chooses the first frame, the widest mouth and the last but one fifth to look at."""
        n_frames = curves.n_frames
        widest = int(np.argmax(curves.column("jawOpen"))) if "jawOpen" in curves.names else n_frames // 2
        self._wanted = {0, widest, n_frames // 2, (4 * n_frames) // 5}

    def frame(self, index: int, image: np.ndarray) -> None:
        """Keeps a wanted frame, small."""
        if index in self._wanted:
            import cv2

            scale = THUMBNAIL_SIDE / min(image.shape[:2])
            self.pictures.append(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))

    def video(self, path: Path) -> None:
        """The video lies where it should."""

    def cancelled(self) -> bool:
        """A batch is stopped by ending its workers."""
        return False


def make_job(job: BatchJob, folder: Path, *, marking: Marking, report: Report) -> tuple[str, ...]:
    """Writes all files of a job into an empty folder and gives what a person should look at. Raises InputError."""
    from backend.audio.waveform import load_waveform
    from backend.batch.quality import assess
    from backend.commands.shots import COEFFICIENTS, CURVES, SETTINGS, VIDEO
    from backend.delivery import write_coefficients, write_curves, write_settings
    from backend.pipeline import Shot, read_emotion, run_shot

    marking = _with_consent(marking, job.consent)
    shot = Shot(job.portrait, job.audio, read_emotion(job.emotion), job.options)
    sink, video = _ReviewSink(report), folder / VIDEO
    result = run_shot(shot, sink, video_path=video, marking=marking)
    write_curves(folder / CURVES, result.curves)
    write_coefficients(folder / COEFFICIENTS, result.coefficients)
    for name in job.formats:
        _export(result.curves, folder, name=name, audio=job.audio)
    waveform = load_waveform(job.audio, start=job.options.start, end=job.options.end)
    quality = assess(result.coefficients, result.curves.phones, waveform)
    _write_review(folder, quality, pictures=sink.pictures, notices=result.notices, rate=job.options.frame_rate)
    write_settings(
        folder / SETTINGS,
        portrait=job.portrait,
        audio=job.audio,
        emotion=shot.emotion,
        options=job.options,
        notices=result.notices,
        video=video if video.is_file() else None,
        marking=marking,
    )
    return quality.flags


def _with_consent(marking: Marking, consent: str) -> Marking:
    return replace(marking, consent=consent) if consent.strip() else marking


def _export(curves, folder: Path, *, name: str, audio: Path) -> None:
    """Writes curves in one further format, named after it where its suffix is another's."""
    from backend.export.formats import FORMATS, write_curves
    from backend.export.options import ExportOptions

    suffixes = FORMATS[name].suffixes
    path = folder / (f"curves{suffixes[0]}" if suffixes else f"curves.{name}.{_plain_suffix(name)}")
    write_curves(curves, path, name=name, options=ExportOptions(audio=audio))


def _plain_suffix(name: str) -> str:
    """The suffix of a format that shares it with another."""
    return {"a2f": "json", "godot3": "tres", "vrma-arkit": "vrma", "coefficients-npz": "npz"}.get(name, "csv")


def _write_review(folder: Path, quality, *, pictures: list[np.ndarray], notices: tuple[str, ...], rate: float) -> None:
    import cv2

    record = {
        "frame_rate": rate,
        "aperture_mm": np.round(quality.aperture, DECIMALS).tolist(),
        "loudness": np.round(quality.loudness, DECIMALS).tolist(),
        "n_bilabials": quality.n_bilabials,
        "open_bilabials": [round(time, DECIMALS) for time in quality.open_bilabials],
        "silent_travel_mm_per_second": round(quality.silent_travel, DECIMALS),
        "jitter_mm": round(quality.jitter, DECIMALS),
        "limit_share": round(quality.limit_share, DECIMALS),
        "lag_seconds": None if quality.lag is None else round(quality.lag, DECIMALS),
        "flags": list(quality.flags),
        "notices": list(notices),
    }
    (folder / REVIEW).write_text(json.dumps(record) + "\n", encoding="utf-8")
    if pictures:
        strip = np.hstack([picture[..., ::-1] for picture in pictures])
        _, data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / THUMBNAILS).write_bytes(data.tobytes())


def content_hash(job: BatchJob, *, marking: Marking) -> str:
    """The sha256 of all that a job's files depend on: inputs by content, settings, networks, how it is marked.

    Raises InputError where an input cannot be read.
    """
    from backend.inference.emotion_video import EmotionVideo
    from backend.pipeline import read_emotion
    from backend.weights import shipped_networks

    emotion = read_emotion(job.emotion)
    keys = None if isinstance(emotion, EmotionVideo) else emotion
    document = shot_settings(None, b"", emotion=keys, options=job.options) | {
        "content": CONTENT_VERSION,
        "portrait": None if job.portrait is None else _file_hash(*_stamp(job.portrait)),
        "audio": _file_hash(*_stamp(job.audio)),
        "networks": [network["sha256"] for network in shipped_networks()],
        "emotion_file": _file_hash(*_stamp(emotion.path)) if isinstance(emotion, EmotionVideo) else None,
        "formats": sorted(job.formats),
        "marked": marking.is_on,
        "certificate": str(marking.certificate),
        "consent": _with_consent(marking, job.consent).consent,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> tuple[Path, int, int]:
    """A file with its size and time of change, so that its hash is computed once."""
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=100_000)
def _file_hash(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
