"""Previews of a face model: a turntable or curves played on it as video, views as a picture; and OBJ and glTF of it."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.faces.views import PyrenderView, RasterView, open_view
from bfm.coefficients import EXPRESSION_CHANNELS, EXPRESSION_DIMS, FULL_ACTIVATION_SD
from bfm.model import FaceModel
from bfm.rasterize import vertex_normals
from blender_addon.protocol.types import AnimationCurves, channel_subset

FRAME_RATE = 25.0
TURN_SECONDS = 4.0
METRES_PER_DECIMETRE = 0.1


def write_preview(
    model: FaceModel, out: Path, *, curves: AnimationCurves | None = None, audio: Path | None = None, size: int = 512
) -> str | None:
    """Writes a turntable, or curves played on the model, as .mp4; the model as .obj, .glb; or one view as .png.

    audio: the sound of the curves' video; silence where not given. Gives in words what drew it, None for a mesh.
    Raises InputError for another suffix.
    """
    writers = {".mp4": _write_video, ".png": _write_picture, ".obj": _write_obj, ".glb": _write_glb}
    if out.suffix.lower() not in writers:
        raise InputError(f"A preview is written as {', '.join(writers)}, not as '{out.suffix}'.")
    from backend.delivery import staged

    with staged(out.parent) as folder:
        return writers[out.suffix.lower()](model, folder / out.name, curves, audio, size)


def expressions_of(model: FaceModel, curves: AnimationCurves) -> np.ndarray:
    """Expression (n_frames, n_expression) sd that plays curves on a model: by name, or solved where it has no names."""
    weights = channel_subset(curves.names, curves.weights, EXPRESSION_CHANNELS)
    if model.expression_names[:EXPRESSION_DIMS] == EXPRESSION_CHANNELS:
        played = np.zeros((len(weights), len(model.expression_names)), np.float32)
        played[:, :EXPRESSION_DIMS] = weights * FULL_ACTIVATION_SD
        return played
    from bfm.retarget import between_models
    from bfm.sources.embedded import load_embedded_model

    return between_models(load_embedded_model(), weights * FULL_ACTIVATION_SD, model).weights


def _turntable(model: FaceModel, view: PyrenderView | RasterView) -> Iterator[np.ndarray]:
    n_frames = round(TURN_SECONDS * FRAME_RATE)
    rest = _posed(model, np.zeros((1, len(model.expression_names))))[0]
    for i in range(n_frames):
        yield view.draw(rest, (0.0, 2.0 * np.pi * i / n_frames, 0.0))


def _played(model: FaceModel, view: PyrenderView | RasterView, curves: AnimationCurves) -> Iterator[np.ndarray]:
    from scipy.spatial.transform import Rotation

    expressions = expressions_of(model, curves)
    # scipy's intrinsic ZYX is the project's Rz Ry Rx.
    angles = Rotation.from_quat(curves.head_rotation[:, [1, 2, 3, 0]]).as_euler("ZYX")[:, ::-1]
    for expression, turned in zip(expressions, angles, strict=True):
        yield view.draw(_posed(model, expression[None])[0], tuple(turned))


def _posed(model: FaceModel, expression: np.ndarray) -> np.ndarray:
    return model.vertices(np.zeros(len(model.identity_basis), np.float32), expression)


def _write_video(model: FaceModel, path: Path, curves: AnimationCurves | None, audio: Path | None, size: int) -> str:
    from backend.video import VideoWriter

    view, drawn = open_view(model, size=size)
    rate = FRAME_RATE if curves is None else curves.frame_rate
    n_frames = round(TURN_SECONDS * FRAME_RATE) if curves is None else curves.n_frames
    frames = _turntable(model, view) if curves is None else _played(model, view, curves)
    sound = audio if audio is not None else _silence(n_frames / rate)
    with VideoWriter(path, width=size, height=size, frame_rate=rate, audio=sound) as writer:
        for frame in frames:
            writer.write(frame)
    return drawn


def _silence(seconds: float) -> bytes:
    """A WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(bytes(2 * max(round(seconds * 16000), 8000)))
    return file.getvalue()


