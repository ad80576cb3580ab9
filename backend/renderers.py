"""The renderers by name: what each needs, and how it makes a portrait's frames from a shot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import InputError

if TYPE_CHECKING:
    from backend.inference.emotion_video import EmotionVideo
    from backend.portrait.analysis import Portrait
    from backend.portrait.renderer import WarpRenderer
    from bfm.coefficients import FaceCoefficients
    from blender_addon.protocol.options import ShotOptions
    from blender_addon.protocol.types import EmotionTrack


@dataclass(frozen=True)
class Scene:
    """What a renderer may look at: the portrait, the shot's coefficients, its sound, emotion and poses ('video:FILE', a
    file or FROM_CURVES, None: none given); span: the frames that are wanted, None: all; device: "cpu" or "cuda", where
    the warp moves pixels.
    """

    portrait: Portrait
    coefficients: FaceCoefficients
    audio: Path | bytes
    options: ShotOptions
    emotion: EmotionTrack | EmotionVideo | None = None
    poses: str | None = None
    span: range | None = None
    device: str = "cpu"

    @property
    def wanted(self) -> range:
        """The frames to render."""
        return range(self.coefficients.n_frames) if self.span is None else self.span


@dataclass(frozen=True)
class Rendering:
    """frame_size: width and height, both even; frames (H, W, 3) uint8 RGB as they are made; notices for the user."""

    frame_size: tuple[int, int]
    frames: Iterator[np.ndarray]
    notices: tuple[str, ...] = ()


FROM_CURVES = "curves"
"""Poses that are those of the shot's own coefficients."""

TURNED_BACK = "The head would turn further than one portrait can show: it is held back softly."
# Renderer → the networks that it cannot do without; one name of each group.
NEEDED = {
    "warp": (),
    "facevid2vid": (
        ("facevid2vid.generator",),
        ("facevid2vid.keypoints",),
        ("facevid2vid.mapping", "facevid2vid.mapping_emotion", "facevid2vid.mapping_crop"),
    ),
    "eamm": (
        ("eamm.generator",), ("eamm.keypoints",), ("eamm.audio_features",), ("eamm.audio_keypoints",),
        ("eamm.emotion",),
    ),
}  # fmt: skip


def check_renderer(options: ShotOptions, *, device: str = "cpu") -> None:
    """Raises InputError, before any work is done, where a renderer's weights are missing or it cannot do the shot."""
    from backend.checkpoints.store import MissingWeightsError, source_of
    from backend.portrait.warp import check_device

    if device != "cpu" and options.renderer != "warp":
        raise InputError(f"--device is for the renderer warp: {options.renderer} takes a GPU where there is one.")
    check_device(device)
    for choices in NEEDED.get(options.renderer, ()):
        missing = []
        for network in choices:
            try:
                source_of(network)
                break
            except MissingWeightsError as error:
                missing.append(error)
        else:
            raise missing[0]
    if options.renderer in ("facevid2vid", "eamm") and options.background != "keep":
        raise InputError(f"The renderer {options.renderer} keeps the photo's background: leave --background out.")
    if options.renderer == "eamm" and options.frame_rate != 25.0:
        raise InputError(
            f"EAMM renders 25 frames per second, got {options.frame_rate:g}: make the shot or its curves with 25."
        )


def render(scene: Scene) -> Rendering:
    """The frames of a scene by the renderer that its options name. Raises InputError."""
    return _RENDERERS[scene.options.renderer or "warp"](scene)


def warp_renderer(
    portrait: Portrait, options: ShotOptions, *, device: str = "cpu"
) -> tuple[WarpRenderer, Callable[[FaceCoefficients, int], np.ndarray]]:
    """The warp renderer of a portrait, refined, and its method that gives frames with the background of the options."""
    from backend.portrait.refiner_network import shipped_refiner
    from backend.portrait.renderer import BLACK, WarpRenderer
    from blender_addon.protocol.options import KEEP, TRANSPARENT

    made = {"size": options.size, "refiner": shipped_refiner(device), "device": device}
    if options.background == TRANSPARENT:
        renderer = WarpRenderer(portrait, backdrop=BLACK, **made)
        return renderer, renderer.render_with_alpha
    backdrop = None
    if options.background != KEEP:
        backdrop = np.frombuffer(bytes.fromhex(options.background[1:]), np.uint8).astype(np.float32)
    renderer = WarpRenderer(portrait, backdrop=backdrop, **made)
    return renderer, renderer.render


def _warp(scene: Scene) -> Rendering:
    from blender_addon.protocol.options import TRANSPARENT

    renderer, frame = warp_renderer(scene.portrait, scene.options, device=scene.device)
    shot = scene.coefficients
    notices = (TURNED_BACK,) if renderer.motion.holds_back(shot.rotation) else ()
    is_alone = scene.options.background == TRANSPARENT  # its alpha is read off before the next frame is drawn
    wanted = scene.wanted
    frames = (frame(shot, index) for index in wanted) if is_alone else renderer.frames(shot, wanted)
    return Rendering(renderer.frame_size, frames, notices)


def _facevid2vid(scene: Scene) -> Rendering:
    from backend.neural.facevid2vid import FaceVid2VidRenderer

    renderer = FaceVid2VidRenderer(scene.portrait, size=scene.options.size)
    source, driving, notices = renderer.keypoints(scene.coefficients)
    wanted = scene.wanted
    return Rendering(renderer.frame_size, renderer.frames(source, driving[wanted.start : wanted.stop]), notices)


def _eamm(scene: Scene) -> Rendering:
    from backend.audio.waveform import load_waveform
    from backend.inference.emotion_video import EmotionVideo
    from backend.neural.eamm import EammRenderer, emotion_frames, pose_rows, read_poses

    options = scene.options
    renderer = EammRenderer(scene.portrait, size=options.size)
    speech = load_waveform(scene.audio, start=options.start, end=options.end)
    is_video = isinstance(scene.emotion, EmotionVideo)
    felt = emotion_frames(scene.emotion.path, seed=options.seed) if is_video else None
    notices = [] if is_video else ["EAMM takes its emotion from a video alone (--emotion video:FILE): it is neutral."]
    if scene.poses == FROM_CURVES:
        poses = pose_rows(scene.coefficients)
        notices.append("EAMM draws lips from the sound: of the curves it follows the head alone.")
    else:
        poses = read_poses(scene.poses)
        if scene.poses is None:
            notices.append("No poses were given (--pose video:FILE or an .npy file): the head looks ahead.")
    frames = renderer.frames(
        speech, scene.wanted, poses=poses, emotion=felt, strength=options.strength("emotion")
    )  # fmt: skip
    return Rendering(renderer.frame_size, frames, tuple(notices))


_RENDERERS: dict[str, Callable[[Scene], Rendering]] = {"warp": _warp, "facevid2vid": _facevid2vid, "eamm": _eamm}
