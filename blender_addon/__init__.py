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
    from . import operators, panels, preferences, scene_operators

    return (*preferences.CLASSES, *operators.CLASSES, *scene_operators.CLASSES, *panels.CLASSES)


def register():
    """Adds properties, operators and panels to Blender."""
    import bpy

    from . import properties, runtime

    runtime.register()
    properties.register()
    for cls in _classes():
        bpy.utils.register_class(cls)


def unregister():
    """Takes everything away again and stops the backend that was started from here."""
    import bpy

    from . import properties, runtime

    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
    properties.unregister()
    runtime.unregister()
