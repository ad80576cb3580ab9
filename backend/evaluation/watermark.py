"""How well the watermark is hidden and how well it lasts: wrong bits after re-encoding, changes on flat grounds."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.commands.demo import SENTENCE
from backend.provenance.watermark import N_BITS, MarkNotFoundError, Watermark, codeword, read_mark, received_bits
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import EmotionTrack

IDENTITY = 0x5EED_0F_B175
RATE, WRITER_CRF = 25, 17
REENCODINGS = ((28, 512), (28, 720), (34, 720), (28, 256))  # crf, shorter side in pixels
FLAT_LEVELS = 1.0  # luma levels by which the surroundings of a flat pixel differ at most
FLAT_PIXELS = 9


class _Frames:
    """Keeps what a shot renders."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def frame(self, index: int, image: np.ndarray) -> None:
        self.images.append(image.copy())

    def progress(self, *_: object) -> None: ...
    def notice(self, _: str) -> None: ...
    def curves(self, _: object) -> None: ...
    def video(self, _: Path) -> None: ...
    def cancelled(self) -> bool:
        return False


@dataclass(frozen=True)
class Measured:
    """wrong: bits of 72 by (crf, side), and whether the mark was read. PSNR of RGB, dB; luma levels on flat grounds."""

    wrong: dict[tuple[int, int], tuple[int, bool]]
    psnr: float
    flat_deviation: float
    flat_most: int
    larger: float


def shot_frames(portrait: Path | bytes, seconds: float) -> list[np.ndarray]:
    """Frames (H, W, 3) uint8 of the portrait saying the shipped sentence, 512 pixels on the shorter side."""
    from backend.pipeline import Shot, run_shot

    kept, options = _Frames(), ShotOptions(size=512, end=seconds)
    with tempfile.TemporaryDirectory() as folder:
        run_shot(Shot(portrait, SENTENCE, EmotionTrack.parse("happy:0.5"), options), kept,
                 video_path=Path(folder) / "video.mp4")  # fmt: skip
    return kept.images


def measure(images: list[np.ndarray]) -> Measured:
    """Marks frames as the video writer does, encodes them at its quality and again, and reads the mark."""
    plain, marked = ([_as_yuv(image) for image in images] for _ in range(2))
    mark = Watermark(IDENTITY, frame_rate=RATE)
    for frame in marked:
        mark.apply(_luma(frame))
    first, size = encoded(marked, crf=WRITER_CRF)
    _, plain_size = encoded(plain, crf=WRITER_CRF)
    wrong = {way: _wrong([_luma(f) for f in encoded(first, crf=way[0], side=way[1])[0]]) for way in REENCODINGS}
    squares = [np.mean((_as_rgb(a) - _as_rgb(b)) ** 2) for a, b in zip(plain[::RATE], marked[::RATE])]
    changes = [_luma(b).astype(int) - _luma(a) for a, b in zip(plain[::RATE], marked[::RATE])]
    on_flat = np.concatenate([c[_flat(_luma(a))] for c, a in zip(changes, plain[::RATE])])
    return Measured(
        wrong,
        10 * np.log10(255**2 / max(squares)),
        float(np.sqrt(np.mean(on_flat**2))) if on_flat.size else 0.0,
        int(np.abs(on_flat).max(initial=0)),
        size / plain_size - 1.0,
    )


def encoded(frames: list, *, crf: int, side: int | None = None) -> tuple[list, int]:
    """Frames that went through H.264 at a crf, scaled to a shorter side where given, and the stream's bytes."""
    import av

    width, height = frames[0].width, frames[0].height
    scale = 1.0 if side is None else side / min(width, height)
    width, height = 2 * round(width * scale / 2), 2 * round(height * scale / 2)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as box:
        stream = box.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        for index, frame in enumerate(frames):
            scaled = frame.reformat(width=width, height=height, format="yuv420p")
            scaled.pts, scaled.time_base = index, Fraction(1, RATE)
            box.mux(stream.encode(scaled))
        box.mux(stream.encode(None))
    with av.open(io.BytesIO(buffer.getvalue())) as box:
        return list(box.decode(video=0)), buffer.tell()


def report(portraits: list[Path], *, seconds: float) -> None:
    """Prints a line per portrait; scikit-image's astronaut if none is given."""
    sources: dict[str, Path | bytes] = {path.stem: path for path in portraits} or {"astronaut": _astronaut()}
    table = Table(title=f"Wrong bits of {N_BITS}, {seconds:g} s of video at 512 px (! the mark was not read)")
    table.add_column("portrait")
    for crf, side in REENCODINGS:
        table.add_column(f"crf {crf}, {side} px", justify="right")
    for column in ("PSNR, dB", "flat ground, rms", "flat ground, most", "larger file"):
        table.add_column(column, justify="right")
    for name, source in sources.items():
        found = measure(shot_frames(source, seconds))
        bits = [f"{n}{'' if read else '!'}" for n, read in found.wrong.values()]
        table.add_row(name, *bits, f"{found.psnr:.1f}", f"{found.flat_deviation:.2f}", str(found.flat_most),
                      f"{found.larger:.0%}")  # fmt: skip
    Console(width=140).print(table)


def _wrong(lumas: list[np.ndarray]) -> tuple[int, bool]:
    bits = int(np.sum(received_bits(lumas) != codeword(IDENTITY)))
    try:
        return bits, read_mark(lumas).identity == IDENTITY
    except MarkNotFoundError:
        return bits, False


def _flat(luma: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool whose surroundings differ by no more than FLAT_LEVELS from them, shading left out."""
    import cv2

    detail = np.abs(luma.astype(np.float32) - cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 4.0))
    return cv2.dilate(detail, np.ones((FLAT_PIXELS, FLAT_PIXELS), np.uint8)) <= FLAT_LEVELS


def _as_yuv(image: np.ndarray):
    import av
    from av.video.reformatter import ColorRange, Colorspace

    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


def _as_rgb(frame) -> np.ndarray:
    from av.video.reformatter import Colorspace

    return frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709).to_ndarray().astype(np.float32)


def _luma(frame) -> np.ndarray:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def _astronaut() -> bytes:
    import cv2
    from skimage import data

    return cv2.imencode(".png", data.astronaut()[:, :, ::-1])[1].tobytes()
