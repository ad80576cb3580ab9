"""Which backend the add-on talks to."""

import bpy
from bpy.props import StringProperty

from .footage import user_folder
from .protocol.errors import InputError
from .session import BackendChoice


class EmoRigPreferences(bpy.types.AddonPreferences):
    """The program to start, or a backend that runs elsewhere."""

    bl_idname = __package__

    program: StringProperty(
        name="Program",
        description="The emorig program, its Python, or the folder of its environment; empty finds it by itself",
        subtype="FILE_PATH",
    )
    address: StringProperty(
        name="Address", description="A backend that runs already, as tcp://host:port; empty starts one when needed"
    )
    token: StringProperty(name="Token", description="Token of that backend, as it printed it", subtype="PASSWORD")

    keys_path: StringProperty(
        name="Key File",
        description="For a backend on another machine: the client.json that 'emorig serve --keys' made there",
        subtype="FILE_PATH",
    )

    def draw(self, context):
        """Program first; address and token below."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "program")
        column = layout.column(align=True)
        column.prop(self, "address")
        row = column.row()
        row.active = bool(self.address)
        row.prop(self, "token")
        column.prop(self, "keys_path")


def backend_choice(context) -> BackendChoice:
    """The backend that the preferences name. Raises InputError for another machine while Blender is to stay offline."""
    addon = context.preferences.addons.get(__package__)
    chosen = addon.preferences if addon is not None else None
    keys_path = bpy.path.abspath(chosen.keys_path) if chosen else ""
    if keys_path and not getattr(bpy.app, "online_access", True):
        raise InputError(
            "Online access is off in Blender: allow it in Preferences > System, or use a backend on this machine."
        )
    return BackendChoice(
        program=bpy.path.abspath(chosen.program) if chosen else "",
        address=chosen.address.strip() if chosen else "",
        token=chosen.token if chosen else "",
        keys_path=keys_path,
        log_path=user_folder() / "backend.log",
    )


CLASSES = (EmoRigPreferences,)
