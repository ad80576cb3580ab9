"""What the models, weights and libraries of this set-up allow."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass

from backend.checkpoints.registry import Licence

DEFAULT, NEURAL, MEASURES = "default", "neural", "measures"
"""What a result is made with: the program alone, imported models or weights as well, or nothing of the item."""


@dataclass(frozen=True)
class Row:
    """One item: its name, licence, whether results made with it may be sold, a note, and which results it is in."""

    what: str
    licence: str
    sells: str
    note: str
    use: str = DEFAULT


def survey() -> list[Row]:
    """Every model, weight and library here."""
    return [*_own(), *_face_models(), *_weights(), *_libraries()]


def verdicts(rows: list[Row]) -> list[str]:
    """One sentence for results of the program alone, and one for results with imported models and weights."""
    sentences = []
    for use, what in ((DEFAULT, "the program as it comes"), (NEURAL, "imported models and weights")):
        chosen = [row for row in rows if row.use == use]
        if not chosen:
            sentences.append(f"No results with {what}: none are here.")
            continue
        barred = [row.what for row in chosen if row.sells == "no"]
        asked = [row.what for row in chosen if row.sells == "ask"]
        if barred:
            sentences.append(f"Results with {what} may not be sold where they use {', '.join(barred)}.")
        if asked:
            sentences.append(f"Results with {what}: ask the owners of {', '.join(asked)} before you sell them.")
        if not barred and not asked:
            sentences.append(f"Results with {what} may be sold.")
    if any("GPL" in row.licence for row in rows if row.what.startswith("av ")):
        sentences.append(
            "PyAV's package carries x264 (GPL): a bundle of this program with it may be passed on under the GPL only. "
            "The videos that it makes are yours; H.264 may need a patent licence where you sell many."
        )
    sentences.append(
        "This is what the licences say, not legal advice; the rights of the person shown are another matter."
    )
    return sentences


def _own() -> list[Row]:
    from backend.weights import NETWORKS

    ours = "MIT OR GPL-3.0-or-later"
    rows = [Row("the program and its embedded head", ours, "yes", "made by the project")]
    rows += [
        Row(f"network {network.name}", network.licence, "yes", "trained by the project")
        for network in NETWORKS.values()
    ]
    return rows


def _face_models() -> list[Row]:
    """Imported face models; their kind is told by their name, which the import gives unless the user chose another."""
    from backend.faces.models import EMBEDDED, LICENCES, known_models

    rows = []
    for known in known_models():
        if known.name == EMBEDDED:
            continue
        kind = next((kind for kind in LICENCES if known.name.lower().startswith(kind)), None)
        terms = LICENCES.get(kind, "unknown: look at the model's own papers")
        sells = "yes" if terms.startswith("MIT") else "no" if "research only" in terms else "ask"
        rows.append(Row(f"face model {known.name}", terms, sells, "only where a result uses it", NEURAL))
    return rows


def _weights() -> list[Row]:
    from backend.checkpoints.store import installed

    rows = []
    for item in installed():
        terms: Licence = item.file.licence
        use = MEASURES if item.file.name == "syncnet" else NEURAL
        rows.append(Row(f"weights {item.file.name}", terms.name, terms.sells, terms.note, use))
    return rows


def _libraries() -> list[Row]:
    """The distributions that this one requires, with the licence that their metadata states."""
    try:
        required = importlib.metadata.requires("emorig") or []
    except importlib.metadata.PackageNotFoundError:
        from backend.commands.doctor import PACKAGES

        required = list(PACKAGES)
    rows = []
    for requirement in required:
        if "extra ==" in requirement:
            continue
        name = re.match(r"[A-Za-z0-9_.-]+", requirement).group()
        try:
            found = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        terms, note = _stated(found), ""
        if name == "av" and _carries_x264():
            terms, note = f"{terms}; the package carries x264: GPL", "matters when you pass the program on"
        rows.append(Row(f"{name} {found['Version']}", terms, "yes", note))
    return rows


def _stated(found: importlib.metadata.PackageMetadata) -> str:
    """The licence in one line, from the expression, the classifiers or the free text."""
    if expression := found.get("License-Expression"):
        return expression
    kinds = [c.split(" :: ")[-1] for c in found.get_all("Classifier") or () if c.startswith("License :: ")]
    kinds = [kind for kind in kinds if kind != "OSI Approved"]
    if kinds:
        return ", ".join(kinds)
    return (found.get("License") or "not stated").strip().splitlines()[0][:60]


def _carries_x264() -> bool:
    import av

    try:
        av.Codec("libx264", "w")
    except ValueError:
        return False
    return True
