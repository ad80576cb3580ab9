"""From a video to a prepared clip: tracking, coefficients, action units, the face's surroundings, sound in step."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.datasets.clip import SOUND_RATE, ClipLabel, PreparedClip
from backend.datasets.layouts import ClipFile
from backend.datasets.offset import estimate_offset, lip_opening, predicted_opening
from backend.errors import InputError
from backend.tracking.frames import FaceTrack, read_frames, track_landmarks
from backend.tracking.tracker import TrackedFace, tracked_face
from bfm.coefficients import FaceCoefficients
from blender_addon.protocol.types import Waveform

LEAST_SECONDS = 0.5
LEAST_FACE = 48.0  # pixels between forehead and chin
WORST_RESIDUAL = 0.06  # share of the eyes' distance
SECOND_FACE = 0.5  # of the first one's height; a smaller one does not disturb
LEAST_SOUND = 1e-3  # peak
NO_SOUND, SILENT = "the clip has no sound", "the sound is silent"
SURROUNDINGS = 1.9  # side of the kept square over the face's longer side
LIFT = 0.08  # of the side: the square reaches higher over the face than below it
JPEG_QUALITY = 95


class UnusableClipError(InputError):
    """The clip cannot be learnt from; the message is the reason."""


@dataclass(frozen=True)
class Measuring:
    """How clips are prepared: frames per second and side of the kept pictures in pixels.

    keeps_silent: clips without sound are kept, for the networks that learn from pictures alone.
    """

    frame_rate: float = 25.0
    size: int = 256
    keeps_silent: bool = False


def prepare_clip(file: ClipFile, split: str, settings: Measuring) -> PreparedClip:
    """The prepared clip of a file. Raises UnusableClipError with the reason where nothing can be learnt from it."""
    try:
        waveform = _sound(file, settings)
        track = track_landmarks(file.video)
        _check(file, track)
        face = tracked_face(track)
    except UnusableClipError:
        raise
    except InputError as error:
        raise UnusableClipError(str(error)) from error
    residual = float(face.fit.residual.mean())
    if residual > WORST_RESIDUAL:
        raise UnusableClipError(f"the face fits only within {residual:.1%} of the distance between the eyes")
    rate = track.frame_rate
    seconds, offset, likeness = len(track.landmarks) / rate, 0.0, 0.0
    if waveform is not None:
        offset, likeness = estimate_offset(lip_opening(track.landmarks), predicted_opening(waveform, rate), rate)
        seconds = min(seconds, waveform.duration - max(offset, 0.0))
    times = np.arange(int(seconds * settings.frame_rate)) / settings.frame_rate
    if seconds < LEAST_SECONDS:
        raise UnusableClipError(f"picture and sound share {seconds:.2f} s, expected at least {LEAST_SECONDS} s")
    names, units, source = _units(file, face, times)
    samples = np.zeros(0, np.float32) if waveform is None else waveform.samples
    square = _square(track.landmarks)
    return PreparedClip(
        label=ClipLabel(
            file.key,
            file.speaker,
            file.emotion,
            file.level,
            split,
            file.video.name,
            source,
            offset,
            likeness,
            residual,
            waveform is not None,
        ),
        frames=tuple(_pictures(file.video, times, square, settings.size)),
        landmarks=at_times(times, (track.landmarks - [*square[:2], 0.0]) * (settings.size / square[2]), rate),
        coefficients=_coefficients(file.video, face, times, settings.frame_rate),
        units=units,
        unit_names=names,
        samples=shifted(samples, offset, round(len(times) / settings.frame_rate * SOUND_RATE), SOUND_RATE),
    )


def _sound(file: ClipFile, settings: Measuring) -> Waveform | None:
    """The clip's sound at SOUND_RATE; None where there is none and such clips are kept."""
    from backend.audio.waveform import SilentFileError, load_waveform

    try:
        waveform = load_waveform(file.sound or file.video)
    except SilentFileError as error:
        if settings.keeps_silent:
            return None
        raise UnusableClipError(NO_SOUND) from error
    assert waveform.sample_rate == SOUND_RATE
    if np.abs(waveform.samples).max() >= LEAST_SOUND:
        return waveform
    if settings.keeps_silent:
        return None
    raise UnusableClipError(SILENT)


def _check(file: ClipFile, track: FaceTrack) -> None:
    """Raises UnusableClipError for clips too short, faces too small and a second face."""
    from backend.portrait.detection import find_faces

    seconds = len(track.landmarks) / track.frame_rate
    if seconds < LEAST_SECONDS:
        raise UnusableClipError(f"the clip is {seconds:.2f} s long, expected at least {LEAST_SECONDS} s")
    height = np.median(np.linalg.norm(track.landmarks[:, 10, :2] - track.landmarks[:, 152, :2], axis=1))
    if height < LEAST_FACE:
        raise UnusableClipError(f"the face is {height:.0f} pixels tall, expected at least {LEAST_FACE:.0f}")
    _, image = next(iter(read_frames(file.video, start=seconds / 2)), (0.0, None))
    people = [] if image is None else [face for face in find_faces(image) if face.is_plausible]
    if len(people) > 1 and people[1].height > SECOND_FACE * people[0].height:
        raise UnusableClipError(f"{len(people)} faces are seen, expected one")


