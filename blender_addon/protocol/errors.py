"""The errors that are a user's to mend; each message says what was expected, what came and what to do."""


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one clear sentence, fit to be shown as it is."""


class ProtocolError(InputError):
    """A message on the wire is malformed, too large, of an unknown kind or of another protocol version."""


class BackendUnavailableError(InputError):
    """No backend answers at the address, or the one that did has stopped answering."""
