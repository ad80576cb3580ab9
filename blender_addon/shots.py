"""What is asked of the backend, gathered from the panel: a shot, a part rendered again, one frame, a file of curves."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import bpy

from . import delivery, pictures, runtime
from .emotions import emotion_track
from .footage import audio_bytes, portrait_bytes
from .performance import as_edited, has_landed, note_strengths, performed, stored_curves
from .preferences import backend_choice
from .protocol.errors import InputError
from .protocol.layers import cut
from .protocol.options import EXPORTS, LAYERS, Script, ShotOptions
from .protocol.types import AnimationCurves, EmotionKey, EmotionTrack
from .rig.edits import changed_frames
from .session import Request

PREVIEW_FRAME_SIDE = 384
DRAFT_SIDE = 256
PART_SHARE = 0.8  # where more of the shot than this was changed, all of it is rendered


def hand_in(context, request: Request) -> None:
    """Starts a job and, where needed, the backend. Raises InputError."""
    session = runtime.session
    if session.job is not None:
        raise InputError("A shot is being made: wait for it, or cancel it first.")
    session.connect(backend_choice(context))
    session.submit(request)
    pictures.forget("frame")
    runtime.memo.clear()
    runtime.memo.update(request.memo)
    runtime.start_timer(delivery.deliver)


def shot_options(scene, *, renders: bool, size: int | None = None, strengths=None, script=None, **times) -> ShotOptions:
    """The panel's choices. Raises InputError for a value out of its range."""
    shot = scene.emorig
    times = times or {"start": shot.audio_start, "end": shot.audio_end or None}
    return ShotOptions(
        frame_rate=scene.render.fps / scene.render.fps_base,
        size=size or (shot.size if shot.use_size else None),
        pose=shot.pose,
        strengths=strengths or {},
        seed=shot.seed,
        seeds=shot.layers.seeds(),
        script=script or Script(text=shot.transcript.strip() or None),
        renderer="warp" if renders else None,
        **times,
    )


def shot_request(scene, *, renders: bool, is_draft: bool = False, keeps_edits: bool = False, script=None) -> Request:
    """The scene's whole shot. Raises InputError for what is missing.

    Curves alone are asked for at full strength and weakened here, so that every layer can be brought back later.
    keeps_edits: lay what was changed on the character over the new curves. script: phones with their times, in place
    of the transcript.
    """
    shot = scene.emorig
    audio_name, audio = audio_bytes(shot.audio_path)
    portrait_name, portrait = portrait_bytes(shot.portrait) if renders else ("", None)
    asked = shot.layers.strengths() if renders else dict.fromkeys(LAYERS, 1.0)
    arguments = {
        "audio": audio,
        "audio_name": audio_name,
        "portrait": portrait,
        "portrait_name": portrait_name,
        "emotion": emotion_track(scene),
        "options": shot_options(
            scene, renders=renders, size=DRAFT_SIDE if is_draft else None, strengths=asked, script=script
        ),
        "frame_encoding": "jpeg" if renders else "none",
        "frame_size": PREVIEW_FRAME_SIDE,
        **_emotion_video(shot),
    }
    stems = [Path(audio_name).stem] + ([Path(portrait_name).stem] if renders else [])
    memo = _memo(scene, "shot", stems=tuple(stems + (["draft"] if is_draft else [])), asked=asked)
    return Request(arguments, memo | {"keeps_edits": keeps_edits})


def rerender_request(context) -> Request:
    """The video again from the curves as they are on the character: only what was changed, where that is a part.

    Raises InputError where nothing was changed since the last video.
    """
    scene, shot = context.scene, context.scene.emorig
    curves = as_edited(scene, context.object)
    changed, n_frames = (0, curves.n_frames), curves.n_frames
    video = delivery.last_video(shot)
    if video is not None:
        before = delivery.rendered_curves(shot)
        if before is not None and before.n_frames == n_frames:
            changed = changed_frames(before, curves)
            if changed is None:
                raise InputError("Nothing was changed since the last video: edit a curve, then render again.")
    is_part = video is not None and shot.footage == "STRIP" and changed[1] - changed[0] < PART_SHARE * n_frames
    return _render_request(scene, curves, changed if is_part else None)


