"""A page that plays curves on the head in any browser: everything is inside it, nothing is fetched."""

from __future__ import annotations

import base64
import json
import tempfile
import webbrowser
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.curves.resample import resampled
from backend.delivery import staged
from backend.errors import InputError, OutputError
from backend.export.angles import to_xyzw
from backend.export.formats import read_curves
from backend.export.head_mesh import head_of
from blender_addon.protocol.layers import layer_sum
from blender_addon.protocol.types import AnimationCurves

ASSETS = Path(__file__).with_name("assets")
THREE_END = 'Object.defineProperty(t,"__esModule",{value:!0})}));'  # of its build as one script
# What is made of the same stuff, by the face model's regions.
STUFFS = {"eye": ("iris", "pupil", "sclera"), "teeth": ("teeth",), "mouth": ("gums", "mouth", "tongue")}
UNIT = 1.0 / 8192.0  # weight per step of a 16-bit number: ±4
MAX_RATE = 60.0  # frames per second; screens show no more
BROWSER_SOUNDS = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg",
                  ".flac": "audio/flac", ".m4a": "audio/mp4"}  # fmt: skip


def view_file(source: Path, *, audio: Path | None, out: Path | None) -> None:
    """Writes the page of a file's curves to out, or to a temporary file that it opens in the browser."""
    curves, _ = read_curves(source)
    page = view_page(curves, audio=audio)
    if out is None:
        folder = Path(tempfile.mkdtemp(prefix="emorig-view-"))
        out = folder / f"{source.stem}.html"
        out.write_text(page, encoding="utf-8")
        webbrowser.open(out.as_uri())
    elif out.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"The page '{out.name}' should end in .html.")
    else:
        with staged(out.parent) as folder:
            (folder / out.name).write_text(page, encoding="utf-8")
    print(out)


def view_page(curves: AnimationCurves, *, audio: Path | None = None) -> str:
    """The page's HTML."""
    if curves.frame_rate > MAX_RATE:
        curves = resampled(curves, MAX_RATE)
    data = {
        "names": list(curves.names),
        "rate": curves.frame_rate,
        "frames": curves.n_frames,
        "unit": UNIT,
        "layers": [{"name": name, "values": _encoded(_steps(layer))} for name, layer in _layers(curves).items()],
        "head": _encoded(to_xyzw(curves.head_rotation)),
        "phones": [[p.start, p.end, p.label] for p in curves.phones],
        "mesh": _mesh(curves),
        "sound": None if audio is None else _sound(audio),
    }
    # "</" would end the script that holds the data.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    page = (ASSETS / "viewer.html").read_text(encoding="utf-8")
    script = (ASSETS / "viewer.js").read_text(encoding="utf-8")
    return page.replace("%SCRIPT%", script).replace("%THREE%", three_source()).replace("%DATA%", text)


@lru_cache(maxsize=1)
def three_source() -> str:
    """three.js with its MIT notice, as trimesh brings it along for its own viewer. Raises InputError without it."""
    import io
    import zipfile

    from trimesh import resources

    try:
        with zipfile.ZipFile(io.BytesIO(resources.get_bytes("templates/viewer.zip"))) as archive:
            page = archive.read("viewer.html.template").decode("utf-8")
        start = page.index("<script>") + len("<script>")
        return page[start : page.index(THREE_END, start) + len(THREE_END)]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError("This release of trimesh brings no three.js along: install 'trimesh>=4.4,<5'.") from error


def _layers(curves: AnimationCurves) -> dict[str, np.ndarray]:
    """The layers, and as one more what the curves have beyond them; curves without layers are one."""
    if not curves.layers:
        return {"curves": curves.weights}
    edits = curves.weights - layer_sum(curves.names, curves.layers)
    return {**curves.layers, **({"edits": edits} if np.abs(edits).max(initial=0.0) > 1e-3 else {})}


def _steps(weights: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(weights / UNIT), -32767, 32767).astype("<i2")


def _mesh(curves: AnimationCurves) -> dict[str, object]:
    """The head with those targets that the curves drive; a target's moves as 16-bit steps of its own scale."""
    head = head_of(curves)
    driven, targets = [], []
    for index, (name, moved) in enumerate(zip(head.names, head.targets)):
        if name not in curves.names:
            continue
        points = head.moved_points(index)
        scale = float(np.abs(moved).max(initial=1e-6)) / 32767
        driven.append(curves.names.index(name))
        steps = np.rint(moved[points] / scale).astype("<i2")
        targets.append({"points": _encoded(points.astype("<u4")), "moved": _encoded(steps), "scale": scale})
    triangles, groups = _by_stuff(head.triangles, head.regions)
    return {
        "vertices": _encoded(head.vertices.astype("<f4")),
        "triangles": _encoded(triangles.astype("<u4")),
        "groups": groups,
        "colors": _encoded(head.colors.astype("<f4")),
        "pivot": [float(v) for v in head.pivot],
        "driven": driven,
        "targets": targets,
    }


def _by_stuff(triangles: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Triangles (n, 3) in an order of what they are made of, and each stuff's first index and number of indices."""
    of_region = {region: stuff for stuff, names in STUFFS.items() for region in names}
    stuffs = np.array([of_region.get(str(region), "skin") for region in regions[triangles[:, 0]]])
    order = np.argsort(stuffs, kind="stable")
    names, starts, counts = np.unique(stuffs[order], return_index=True, return_counts=True)
    return triangles[order], [(str(n), 3 * int(s), 3 * int(c)) for n, s, c in zip(names, starts, counts)]


def _sound(audio: Path) -> str:
    """The sound as a data address: as it is where browsers play it, else as 16 kHz WAV."""
    from backend.audio.waveform import load_waveform

    waveform = load_waveform(audio)
    kind = BROWSER_SOUNDS.get(audio.suffix.lower())
    data = audio.read_bytes() if kind else _wav(waveform.samples, waveform.sample_rate)
    return f"data:{kind or 'audio/wav'};base64,{base64.b64encode(data).decode('ascii')}"


def _wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """A 16-bit mono WAV file of samples (n_samples,) in [-1, 1]."""
    import io
    import wave

    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    return data.getvalue()


def _encoded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
