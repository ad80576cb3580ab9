"""Pictures in the panel: the portrait, the newest rendered frame, the emotion's course. Kept while Blender runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from .footage import preview_pixels

PREVIEW_IMAGE = "EmoRig Preview"
_pictures = None


def portrait_icon(image) -> int:
    """Icon of a portrait, 0 where there is none to show."""
    if image is None or _pictures is None:
        return 0
    key = f"portrait:{image.name}:{image.filepath_raw}"
    if key not in _pictures:
        path = Path(bpy.path.abspath(image.filepath_raw or "", library=image.library))
        if image.packed_file is None and image.filepath_raw and path.is_file():
            _pictures.load(key, str(path), "IMAGE")
        else:
            _draw_image(key, image)
    return _pictures[key].icon_id if key in _pictures else 0


def icon_of(key: str) -> int:
    """Icon of a picture shown before under a key, 0 where there is none."""
    return _pictures[key].icon_id if _pictures is not None and key in _pictures else 0


def forget(prefix: str) -> None:
    """Drops the pictures whose key starts so."""
    for key in [key for key in _pictures or () if key.startswith(prefix)]:
        del _pictures[key]


def show_frame(jpeg: bytes) -> None:
    """Shows a rendered frame in the panel and in the image datablock 'EmoRig Preview'."""
    path = Path(tempfile.gettempdir() if not bpy.app.tempdir else bpy.app.tempdir) / "emorig_preview.jpg"
    path.write_bytes(jpeg)
    image = bpy.data.images.get(PREVIEW_IMAGE)
    if image is None or image.source != "FILE":
        image = bpy.data.images.load(str(path))
        image.name = PREVIEW_IMAGE
    else:
        image.filepath = str(path)
        image.reload()
    _draw_image("frame", image)


def draw(key: str, pixels: np.ndarray) -> None:
    """Keeps pixels (height, width, 4) float32 RGBA 0-1, rows from below, as the picture of a key."""
    if _pictures is None:
        return
    picture = _pictures[key] if key in _pictures else _pictures.new(key)
    picture.image_size = (pixels.shape[1], pixels.shape[0])
    picture.image_pixels_float.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())


def _draw_image(key: str, image) -> None:
    small = preview_pixels(image)
    if small is not None:
        draw(key, small[1])


def register() -> None:
    """Makes room for pictures."""
    global _pictures
    _pictures = bpy.utils.previews.new()


def unregister() -> None:
    """Drops all of them."""
    global _pictures
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
        _pictures = None
