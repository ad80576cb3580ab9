"""Keeps the chatter of native libraries off the user's terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import InputError


@contextmanager
def held_back() -> Iterator[None]:
    """Holds back what native code writes to standard error; it is shown only where the block fails unexpectedly.

    mediapipe logs from its own threads before any logging is set up, and no setting of its own silences it.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except InputError:
            raise
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
