"""The face landmarks of every frame of a video, on an even grid of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.portrait import detection
from backend.portrait.landmarks import find_landmarks, mirrored

WORKING_SIDE = 512  # pixels: the face's surroundings are looked at in this size at most
SURROUNDINGS = 2.4  # side of the square that is looked at, over the face's height
LEAST_FOUND = 0.5  # share of frames that must show the face
LONGEST_GAP = 0.6  # seconds without the face that are bridged
RETRY = 12  # frames between searches of the whole picture while the face is lost
LONGEST = 900.0  # seconds


@dataclass(frozen=True)
class FaceTrack:
    """landmarks (n_frames, 478, 3) float32 pixels of the whole picture; found (n_frames,) bool: seen, not bridged."""

    landmarks: np.ndarray
    found: np.ndarray
    frame_rate: float
    height: int
    width: int


def track_landmarks(
    video: Path, *, start: float = 0.0, end: float | None = None, progress: Callable[[int, int], None] | None = None
) -> FaceTrack:
    """Landmarks of the largest face of a video between start and end (s), gaps bridged; progress(done, expected).

    Raises InputError for a file that is no video, is too long, or shows no face for most of the time.
    """
    times, points, size = [], [], (0, 0)
    expected = _expected_frames(video, start, end)
    eyes = _Eyes()
    for time, image in read_frames(video, start=start, end=end):
        size = image.shape[:2]
        times.append(time)
        points.append(eyes.find(image))
        if progress is not None:
            progress(len(times), max(expected, len(times)))
        if time - times[0] > LONGEST:
            raise InputError(f"'{video.name}' is longer than {LONGEST / 60:.0f} minutes: cut it with --start, --end.")
    if len(times) < 3:
        raise InputError(f"'{video.name}' has {len(times)} frames in that part: expected at least 3.")
    found = np.array([p is not None for p in points])
    if found.mean() < LEAST_FOUND:
        raise InputError(
            f"'{video.name}' shows a face in {found.sum()} of {len(found)} frames: use a video of one person whose "
            "face is seen from the front."
        )
    return _on_even_grid(np.array(times) - start, points, found, size)


def read_frames(video: Path, *, start: float = 0.0, end: float | None = None) -> Iterator[tuple[float, np.ndarray]]:
    """Times in seconds from where the file starts, and its images (height, width, 3) uint8 RGB, upright.

    Raises InputError for a file that is missing or no video.
    """
    import av

    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise InputError(f"'{video.name}' has no picture: give a video.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            origin = (container.start_time or 0) / 1e6
            for frame in container.decode(stream):
                if frame.pts is None:
                    continue
                time = float(frame.pts * stream.time_base) - origin
                if time < start - 1e-6:
                    continue
                if end is not None and time >= end - 1e-6:
                    return
                yield max(time, 0.0), _upright(frame)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{video}' cannot be read as a video ({error}): give an mp4, mov, webm or avi.") from error


def _upright(frame) -> np.ndarray:
    """The image as it is meant to be seen."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90.0) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _expected_frames(video: Path, start: float, end: float | None) -> int:
    """About how many frames there will be, 0 where the file does not say."""
    import av

    try:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            rate, length = float(stream.average_rate or 0), (container.duration or 0) / 1e6
    except (av.FFmpegError, OSError, IndexError, ValueError):
        return 0
    return int(max(min(length, end or length) - start, 0.0) * rate)


class _Eyes:
    """Looks for one face from frame to frame, in a square round where it was.

    Every picture is looked at by itself: mediapipe's own following of a video smooths over time, and quick lips fall
    behind. The mean with the mirror image's landmarks halves what they scatter.
    """

    def __init__(self) -> None:
        self._square: np.ndarray | None = None  # left, top, side
        self._lost = 0

    def find(self, image: np.ndarray) -> np.ndarray | None:
        """The landmarks (478, 3) in image, None where the face is not seen."""
        if self._square is None and self._lost % RETRY == 0:
            self._search(image)
        points = None if self._square is None else self._look(image)
        if points is None:
            self._lost += 1
            if self._lost > 2:
                self._square = None
            return None
        self._lost = 0
        center, reach = points[:, :2].mean(0), np.ptp(points[:, :2], axis=0).max()
        left, top, side = self._square
        # The square moves only when it must: landmarks err by where in it the face lies.
        if np.abs(center - (left + side / 2, top + side / 2)).max() > 0.18 * side or not 0.25 < reach / side < 0.6:
            self._place(points)
        return points

    def _search(self, image: np.ndarray) -> None:
        people = [face for face in detection.find_faces(image) if face.is_plausible]
        if people:
            self._place(people[0].landmarks)

    def _place(self, points: np.ndarray) -> None:
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        side = SURROUNDINGS * (high - low).max()
        self._square = np.array([*((low + high) / 2 - side / 2), side])

    def _look(self, image: np.ndarray) -> np.ndarray | None:
        import cv2

        height, width = image.shape[:2]
        left, top, side = self._square
        x0, y0 = int(max(left, 0)), int(max(top, 0))
        x1, y1 = int(min(left + side, width)), int(min(top + side, height))
        if x1 - x0 < 16 or y1 - y0 < 16:
            return None
        part = image[y0:y1, x0:x1]
        shrink = min(1.0, WORKING_SIDE / max(part.shape[:2]))
        if shrink < 1.0:
            part = cv2.resize(part, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        plain, turned = find_landmarks(part), find_landmarks(part[:, ::-1])
        if plain is None or turned is None:
            return None
        turned = turned[mirrored()]
        turned[:, 0] = part.shape[1] - turned[:, 0]
        scale = np.float32([(x1 - x0) / part.shape[1], (y1 - y0) / part.shape[0], (x1 - x0) / part.shape[1]])
        return (plain + turned) / 2.0 * scale + np.float32([x0, y0, 0.0])


def _on_even_grid(
    times: np.ndarray, points: list[np.ndarray | None], found: np.ndarray, size: tuple[int, int]
) -> FaceTrack:
    """The track at even steps of time from 0: gaps and dropped frames interpolated, the ends held.

    Raises InputError where the face is away for longer than LONGEST_GAP inside the video.
    """
    from backend.curves.assemble import rate_of_times

    rate = rate_of_times(times - times[0])
    seen = times[found]
    gap = float(np.diff(seen).max(initial=0.0))
    if gap > LONGEST_GAP:
        at = seen[int(np.diff(seen).argmax())]
        raise InputError(
            f"The face is not seen for {gap:.1f} s after {at:.1f} s: cut the video there with --start and --end."
        )
    n_frames = round(float(times[-1] * rate)) + 1
    grid = np.arange(n_frames) / rate
    stacked = np.stack([p for p in points if p is not None]).reshape(len(seen), -1)
    after = np.clip(np.searchsorted(seen, grid), 1, len(seen) - 1) if len(seen) > 1 else np.zeros(n_frames, int)
    before = np.maximum(after - 1, 0)
    span = np.maximum(seen[after] - seen[before], 1e-9)
    share = np.clip((grid - seen[before]) / span, 0.0, 1.0)[:, None]
    even = (1.0 - share) * stacked[before] + share * stacked[after]
    nearest = np.abs(grid[:, None] - seen[None]).min(1) if len(seen) < 30000 else np.zeros(n_frames)
    return FaceTrack(
        landmarks=even.reshape(n_frames, -1, 3).astype(np.float32),
        found=nearest <= 0.6 / rate,
        frame_rate=rate,
        height=size[0],
        width=size[1],
    )
