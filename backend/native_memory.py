"""Gives memory that is free already back to the machine, which the C library otherwise keeps."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Returns the heap's free pages to the system: after a long recording's passes about 170 MB. Linux with glibc."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # another C library has none
            trim(0)
