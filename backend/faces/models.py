"""Face models on this machine: the embedded one, and those that the user imported from their own files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from backend.errors import InputError
from bfm.errors import FaceModelError
from bfm.model import FaceModel
from blender_addon.protocol.discovery import MODELS_VARIABLE, heads_folder, models_folder

EMBEDDED = "embedded"
KINDS = {
    "bfm2009": "Basel Face Model 2009: a folder with 01_MorphableModel.mat, or BFM_model_front.mat",
    "bfm2019": "Basel Face Model 2017 or 2019: an .h5 file",
    "ict": "ICT-FaceKit: its FaceXModel folder, or an .npz",
    "flame": "FLAME: a .pkl (read without running it) or an .npz",
}
LICENCES = {
    "bfm2009": "University of Basel, research only; ask them before commercial use",
    "bfm2019": "University of Basel, research only; ask them before commercial use",
    "ict": "MIT, USC Institute for Creative Technologies",
    "flame": "Max Planck Institute; see the licence that came with the file",
}


@dataclass(frozen=True)
class KnownModel:
    """A model that can be used by name: where it lies (None: in the program), and its size there in bytes."""

    name: str
    path: Path | None
    size: int


def known_models() -> list[KnownModel]:
    """The embedded model and the imported ones by name."""
    from bfm.sources.embedded import EMBEDDED_FILE

    known = [KnownModel(EMBEDDED, None, EMBEDDED_FILE.stat().st_size)]
    for path in sorted(models_folder().glob("*.npz")):
        known.append(KnownModel(path.stem, path, path.stat().st_size))
    return known


def find_model(name: str) -> FaceModel:
    """A model by its name or by the path of a file of one. Raises InputError naming the known ones."""
    if name == EMBEDDED:
        from bfm.sources.embedded import load_embedded_model

        return load_embedded_model()
    kept = models_folder() / f"{name}.npz"
    if any(known.path == kept for known in known_models()):
        return _asked(lambda: _stored(kept))
    if Path(name).exists():
        return _asked(lambda: read_model(Path(name)))
    names = ", ".join(known.name for known in known_models())
    raise InputError(
        f"There is no face model '{name}': use {names}, or the path of one that emorig model import reads."
    )


def import_model(source: Path, *, kind: str | None = None, name: str | None = None, index: Path | None = None) -> Path:
    """Reads somebody's model files and keeps them as a model of the program; gives the path of the kept file.

    Its head is written too, for the Blender add-on's list of heads.

    kind: one of KINDS, guessed from the files where not given; index: folder of BFM 2009's index files.
    Raises InputError for files that cannot be used and names that are taken or not plain.
    """
    from backend.export.addon_head import write_head
    from bfm.sources.stored import save_model

    kind = kind or guess_kind(source)
    name = name or kind
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name.startswith(".") or name == EMBEDDED:
        raise InputError(f"'{name}' cannot name a model: use letters, digits, - and _, and not '{EMBEDDED}'.")
    model = _asked(lambda: read_model(source, kind=kind, name=name, index=index))
    target = models_folder() / f"{name}.npz"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, target)
        write_head(model, heads_folder() / f"{name}.npz")
    except OSError as error:
        text = f"Cannot write '{target}' ({error.strerror}): set {MODELS_VARIABLE} to a folder of yours."
        raise InputError(text) from error
    return target


def read_model(
    source: Path, *, kind: str | None = None, name: str | None = None, index: Path | None = None
) -> FaceModel:
    """The FaceModel of somebody's model files. Raises FaceModelError and InputError."""
    kind = kind or guess_kind(source)
    if kind == "stored":
        return _stored(source)
    if kind not in KINDS:
        raise InputError(f"Unknown kind of face model '{kind}': use one of {', '.join(KINDS)}.")
    name = name or kind
    if kind == "bfm2009":
        from bfm.sources.bfm2009 import prepare_front, read_front

        front = prepare_front(source, index) if source.is_dir() else read_front(source)
        return front.face_model(name)
    if kind == "bfm2019":
        from bfm.sources.bfm2019 import load_bfm2019

        return load_bfm2019(source, name)
    if kind == "ict":
        from bfm.sources.ict import load_ict

        return load_ict(source, name)
    from bfm.sources.flame import load_flame

    return load_flame(source, name=name)


def write_front_of(source: Path, target: Path, *, index: Path | None = None) -> None:
    """Writes BFM_model_front.mat from a folder of BFM 2009's files. Raises InputError."""
    from bfm.sources.bfm2009 import prepare_front, write_front

    if not source.is_dir():
        raise InputError("BFM_model_front.mat is cut from the folder of 01_MorphableModel.mat: give that folder.")
    _asked(lambda: write_front(prepare_front(source, index), target))


def guess_kind(source: Path) -> str:
    """What kind of model lies at a path, by its files' names and fields; 'stored' is one of the program's own."""
    if not source.exists():
        raise InputError(f"There is no '{source}': give the file or folder of a face model.")
    if source.is_dir():
        if (source / "generic_neutral_mesh.obj").is_file():
            return "ict"
        return "bfm2009"
    suffix = source.suffix.lower()
    by_suffix = {".mat": "bfm2009", ".h5": "bfm2019", ".hdf5": "bfm2019", ".pkl": "flame"}
    if suffix in by_suffix:
        return by_suffix[suffix]
    if suffix == ".npz":
        from bfm.sources.reading import read_npz

        fields = _asked(lambda: read_npz(source))
        for field, kind in (("format", "stored"), ("v_template", "flame"), ("neutral", "ict")):
            if field in fields:
                return kind
    raise InputError(
        f"'{source.name}' is no face model that is known here: name its --kind, one of {', '.join(KINDS)}."
    )


def _stored(path: Path) -> FaceModel:
    from bfm.sources.stored import load_model

    return load_model(path)


def _asked(read):
    """What read gives; a FaceModelError becomes the user's one sentence."""
    try:
        return read()
    except FaceModelError as error:
        text = str(error)
        raise InputError(text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")) from error
