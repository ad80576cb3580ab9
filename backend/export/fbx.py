"""FBX: the head with its blend shapes, their DeformPercent curves, and the head's and eyes' rotations, in centimetres.

FBX's axes here are ours (+Y up, +Z ahead, right-handed); its default Euler order turns about X first: R = Rz Ry Rx.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.curves.assemble import MAX_FRAMES, assembled, rate_of_times
from backend.errors import InputError
from backend.export.angles import EulerConvention
from backend.export.fbx_document import CREATION_TIME, FILE_ID, VERSION, Long, Node, read_document, write_document
from backend.export.head_mesh import HeadMesh, head_of
from backend.export.names import arkit_columns, canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves

TICKS_PER_SECOND = 46_186_158_000
CENTIMETRES_PER_METRE = 100.0
FULL = 100.0  # DeformPercent of a shape at full weight
LINEAR_KEYS = 4
CUSTOM_RATE = 14  # FBX's time mode for a frame rate given as a number
# scipy's intrinsic ZYX is R = Rz Ry Rx.
FBX_ANGLES = EulerConvention("ZYX", (1.0, 1.0, 1.0), degrees=True)


class _Scene:
    """Objects and connections under construction."""

    def __init__(self) -> None:
        self.objects, self.connections = Node("Objects"), Node("Connections")
        self._last = 1_000_000

    def object(self, kind: str, name: str, kind_name: str, subtype: str) -> tuple[Node, int]:
        """Adds an object and gives its node and id."""
        self._last += 1
        node = self.objects.add(kind, Long(self._last), f"{name}\x00\x01{kind_name}", subtype)
        return node, self._last

    def connect(self, child: int, parent: int, channel: str | None = None) -> None:
        """Connects an object to another, or to one of its properties."""
        if channel is None:
            self.connections.add("C", "OO", Long(child), Long(parent))
        else:
            self.connections.add("C", "OP", Long(child), Long(parent), channel)


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the head with its animation."""
    head, scene = head_of(curves), _Scene()
    model = _model(scene, "Head", "Null", head.pivot, parent=0)
    face = _model(scene, "Face", "Mesh", -head.pivot, parent=model)
    eyes = [
        _model(scene, name, "Null", centre - head.pivot, parent=model)
        for name, centre in (("LeftEye", head.left_eye), ("RightEye", head.right_eye))
    ]
    channels = _add_mesh(scene, head, face)
    layer = _add_layer(scene, curves)
    times = np.rint(np.arange(curves.n_frames) / curves.frame_rate * TICKS_PER_SECOND).astype(np.int64)
    for channel, values in zip(channels, arkit_columns(curves).T):
        node = _curve_node(scene, layer, "DeformPercent", {"DeformPercent": 0.0})
        scene.connect(node, channel, "DeformPercent")
        _curve(scene, node, "d|DeformPercent", times, values * FULL)
    for turned, turn in zip((model, *eyes), (curves.head_rotation, curves.left_eye, curves.right_eye)):
        node = _curve_node(scene, layer, "R", {"X": 0.0, "Y": 0.0, "Z": 0.0})
        scene.connect(node, turned, "Lcl Rotation")
        # Unwrapped, so that a line between two keys does not go the long way round.
        angles = np.unwrap(FBX_ANGLES.angles(turn), axis=0, period=360.0)
        for axis, values in zip("XYZ", angles.T):
            _curve(scene, node, f"d|{axis}", times, values)
    write_document(path, [*_top(curves), _definitions(scene), scene.objects, scene.connections])


def _model(scene: _Scene, name: str, subtype: str, offset: np.ndarray, *, parent: int) -> int:
    node, identifier = scene.object("Model", name, "Model", subtype)
    node.add("Version", 232)
    place = tuple(float(v) * CENTIMETRES_PER_METRE for v in offset)
    node.settings({"Lcl Translation": ("Lcl Translation", place)})
    node.add("Shading", True)
    node.add("Culling", "CullingOff")
    scene.connect(identifier, parent)
    return identifier


