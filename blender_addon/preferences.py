"""Which backend the add-on talks to, and how it is installed."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from .footage import user_folder
from .installer import Compute, InstallChoice, installed_program, is_current
from .protocol.errors import InputError
from .session import BackendChoice

WHEELS = Path(__file__).with_name("backend_wheel")


class EmoRigPreferences(bpy.types.AddonPreferences):
    """The program to start, how it is installed, or a backend that runs elsewhere."""

    bl_idname = __package__

    program: StringProperty(
        name="Program",
        description="The emorig program, its Python, or the folder of its environment; empty finds it by itself",
        subtype="FILE_PATH",
    )
    compute: EnumProperty(
        name="Compute On",
        description="Which build of PyTorch the backend is installed with",
        items=[
            (Compute.CPU.value, "CPU", "Works on every machine; about 4 GB of disk"),
            (
                Compute.CUDA.value,
                "NVIDIA GPU (CUDA)",
                "Quicker with an NVIDIA card and its driver; about 12 GB of disk",
            ),
        ],
    )
    python: StringProperty(
        name="Python",
        description="A Python 3.11 or 3.12 to install the backend with; empty finds one on this machine",
        subtype="FILE_PATH",
    )
    torch_index: StringProperty(
        name="PyTorch Packages",
        description="Address of a package index with another build of PyTorch, as pytorch.org shows it; "
        "empty takes pip's own: on Linux it computes on CPU and NVIDIA GPU, elsewhere on the CPU",
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
        """Installation first; program, address and key below."""
        layout = self.layout
        layout.use_property_split = True
        column = layout.column(align=True)
        column.prop(self, "compute")
        column.prop(self, "python")
        column.prop(self, "torch_index")
        layout.operator("emorig.backend_install", icon="IMPORT")
        layout.prop(self, "program")
        column = layout.column(align=True)
        column.prop(self, "address")
        row = column.row()
        row.active = bool(self.address)
        row.prop(self, "token")
        column.prop(self, "keys_path")


def chosen(context):
    """The add-on's preferences, or None where it runs without being enabled."""
    addon = context.preferences.addons.get(__package__)
    return addon.preferences if addon is not None else None


def backend_folder() -> Path:
    """Where the backend's environment is installed."""
    return user_folder() / "backend"


def backend_wheel() -> Path | None:
    """The backend's wheel that the add-on brings, None in a checkout."""
    return next(iter(sorted(WHEELS.glob("emorig-*.whl"))), None)


def needs_install(context) -> bool:
    """Whether no backend is named, none is installed from here, and one can be."""
    own = chosen(context)
    named = own is not None and (own.program.strip() or own.address.strip() or own.keys_path.strip())
    wheel = backend_wheel()
    return wheel is not None and not named and not (installed_program(backend_folder()) and is_current_install())


def is_current_install() -> bool:
    """Whether what is installed is of the wheel that the add-on brings."""
    return is_current(backend_folder(), backend_wheel())


def require_online(what: str) -> None:
    """Raises InputError where Blender is to stay offline."""
    if not getattr(bpy.app, "online_access", True):
        raise InputError(f"Online access is off in Blender: allow it in Preferences > System to {what}.")


def install_choice(context) -> InstallChoice:
    """What to install. Raises InputError."""
    wheel, own = backend_wheel(), chosen(context)
    if wheel is None:
        raise InputError("This add-on brings no backend: use the zip of a release, or choose an 'emorig' program.")
    require_online("download the backend's packages")
    return InstallChoice(
        wheel=wheel,
        place=backend_folder(),
        compute=Compute(own.compute) if own is not None else Compute.CPU,
        python=bpy.path.abspath(own.python) if own is not None else "",
        torch_index=own.torch_index if own is not None else "",
    )


def backend_choice(context) -> BackendChoice:
    """The backend that the preferences name. Raises InputError for another machine while Blender is to stay offline."""
    own = chosen(context)
    keys_path = bpy.path.abspath(own.keys_path) if own else ""
    if keys_path:
        require_online("reach a backend on another machine")
    return BackendChoice(
        program=bpy.path.abspath(own.program) if own else "",
        installed=installed_program(backend_folder()),
        address=own.address.strip() if own else "",
        token=own.token if own else "",
        keys_path=keys_path,
        log_path=user_folder() / "backend.log",
    )


CLASSES = (EmoRigPreferences,)
