"""Parts of a shot again, from edited curves: one frame as a still, or a range of frames in the video that is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.audio.waveform import load_sound
from backend.curves.convert import coefficients_from_mapping
from backend.curves.resample import cut
from backend.errors import InputError
from backend.pipeline import CancelledError, ShotSink, coefficients_on, read_portrait
from backend.provenance.label import Marking, label_shot, sign_video
from backend.provenance.verification import read_manifest
from backend.renderers import FROM_CURVES, Scene, check_renderer, render, warp_renderer
from backend.splice import faded, read_footage, splice_video
from backend.video import VIDEO_SAMPLE_RATE
from bfm.coefficients import FaceCoefficients
from blender_addon.protocol.options import KEEP, ShotOptions
from blender_addon.protocol.types import AnimationCurves

MOST_FRAMES_APART = 2  # by which the curves of a sound may be longer or shorter than it


def cut_alike(
    curves: AnimationCurves, audio: Path | bytes, start: float, end: float | None
) -> tuple[AnimationCurves, float, float | None]:
    """Curves, start and end (s) of the sound that belong together, cut at whole frames.

    Curves of the whole sound are cut as it is; those of its part from start to end, as a shot of that part has them,
    stay whole. Raises InputError where curves are as long as neither.
    """
    if start == 0.0 and end is None:
        return curves, start, end
    rate = curves.frame_rate
    whole, part = _seconds(audio, 0.0, None), _seconds(audio, start, end)
    if abs(curves.n_frames - part * rate) <= MOST_FRAMES_APART:
        return curves, start, end
    if abs(curves.n_frames - whole * rate) > MOST_FRAMES_APART:
        raise InputError(
            f"The curves last {curves.n_frames / rate:.2f} s, the sound {whole:.2f} s and its part {part:.2f} s: "
            "give the --start and --end that the curves were made with, or neither."
        )
    kept = cut(curves, start, end)
    first = np.ceil(start * rate - 1e-6) / rate
    return kept, float(first), float(first + kept.n_frames / rate)


def _seconds(audio: Path | bytes, start: float, end: float | None) -> float:
    sound = load_sound(audio, start=start, end=end, sample_rate=VIDEO_SAMPLE_RATE, layout="mono")
    return sound.shape[-1] / VIDEO_SAMPLE_RATE


def render_still(
    portrait_file: Path | bytes, curves: AnimationCurves, frame: int, *, options: ShotOptions, device: str = "cpu"
) -> np.ndarray:
    """Frame number frame of curves on a portrait, (H, W, 3) uint8 RGB, (H, W, 4) with alpha where transparent.

    Raises InputError.
    """
    if not 0 <= frame < curves.n_frames:
        raise InputError(f"The curves have frames 0 to {curves.n_frames - 1}, got frame {frame}.")
    if options.renderer == "eamm":
        raise InputError("EAMM draws from sound, which a still has none of: use --renderer warp or facevid2vid.")
    check_renderer(options, device=device)
    portrait = read_portrait(portrait_file)
    coefficients = coefficients_on(portrait, curves)
    if options.renderer == "warp":
        return warp_renderer(portrait, options, device=device)[1](coefficients, frame)
    return next(render(Scene(portrait, coefficients, b"", options, span=range(frame, frame + 1))).frames)


def rerender_range(
    portrait_file: Path | bytes, curves: AnimationCurves, audio: Path | bytes, *, options: ShotOptions, sink: ShotSink,
    previous: Path, previous_coefficients: Path, first: int, last: int, video_path: Path,
    marking: Marking | None = None, device: str = "cpu",
) -> FaceCoefficients:  # fmt: skip
    """Renders frames first to last - 1 into video_path: otherwise the video previous, bit for bit.

    previous_coefficients: the .npz beside it. Returns the coefficients of the whole. Raises InputError, CancelledError.
    """
    check_renderer(options, device=device)
    footage = read_footage(previous)
    if not 0 <= first < last <= footage.n_frames:
        raise InputError(
            f"The frames should lie in 0:{footage.n_frames}, the first before the last: got {first}:{last}."
        )
    if options.background != KEEP:
        raise InputError("Frames can be replaced where the background is kept: render other backgrounds whole.")
    portrait = read_portrait(portrait_file)
    options = replace(options, size=options.size or min(footage.width, footage.height))
    coefficients = faded(
        _read_coefficients(previous_coefficients, curves.frame_rate), coefficients_on(portrait, curves), first, last
    )
    rendering = render(
        Scene(portrait, coefficients, audio, options, poses=FROM_CURVES, span=range(first, last), device=device)
    )  # fmt: skip
    for notice in rendering.notices:
        sink.notice(notice)
    if rendering.frame_size != (footage.width, footage.height):
        raise InputError(
            f"The video that is there has {footage.width}×{footage.height} pixels, these frames would have "
            f"{'×'.join(map(str, rendering.frame_size))}: give the same portrait and size, or render it whole."
        )
    label = label_shot(
        portrait_file, audio, emotion=None, curves=curves, options=options, marking=marking or Marking.chosen()
    )
    if label is not None:
        label = replace(label.of(coefficients), carried=_mark_of(previous))

    def images():
        for index, image in enumerate(rendering.frames, first):
            sink.frame(index, image)
            sink.progress("rendering", index + 1 - first, last - first)
            if sink.cancelled():
                raise CancelledError
            yield image

    mark = None if label is None else label.watermark(coefficients.frame_rate).apply
    splice_video(previous, video_path, images(), first=first, last=last, mark=mark)
    if label is not None:
        sink.progress("signing", 0, 0)
        sign_video(video_path, label)
    sink.video(video_path)
    return coefficients


def _mark_of(video: Path) -> int | None:
    """The watermark's identity that a video's manifest names, so that all of its frames carry the same."""
    manifest = read_manifest(video)
    return None if manifest is None or manifest.watermark is None else int(manifest.watermark, 16)


def _read_coefficients(path: Path, frame_rate: float) -> FaceCoefficients:
    """The coefficients that a shot wrote beside its video. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            mapping = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' should hold the coefficients of the video beside it: render it whole.") from error
    mapping["model"] = str(mapping.get("model", ""))
    if abs(float(mapping.get("frame_rate", frame_rate)) - frame_rate) > 1e-3:
        raise InputError(
            f"The curves run at {frame_rate:g} frames per second, the video that is there at "
            f"{float(mapping['frame_rate']):g}: render it whole."
        )
    return coefficients_from_mapping(mapping, frame_rate)