def _render_request(scene, curves: AnimationCurves, part: tuple[int, int] | None) -> Request:
    shot, rate = scene.emorig, curves.frame_rate
    audio_name, audio = audio_bytes(shot.audio_path)
    portrait_name, portrait = portrait_bytes(shot.portrait)
    times = {}
    if part is not None:
        times = {"start": shot.audio_start + part[0] / rate, "end": shot.audio_start + part[1] / rate}
    arguments = {
        "audio": audio,
        "audio_name": audio_name,
        "portrait": portrait,
        "portrait_name": portrait_name,
        "emotion": EmotionTrack((EmotionKey(0.0, "neutral", 0.0),)),
        "options": shot_options(scene, renders=True, **times),
        "curves": curves if part is None else cut(curves, *part),
        "frame_size": PREVIEW_FRAME_SIDE,
    }
    stems = [Path(audio_name).stem, Path(portrait_name).stem]
    if part is not None:
        stems.append(f"frames_{shot.start_frame + part[0]}_{shot.start_frame + part[1] - 1}")
    return Request(arguments, _memo(scene, "render", stems=tuple(stems), part=part, curves=curves))


def preview_request(context) -> Request:
    """The portrait at the playhead, from the curves on the character, or from a first prediction of them."""
    scene, shot = context.scene, context.scene.emorig
    portrait_name, portrait = portrait_bytes(shot.portrait)
    if not shot.curves_path:
        request = shot_request(scene, renders=False)
        request.memo["kind"] = "predict"
        return request
    curves = as_edited(scene, context.object) if has_landed(shot) else performed(shot)
    rate = scene.render.fps / scene.render.fps_base
    place = round((scene.frame_current - shot.start_frame) * curves.frame_rate / rate)
    if not 0 <= place < curves.n_frames:
        first, last = shot.start_frame, shot.start_frame + round(curves.n_frames * rate / curves.frame_rate) - 1
        raise InputError(f"The playhead is outside the shot: move it to a frame from {first} to {last}.")
    size = min(shot.size, 512) if shot.use_size else 512
    arguments = {
        "audio": _silence(0.5),
        "audio_name": "silence.wav",
        "portrait": portrait,
        "portrait_name": portrait_name,
        "emotion": EmotionTrack((EmotionKey(0.0, "neutral", 0.0),)),
        "options": shot_options(scene, renders=True, size=size, start=0.0, end=None),
        "curves": cut(curves, place, place + 1),
        "is_still": True,
        "frame_size": size,
    }
    return Request(arguments, _memo(scene, "preview", frame=scene.frame_current))


def export_request(context, name: str, path: Path) -> Request:
    """The curves as they are on the character, written in a format of EXPORTS to a path."""
    scene = context.scene
    curves = as_edited(scene, context.object) if has_landed(scene.emorig) else stored_curves(scene.emorig)
    arguments = {
        "audio": _silence(0.5),
        "audio_name": "silence.wav",
        "emotion": EmotionTrack((EmotionKey(0.0, "neutral", 0.0),)),
        "options": shot_options(scene, renders=False, start=0.0, end=None),
        "curves": curves,
        "export": name,
    }
    return Request(arguments, _memo(scene, "export", path=path, label=EXPORTS[name][1]))


def remember_strengths(scene, asked: dict[str, float]) -> None:
    """Notes what was asked for, and that the panel's strengths are the ones applied."""
    note_strengths(scene.emorig, asked, scene.emorig.layers.strengths())


def _memo(scene, kind: str, **more) -> dict:
    return {"scene": scene.name, "start_frame": scene.emorig.start_frame, "kind": kind, "stems": ("shot",), **more}


def _emotion_video(shot) -> dict:
    if not shot.emotion_video.strip():
        return {}
    path = Path(bpy.path.abspath(shot.emotion_video))
    try:
        return {"performance": path.read_bytes(), "performance_name": path.name}
    except OSError as error:
        raise InputError(f"Cannot read the emotion video '{path}': pick it again or clear the field.") from error


def _silence(seconds: float, rate: int = 16000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(rate)
        file.writeframes(bytes(2 * max(int(seconds * rate), 1)))
    return buffer.getvalue()