def _write_picture(model: FaceModel, path: Path, curves: AnimationCurves | None, _audio: Path | None, size: int) -> str:
    """Front, three-quarter and side; with curves, four moments of them."""
    import cv2

    view, drawn = open_view(model, size=size)
    if curves is None:
        rest = _posed(model, np.zeros((1, len(model.expression_names))))[0]
        views = [view.draw(rest, (0.0, np.radians(yaw), 0.0)) for yaw in (0.0, 40.0, 90.0)]
    else:
        moments = np.linspace(0, curves.n_frames - 1, 4).round().astype(int)
        views = [view.draw(_posed(model, row[None])[0]) for row in expressions_of(model, curves)[moments]]
    if not cv2.imwrite(str(path), np.hstack(views)[..., ::-1]):
        raise InputError(f"'{path.name}' could not be written: choose another folder.")
    return drawn


def _write_obj(model: FaceModel, path: Path, _curves: AnimationCurves | None, _audio: Path | None, _size: int) -> None:
    """The average face as Wavefront OBJ in metres: quads where the model has them, with texture coordinates."""
    lines = [f"# {model.name}, metres", f"o {model.name}"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in (model.mean * METRES_PER_DECIMETRE).tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in model.uv.tolist()]
    for polygon in (*model.quads.tolist(), *triangles_alone(model).tolist()):
        lines.append("f " + " ".join(f"{corner + 1}/{corner + 1}" for corner in polygon))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def triangles_alone(model: FaceModel) -> np.ndarray:
    """The triangles (n, 3) that are no halves of quads."""
    if not len(model.quads):
        return model.triangles
    halves = np.sort(np.concatenate([model.quads[:, [0, 1, 2]], model.quads[:, [0, 2, 3]]]), axis=1)
    known = {tuple(corners) for corners in halves.tolist()}
    alone = [corners for corners in model.triangles.tolist() if tuple(sorted(corners)) not in known]
    return np.array(alone, np.int32).reshape(-1, 3)


def _write_glb(model: FaceModel, path: Path, curves: AnimationCurves | None, _audio: Path | None, _size: int) -> None:
    """The average face with every expression as a target, and curves as an animation of them."""
    from backend.export.angles import to_xyzw
    from backend.export.gltf import FACE, HEAD, add_head, frame_times
    from backend.export.gltf_document import GltfDocument
    from backend.export.head_mesh import HeadMesh

    rest = _posed(model, np.zeros((1, len(model.expression_names))))[0]
    full = np.eye(len(model.expression_names), dtype=np.float32) * FULL_ACTIVATION_SD
    targets = np.concatenate([_posed(model, row[None]) for row in full]) - rest
    normals = vertex_normals(rest, model.triangles)
    scale = np.float32(METRES_PER_DECIMETRE)
    head = HeadMesh(
        vertices=rest * scale,
        normals=normals,
        triangles=model.triangles,
        uv=model.uv,
        colors=model.albedo(np.zeros(len(model.texture_basis), np.float32)),
        names=model.expression_names,
        targets=targets * scale,
        target_normals=np.stack([vertex_normals(rest + target, model.triangles) - normals for target in targets]),
        regions=np.array(model.region_names)[model.regions],
        pivot=model.pivot * scale,
        left_eye=model.eyeballs[1] * scale,
        right_eye=model.eyeballs[0] * scale,
    )
    document = GltfDocument()
    nodes = add_head(document, head)
    if curves is not None:
        animation = document.animation("EmoRig")
        times = frame_times(curves)
        weights = (expressions_of(model, curves) / FULL_ACTIVATION_SD).astype(np.float32)
        animation.channel(nodes[FACE], "weights", times, weights)
        animation.channel(nodes[HEAD], "rotation", times, to_xyzw(curves.head_rotation))
    document.write(path)
