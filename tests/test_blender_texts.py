"""The panel's texts: each label has its translation in every language, and every property its tooltip. No Blender."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from blender_addon.session import State
from blender_addon.translations import FOLDER, LOCALES, translations

ADDON = Path(__file__).resolve().parents[1] / "blender_addon"
# Names of inner bookkeeping and of what is never shown.
UNSHOWN = {
    "Active Key", "Active Line", "Active Mesh", "Active Row", "Applied", "Curves", "Rendered", "Frame", "Preset",
    "Format", "File", "Name", "Step", "Keep Edits", "Rows", "Lines", "Meshes", "layers", "Line", "USD", "glTF",
    "FBX", "Raw Keys", "Raw Coefficient Keys", "lines", "rows",
}  # fmt: skip


def calls():
    for path in sorted(ADDON.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def constant(node: ast.Call, name: str) -> str | None:
    value = next((keyword.value for keyword in node.keywords if keyword.arg == name), None)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def labels() -> set[str]:
    found = {state.value for state in State}
    for path in ADDON.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "bl_label":
                found.add(node.value.value)
    for _path, node in calls():
        kind = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if kind.endswith("Property") and (name := constant(node, "name")):
            found.add(name)
        elif kind in ("operator", "prop", "label", "menu") and (text := constant(node, "text")):
            found.add(text)
    return found - UNSHOWN


@pytest.mark.parametrize("language", LOCALES)
def test_every_label_has_its_translation(language):
    texts = translations()[LOCALES[language][0]]
    missing = sorted(label for label in labels() if ("*", label) not in texts)
    assert not missing, f"{FOLDER / language}.json lacks {missing}"
    assert all(text.strip() for text in texts.values())


def test_placeholders_are_kept():
    for texts in translations().values():
        for (_context, english), text in texts.items():
            assert english.count("{}") == text.count("{}"), english


def test_every_property_has_a_tooltip():
    for path, node in calls():
        kind = getattr(node.func, "id", "")
        if kind.endswith("Property") and kind != "Property":
            about = next((keyword for keyword in node.keywords if keyword.arg == "description"), None)
            # What is only registered on Blender's own types is no property that is drawn.
            is_group = any(keyword.arg == "type" for keyword in node.keywords) and len(node.keywords) == 1
            is_path = constant(node, "subtype") == "FILE_PATH" and constant(node, "name") is None
            assert about or is_group or is_path, f"{path.name}:{node.lineno}"
