"""Portraits are read from any image file, and what is not one is refused in one sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from backend.errors import PortraitError
from backend.portrait.images import load_image

RNG = np.random.default_rng(4)


@pytest.fixture
def picture():
    y, x = np.mgrid[:96, :128]
    return np.stack([x * 1.9, y * 2.4, 40 + 0 * x], axis=-1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_plain_rgb_is_exact(picture, tmp_path):
    path = tmp_path / "ünï cödé.png"
    Image.fromarray(picture).save(path)
    assert np.array_equal(load_image(path), picture)


def test_exif_turns_the_picture_upright(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise
    turned = load_image(saved(Image.fromarray(picture), "PNG", exif=exif))
    assert np.array_equal(turned, np.rot90(picture, -1))


def test_transparent_parts_lie_on_white(picture):
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:10] = 0
    loaded = load_image(saved(Image.fromarray(np.dstack([picture, alpha])), "PNG"))
    assert (loaded[:10] == 255).all()
    assert np.array_equal(loaded[10:], picture[10:])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1"])
def test_other_colour_modes_become_rgb(picture, mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    loaded = load_image(saved(Image.fromarray(picture).convert(mode), kind))
    assert loaded.shape == picture.shape
    assert loaded.dtype == np.uint8
    if mode == "CMYK":
        assert np.abs(loaded.astype(int) - picture).mean() < 6


def test_sixteen_bit_grey_keeps_its_range():
    ramp = np.tile(np.linspace(0, 65535, 128).astype(np.uint16), (96, 1))
    loaded = load_image(saved(Image.fromarray(ramp), "PNG"))
    assert loaded[0, 0, 0] == 0
    assert loaded[0, -1, 0] == 255
    assert abs(int(loaded[0, 64, 0]) - 128) < 3


def bomb() -> bytes:
    """A PNG that says it has 900 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def test_decompression_bombs_are_refused_before_decoding():
    with pytest.raises(PortraitError, match="megapixel"):
        load_image(bomb())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an image"),
        (b"RIFF....WAVEfmt ", "not an image"),
        (RNG.bytes(5000), "not an image"),
    ],
)
def test_what_is_no_image_is_refused(data, says):
    with pytest.raises(PortraitError, match=says):
        load_image(data)


def test_damaged_and_tiny_and_strip_images_are_refused(picture, tmp_path):
    whole = saved(Image.fromarray(RNG.integers(0, 255, (200, 200, 3), np.uint8)), "PNG")
    with pytest.raises(PortraitError, match="damaged"):
        load_image(whole[: len(whole) // 2])
    with pytest.raises(PortraitError, match="at least 64"):
        load_image(saved(Image.fromarray(picture[:20, :20]), "PNG"))
    with pytest.raises(PortraitError, match="strip"):
        load_image(saved(Image.new("RGB", (2000, 80)), "PNG"))
    with pytest.raises(PortraitError, match="no portrait at"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(PortraitError, match="folder"):
        load_image(tmp_path)