def _add_mesh(scene: _Scene, head: HeadMesh, model: int) -> list[int]:
    """Adds geometry, material and blend shapes; gives the ids of the blend shape channels."""
    mesh, geometry = scene.object("Geometry", "Face", "Geometry", "Mesh")
    corners = head.triangles.astype(np.int32).copy()
    # A polygon's last corner is stored as its bitwise complement.
    corners[:, 2] = ~corners[:, 2]
    flat = head.triangles.ravel()
    mesh.add("GeometryVersion", 124)
    mesh.add("Vertices", _centimetres(head.vertices))
    mesh.add("PolygonVertexIndex", corners.ravel())
    _layer_element(mesh, "LayerElementNormal", "Direct", Normals=head.normals[flat].astype(np.float64).ravel())
    _layer_element(
        mesh, "LayerElementUV", "IndexToDirect", UV=head.uv.astype(np.float64).ravel(), UVIndex=flat.astype(np.int32)
    )
    colors = np.concatenate([np.clip(head.colors, 0, 1) ** (1 / 2.2), np.ones((len(head.colors), 1))], axis=1)
    _layer_element(
        mesh, "LayerElementColor", "IndexToDirect", Colors=colors.astype(np.float64).ravel(),
        ColorIndex=flat.astype(np.int32),
    )  # fmt: skip
    material = mesh.add("LayerElementMaterial", 0)
    material.add("Version", 101)
    material.add("Name", "")
    material.add("MappingInformationType", "AllSame")
    material.add("ReferenceInformationType", "IndexToDirect")
    material.add("Materials", np.zeros(1, np.int32))
    layer = mesh.add("Layer", 0)
    layer.add("Version", 100)
    for kind in ("Normal", "UV", "Color", "Material"):
        element = layer.add("LayerElement")
        element.add("Type", f"LayerElement{kind}")
        element.add("TypedIndex", 0)
    scene.connect(geometry, model)
    skin, skin_id = scene.object("Material", "Skin", "Material", "")
    skin.add("Version", 102)
    skin.add("ShadingModel", "phong")
    skin.settings({"DiffuseColor": ("ColorRGB", (0.8, 0.8, 0.8)), "SpecularFactor": ("double", 0.1)})
    scene.connect(skin_id, model)
    return _add_shapes(scene, head, geometry)


def _layer_element(mesh: Node, kind: str, reference: str, **arrays: np.ndarray) -> None:
    """One value per corner of every polygon."""
    element = mesh.add(kind, 0)
    element.add("Version", 101)
    element.add("Name", "UVMap" if kind.endswith("UV") else "")
    element.add("MappingInformationType", "ByPolygonVertex")
    element.add("ReferenceInformationType", reference)
    for name, values in arrays.items():
        element.add(name, values)


def _add_shapes(scene: _Scene, head: HeadMesh, geometry: int) -> list[int]:
    deformer, deformer_id = scene.object("Deformer", "Face", "Deformer", "BlendShape")
    deformer.add("Version", 100)
    scene.connect(deformer_id, geometry)
    channels = []
    for index, name in enumerate(head.names):
        points = head.moved_points(index)
        shape, shape_id = scene.object("Geometry", name, "Geometry", "Shape")
        shape.add("Version", 100)
        shape.add("Indexes", points.astype(np.int32))
        shape.add("Vertices", _centimetres(head.targets[index][points]))
        shape.add("Normals", head.target_normals[index][points].astype(np.float64).ravel())
        channel, channel_id = scene.object("Deformer", name, "SubDeformer", "BlendShapeChannel")
        channel.add("Version", 100)
        channel.add("DeformPercent", 0.0)
        channel.add("FullWeights", np.array([FULL]))
        scene.connect(channel_id, deformer_id)
        scene.connect(shape_id, channel_id)
        channels.append(channel_id)
    return channels


def _add_layer(scene: _Scene, curves: AnimationCurves) -> int:
    """The animation stack with its one layer, whose id it gives."""
    stop = Long(round((curves.n_frames - 1) / curves.frame_rate * TICKS_PER_SECOND))
    stack, stack_id = scene.object("AnimationStack", "EmoRig", "AnimStack", "")
    stack.settings({name: ("KTime", value) for name, value in
                    (("LocalStart", Long(0)), ("LocalStop", stop), ("ReferenceStart", Long(0)),
                     ("ReferenceStop", stop))})  # fmt: skip
    _, layer = scene.object("AnimationLayer", "EmoRig", "AnimLayer", "")
    scene.connect(layer, stack_id)
    return layer


