"""The panel's texts in other languages: one JSON file each in languages/, English text -> translation."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).with_name("languages")
# File -> the names that versions of Blender have for the language.
LOCALES = {
    "de": ("de_DE", "de"),
    "fr": ("fr_FR", "fr"),
    "es": ("es", "es_ES"),
    "zh": ("zh_HANS", "zh_CN"),
    "ja": ("ja_JP",),
}
CONTEXTS = ("*", "Operator")


def translations() -> dict[str, dict[tuple[str, str], str]]:
    """Locale -> (context, English) -> translation, as Blender takes them."""
    table = {}
    for stem, locales in LOCALES.items():
        texts = json.loads((FOLDER / f"{stem}.json").read_text(encoding="utf-8"))
        entries = {(context, english): text for english, text in texts.items() for context in CONTEXTS}
        table |= dict.fromkeys(locales, entries)
    return table


def register(module: str) -> None:
    """Gives the texts to Blender under the add-on's module name."""
    import bpy

    bpy.app.translations.register(module, translations())


def unregister(module: str) -> None:
    """Takes them away."""
    import bpy

    bpy.app.translations.unregister(module)
