"""What the command line's verbs do: run a shot here or on a backend and deliver its files."""

from __future__ import annotations

from pathlib import Path

from backend.commands.console import ConsoleSink
from backend.delivery import staged, write_coefficients, write_curves, write_settings
from backend.errors import InputError
from backend.pipeline import Shot, read_emotion, rerender, run_shot
from backend.provenance.label import Marking
from blender_addon.protocol.options import KEEP, TRANSPARENT, ShotOptions

VIDEO, TRANSPARENT_VIDEO = "video.mp4", "video.mov"
CURVES, COEFFICIENTS, SETTINGS = "curves.json", "coefficients.npz", "settings.json"


def render_to_folder(
    portrait: Path,
    audio: Path,
    out: Path,
    *,
    emotion: str,
    options: ShotOptions,
    backend: str | None = None,
    marking: Marking | None = None,
    poses: str | None = None,
    device: str = "cpu",
) -> tuple[Path, ...]:
    """Renders a shot into a folder and names the files that it wrote; a backend labels with its own certificate.

    poses: 'video:FILE' or a pose tracker's file, which the renderer eamm follows.
    """
    marking = marking or Marking.chosen()
    if poses is not None and (options.renderer != "eamm" or backend is not None):
        raise InputError(f"Poses from '{poses}' are followed by --renderer eamm here alone: use natural or still.")
    if device != "cpu" and backend is not None:
        raise InputError("A backend chooses its own device: leave --device or --backend out.")
    shot = Shot(portrait, audio, read_emotion(emotion), options, poses, device)
    video = _video_name(options)
    with staged(out) as folder, ConsoleSink() as sink:
        if backend is None:
            result = run_shot(shot, sink, video_path=folder / video, marking=marking)
        else:
            from backend.service.remote import run_remote_shot

            result = run_remote_shot(shot, sink, address=backend, video_path=folder / video)
        write_curves(folder / CURVES, result.curves)
        write_coefficients(folder / COEFFICIENTS, result.coefficients)
        write_settings(
            folder / SETTINGS,
            portrait=portrait,
            audio=audio,
            emotion=shot.emotion,
            options=options,
            notices=result.notices,
            video=folder / video,
            marking=marking,
        )
    return _name_files(out, (video, CURVES, COEFFICIENTS, SETTINGS))


def animate_to_file(audio: Path, out: Path, *, emotion: str, options: ShotOptions, format: str | None = None) -> None:
    """Writes the curves of a recording to one file, in the format of its suffix or the one that is named."""
    from backend.export.formats import format_for
    from backend.export.options import ExportOptions
    from backend.export.verbs import deliver_curves

    wanted = format_for(out, format)
    shot = Shot(None, audio, read_emotion(emotion), options)
    with ConsoleSink() as sink:
        result = run_shot(shot, sink)
    deliver_curves(result.curves, out, name=wanted, options=ExportOptions(audio=audio))


def rerender_to_folder(
    portrait: Path,
    curves_file: Path,
    audio: Path,
    out: Path,
    *,
    size: int | None,
    start: float,
    end: float | None,
    frames: tuple[int, int] | None = None,
    background: str = KEEP,
    renderer: str = "warp",
    marking: Marking | None = None,
    device: str = "cpu",
) -> None:
    """Renders a portrait from a curve file into a folder; frames: only these, into the video that is there."""
    from backend.export.formats import read_curves
    from backend.retake import cut_alike, rerender_range

    marking = marking or Marking.chosen()
    curves, _ = read_curves(curves_file)
    n_frames = curves.n_frames
    curves, start, end = cut_alike(curves, audio, start, end)
    if frames is not None and curves.n_frames != n_frames:
        raise InputError("Frames are replaced in the whole video: give --frames without --start and --end.")
    options = ShotOptions(
        frame_rate=curves.frame_rate, size=size, start=start, end=end, background=background, renderer=renderer
    )  # fmt: skip
    video = _video_name(options)
    with staged(out) as folder, ConsoleSink() as sink:
        made = {"options": options, "sink": sink, "video_path": folder / video, "marking": marking, "device": device}
        if frames is None:
            coefficients = rerender(portrait, curves, audio, **made)
        else:
            coefficients = rerender_range(
                portrait, curves, audio, first=frames[0], last=frames[1], previous=out / video,
                previous_coefficients=out / COEFFICIENTS, **made,
            )  # fmt: skip
        write_coefficients(folder / COEFFICIENTS, coefficients)
        write_settings(
            folder / SETTINGS,
            portrait=portrait,
            audio=audio,
            emotion=None,
            options=options,
            notices=(),
            video=folder / video,
            marking=marking,
        )
    _name_files(out, (video, COEFFICIENTS, SETTINGS))


def still_to_folder(
    portrait: Path, curves_file: Path, out: Path, *, frame: int, size: int | None, background: str = KEEP,
    renderer: str = "warp", device: str = "cpu",
) -> None:  # fmt: skip
    """Renders one frame of a curve file on a portrait as a PNG into a folder."""
    from PIL import Image

    from backend.export.formats import read_curves
    from backend.retake import render_still

    curves, _ = read_curves(curves_file)
    options = ShotOptions(frame_rate=curves.frame_rate, size=size, background=background, renderer=renderer)
    name = f"frame_{frame:05d}.png"
    with staged(out) as folder:
        Image.fromarray(render_still(portrait, curves, frame, options=options, device=device)).save(folder / name)
    _name_files(out, (name,))


def read_range(text: str) -> tuple[int, int]:
    """'A:B' as two frame numbers. Raises InputError."""
    first, colon, last = text.partition(":")
    if not colon or not first.strip().isdecimal() or not last.strip().isdecimal():
        raise InputError(f"--frames should be two frame numbers A:B, from A up to but without B, got '{text}'.")
    return int(first), int(last)


def _video_name(options: ShotOptions) -> str:
    return TRANSPARENT_VIDEO if options.background == TRANSPARENT else VIDEO


def _name_files(folder: Path, names: tuple[str, ...]) -> tuple[Path, ...]:
    """Prints and returns the paths of the files that were written."""
    paths = tuple(folder / name for name in names)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"The result '{missing[0]}' was not written: look at the messages above.")
    for path in paths:
        print(path)
    return paths
