"""Installing the backend and taking it away again."""

import shutil

import bpy

from . import runtime
from .installer import Installation
from .operators import Reporting
from .preferences import backend_folder, install_choice
from .protocol.errors import InputError


class EMORIG_OT_backend_install(Reporting, bpy.types.Operator):
    """Install the backend into an environment of its own, in the background; Blender's Python is not touched"""

    bl_idname = "emorig.backend_install"
    bl_label = "Install Backend"

    def act(self, context):
        """Starts the installation."""
        runtime.news.clear()
        if runtime.is_installing():
            raise InputError("The backend is being installed: wait for it, or cancel it first.")
        choice = install_choice(context)
        runtime.session.close(wait_for_process=False)
        runtime.installation = Installation(choice)
        runtime.start_timer()


class EMORIG_OT_backend_install_cancel(Reporting, bpy.types.Operator):
    """Stop the installation and remove what it has made so far"""

    bl_idname = "emorig.backend_install_cancel"
    bl_label = "Cancel Installation"

    def act(self, context):
        """Stops it."""
        if runtime.installation is not None:
            runtime.installation.cancel()


class EMORIG_OT_backend_remove(Reporting, bpy.types.Operator):
    """Remove the installed backend and free its disk space"""

    bl_idname = "emorig.backend_remove"
    bl_label = "Remove Backend"

    @classmethod
    def poll(cls, context):
        """While nothing uses it."""
        return backend_folder().is_dir() and not runtime.is_busy()

    def invoke(self, context, event):
        """Asks first."""
        return context.window_manager.invoke_confirm(self, event)

    def act(self, context):
        """Stops the backend and removes its environment."""
        runtime.session.close()
        shutil.rmtree(backend_folder(), ignore_errors=True)
        return "The backend was removed."


CLASSES = (EMORIG_OT_backend_install, EMORIG_OT_backend_install_cancel, EMORIG_OT_backend_remove)
