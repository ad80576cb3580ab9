"""The formats of curves: what each is called, its suffix, and where it is written and read."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from backend.errors import InputError, OutputError
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves


@dataclass(frozen=True)
class Format:
    """One format: the module in this package with its functions, and what a user should know in a line.

    writer, reader: names of functions write(curves, path, options) and read(path) -> curves; None where it has none.
    advise: name of a function advise(path) -> str or None, said after writing.
    """

    suffixes: tuple[str, ...]
    module: str
    summary: str
    writer: str | None = "write"
    reader: str | None = None
    advise: str | None = None


FORMATS: dict[str, Format] = {
    "emorig": Format((".json",), "emorig_json", "EmoRig's own curves with layers and coefficients", "write", "read"),
    "live-link": Format(
        (".csv",), "live_link_csv", "Live Link Face CSV: Unreal, MetaHuman, Blender add-ons", "write", "read", "advise"
    ),
    "glb": Format((".glb", ".gltf"), "gltf", "glTF 2.0: the head with its targets, or --onto a .glb", "write", "read"),
    "usd": Format((".usda", ".usdc", ".usd"), "usd", "UsdSkel: SkelRoot, BlendShapes, SkelAnimation", "write", "read"),
    "fbx": Format((".fbx",), "fbx", "binary FBX: the head with blend shapes and DeformPercent curves", "write", "read"),
    "unity": Format((".anim",), "unity_anim", "Unity AnimationClip, blend shapes 0-100", "write", "read"),
    "godot": Format((".tres",), "godot", "Godot 4 Animation resource", "write", "read"),
    "godot3": Format((), "godot", "Godot 3 Animation resource (.tres)", "write_godot3", "read"),
    "vrma": Format((".vrma",), "vrma", "VRM animation with VRM 1.0 preset expressions", "write", "read"),
    "vrma-arkit": Format((), "vrma", "VRM animation with ARKit's 52 as custom expressions", "write_arkit", "read"),
    "a2f": Format((), "a2f", "Audio2Face JSON", "write", "read"),
    "ovr": Format((), "visemes", "OVR visemes 0-14 as CSV", "write", "read"),
    "rhubarb": Format(
        (".tsv",), "mouths", "Rhubarb mouth shapes A-H, X (.tsv or .json)", "write_rhubarb", "read_rhubarb"
    ),
    "moho": Format((".dat",), "mouths", "Moho switch track of Preston Blair mouths", "write_moho", "read_moho"),
    "papagayo": Format(
        (".pgo",), "mouths", "Papagayo lip sync of Preston Blair mouths", "write_papagayo", "read_papagayo"
    ),
    "openface": Format((), "openface", "FACS action units with OpenFace's columns (CSV)", "write", "read"),
    "csv": Format((), "tables", "plain CSV: time, channels, quaternions", "write_csv", "read_csv"),
    "parquet": Format((".parquet",), "tables", "Parquet with the columns of csv", "write_parquet", "read_parquet"),
    "npz": Format((".npz",), "tables", "NumPy archive of everything", "write_npz", "read_npz"),
    "coefficients": Format((), "coefficient_tables", "raw face coefficients as CSV", "write_csv", "read_csv"),
    "coefficients-npz": Format((), "coefficient_tables", "raw face coefficients as npz", "write_npz", "read_npz"),
}


def format_for(path: Path, name: str | None = None) -> str:
    """The name of the format to write: as given, else by suffix. Raises OutputError for an unknown one."""
    if name is not None:
        if name not in FORMATS:
            raise OutputError(f"Unknown format '{name}': use one of {', '.join(FORMATS)}.")
        return name
    for known, item in FORMATS.items():
        if path.suffix.lower() in item.suffixes:
            return known
    suffixes = " ".join(suffix for item in FORMATS.values() for suffix in item.suffixes)
    raise OutputError(
        f"Cannot tell a format from '{path.suffix or path.name}': use one of {suffixes}, or name one with --format."
    )


def write_curves(curves: AnimationCurves, path: Path, *, name: str, options: ExportOptions) -> str | None:
    """Writes curves in a format and gives what the user should know about the file. Raises InputError."""
    check_writable(curves)
    item = FORMATS[name]
    module = import_module(f"backend.export.{item.module}")
    getattr(module, item.writer)(curves, path, options)
    return getattr(module, item.advise)(path) if item.advise else None


def check_writable(curves: AnimationCurves) -> None:
    """Raises InputError for curves that no engine could use."""
    if curves.n_frames == 0 or not curves.names:
        raise InputError("These curves are empty: expected at least one frame and one channel.")
    for name in curves.names:
        if not name or any(ord(c) < 32 or c in '"\\' for c in name):
            raise InputError(f"No engine takes a channel called {name!r}: rename it with --map.")


def read_curves(path: Path, *, name: str | None = None) -> tuple[AnimationCurves, str]:
    """Curves of a file and its format's name, told by the suffix and the contents. Raises InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file '{path}': give the path of a curve file.")
    found = name or detect(path)
    item = FORMATS.get(found)
    if item is None or item.reader is None:
        readable = ", ".join(known for known, item in FORMATS.items() if item.reader)
        raise InputError(f"Cannot read '{found}' into curves: use one of {readable}.")
    reader = getattr(import_module(f"backend.export.{item.module}"), item.reader)
    try:
        return reader(path), found
    except UnicodeDecodeError as error:
        raise InputError(f"'{path.name}' is not a text file in UTF-8, as {found} should be.") from error
    except OSError as error:
        raise InputError(f"Cannot read '{path}' ({error.strerror or error}).") from error


def detect(path: Path) -> str:
    """The format that a file's suffix and first contents tell. Raises InputError."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _detect_csv(path)
    if suffix == ".json":
        return _detect_json(path)
    if suffix == ".npz":
        return _detect_npz(path)
    try:
        return format_for(path)
    except OutputError as error:
        raise InputError(f"Cannot tell what '{path.name}' is: name its format with --format.") from error


def _detect_csv(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = [name.strip().lower() for name in file.readline().split(",")]
    if header[0] == "timecode":
        return "live-link"
    if "frame" in header[:1] and any(name.startswith("au") for name in header):
        return "openface"
    if {"sil", "pp"} <= set(header):
        return "ovr"
    return "coefficients" if "expression_jawopen" in header else "csv"


def _detect_json(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    if '"mouthCues"' in text:
        return "rhubarb"
    return "a2f" if '"weightMat"' in text and '"emorig-curves"' not in text[:200] else "emorig"


def _detect_npz(path: Path) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return "coefficients-npz" if "expression.npy" in archive.namelist() else "npz"
    except zipfile.BadZipFile as error:
        raise InputError(f"'{path.name}' is no npz archive.") from error
