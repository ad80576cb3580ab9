"""Pictures, sound and video of a shot inside Blender: portrait bytes, sound length, movie strips, preview pictures."""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path

import bpy
import numpy as np

from .compat import active_strip, show_in_sequencer, strip_span, strips
from .protocol.errors import InputError

STRIP_NAME, SOUND_NAME = "EmoRig", "EmoRig Sound"
PREVIEW_SIDE = 256


def sound_seconds(path: str) -> float | None:
    """Length of a sound file in seconds; None where it or Blender's sound library cannot tell."""
    try:
        import aud

        sound = aud.Sound(path)
        samples, rate = sound.length, sound.specs[0]
    except Exception:  # aud raises its own kinds, which differ by version, and is absent from some builds
        return None
    return samples / rate if samples > 0 and rate > 0 else None


def audio_bytes(path: str) -> tuple[str, bytes]:
    """Name and content of the recording at a path (relative to the file where it starts with //). Raises InputError."""
    if not path.strip():
        raise InputError("No audio is chosen: pick a recording of the speech.")
    file = Path(bpy.path.abspath(path))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the audio file '{file}': pick it again.") from error
    if not data:
        raise InputError(f"The audio file '{file.name}' is empty: pick another recording.")
    return file.name, data


def portrait_bytes(image) -> tuple[str, bytes]:
    """Name and encoded picture of an image: as packed, as on disk, or as it stands in memory. Raises InputError."""
    if image is None:
        raise InputError("No portrait is chosen: pick a picture of the person who speaks.")
    if image.source in {"MOVIE", "SEQUENCE", "TILED"}:
        raise InputError(f"The portrait '{image.name}' should be a single picture: pick an image file.")
    if not image.is_dirty and image.packed_file is not None:
        return image.name, bytes(image.packed_file.data)
    file = Path(bpy.path.abspath(image.filepath_raw or "", library=image.library))
    if not image.is_dirty and image.source == "FILE" and file.is_file():
        return file.name, file.read_bytes()
    if not image.has_data and image.source == "FILE":
        raise InputError(f"The portrait's file '{file}' is missing: pick it again.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "portrait.png"
        try:
            image.save_render(str(copy))
            return f"{image.name}.png", copy.read_bytes()
        except (RuntimeError, OSError) as error:
            raise InputError(f"Cannot read the portrait '{image.name}': pick an image file.") from error


def active_sound(scene) -> dict[str, float | str] | None:
    """The sequencer's active sound strip as audio_path, audio_start, audio_end (seconds) and start_frame, or None."""
    strip = active_strip(scene)
    if strip is None or strip.type != "SOUND" or strip.sound is None:
        return None
    rate = scene.render.fps / scene.render.fps_base
    start, end, content = strip_span(strip)
    first = (start - content) / rate
    return {
        "audio_path": strip.sound.filepath,
        "audio_start": max(first, 0.0),
        "audio_end": first + (end - start) / rate,
        "start_frame": int(start),
    }


def add_movie(scene, path: str, *, start_frame: int, with_sound: bool):
    """Lays a video into the sequencer at a frame, in place of this add-on's last one, and its sound beneath if asked.

    Returns (movie strip, whether the sound could be added). Raises InputError where Blender cannot read the video.
    """
    collection, path = strips(scene, create=True), stored_path(Path(path))
    for name in (STRIP_NAME, SOUND_NAME):
        if collection.get(name) is not None:
            collection.remove(collection[name])
    channel = _free_channel(collection, start_frame)
    sound_added = False
    if with_sound:
        try:
            collection.new_sound(SOUND_NAME, path, channel, start_frame)
            sound_added, channel = True, channel + 1
        except RuntimeError:
            sound_added = False
    try:
        movie = collection.new_movie(STRIP_NAME, path, channel, start_frame, fit_method="FIT")
    except RuntimeError as error:
        raise InputError(f"Blender cannot read the video '{path}'.") from error
    movie.name = STRIP_NAME
    show_in_sequencer(bpy.context, scene)
    return movie, sound_added


def output_path(folder: str, *stems: str, suffix: str) -> Path:
    """A new path in the output folder, named after the stems with a number; makes the folder. Raises InputError."""
    place = Path(bpy.path.abspath(folder)) if folder.strip() else default_folder()
    stem = "_".join(re.sub(r"[^\w\-]+", "_", part).strip("_") or "shot" for part in stems)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write to the output folder '{place}': choose another.") from error
    numbers = (int(m.group(1)) for f in place.iterdir() if (m := re.match(re.escape(stem) + r"_(\d{3,})\.", f.name)))
    return place / f"{stem}_{max(numbers, default=0) + 1:03d}{suffix}"


def stored_path(path: Path) -> str:
    """A path as Blender files keep it: relative to the saved file where that is possible."""
    try:
        return bpy.path.relpath(str(path)) if bpy.data.filepath else str(path)
    except ValueError:  # on another drive
        return str(path)


def default_folder() -> Path:
    """A folder 'emorig' beside the saved file, or the add-on's own folder for a file that is not saved."""
    if bpy.data.filepath:
        return Path(bpy.path.abspath("//emorig"))
    return user_folder() / "videos"


def user_folder() -> Path:
    """Where the add-on may keep files of its own; made where missing."""
    package = __package__
    if package.startswith("bl_ext.") and hasattr(bpy.utils, "extension_path_user"):
        return Path(bpy.utils.extension_path_user(package, create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="emorig", create=True))


def preview_pixels(image, side: int = PREVIEW_SIDE) -> tuple[tuple[int, int], np.ndarray] | None:
    """An image averaged to fit side x side: its (width, height) and float32 RGBA rows from below; or None."""
    width, height = image.size
    if not width or not height:
        return None
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(height, width, 4)
    step = max(math.ceil(max(width, height) / side), 1)
    rows, columns = height // step * step, width // step * step
    small = pixels[:rows, :columns].reshape(rows // step, step, columns // step, step, 4).mean(axis=(1, 3))
    return (small.shape[1], small.shape[0]), np.ascontiguousarray(small)


def _free_channel(collection, frame: int) -> int:
    """The lowest channel above every strip that is there at or after a frame."""
    return max((strip.channel for strip in collection if strip_span(strip)[1] > frame), default=0) + 1
