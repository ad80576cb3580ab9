"""Several lines at once: sound strips of the sequencer, each spoken by a character of its own, one after the other."""

import bpy
from bpy.props import CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from . import runtime, shots
from .compat import strips
from .footage import portrait_bytes, strip_audio
from .operators import Reporting
from .performance import match_of
from .protocol.errors import InputError
from .rig.apply import shape_names
from .rig.bones import find_bones


def _performs(_owner, candidate) -> bool:
    return candidate.type in {"MESH", "ARMATURE", "EMPTY"}


class EmoRigLine(bpy.types.PropertyGroup):
    """One line of the batch: a sound strip and who speaks it."""

    strip: StringProperty(name="Strip", description="Sound strip of the sequencer")
    character: PointerProperty(
        type=bpy.types.Object, poll=_performs, name="Character",
        description="Who speaks: a mesh with shape keys, or the rig or empty that such meshes belong to",
    )  # fmt: skip
    portrait: PointerProperty(
        type=bpy.types.Image, name="Portrait", description="Render a video of this picture too; none makes curves alone"
    )
    state: EnumProperty(
        name="State",
        description="How far this line is",
        items=[("WAITS", "Waits", "Not made yet"), ("DONE", "Done", "Made"), ("FAILED", "Failed", "Could not be made")],
    )


class EmoRigBatch(bpy.types.PropertyGroup):
    """The lines to make."""

    lines: CollectionProperty(type=EmoRigLine, name="Lines", description="What is spoken, line by line")
    active: IntProperty(name="Active Line", description="Chosen line", options=set())


class EMORIG_OT_batch_add(Reporting, bpy.types.Operator):
    """Add the selected sound strips to the batch; the active object speaks them until another is chosen"""

    bl_idname = "emorig.batch_add"
    bl_label = "Add Selected Strips"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Adds each selected sound strip once."""
        scene, batch = context.scene, context.scene.emorig_batch
        there = {line.strip for line in batch.lines}
        sounds = [s for s in strips(scene) or () if s.type == "SOUND" and s.select and s.name not in there]
        if not sounds:
            raise InputError("No further sound strip is selected in the sequencer: select some there.")
        for strip in sorted(sounds, key=lambda s: s.frame_final_start):
            line = batch.lines.add()
            line.strip = strip.name
            if context.object is not None and _performs(None, context.object):
                line.character = context.object
        batch.active = len(batch.lines) - 1


class EMORIG_OT_batch_remove(Reporting, bpy.types.Operator):
    """Take the chosen line off the batch"""

    bl_idname = "emorig.batch_remove"
    bl_label = "Remove Line"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Removes the row."""
        batch = context.scene.emorig_batch
        if len(batch.lines):
            batch.lines.remove(batch.active)
            batch.active = max(min(batch.active, len(batch.lines) - 1), 0)


class EMORIG_OT_batch_run(Reporting, bpy.types.Operator):
    """Make all lines that wait, one after the other, each on its own character"""

    bl_idname = "emorig.batch_run"
    bl_label = "Make All Lines"

    def act(self, context):
        """Queues the lines; each begins when the one before has landed."""
        scene = context.scene
        waiting = [line.strip for line in scene.emorig_batch.lines if line.state != "DONE"]
        if not waiting:
            raise InputError("No line waits: add sound strips to the batch.")
        if runtime.session.job is not None:
            raise InputError("A shot is being made: wait for it, or cancel it first.")
        runtime.news.clear()
        runtime.queue += [lambda name=name, scene_name=scene.name: _begin(scene_name, name) for name in waiting]
        runtime.start_timer()
        return f"{len(waiting)} lines are being made."


def _begin(scene_name: str, strip_name: str) -> None:
    scene = bpy.data.scenes.get(scene_name)
    line = next((one for one in scene.emorig_batch.lines if one.strip == strip_name), None) if scene else None
    if line is None:
        return
    try:
        shots.hand_in(bpy.context, _request(scene, line))
        line.state = "DONE"
    except InputError as error:
        line.state = "FAILED"
        runtime.tell("ERROR", f"{strip_name}: {error}")


def _request(scene, line) -> shots.Request:
    """The shot of one line, without touching what the panel holds otherwise. Raises InputError."""
    strip = next((one for one in strips(scene) or () if one.name == line.strip), None)
    found = strip_audio(scene, strip)
    if found is None:
        raise InputError("the sound strip is gone: remove the line")
    if line.character is None:
        raise InputError("choose who speaks this line")
    meshes = meshes_of(line.character)
    if not meshes:
        raise InputError(f"'{line.character.name}' has no mesh with shape keys")
    for name, value in found.items():
        setattr(scene.emorig, name, value)
    if line.portrait is not None:
        portrait_bytes(line.portrait)
        scene.emorig.portrait = line.portrait
    request = shots.shot_request(scene, renders=line.portrait is not None)
    names, character = [mesh.name for mesh in meshes], line.character.name
    request.memo["meshes"] = lambda: _found(scene.name, names, character)
    request.memo["stems"] = (*request.memo["stems"], line.strip)
    return request


def _found(scene_name: str, names: list[str], character: str) -> tuple[list, tuple]:
    """The character's meshes as they are when the curves come, and what of it turns: its rig's bones, or itself."""
    shot = bpy.data.scenes[scene_name].emorig
    tables = {target.mesh: target for target in shot.targets}
    there = [bpy.data.objects[name] for name in names if name in bpy.data.objects]
    thing = bpy.data.objects.get(character)
    rig = next(
        (one for one in (thing, *(mesh.find_armature() for mesh in there)) if one and one.type == "ARMATURE"), None
    )
    bones = {} if rig is None else find_bones(bone.name for bone in rig.data.bones)
    return [(mesh, match_of(mesh, tables.get(mesh))) for mesh in there], (rig or thing, bones)


def meshes_of(character) -> list:
    """The meshes with shape keys of a character: itself, what hangs below it, what its rig deforms."""
    things = [character, *character.children_recursive]
    if character.type == "ARMATURE":
        things += [o for o in bpy.data.objects if o.type == "MESH" and o.find_armature() == character]
    return [thing for thing in dict.fromkeys(things) if thing.type == "MESH" and shape_names(thing)]


CLASSES = (EmoRigLine, EmoRigBatch, EMORIG_OT_batch_add, EMORIG_OT_batch_remove, EMORIG_OT_batch_run)


def register() -> None:
    """Adds the batch to scenes."""
    bpy.types.Scene.emorig_batch = PointerProperty(type=EmoRigBatch)


def unregister() -> None:
    """Removes it again."""
    del bpy.types.Scene.emorig_batch
