"""Runs a program for as long as standard input stays open, so that it never outlives the one who started it.

Usage: python keeper.py PROGRAM [ARGUMENT ...]. A separate script of the standard library alone: when Blender ends, in
whatever way, the system closes the pipe and the program is told to stop, and made to after STOP_SECONDS.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

STOP_SECONDS = 5.0


def main(command: list[str]) -> int:
    """Runs the command and returns its exit code, or 127 where it cannot be started."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=os.name == "posix")
    except OSError as error:
        print(f"Cannot start {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        return 127
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: _stop(child))
    threading.Thread(target=_stop_at_end_of_input, args=(child,), daemon=True).start()
    return child.wait()


def _stop_at_end_of_input(child: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    _stop(child)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _stop(child, by_force=True)


def _stop(child: subprocess.Popen, *, by_force: bool = False) -> None:
    """Asks the program, or forces it and what it started, to end."""
    with contextlib.suppress(OSError):
        if os.name == "posix" and by_force:
            os.killpg(child.pid, signal.SIGKILL)
        elif by_force:
            child.kill()
        else:
            child.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
