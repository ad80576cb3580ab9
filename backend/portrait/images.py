"""Reading a portrait from any image file, and refusing what is not one before it costs anything."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np

from backend.errors import PortraitError

MOST_PIXELS = 120_000_000  # refused before decoding: larger than any camera's photo that makes sense here
LEAST_SIDE = 64  # pixels
MOST_ASPECT = 12.0


def load_image(source: str | Path | bytes) -> np.ndarray:
    """A picture as (height, width, 3) uint8 sRGB: upright by its EXIF, transparent parts on white, first frame.

    source: path, or the bytes of the file. Reads whatever Pillow reads, at 8 or 16 bits, grey, palette, RGB or CMYK.
    Raises PortraitError.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name, stream = _open_source(source)
    try:
        with warnings.catch_warnings(), _opened(stream) as picture:
            _check_size(name, *picture.size)
            picture.draft("RGB", None)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return _to_rgb(upright)
    except UnidentifiedImageError as error:
        raise PortraitError(f"{name} is not an image that can be read: save it as PNG or JPEG.") from error
    except Image.DecompressionBombError as error:
        raise PortraitError(f"{name} holds far too many pixels: make it smaller than 120 megapixels.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PortraitError):
            raise
        raise PortraitError(f"{name} is damaged and cannot be read ({error}): save it again as PNG or JPEG.") from error


def _opened(stream: io.BytesIO):
    """The picture in a stream, not decoded yet; how large it may be is checked here, not by Pillow."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return Image.open(stream)


def _open_source(source: str | Path | bytes):
    if isinstance(source, bytes):
        return "The portrait", io.BytesIO(source)
    path = Path(source)
    if path.is_dir():
        raise PortraitError(f"{path} is a folder: give the portrait's image file.")
    try:
        return str(path), io.BytesIO(path.read_bytes())
    except FileNotFoundError as error:
        raise PortraitError(f"There is no portrait at {path}: check the path.") from error
    except OSError as error:
        raise PortraitError(f"The portrait {path} cannot be opened: {error.strerror or error}.") from error


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise PortraitError(
            f"{name} has {width}×{height} pixels, more than the {MOST_PIXELS // 1_000_000} megapixels that are read: "
            "make it smaller."
        )
    if min(width, height) < LEAST_SIDE:
        raise PortraitError(f"{name} is {width}×{height} pixels: a portrait should be at least {LEAST_SIDE} a side.")
    if max(width, height) > MOST_ASPECT * min(width, height):
        raise PortraitError(f"{name} is {width}×{height} pixels, a strip: crop it around the face.")


def _to_rgb(picture) -> np.ndarray:
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        return _grey_to_rgb(np.asarray(picture))
    picture = _to_srgb(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture)
    return np.ascontiguousarray(picture.convert("RGB"), np.uint8)


def _grey_to_rgb(values: np.ndarray) -> np.ndarray:
    """Deep grey (height, width) of 16 or 32 bits or float as (height, width, 3) uint8."""
    values = np.nan_to_num(values.astype(np.float32))
    peak = values.max(initial=0.0)
    white = 1.0 if peak <= 1.0 else 255.0 if peak <= 255.0 else 65535.0 if peak <= 65535.0 else peak
    grey = np.clip(values / white * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _to_srgb(picture):
    """The picture in sRGB where it carries another colour profile, itself where it has none or a broken one."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture
    return converted
