"""Pictures, sound and video of a shot inside Blender: portrait bytes, sound length, movie strips, preview pictures."""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path

import bpy
import numpy as np

from .compat import active_strip, strip_span
from .protocol.errors import InputError

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


def strip_audio(scene, strip) -> dict[str, float | str] | None:
    """A sound strip as audio_path, audio_start, audio_end (seconds) and start_frame; None for another kind of strip."""
    if strip is None or strip.type != "SOUND" or strip.sound is None:
        return None
    rate = scene.render.fps / scene.render.fps_base
    start, end, content = strip_span(strip)
    first = (start - content) / rate
    return {
        "audio_path": sound_file(strip.sound),
        "audio_start": max(first, 0.0),
        "audio_end": first + (end - start) / rate,
        "start_frame": int(start),
    }


def speaker_audio(scene, speaker) -> dict[str, float | str]:
    """A speaker object's sound as audio_path, audio_start, audio_end and start_frame. Raises InputError.

    It starts where the speaker's first sound strip in the NLA editor does, else at the scene's first frame.
    """
    if speaker is None or speaker.type != "SPEAKER" or speaker.data.sound is None:
        raise InputError("No speaker with a sound is selected: select one, or add a sound to it.")
    tracks = speaker.animation_data.nla_tracks if speaker.animation_data else ()
    starts = [strip.frame_start for track in tracks for strip in track.strips if strip.type == "SOUND"]
    start = int(min(starts, default=scene.frame_start))
    return {"audio_path": sound_file(speaker.data.sound), "audio_start": 0.0, "audio_end": 0.0, "start_frame": start}


def sound_file(sound) -> str:
    """The file of a sound datablock; one that is packed into the Blender file is written out beside the results."""
    if sound.packed_file is None:
        return sound.filepath
    place = default_folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        path = place / (Path(sound.filepath).name or f"{sound.name}.wav")
        path.write_bytes(bytes(sound.packed_file.data))
    except OSError as error:
        raise InputError(
            f"The packed sound '{sound.name}' cannot be written to '{place}': save the file first."
        ) from error
    return stored_path(path)


def active_sound(scene) -> dict[str, float | str] | None:
    """The sequencer's active sound strip as audio_path, audio_start, audio_end (seconds) and start_frame, or None."""
    return strip_audio(scene, active_strip(scene))


def camera_view(scene, *, renders: bool):
    """What the scene's camera sees at the playhead, as an image packed into the file. Raises InputError.

    renders: by the scene's own engine; else as the viewport draws it, which is quick.
    """
    if scene.camera is None:
        raise InputError("The scene has no camera: add one, or choose a picture.")
    settings = scene.render
    kept = settings.filepath, settings.image_settings.file_format
    media = getattr(settings.image_settings, "media_type", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "view.png"
        try:
            if media is not None:
                settings.image_settings.media_type = "IMAGE"
            settings.filepath, settings.image_settings.file_format = str(path), "PNG"
            if renders or bpy.app.background:
                bpy.ops.render.render(write_still=True)
            else:
                bpy.ops.render.opengl(write_still=True, view_context=False)
            image = bpy.data.images.load(str(path))
            image.name = f"{scene.camera.name} frame {scene.frame_current}"
            image.pack()
        except RuntimeError as error:
            raise InputError(f"The camera's view could not be rendered: {error}") from error
        finally:
            if media is not None:
                settings.image_settings.media_type = media
            settings.filepath, settings.image_settings.file_format = kept
    return image


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
