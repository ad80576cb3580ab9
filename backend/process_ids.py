"""Whether the process that left something behind still runs."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs; on Windows always true, where asking would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
