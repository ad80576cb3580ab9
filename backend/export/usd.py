"""USD by UsdSkel: a SkelRoot with the head's mesh, its BlendShapes and one SkelAnimation. +Y up, metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.curves.assemble import assembled, on_even_grid
from backend.errors import InputError
from backend.export.angles import continuous
from backend.export.head_mesh import HeadMesh, head_of
from backend.export.names import arkit_columns, canonical_names
from backend.export.options import ExportOptions
from blender_addon.protocol.types import AnimationCurves

ROOT, FACE, SKELETON, ANIMATION = "/Head", "/Head/Face", "/Head/Skeleton", "/Head/Skeleton/Animation"
# Each joint's path; joints turn in the animation in this order.
JOINTS = ("Head", "Head/LeftEye", "Head/RightEye")
JOINT_NAMES = tuple(joint.rpartition("/")[2] for joint in JOINTS)


def write(curves: AnimationCurves, path: Path, options: ExportOptions) -> None:
    """Writes the head with its animation as .usda (text) or .usdc and .usd (binary)."""
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(curves.frame_rate)
    stage.SetFramesPerSecond(curves.frame_rate)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(curves.n_frames - 1)
    root = UsdSkel.Root.Define(stage, ROOT)
    stage.SetDefaultPrim(root.GetPrim())
    head = head_of(curves)
    mesh = _define_mesh(stage, head, root)
    skeleton = _define_skeleton(stage, head)
    _define_targets(stage, head, mesh)
    animation = _define_animation(stage, curves, head)
    for prim in (mesh.GetPrim(), skeleton.GetPrim()):
        binding = UsdSkel.BindingAPI.Apply(prim)
        binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
        binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    stage.GetRootLayer().Save()


def _define_mesh(stage, head: HeadMesh, root):
    """The mesh prim, bound wholly to the Head joint, with normals, uv, colours and its extent over every target."""
    from pxr import Gf, Sdf, UsdGeom, UsdSkel, Vt

    mesh = UsdGeom.Mesh.Define(stage, FACE)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(head.vertices))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(head.triangles), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(head.triangles.ravel().astype(np.int32)))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(head.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    reach = np.abs(head.targets).max(0)
    bounds = np.stack([(head.vertices - reach).min(0), (head.vertices + reach).max(0)]).astype(np.float32)
    extent = Vt.Vec3fArray.FromNumpy(bounds)
    mesh.CreateExtentAttr(extent)
    UsdGeom.Boundable(root.GetPrim()).CreateExtentAttr(extent)
    primvars = UsdGeom.PrimvarsAPI(mesh)
    colors = primvars.CreatePrimvar("displayColor", Sdf.ValueTypeNames.Color3fArray, UsdGeom.Tokens.vertex)
    colors.Set(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(head.colors)))
    uv = primvars.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
    uv.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(head.uv, np.float32)))
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    n_vertices = len(head.vertices)
    binding.CreateJointIndicesPrimvar(False, 1).Set(Vt.IntArray.FromNumpy(np.zeros(n_vertices, np.int32)))
    binding.CreateJointWeightsPrimvar(False, 1).Set(Vt.FloatArray.FromNumpy(np.ones(n_vertices, np.float32)))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    return mesh


def _define_skeleton(stage, head: HeadMesh):
    """The skeleton: the head at its pivot and an eye joint at each eyeball, unturned at rest."""
    from pxr import Gf, UsdSkel

    skeleton = UsdSkel.Skeleton.Define(stage, SKELETON)
    skeleton.CreateJointsAttr(JOINTS)
    skeleton.CreateJointNamesAttr(JOINT_NAMES)
    centres = (head.pivot, head.left_eye, head.right_eye)
    skeleton.CreateBindTransformsAttr([_translation(Gf, centre) for centre in centres])
    skeleton.CreateRestTransformsAttr([_translation(Gf, offset) for offset in _offsets(head)])
    return skeleton


def _offsets(head: HeadMesh) -> tuple[np.ndarray, ...]:
    """Where each joint lies in its parent (3,), metres."""
    return head.pivot, head.left_eye - head.pivot, head.right_eye - head.pivot


def _translation(Gf, offset: np.ndarray):
    return Gf.Matrix4d().SetTranslate(Gf.Vec3d(*(float(v) for v in offset)))


def _define_targets(stage, head: HeadMesh, mesh) -> None:
    """One BlendShape prim per target, with the points that it moves alone."""
    from pxr import UsdSkel, Vt

    paths = []
    for index, (name, moved, turned) in enumerate(zip(head.names, head.targets, head.target_normals)):
        shape = UsdSkel.BlendShape.Define(stage, f"{FACE}/{name}")
        points = head.moved_points(index).astype(np.int32)
        shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(moved[points], np.float32)))
        shape.CreateNormalOffsetsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(turned[points], np.float32)))
        shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(points))
        paths.append(shape.GetPath())
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateBlendShapesAttr(head.names)
    binding.CreateBlendShapeTargetsRel().SetTargets(paths)


def _define_animation(stage, curves: AnimationCurves, head: HeadMesh):
    """The SkelAnimation: a weight per target and a rotation per joint at every frame."""
    from pxr import Gf, Sdf, UsdSkel, Vt

    animation = UsdSkel.Animation.Define(stage, ANIMATION)
    animation.CreateBlendShapesAttr(head.names)
    animation.CreateJointsAttr(JOINTS)
    animation.CreateTranslationsAttr([Gf.Vec3f(*(float(v) for v in offset)) for offset in _offsets(head)])
    animation.CreateScalesAttr([Gf.Vec3h(1, 1, 1)] * len(JOINTS))
    weights = animation.CreateBlendShapeWeightsAttr()
    rotations = animation.CreateRotationsAttr()
    turns = np.stack([continuous(t) for t in (curves.head_rotation, curves.left_eye, curves.right_eye)], axis=1)
    columns = np.ascontiguousarray(arkit_columns(curves), np.float32)
    with Sdf.ChangeBlock():
        for frame, (row, turn) in enumerate(zip(columns, turns.tolist())):
            weights.Set(Vt.FloatArray.FromNumpy(row), frame)
            rotations.Set([Gf.Quatf(*quaternion) for quaternion in turn], frame)
    return animation


def read(path: Path) -> AnimationCurves:
    """Curves of the first SkelAnimation that has blend shapes. Raises InputError."""
    from pxr import Tf, Usd, UsdSkel

    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        raise InputError(f"Cannot read '{path.name}' as USD.") from error
    animations = [UsdSkel.Animation(prim) for prim in stage.Traverse() if prim.IsA(UsdSkel.Animation)]
    found = next((a for a in animations if a.GetBlendShapesAttr().Get()), None)
    if found is None:
        raise InputError(f"'{path.name}' has no SkelAnimation with blend shapes.")
    names = tuple(str(name) for name in found.GetBlendShapesAttr().Get())
    attribute = found.GetBlendShapeWeightsAttr()
    codes = np.array(attribute.GetTimeSamples() or [0.0])
    rows = [np.array(attribute.Get(code), np.float32) for code in codes]
    if any(len(row) != len(names) for row in rows):
        raise InputError(f"'{path.name}' names {len(names)} blend shapes but gives other numbers of weights.")
    per_second = stage.GetTimeCodesPerSecond()
    # Time codes at every whole number are frames; others are laid on the stage's own grid.
    weights = on_even_grid(codes / per_second, np.stack(rows), per_second)
    turns = _read_turns(found, codes, per_second)
    return assembled(
        canonical_names(names),
        weights,
        per_second,
        head=turns.get("Head"),
        left_eye=turns.get("LeftEye"),
        right_eye=turns.get("RightEye"),
    )


def _read_turns(animation, codes: np.ndarray, per_second: float) -> dict[str, np.ndarray]:
    """Rotations (n_frames, 4) of the joints called as ours, where the animation turns them."""
    joints = [str(joint).rpartition("/")[2] for joint in animation.GetJointsAttr().Get() or ()]
    attribute = animation.GetRotationsAttr()
    if not set(joints) & set(JOINT_NAMES) or not attribute.HasAuthoredValue():
        return {}
    rows = [[(q.GetReal(), *q.GetImaginary()) for q in attribute.Get(code)] for code in codes]
    turns = np.array(rows, np.float32)
    grid = on_even_grid(codes / per_second, turns.reshape(len(codes), -1), per_second).reshape(-1, len(joints), 4)
    return {joint: grid[:, i] for i, joint in enumerate(joints) if joint in JOINT_NAMES}
