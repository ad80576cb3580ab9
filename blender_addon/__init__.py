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
