"""The backend's exception tree. Everything here is shown to the user as one sentence, with exit code 2."""

from blender_addon.protocol.errors import BackendUnavailableError, InputError, ProtocolError

__all__ = [
    "AudioError",
    "BackendUnavailableError",
    "InputError",
    "NoFaceError",
    "OutputError",
    "PortraitError",
    "ProtocolError",
]


class AudioError(InputError):
    """The audio file is missing, corrupt, too short or not audio."""


class PortraitError(InputError):
    """The portrait is missing, not an image, or cannot be animated."""


class NoFaceError(PortraitError):
    """No usable human face was found in the portrait."""


class OutputError(InputError):
    """The output cannot be written where the user asked."""