def _curve_node(scene: _Scene, layer: int, name: str, defaults: dict[str, float]) -> int:
    node, identifier = scene.object("AnimationCurveNode", name, "AnimCurveNode", "")
    node.settings({f"d|{channel}": ("Number", value) for channel, value in defaults.items()})
    scene.connect(identifier, layer)
    return identifier


def _curve(scene: _Scene, node: int, channel: str, times: np.ndarray, values: np.ndarray) -> None:
    """A curve with a linear key at every frame."""
    curve, identifier = scene.object("AnimationCurve", "", "AnimCurve", "")
    curve.add("Default", float(values[0]))
    curve.add("KeyVer", 4008)
    curve.add("KeyTime", times)
    curve.add("KeyValueFloat", np.ascontiguousarray(values, np.float32))
    curve.add("KeyAttrFlags", np.array([LINEAR_KEYS], np.int32))
    curve.add("KeyAttrDataFloat", np.zeros(4, np.float32))
    curve.add("KeyAttrRefCount", np.array([len(times)], np.int32))
    scene.connect(identifier, node, channel)


def _centimetres(points: np.ndarray) -> np.ndarray:
    return (np.asarray(points, np.float64) * CENTIMETRES_PER_METRE).ravel()


def _top(curves: AnimationCurves) -> list[Node]:
    """Header, settings and documents."""
    header = Node("FBXHeaderExtension")
    header.add("FBXHeaderVersion", 1003)
    header.add("FBXVersion", VERSION)
    header.add("Creator", "EmoRig")
    settings = Node("GlobalSettings")
    settings.add("Version", 1000)
    stop = Long(round((curves.n_frames - 1) / curves.frame_rate * TICKS_PER_SECOND))
    axes = {"UpAxis": 1, "UpAxisSign": 1, "FrontAxis": 2, "FrontAxisSign": 1, "CoordAxis": 0, "CoordAxisSign": 1,
            "OriginalUpAxis": 1, "OriginalUpAxisSign": 1}  # fmt: skip
    settings.settings(
        {
            **{name: ("int", value) for name, value in axes.items()},
            "UnitScaleFactor": ("double", 1.0),
            "OriginalUnitScaleFactor": ("double", 1.0),
            "TimeMode": ("enum", CUSTOM_RATE),
            "TimeSpanStart": ("KTime", Long(0)),
            "TimeSpanStop": ("KTime", stop),
            "CustomFrameRate": ("double", curves.frame_rate),
        }
    )
    documents = Node("Documents")
    documents.add("Count", 1)
    document = documents.add("Document", Long(999_999), "Scene", "Scene")
    document.add("RootNode", Long(0))
    return [
        header,
        Node("FileId", (FILE_ID,)),
        Node("CreationTime", (CREATION_TIME.decode("ascii"),)),
        Node("Creator", ("EmoRig",)),
        settings,
        documents,
        Node("References"),
    ]


def _definitions(scene: _Scene) -> Node:
    """How many objects of each kind there are."""
    kinds: dict[str, int] = {"GlobalSettings": 1}
    for node in scene.objects.children:
        kinds[node.name] = kinds.get(node.name, 0) + 1
    definitions = Node("Definitions")
    definitions.add("Version", 100)
    definitions.add("Count", sum(kinds.values()))
    for kind, count in kinds.items():
        definitions.add("ObjectType", kind).add("Count", count)
    return definitions


# FBX's time modes with a fixed rate.
MODE_RATES = {1: 120.0, 2: 100.0, 3: 60.0, 4: 50.0, 5: 48.0, 6: 30.0, 8: 30000 / 1001, 9: 30000 / 1001, 10: 25.0,
              11: 24.0, 13: 24000 / 1001, 15: 96.0, 16: 72.0, 17: 60000 / 1001, 18: 120000 / 1001}  # fmt: skip


