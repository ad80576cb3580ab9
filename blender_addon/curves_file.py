"""The curves of a shot as they were received, kept in a file so that edits can be told from them later. No bpy."""

from __future__ import annotations

import os
from pathlib import Path

from .protocol.errors import InputError
from .protocol.types import AnimationCurves

SUFFIX = ".emorig"
_NAMELESS_JOB = "0" * 32


def save_curves(path: Path, curves: AnimationCurves) -> None:
    """Writes curves with all that they carry, complete or not at all. Raises InputError where it cannot."""
    import msgpack

    from .protocol.codec import encode
    from .protocol.messages import Curves

    parts = [bytes(part) for part in encode(Curves(_NAMELESS_JOB, 0, curves))]
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(msgpack.packb(parts, use_bin_type=True))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"Cannot write '{path}': choose another output folder.") from error


def load_curves(path: Path) -> AnimationCurves:
    """Reads curves that save_curves wrote. Raises InputError for a missing or damaged file."""
    import msgpack

    from .protocol.codec import decode

    try:
        parts = msgpack.unpackb(path.read_bytes(), raw=False)
        return decode(parts).curves
    except (OSError, ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise InputError(f"The curves of the last shot, '{path.name}', cannot be read: animate it again.") from error
