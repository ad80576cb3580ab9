"""The phones of the speech as timeline markers: shown, moved by the animator, and the lips brought after them."""

import re

import bpy

from . import runtime, shots
from .operators import Reporting
from .performance import stored_curves
from .protocol.errors import InputError
from .protocol.options import Script
from .protocol.types import Phone

_NAME = re.compile(r"(?P<label>\S+) ·(?P<number>\d+)$")
MOVED = 0.05  # frames; markers stand on whole frames, phones between them


def _rate(scene) -> float:
    return scene.render.fps / scene.render.fps_base


def _frame(scene, seconds: float) -> int:
    return round(scene.emorig.start_frame + seconds * _rate(scene))


def _markers(scene) -> dict[int, object]:
    """Number of the phone -> its marker."""
    found = {}
    for marker in scene.timeline_markers:
        if match := _NAME.match(marker.name):
            found[int(match["number"])] = marker
    return found


class EMORIG_OT_phones_show(Reporting, bpy.types.Operator):
    """Show the phones of the speech as timeline markers, each where it starts; move them, then press Retime Lips"""

    bl_idname = "emorig.phones_show"
    bl_label = "Phones to Markers"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Sets one marker for each phone, in place of those from before."""
        scene = context.scene
        phones = stored_curves(scene.emorig).phones
        if not phones:
            raise InputError("The curves hold no phones: animate the shot again.")
        for marker in _markers(scene).values():
            scene.timeline_markers.remove(marker)
        for number, phone in enumerate(phones):
            scene.timeline_markers.new(f"{phone.label} ·{number}", frame=_frame(scene, phone.start))
        return f"{len(phones)} phones are on the timeline."


class EMORIG_OT_phones_hide(Reporting, bpy.types.Operator):
    """Remove the phones' markers from the timeline"""

    bl_idname = "emorig.phones_hide"
    bl_label = "Remove Phone Markers"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, context):
        """Removes them; other markers stay."""
        for marker in _markers(context.scene).values():
            context.scene.timeline_markers.remove(marker)


class EMORIG_OT_phones_retime(Reporting, bpy.types.Operator):
    """Bring the lips to where the phones' markers are now; emotion, blinks and head stay as they are"""

    bl_idname = "emorig.phones_retime"
    bl_label = "Retime Lips"

    @classmethod
    def poll(cls, context):
        """Once a shot was animated."""
        return bool(context.scene.emorig.curves_path)

    def act(self, context):
        """Asks for the same performance with these phones, with the edits that are on the character."""
        scene, shot = context.scene, context.scene.emorig
        curves, markers = stored_curves(shot), _markers(scene)
        phones, n_moved = _moved(scene, curves.phones, markers)
        if not n_moved:
            raise InputError("No phone's marker was moved: drag some in the timeline first.")
        _require_order(phones)
        runtime.news.clear()
        request = shots.shot_request(scene, renders=False, keeps_edits=True, script=Script(phones=tuple(phones)))
        shots.hand_in(context, request)
        return f"{n_moved} phones were moved."


def _require_order(phones: list[Phone]) -> None:
    for phone in phones:
        if phone.end <= phone.start:
            raise InputError(
                f"The phone '{phone.label}' would end before it starts: move its marker between its neighbours."
            )


def _moved(scene, phones: tuple[Phone, ...], markers: dict) -> tuple[list[Phone], int]:
    """The phones where their markers are; one whose marker was not moved, or removed, keeps its own time."""
    shot, starts, n_moved = scene.emorig, [], 0
    for number, phone in enumerate(phones):
        marker, start = markers.get(number), phone.start
        if marker is not None and abs(marker.frame - _frame(scene, phone.start)) > MOVED:
            start, n_moved = (marker.frame - shot.start_frame) / _rate(scene), n_moved + 1
        starts.append(start)
    ends = [*starts[1:], max(phones[-1].end, starts[-1] + 1e-3) if phones else 0.0]
    return [Phone(start, end, phone.label) for start, end, phone in zip(starts, ends, phones)], n_moved


CLASSES = (EMORIG_OT_phones_show, EMORIG_OT_phones_hide, EMORIG_OT_phones_retime)
