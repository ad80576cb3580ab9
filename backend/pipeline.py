"""The data flow of a shot on one page: sound and emotion to coefficients, and from these both curves and video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from backend.errors import InputError
from backend.inference.memory import NO_MEMORY, Memory
from backend.native_memory import give_back
from backend.provenance.label import Label, Marking, label_shot, sign_video
from backend.renderers import FROM_CURVES, Scene, check_renderer
from blender_addon.protocol.options import TRANSPARENT, Script, ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack, Waveform

if TYPE_CHECKING:
    from backend.inference.emospeaker import FaceSpeaker
    from backend.inference.emotion_video import EmotionVideo
    from backend.inference.performance import Performance
    from backend.inference.speech import Articulation
    from backend.portrait.analysis import Portrait
    from bfm.coefficients import FaceCoefficients

SILENCE_ACTIVITY = 0.05  # an articulation that never exceeds this heard no speech


@dataclass(frozen=True)
class Shot:
    """What to make: a portrait (path or an image file's bytes; None for curves alone), sound, emotion and options.

    poses: 'video:FILE' or a pose tracker's file, for renderers that follow one. device: "cpu" or "cuda", where the warp
    moves pixels.
    """

    portrait: Path | bytes | None
    audio: Path | bytes
    emotion: EmotionTrack | EmotionVideo
    options: ShotOptions
    poses: str | None = None
    device: str = "cpu"


class ShotSink(Protocol):
    """Where the results of a shot go as they come: curves first, then frames, then the video."""

    def progress(self, stage: str, done: int, total: int) -> None: ...
    def notice(self, text: str) -> None: ...
    def curves(self, curves: AnimationCurves) -> None: ...
    def frame(self, index: int, image: np.ndarray) -> None: ...
    def video(self, path: Path) -> None: ...
    def cancelled(self) -> bool: ...


class CancelledError(Exception):
    """The sink asked to stop."""


@dataclass(frozen=True)
class ShotResult:
    """The coefficients and curves of a finished shot, and the notices that were given on the way."""

    coefficients: FaceCoefficients
    curves: AnimationCurves
    notices: tuple[str, ...]


def run_shot(
    shot: Shot,
    sink: ShotSink,
    *,
    video_path: Path | None = None,
    marking: Marking | None = None,
    memory: Memory = NO_MEMORY,
) -> ShotResult:
    """Runs a shot from files to curves and, where it has a portrait and a renderer, to the video at video_path.

    marking: how the video is labelled; None: as the environment says. memory: where what the recording gave is kept
    for the next shot of it.

    Raises InputError for what the user must mend and CancelledError when the sink asks to stop.
    """
    from backend.audio.waveform import load_waveform
    from backend.curves.convert import curves_from_performance
    from backend.inference.emotion_video import displacement_of
    from backend.inference.performance import perform

    notices: list[str] = []
    options = shot.options
    check_renderer(options, device=shot.device)
    stage = _stages(sink)
    stage("listening")
    waveform = load_waveform(shot.audio, start=options.start, end=options.end)
    portrait = None
    if shot.portrait is not None:
        stage("reading the portrait")
        portrait = read_portrait(shot.portrait)
        notices += portrait_notices(portrait)
    stage("speech to lips")
    articulation = memory.recall(
        lambda: articulate(
            waveform, options.frame_rate, script=options.script, hearing=options.hearing, memory=memory
        ),
        "articulation", waveform.samples, waveform.sample_rate, options.frame_rate, options.script, options.hearing,
    )  # fmt: skip
    notices += articulation.notices
    if articulation.activity.max(initial=0.0) < SILENCE_ACTIVITY:
        notices.append("The audio holds no speech: this is a listening shot, with closed lips, emotion and blinks.")
    for notice in notices:
        sink.notice(notice)
    emotion = shot.emotion.sample(options.frame_rate, len(articulation.weights))
    displacement = displacement_of(shot.emotion, options.frame_rate, len(articulation.weights))
    performance = perform(articulation, emotion, options=options, displacement=displacement, memory=memory)
    give_back()  # what the networks' passes over a long recording took
    coefficients = make_coefficients(performance, portrait)
    curves = curves_from_performance(performance, coefficients, articulation.phones)
    sink.curves(curves)
    if portrait is not None and options.renderer is not None and video_path is not None:
        label = label_shot(
            shot.portrait, shot.audio, emotion=shot.emotion, options=options, marking=marking or Marking.chosen()
        )
        scene = Scene(
            portrait, coefficients, shot.audio, options, emotion=shot.emotion, poses=shot.poses, device=shot.device
        )
        render_video(scene, sink=sink, video_path=video_path, label=label)
    return ShotResult(coefficients, curves, tuple(notices))


def rerender(
    portrait_file: Path | bytes, curves: AnimationCurves, audio: Path | bytes, *, options: ShotOptions, sink: ShotSink,
    video_path: Path, marking: Marking | None = None, device: str = "cpu",
) -> FaceCoefficients:  # fmt: skip
    """Renders a portrait from (edited) curves to the video at video_path, on a device as Shot has one.

    Raises InputError and CancelledError.
    """
    check_renderer(options, device=device)
    portrait = read_portrait(portrait_file)
    coefficients = coefficients_on(portrait, curves)
    label = label_shot(
        portrait_file, audio, emotion=None, curves=curves, options=options, marking=marking or Marking.chosen()
    )
    scene = Scene(portrait, coefficients, audio, options, poses=FROM_CURVES, device=device)
    render_video(scene, sink=sink, video_path=video_path, label=label)
    return coefficients


def still(
    portrait_file: Path | bytes, curves: AnimationCurves, audio: Path | bytes, *, options: ShotOptions, sink: ShotSink
) -> None:
    """Renders a portrait from (edited) curves to frames alone: a preview needs no video. Raises InputError."""
    from backend.renderers import render

    portrait = read_portrait(portrait_file)
    scene = Scene(portrait, coefficients_on(portrait, curves), audio, options)
    for index, image in enumerate(render(scene).frames):
        sink.frame(index, image)


def coefficients_on(portrait: Portrait, curves: AnimationCurves) -> FaceCoefficients:
    """What (edited) curves show on a portrait, whoever's face they came from. Raises InputError."""
    from backend.curves.convert import coefficients_from_curves
    from backend.curves.recast import belongs_to, recast

    if curves.coefficients is None:
        from backend.curves.solve import performance_from_curves

        return make_coefficients(performance_from_curves(curves), portrait)
    coefficients = coefficients_from_curves(curves)
    if belongs_to(coefficients, portrait.fit.identity):
        return coefficients
    return make_coefficients(recast(coefficients, curves), portrait)


def read_portrait(source: Path | bytes) -> Portrait:
    """The analysed portrait of an image file or its bytes. Raises PortraitError."""
    from backend.portrait.analysis import load_image

    image = load_image(source)
    return _analysed(_Picture(image, hashlib.blake2b(image, digest_size=32).digest()))


@dataclass(frozen=True)
class _Picture:
    """An image that equals another with the same pixels, so that its analysis can be kept."""

    image: np.ndarray = field(compare=False)
    digest: bytes


@lru_cache(maxsize=2)
def _analysed(picture: _Picture) -> Portrait:
    """The analysis of a picture; the latest are kept, since a portrait is often rendered again."""
    from backend.native_logs import held_back
    from backend.portrait.analysis import analyse_portrait

    with held_back():
        return analyse_portrait(picture.image)


def portrait_notices(portrait: Portrait) -> list[str]:
    """What the user should know about a portrait that is usable all the same."""
    return portrait.notices


def articulate(
    waveform: Waveform,
    frame_rate: float,
    *,
    script: Script | None = None,
    hearing: str = "whole",
    memory: Memory = NO_MEMORY,
) -> Articulation:
    """Lips, jaw and tongue from speech at a frame rate, with the shipped networks loaded once per process.

    script: the text or the phones of the speech; hearing: a name in HEARINGS; memory: where what is heard is kept.
    Raises InputError.
    """
    if hearing == "streaming":
        from backend.inference.streaming import articulate_streaming

        return articulate_streaming(waveform, frame_rate)
    return _speaker().articulate(waveform, frame_rate, None if script == Script() else script, memory=memory)


@lru_cache(maxsize=1)
def _speaker() -> FaceSpeaker:
    from backend.inference.emospeaker import FaceSpeaker

    return FaceSpeaker()


def make_coefficients(performance: Performance, portrait: Portrait | None) -> FaceCoefficients:
    """Face coefficients of a performance on the portrait's face and pose, or on the average face looking ahead.

    The head turns on its neck, not on the model's origin between the eyes.
    """
    from bfm.camera import turn_about
    from bfm.coefficients import (
        EXPRESSION_DIMS,
        FULL_ACTIVATION_SD,
        IDENTITY_DIMS,
        LIGHTING_DIMS,
        TEXTURE_DIMS,
        FaceCoefficients,
    )
    from bfm.sources.embedded import load_embedded_model

    assert performance.weights.shape[1] == EXPRESSION_DIMS
    if portrait is None:
        identity, texture, lighting = (np.zeros(n, np.float32) for n in (IDENTITY_DIMS, TEXTURE_DIMS, LIGHTING_DIMS))
        rotation, translation = np.zeros(3, np.float32), np.zeros(3, np.float32)
    else:
        fit = portrait.fit
        identity, texture, lighting = fit.identity, fit.texture, fit.lighting
        rotation, translation = fit.rotation, fit.translation
    turned = rotation + performance.head_rotation
    return FaceCoefficients(
        identity=identity,
        texture=texture,
        expression=performance.weights * np.float32(FULL_ACTIVATION_SD),
        rotation=turned,
        translation=translation
        + performance.head_translation
        + turn_about(load_embedded_model().pivot, rotation, turned),
        lighting=lighting,
        frame_rate=performance.frame_rate,
        identity_change=performance.identity_change,
        texture_change=performance.texture_change,
    )


def render_video(scene: Scene, *, sink: ShotSink, video_path: Path, label: Label | None = None) -> None:
    """Renders every frame of a scene into the video at video_path, with the sound of the shot, and labels it.

    The mark goes into what is encoded, not into the frames that the sink gets; the manifest is signed last.
    """
    from backend.renderers import render
    from backend.video import VideoWriter

    coefficients, options = scene.coefficients, scene.options
    if (options.background == TRANSPARENT) != (video_path.suffix == ".mov"):
        raise InputError(
            "A transparent background needs a ProRes 4444 .mov: render it with emorig render, without --backend."
        )
    rendering = render(scene)
    for notice in rendering.notices:
        sink.notice(notice)
    width, height = rendering.frame_size
    label = None if label is None else label.of(coefficients)
    with VideoWriter(
        video_path,
        width=width,
        height=height,
        frame_rate=coefficients.frame_rate,
        audio=scene.audio,
        start=options.start,
        end=options.end,
        mark=None if label is None else label.watermark(coefficients.frame_rate).apply,
    ) as writer:
        for index, image in enumerate(rendering.frames):
            writer.write(image)
            sink.frame(index, image)
            sink.progress("rendering", index + 1, coefficients.n_frames)
            if sink.cancelled():
                raise CancelledError
    if label is not None:
        sink.progress("signing", 0, 0)
        sign_video(video_path, label)
    sink.video(video_path)


def _stages(sink: ShotSink) -> Callable[[str], None]:
    """A function that announces a stage of unknown length and stops where the sink was cancelled."""

    def stage(name: str) -> None:
        if sink.cancelled():
            raise CancelledError
        sink.progress(name, 0, 0)

    return stage


def read_emotion(text: str) -> EmotionTrack | EmotionVideo:
    """An emotion from keyframes in text, from a JSON file's path or from 'video:' and a video's. Raises InputError."""
    if text.startswith("video:"):
        from backend.inference.emotion_video import EmotionVideo

        return EmotionVideo(Path(text.removeprefix("video:")))
    if not text.endswith(".json"):
        return EmotionTrack.parse(text)
    try:
        return EmotionTrack.from_json(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the emotion file '{text}': give the path of a JSON file.") from error
