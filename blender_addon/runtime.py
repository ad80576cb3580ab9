"""What lives while Blender runs and is not saved: the session, news for the panel, pictures, the timer."""

from __future__ import annotations

import tempfile
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import bpy
import bpy.utils.previews

from . import compat
from .footage import preview_pixels
from .protocol.types import ARKIT_NAMES, AnimationCurves
from .rig.mapping import ShapeMatch, match_shapes
from .session import Session

BUSY_INTERVAL, IDLE_INTERVAL = 0.05, 0.5
PREVIEW_IMAGE = "EmoRig Preview"
HAS_PLACEHOLDER = "placeholder" in bpy.types.UILayout.bl_rna.functions["prop"].parameters


@dataclass(frozen=True)
class News:
    """One line for the panel; kind is INFO, WARNING or ERROR as in reports."""

    kind: str
    text: str


session = Session()
news: list[News] = []
received: AnimationCurves | None = None
received_path = ""  # the shot's file that holds them too
memo: dict = {}
_pictures = None
_deliver = None


def tell(kind: str, text: str) -> None:
    """Adds a line to the panel's news."""
    news.append(News(kind, text))
    compat.redraw_sidebars()


def start_timer(deliver) -> None:
    """Polls the session from now on and gives what comes to deliver(messages)."""
    global _deliver
    _deliver = deliver
    if not bpy.app.background and not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=BUSY_INTERVAL, persistent=True)


def poll() -> None:
    """One round of the timer's work, for background mode too."""
    messages = session.tick()
    if messages:
        with compat.any_window():
            _deliver(messages)


def _tick() -> float | None:
    before = (session.state, session.detail, session.progress_text)
    poll()
    if before != (session.state, session.detail, session.progress_text):
        compat.redraw_sidebars()
    if session.is_idle:
        return None
    return BUSY_INTERVAL if session.job is not None or session.state.name == "STARTING" else IDLE_INTERVAL


@lru_cache(maxsize=64)
def _match(curve_names: tuple[str, ...], shapes: tuple[str, ...]) -> ShapeMatch:
    return match_shapes(curve_names, shapes)


def match_for(shapes: tuple[str, ...]) -> ShapeMatch:
    """How the curves received last, or ARKit's 52 before that, match a mesh's shape keys."""
    return _match(received.names if received is not None else ARKIT_NAMES, shapes)


def n_curves() -> int:
    """How many curves there are to match."""
    return len(received.names if received is not None else ARKIT_NAMES)


@lru_cache(maxsize=64)
def wrap(text: str, width: int) -> tuple[str, ...]:
    """Text in lines of at most width characters."""
    return tuple(textwrap.wrap(text, width)) or ("",)


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
            _draw_picture(key, image)
    return _pictures[key].icon_id if key in _pictures else 0


def picture_icon(key: str) -> int:
    """Icon of a picture shown before under a key, 0 where there is none."""
    return _pictures[key].icon_id if _pictures is not None and key in _pictures else 0


def forget_picture(prefix: str) -> None:
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
    _draw_picture("frame", image)


def _draw_picture(key: str, image) -> None:
    small = preview_pixels(image)
    if small is None or _pictures is None:
        return
    picture = _pictures[key] if key in _pictures else _pictures.new(key)
    picture.image_size = small[0]
    picture.image_pixels_float.foreach_set(small[1].ravel())


@bpy.app.handlers.persistent
def _forget_file(*_arguments) -> None:
    """Another file was opened: what belonged to the last one goes, a running job with it."""
    global received
    received = None
    news.clear()
    forget_picture("")
    if session.job is not None:
        session.cancel()
        memo.clear()
        tell("WARNING", "The shot was cancelled because another file was opened.")


def register() -> None:
    """Makes room for pictures."""
    global _pictures
    _pictures = bpy.utils.previews.new()
    bpy.app.handlers.load_post.append(_forget_file)


def unregister() -> None:
    """Ends the session with the backend that it started, and drops everything."""
    global _pictures, received
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    bpy.app.handlers.load_post.remove(_forget_file)
    session.close()
    news.clear()
    received = None
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
        _pictures = None