def read(path: Path) -> AnimationCurves:
    """Curves of a file's blend shape channels, and of the head and eyes by their names; straight lines between keys.

    Raises InputError.
    """
    nodes = {node.name: node for node in read_document(path)}
    try:
        links = _Links(nodes["Objects"], nodes["Connections"])
        shapes = links.curves_of("DeformPercent")
        turned = links.curves_of("Lcl Rotation")
        rate = _frame_rate(nodes.get("GlobalSettings"))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"'{path.name}' is a damaged FBX file ({type(error).__name__}: {error}).") from error
    tracks = {name: curves["d|DeformPercent"] for name, curves in shapes.items() if "d|DeformPercent" in curves}
    if not tracks:
        raise InputError(f"'{path.name}' animates no blend shapes.")
    start = min(times[0] for times, _ in tracks.values())
    stop = max(times[-1] for times, _ in tracks.values())
    rate = rate or rate_of_times(max((times for times, _ in tracks.values()), key=len) - start)
    n_frames = round((stop - start) * rate) + 1
    if n_frames > MAX_FRAMES:
        raise InputError(f"'{path.name}' spans {stop - start:g} s, over {MAX_FRAMES} frames: cut it.")
    grid = start + np.arange(n_frames) / rate
    weights = np.stack([np.interp(grid, *track) for track in tracks.values()], axis=1) / FULL
    turns = {}
    for name, curves in turned.items():
        columns = [np.interp(grid, *curves[f"d|{axis}"]) if f"d|{axis}" in curves else 0.0 * grid for axis in "XYZ"]
        turns[name] = _without_axes(FBX_ANGLES.quaternions(np.stack(columns, axis=1)))
    return assembled(
        canonical_names(tuple(tracks)),
        weights,
        rate,
        head=turns.get("Head"),
        left_eye=turns.get("LeftEye"),
        right_eye=turns.get("RightEye"),
    )


def _without_axes(turn: np.ndarray) -> np.ndarray:
    """Rotations (n, 4) without the change of axes that exporters put on an object, a rotation of the cube."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_quat(turn[:, [1, 2, 3, 0]])
    cube = Rotation.create_group("O")
    nearest = cube[int(np.argmin((cube.inv() * turns[0]).magnitude()))]
    return (turns * nearest.inv()).as_quat()[:, [3, 0, 1, 2]]


class _Links:
    """Which curves drive which property of which object."""

    def __init__(self, objects: Node, connections: Node) -> None:
        self._objects = {node.properties[0]: node for node in objects.children if node.properties}
        # (child's id, parent's id, the parent's property that it drives)
        self._onto = [tuple(link.properties[1:4]) for link in connections.children if link.properties[0] == "OP"]

    def curves_of(self, driven: str) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Object name → channel → (times (k,) s, values (k,)) of the objects whose property is driven."""
        found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        nodes = {child: self._name(parent) for child, parent, name in self._onto if name == driven}
        for child, parent, channel in self._onto:
            curve = self._objects.get(child)
            if parent in nodes and curve is not None and curve.name == "AnimationCurve":
                fields = {field.name: field.properties[0] for field in curve.children if field.properties}
                times = np.asarray(fields["KeyTime"], np.float64) / TICKS_PER_SECOND
                values = np.asarray(fields["KeyValueFloat"], np.float64)
                if len(times) == 0 or len(times) != len(values) or not np.isfinite(values).all():
                    raise ValueError(f"the curve of {nodes[parent]}")
                # The first layer of the first stack counts.
                found.setdefault(nodes[parent], {}).setdefault(channel, (times, values))
        return found

    def _name(self, identifier: int) -> str:
        return str(self._objects[identifier].properties[1]).split("\x00")[0].rpartition(":")[2]


def _frame_rate(settings: Node | None) -> float | None:
    """Frames per second that the file states, None where it does not."""
    rows = {} if settings is None else {
        row.properties[0]: row.properties[-1] for block in settings.children for row in block.children
    }  # fmt: skip
    custom = rows.get("CustomFrameRate", 0.0)
    return custom if rows.get("TimeMode") == CUSTOM_RATE and custom > 0 else MODE_RATES.get(rows.get("TimeMode"))