def _units(file: ClipFile, face: TrackedFace, times: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, str]:
    """Names, intensities (n_frames, 17) 0–1 and source of the action units: OpenFace's table beside the video, else
    those measured from landmarks.
    """
    table = file.video.with_suffix(".csv")
    if not table.is_file():
        return face.unit_names, np.clip(at_times(times, face.units, face.curves.frame_rate), 0.0, 1.0), "landmarks"
    with table.open(newline="", encoding="utf-8") as lines:
        rows = [{name.strip(): value for name, value in row.items()} for row in csv.DictReader(lines)]
    columns = [f"AU{int(name[2:]):02d}_r" for name in face.unit_names]
    missing = [c for c in ("timestamp", *columns) if not rows or c not in rows[0]]
    if missing:
        raise UnusableClipError(f"OpenFace's table '{table.name}' lacks {missing[0]}")
    try:
        values = np.array([[float(row[c]) for c in ("timestamp", *columns)] for row in rows])
    except ValueError as error:
        raise UnusableClipError(f"OpenFace's table '{table.name}' holds no numbers ({error})") from error
    units = np.stack([np.interp(times, values[:, 0], column / 5.0) for column in values[:, 1:].T], axis=1)
    return face.unit_names, np.clip(units, 0.0, 1.0).astype(np.float32), table.name


def _square(landmarks: np.ndarray) -> np.ndarray:
    """Left, top and side in pixels of the square around the face in all frames (n_frames, 478, 3)."""
    flat = landmarks[..., :2]
    low, high = flat.min((0, 1)), flat.max((0, 1))
    face = np.median(np.ptp(flat, axis=1).max(1))
    side = max(SURROUNDINGS * face, 1.1 * (high - low).max())
    center = (low + high) / 2 - [0.0, LIFT * side]
    return np.array([*(center - side / 2), side])


def _pictures(video: Path, times: np.ndarray, square: np.ndarray, size: int) -> list[bytes]:
    """JPEGs of the square at times (n_frames,), each of the frame nearest in time."""
    import cv2

    left, top, side = square
    scale = size / side
    # Pixel centres lie at whole numbers: the square's corner is the outer corner of its first pixel.
    move = np.array([[scale, 0.0, -left * scale], [0.0, scale, -top * scale]])
    kernel = max(1, round(side / size))
    encoded: list[bytes] = []
    earlier: tuple[float, np.ndarray] | None = None

    def encode(image: np.ndarray) -> bytes:
        if kernel > 1:
            image = cv2.blur(image, (kernel, kernel))
        cut = cv2.warpAffine(image, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cv2.imencode(".jpg", cut[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()

    for time, image in read_frames(video):
        while len(encoded) < len(times) and times[len(encoded)] <= time:
            wanted = times[len(encoded)]
            is_earlier = earlier is not None and wanted - earlier[0] < time - wanted
            encoded.append(encode(earlier[1] if is_earlier else image))
        earlier = (time, image)
        if len(encoded) == len(times):
            break
    while earlier is not None and len(encoded) < len(times):
        encoded.append(encode(earlier[1]))
    return encoded


def _coefficients(video: Path, face: TrackedFace, times: np.ndarray, frame_rate: float) -> FaceCoefficients:
    """The tracked coefficients at times, with skin colour and light of the first frame."""
    from bfm.appearance import fit_appearance
    from bfm.errors import FaceModelError
    from bfm.fitting import FittedFace
    from bfm.sources.embedded import load_embedded_model

    tracked, rate = face.coefficients, face.coefficients.frame_rate
    texture, lighting = tracked.texture, tracked.lighting
    fit = FittedFace(
        tracked.identity, texture, tracked.expression[0], tracked.rotation[0], tracked.translation[0], lighting,
        face.fit.camera, float(face.fit.residual[0]),
    )  # fmt: skip
    try:
        _, image = next(iter(read_frames(video)))
        fitted = fit_appearance(load_embedded_model(), fit, image)
        texture, lighting = fitted.texture, fitted.lighting
    except FaceModelError:
        pass  # too little skin is seen: the average skin under even light
    return FaceCoefficients(
        identity=tracked.identity, texture=texture, lighting=lighting,
        expression=at_times(times, tracked.expression, rate), rotation=at_times(times, tracked.rotation, rate),
        translation=at_times(times, tracked.translation, rate),
        frame_rate=frame_rate,
    )  # fmt: skip


def at_times(times: np.ndarray, values: np.ndarray, rate: float) -> np.ndarray:
    """Values (n, …) at rate, interpolated at times (m,): (m, …) float32."""
    place = np.clip(times * rate, 0, len(values) - 1)
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    share = (place - before).reshape(-1, *[1] * (values.ndim - 1))
    return ((1.0 - share) * values[before] + share * values[after]).astype(np.float32)


def shifted(samples: np.ndarray, offset: float, n_samples: int, rate: int) -> np.ndarray:
    """Sound (…, n) at rate moved earlier by offset (s), of a length in samples; silence where there is none."""
    start = round(offset * rate)
    sides = [(0, 0)] * (samples.ndim - 1)
    padded = np.pad(samples, [*sides, (max(0, -start), n_samples)])
    return padded[..., max(0, start) :][..., :n_samples].astype(np.float32)
