"""Where a rendered video goes: strips in the sequencer, the camera's background, or a plane beside the character."""

from __future__ import annotations

from pathlib import Path

import bpy

from .compat import show_in_sequencer, strip_span, strips
from .footage import stored_path
from .protocol.errors import InputError

STRIP_NAME, SOUND_NAME, PART_NAME = "EmoRig", "EmoRig Sound", "EmoRig Frames"
PLANE_NAME = "EmoRig Video"
PLANE_HEIGHT = 0.35  # metres, about a head with its shoulders
PLANE_GAP = 0.1


def place(scene, path: Path, *, start_frame: int, part: tuple[int, int] | None = None) -> str:
    """Puts a video where the shot wants it and says so in a sentence.

    part: the frames of the shot (first, one after the last) that this video holds; it goes over the whole one.
    Raises InputError where Blender cannot read the video.
    """
    kind, name = scene.emorig.footage, path.name
    if part is not None:
        movie = _add_part(scene, path, start_frame + part[0])
        first, last = strip_span(movie)[0], strip_span(movie)[1] - 1
        return f"Frames {first} to {last} were rendered again: {name} lies over the video, channel {movie.channel}."
    if kind == "CAMERA":
        _show_behind_camera(scene, path, start_frame)
        return f"{name} is the background of the camera '{scene.camera.name}'."
    if kind == "PLANE":
        plane = _show_on_plane(scene, path, start_frame)
        return f"{name} is on the plane '{plane.name}'."
    movie, has_sound = add_movie(scene, path, start_frame=start_frame)
    sentence = f"{name} is in the sequencer, channel {movie.channel}."
    return sentence if has_sound else f"{sentence} This Blender cannot play its sound."


def add_movie(scene, path: Path, *, start_frame: int):
    """Lays a video and its sound into the sequencer, in place of this add-on's last one.

    Returns (movie strip, whether the sound could be added). Raises InputError where Blender cannot read the video.
    """
    collection, stored = strips(scene, create=True), stored_path(path)
    for strip in [s for s in collection if s.name in (STRIP_NAME, SOUND_NAME) or s.name.startswith(PART_NAME)]:
        collection.remove(strip)
    channel = _free_channel(collection, start_frame)
    sound_added = False
    try:
        collection.new_sound(SOUND_NAME, stored, channel, start_frame)
        sound_added, channel = True, channel + 1
    except RuntimeError:
        sound_added = False
    movie = _new_movie(collection, STRIP_NAME, stored, channel, start_frame)
    show_in_sequencer(bpy.context, scene)
    return movie, sound_added


def _add_part(scene, path: Path, start_frame: int):
    collection = strips(scene, create=True)
    movie = _new_movie(collection, PART_NAME, stored_path(path), _free_channel(collection, start_frame), start_frame)
    show_in_sequencer(bpy.context, scene)
    return movie


def _new_movie(collection, name: str, path: str, channel: int, start_frame: int):
    try:
        movie = collection.new_movie(name, path, channel, start_frame, fit_method="FIT")
    except RuntimeError as error:
        raise InputError(f"Blender cannot read the video '{path}'.") from error
    movie.name = name
    return movie


def _movie_image(path: Path):
    try:
        image = bpy.data.images.load(stored_path(path), check_existing=True)
    except RuntimeError as error:
        raise InputError(f"Blender cannot read the video '{path}'.") from error
    image.source = "MOVIE"
    return image


def _play(user, image, start_frame: int) -> None:
    """Lets an image user play a movie from a scene frame on."""
    user.frame_start, user.frame_offset = start_frame, 0
    user.frame_duration = max(image.frame_duration, 1)
    user.use_auto_refresh = True


def _show_behind_camera(scene, path: Path, start_frame: int) -> None:
    camera = scene.camera
    if camera is None or camera.type != "CAMERA":
        raise InputError(
            f"'{path}' is rendered, but the scene has no camera to put it behind: add one, or choose Strip."
        )
    data, image = camera.data, _movie_image(path)
    for slot in [b for b in data.background_images if b.image and b.image.get("emorig")]:
        data.background_images.remove(slot)
    image["emorig"] = True
    data.show_background_images = True
    background = data.background_images.new()
    background.source, background.image, background.alpha = "IMAGE", image, 1.0
    background.frame_method = "FIT"
    _play(background.image_user, image, start_frame)


def _show_on_plane(scene, path: Path, start_frame: int):
    """A plane of the video's shape to the character's left, facing as the character does."""
    image = _movie_image(path)
    width, height = image.size
    half_width, half_height = PLANE_HEIGHT * width / max(height, 1) / 2, PLANE_HEIGHT / 2
    plane = bpy.data.objects.get(PLANE_NAME)
    if plane is None or plane.type != "MESH":
        plane = bpy.data.objects.new(PLANE_NAME, bpy.data.meshes.new(PLANE_NAME))
        scene.collection.objects.link(plane)
        plane.location = _beside(scene, half_width)
    mesh = plane.data
    mesh.clear_geometry()
    corners = [(x, 0.0, z) for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    mesh.from_pydata([(x * half_width, 0.0, z * half_height) for x, _, z in corners], [], [(0, 1, 2, 3)])
    layer = mesh.uv_layers.new(name="UVMap")
    layer.data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
    mesh.materials.clear()
    mesh.materials.append(_movie_material(image, start_frame))
    mesh.update()
    return plane


def _beside(scene, half_width: float):
    shot = scene.emorig
    mesh = next((target.mesh for target in shot.targets if target.mesh is not None), None)
    if mesh is None:
        return scene.cursor.location
    reach = max((mesh.matrix_world @ _vector(corner)).x for corner in mesh.bound_box)
    return (reach + PLANE_GAP + half_width, mesh.matrix_world.translation.y, mesh.matrix_world.translation.z)


def _vector(corner):
    from mathutils import Vector

    return Vector(corner)


def _movie_material(image, start_frame: int):
    """A material that glows as the video does, seen the same in every light."""
    material = bpy.data.materials.get(PLANE_NAME) or bpy.data.materials.new(PLANE_NAME)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    texture, glow = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    texture.image = image
    _play(texture.image_user, image, start_frame)
    tree.links.new(texture.outputs["Color"], glow.inputs["Color"])
    tree.links.new(glow.outputs["Emission"], output.inputs["Surface"])
    return material


def _free_channel(collection, frame: int) -> int:
    """The lowest channel above every strip that is there at or after a frame."""
    return max((strip.channel for strip in collection if strip_span(strip)[1] > frame), default=0) + 1
