"""A stand-in for a panel's layout that draws nothing and holds every call against Blender's own description of it."""

from types import SimpleNamespace

import bpy

LAYOUT = bpy.types.UILayout.bl_rna
ICONS = {item.identifier for item in LAYOUT.functions["prop"].parameters["icon"].enum_items}
POSITIONAL = {"prop": ("data", "property"), "template_ID": ("data", "property"), "operator": ("operator",)}


class PaperLayout:
    """Takes what a UILayout of this Blender takes and fails on anything else; lines holds what would be read."""

    def __init__(self, lines: list[str] | None = None) -> None:
        object.__setattr__(self, "lines", [] if lines is None else lines)

    def __setattr__(self, name, value):
        assert name in LAYOUT.properties, f"layouts have no {name}"

    def __getattr__(self, name):
        if name not in LAYOUT.functions:
            raise AttributeError(f"layouts have no {name}()")
        parameters = LAYOUT.functions[name].parameters

        def call(*arguments, **options):
            self.lines.append(str(options.get("text", "")))
            unknown = set(options) - set(parameters.keys())
            assert not unknown, f"{name}() takes no {unknown}"
            assert options.get("icon", "NONE") in ICONS, f"there is no icon {options['icon']}"
            if name in ("prop", "template_ID", "prop_search"):
                owner, field = arguments[:2]
                assert field in owner.bl_rna.properties, f"{owner} has no {field}"
            if name == "operator":
                group, _, verb = arguments[0].partition(".")
                assert arguments[0] in ("image.open",) or hasattr(bpy.types, f"{group.upper()}_OT_{verb}"), arguments
                return SimpleNamespace()
            if name == "menu":
                assert hasattr(bpy.types, arguments[0]), arguments
            return PaperLayout(self.lines)

        return call
