"""Where the results of a shot go in a worker: each becomes a kept message of the job, and the service is told of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.service.jobs import LOG_NAME
from blender_addon.protocol.codec import encode
from blender_addon.protocol.messages import (
    MAX_TEXT,
    MAX_VIDEO_BYTES,
    PART_BYTES,
    Curves,
    Frame,
    Notice,
    Submit,
    VideoPart,
)
from blender_addon.protocol.types import AnimationCurves

JPEG_QUALITY = 92
PROGRESS_SECONDS = 0.1
MAX_FRAMES_BYTES = 4 << 30  # of one job's kept frames; the video holds them all


class JobSink:
    """Takes a shot's results as they come and keeps them as messages; the pipeline's ShotSink."""

    def __init__(
        self,
        request: Submit,
        folder: Path,
        *,
        sequence: int,
        note: Callable[..., None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._request, self._note, self._is_cancelled = request, note, is_cancelled
        self._sequence = sequence
        self._log = open(folder / LOG_NAME, "ab")  # noqa: SIM115 closed with the job
        self._frames_bytes = 0
        self._stage, self._stage_start, self._last_progress = "", 0.0, 0.0
        self.n_frames = 0

    def close(self) -> None:
        """Closes the message log."""
        self._log.close()

    def cancelled(self) -> bool:
        """Whether the client wants the job to stop."""
        return self._is_cancelled()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tells how far a stage is, ten times a second at most."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_start, self._last_progress = stage, now, 0.0
        if done < total and now - self._last_progress < PROGRESS_SECONDS:
            return
        self._last_progress = now
        elapsed = now - self._stage_start
        rate = done / elapsed if done > 1 and elapsed > 0 else 0.0
        self._note("progress", stage=stage, done=int(done), total=int(total), rate=rate)

    def notice(self, text: str) -> None:
        """Keeps a sentence for the user."""
        self._keep(Notice(self._request.job, self._sequence, text[:MAX_TEXT]))

    def curves(self, curves: AnimationCurves) -> None:
        """Keeps the curves."""
        self._keep(Curves(self._request.job, self._sequence, curves))

    def frame(self, index: int, image: np.ndarray) -> None:
        """Keeps a frame, image (H, W, 3) uint8 RGB, in the size and encoding that the client asked for."""
        self.n_frames += 1
        if self._request.frame_encoding == "none" or self._frames_bytes > MAX_FRAMES_BYTES:
            return
        picture = _resized(image, self._request.frame_size)
        data = _jpeg(picture) if self._request.frame_encoding == "jpeg" else picture.tobytes()
        height, width = picture.shape[:2]
        self._frames_bytes += len(data)
        encoding = self._request.frame_encoding
        self._keep(Frame(self._request.job, self._sequence, index, width, height, encoding, data))

    def video(self, path: Path) -> None:
        """Keeps the video file in parts."""
        total = os.path.getsize(path)
        if total > MAX_VIDEO_BYTES:
            raise InputError(f"The video has {total >> 20} MiB and at most {MAX_VIDEO_BYTES >> 20} can be sent.")
        with open(path, "rb") as file:
            for offset in range(0, total, PART_BYTES):
                self._keep(VideoPart(self._request.job, self._sequence, offset, total, file.read(PART_BYTES)))

    def _keep(self, message: object) -> None:
        parts = encode(message)
        for part in parts:
            self._log.write(part)
        self._log.flush()
        self._note("kept", sizes=[len(part) for part in parts])
        self._sequence += 1


def _resized(image: np.ndarray, shorter_side: int | None) -> np.ndarray:
    if shorter_side is None or shorter_side >= min(image.shape[:2]):
        return np.ascontiguousarray(image)
    import cv2

    scale = shorter_side / min(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _jpeg(image: np.ndarray) -> bytes:
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
