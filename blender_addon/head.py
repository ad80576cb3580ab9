"""The EmoRig head as a Blender mesh whose shape keys answer to the curves by name."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from .protocol.errors import InputError

HEAD_FILE = Path(__file__).parent / "data" / "head.npz"
COLORS = "Skin"
SKIN = (0.55, 0.36, 0.28, 1.0)  # linear RGBA
RAW_PROPERTY = "emorig_raw"  # on objects whose shape keys are the coefficients' own channels
# Material -> regions of the face that have it, and its roughness; the first takes all others.
MATERIALS = {
    "EmoRig Skin": ((), 0.5),
    "EmoRig Lips": (("lips",), 0.32),
    "EmoRig Eyes": (("sclera", "iris", "pupil", "eyeballs"), 0.06),
    "EmoRig Teeth": (("teeth",), 0.18),
    "EmoRig Mouth": (("gums", "mouth", "tongue", "mouth_socket", "gums_tongue"), 0.45),
}
# The file's colours hold the shadow inside the mouth, for renderers without light; here lights make it once more.
UNSHADED = {"mouth": 2.4, "tongue": 1.25, "gums": 1.25, "mouth_socket": 1.8}


def add_head(context, *, path: Path = HEAD_FILE, name: str = "EmoRig Head", raw: bool = False):
    """Adds the head of a file to the scene at the 3D cursor, facing -Y, and returns its object.

    The file holds vertices (n_vertices, 3) metres with +Y up and +Z out of the face, faces (n_faces, 3 or 4; -1 for a
    fourth corner that is none), shape_names (n_shapes,), shape_deltas (n_shapes, n_vertices, 3) at full activation, and
    optionally further_names and further_deltas, colors (n_vertices, 3) linear 0-1, uv (n_vertices, 2), regions
    (n_vertices,) into region_names, and pivot (3,), the point that the head turns about and that comes to lie at the
    cursor. raw: the further shapes too, all driven by the coefficients themselves. Raises InputError.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {key: archive[key] for key in archive.files}
        vertices = to_blender(data["vertices"] - data.get("pivot", np.zeros(3, np.float32)))
        faces = data["faces"].astype(np.int32)
        shapes = dict(zip([str(n) for n in data["shape_names"]], data["shape_deltas"], strict=True))
        further = raw and "further_names" in data
        if further:
            shapes |= dict(zip([str(n) for n in data["further_names"]], data["further_deltas"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        cure = "install the add-on again" if path == HEAD_FILE else "write it again with 'emorig model head'"
        raise InputError(f"The head's file '{path.name}' is missing or damaged: {cure}.") from error
    if raw and not further:
        raise InputError(f"'{path.stem}' has no raw coefficient keys: its expressions are not the coefficients'.")
    mesh = _mesh(name, vertices, faces)
    _paint(mesh, data, faces)
    head = bpy.data.objects.new(name, mesh)
    head.rotation_mode = "QUATERNION"
    head.location = context.scene.cursor.location
    if raw:
        head[RAW_PROPERTY] = True
    context.collection.objects.link(head)
    head.shape_key_add(name="Basis", from_mix=False)
    for shape, delta in shapes.items():
        block = head.shape_key_add(name=shape, from_mix=False)
        block.data.foreach_set("co", (vertices + to_blender(delta)).ravel())
    for other in context.selected_objects:
        other.select_set(False)
    head.select_set(True)
    context.view_layer.objects.active = head
    return head


def to_blender(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) with +Y up and +Z out of the face as points with +Z up and -Y out of the face."""
    points = np.asarray(points, np.float32)
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def _mesh(name: str, vertices: np.ndarray, faces: np.ndarray):
    """A smooth mesh from vertices (n_vertices, 3) and faces (n_faces, 3 or 4)."""
    mesh = bpy.data.meshes.new(name)
    corners = (faces >= 0).sum(axis=1).astype(np.int32)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.add(int(corners.sum()))
    mesh.loops.foreach_set("vertex_index", faces[faces >= 0])
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.cumsum(corners, dtype=np.int32) - corners)
    if bpy.app.version < (4, 1):
        mesh.polygons.foreach_set("loop_total", corners)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    mesh.update(calc_edges=True)
    mesh.validate()
    return mesh


def _paint(mesh, data: dict[str, np.ndarray], faces: np.ndarray) -> None:
    """UV map, vertex colours and materials, as far as the file has them."""
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    if "uv" in data:
        layer = mesh.uv_layers.new(name="UVMap")
        layer.data.foreach_set("uv", data["uv"].astype(np.float32)[corners].ravel())
    if "colors" in data:
        colors = mesh.color_attributes.new(COLORS, "FLOAT_COLOR", "POINT")
        shown = np.minimum(data["colors"].astype(np.float32) * _unshaded(data)[:, None], 1.0)
        rgba = np.concatenate([shown, np.ones((len(shown), 1), np.float32)], axis=1)
        colors.data.foreach_set("color", rgba.ravel())
    names = [str(name) for name in data.get("region_names", ())]
    slots, slot = np.zeros(max(len(names), 1), np.int32), 0
    for name, (regions, roughness) in MATERIALS.items():
        if regions and not set(regions) & set(names):
            continue
        mesh.materials.append(_material(name, roughness, has_colors="colors" in data))
        slots[[names.index(region) for region in regions if region in names]] = slot
        slot += 1
    if "regions" in data and len(mesh.polygons) == len(faces):
        # A face of several regions is skin where one of its corners is.
        of_corners = slots[data["regions"][np.where(faces >= 0, faces, faces[:, :1])]]
        mesh.polygons.foreach_set("material_index", of_corners.min(axis=1))


def _unshaded(data: dict[str, np.ndarray]) -> np.ndarray:
    """What the colours of the vertices (n_vertices,) are multiplied by."""
    gains = np.ones(len(data["colors"]), np.float32)
    if "regions" in data:
        names = np.array([str(name) for name in data["region_names"]])[data["regions"]]
        for region, gain in UNSHADED.items():
            gains[names == region] = gain
    return gains


def _material(name: str, roughness: float, *, has_colors: bool):
    material = bpy.data.materials.new(name)
    material.diffuse_color = SKIN
    material.use_nodes = True
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = roughness
    if has_colors:
        reader = material.node_tree.nodes.new("ShaderNodeVertexColor")
        reader.layer_name = COLORS
        material.node_tree.links.new(reader.outputs["Color"], shader.inputs["Base Color"])
    else:
        shader.inputs["Base Color"].default_value = SKIN
    return material
