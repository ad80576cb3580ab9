"""EmoRig in Blender's sidebar: a portrait, a recording and keyframed emotion become shape-key curves and video."""

bl_info = {
    "name": "EmoRig",
    "author": "EmoRig",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "3D Viewport > Sidebar > EmoRig",
    "description": "Faces that speak with feeling, from one portrait and one recording",
    "category": "Animation",
}


def _classes():
    from . import (
        batch,
        character_panels,
        exporting,
        install_operators,
        mapping_operators,
        menus,
        operators,
        panels,
        phones,
        preferences,
        scene_operators,
    )

    modules = (
        preferences, operators, install_operators, scene_operators, mapping_operators, phones, exporting, batch, panels,
        character_panels, menus,
    )  # fmt: skip
    return [cls for module in modules for cls in module.CLASSES]


def _provide_modules():
    """Before 4.2 an add-on brings its modules along itself."""
    if __package__.startswith("bl_ext."):
        return
    from pathlib import Path

    import bpy

    from . import vendored

    vendored.provide(Path(bpy.utils.user_resource("DATAFILES", path="emorig", create=True)))


def register():
    """Adds properties, operators and panels to Blender."""
    import bpy

    _provide_modules()
    from . import batch, menus, properties, runtime, translations

    runtime.register()
    properties.register()
    for cls in _classes():
        bpy.utils.register_class(cls)
    batch.register()
    menus.register()
    translations.register(__package__)


def unregister():
    """Takes everything away again and stops the backend that was started from here."""
    import bpy

    from . import batch, menus, properties, runtime, translations

    translations.unregister(__package__)
    menus.unregister()
    batch.unregister()
    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
    properties.unregister()
    runtime.unregister()
