"""What lives while Blender runs and is not saved: the session, work in small steps, news for the panel, the timer."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import bpy

from . import compat, pictures
from .installer import Installation
from .protocol.errors import InputError
from .protocol.types import AnimationCurves
from .rig.landing import Waiting
from .session import Session

BUSY_INTERVAL, IDLE_INTERVAL, WORK_INTERVAL = 0.05, 0.5, 0.001
STEP_SECONDS = 0.012  # of each tick for work in steps; the window gets the rest
SOON_SECONDS = 0.3
HAS_PLACEHOLDER = "placeholder" in bpy.types.UILayout.bl_rna.functions["prop"].parameters


@dataclass(frozen=True)
class News:
    """One line for the panel; kind is INFO, WARNING or ERROR as in reports."""

    kind: str
    text: str


session = Session()
installation: Installation | None = None
news: list[News] = []
received: AnimationCurves | None = None
received_path = ""  # the shot's file that holds them too
memo: dict = {}
queue: list[Callable[[], None]] = []  # what is begun when nothing else runs
_work: list[Iterator] = []
_soon: dict[str, tuple[float, str]] = {}
_soon_calls: dict[str, Callable[[str], None]] = {}
_deliver = None


def tell(kind: str, text: str) -> None:
    """Adds a line to the panel's news."""
    news.append(News(kind, text))
    compat.redraw_sidebars()


def is_busy() -> bool:
    """Whether a job, work in steps or an installation is under way."""
    return session.job is not None or bool(_work) or bool(_soon) or is_installing()


def is_installing() -> bool:
    """Whether the backend is being installed."""
    return installation is not None and installation.is_running


def progress() -> float:
    """How far what runs is, 0-1."""
    return installation.fraction if is_installing() else session.progress


def begin_work(steps: Iterator) -> None:
    """Takes on work in small steps; each is done in a tick of the timer, at once in background mode's poll()."""
    _work.append(steps)
    start_timer()


def on_soon(kind: str, call: Callable[[str], None]) -> None:
    """Says what soon(kind, ...) calls."""
    _soon_calls[kind] = call


def soon(kind: str, argument: str) -> None:
    """Calls what belongs to a kind in a moment, once for many calls in a row, as while a slider is dragged."""
    _soon[kind] = (time.monotonic() + SOON_SECONDS, argument)
    start_timer()


def start_timer(deliver=None) -> None:
    """Polls from now on; what comes from the session goes to deliver(messages)."""
    global _deliver
    _deliver = deliver or _deliver
    if not bpy.app.background and not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=WORK_INTERVAL, persistent=True)


def poll() -> None:
    """One round of the timer's work, for background mode too."""
    messages = session.tick()
    if messages and _deliver is not None:
        with compat.any_window():
            _deliver(messages)
    now = time.monotonic()
    for kind, (due, argument) in list(_soon.items()):
        if not _work and (now >= due or bpy.app.background):  # what lands now would be taken for edits
            del _soon[kind]
            with compat.any_window():
                _soon_calls[kind](argument)
    _take_steps()
    if queue and session.job is None and not _work:
        with compat.any_window():
            queue.pop(0)()


def _take_steps() -> None:
    """Goes on with the oldest work, for STEP_SECONDS where a window waits."""
    end = time.monotonic() + STEP_SECONDS
    while _work:
        try:
            with compat.any_window():
                state = next(_work[0])
        except StopIteration:
            _work.pop(0)
            compat.redraw_sidebars()
        except InputError as error:
            _work.pop(0)
            tell("ERROR", str(error))
        else:
            if state is Waiting:
                if not bpy.app.background:
                    return
                time.sleep(0.001)
        if time.monotonic() > end and not bpy.app.background:
            return


def _shown() -> tuple:
    return session.state, session.detail, session.progress_text, bool(_work), _installed_so_far()


def _installed_so_far() -> tuple:
    one = installation
    return () if one is None else (one.stage, round(one.fraction, 2), one.is_running, one.error)


def _tick() -> float | None:
    before = _shown()
    poll()
    if before != _shown():
        compat.redraw_sidebars()
    if _work:
        return WORK_INTERVAL
    if session.job is not None or session.state.name == "STARTING" or queue or _soon:
        return BUSY_INTERVAL
    if is_installing() or not session.is_idle:
        return IDLE_INTERVAL
    return None


@lru_cache(maxsize=64)
def wrap(text: str, width: int) -> tuple[str, ...]:
    """Text in lines of at most width characters."""
    return tuple(textwrap.wrap(text, width)) or ("",)


def drop_work() -> None:
    """Gives up all work in steps and all that waits to be begun."""
    for steps in _work:
        steps.close()
    _work.clear()
    queue.clear()
    _soon.clear()


@bpy.app.handlers.persistent
def _forget_file(*_arguments) -> None:
    """Another file was opened: what belonged to the last one goes, a running job with it."""
    global received, received_path
    received, received_path = None, ""
    _work.clear()  # their drafts went with the file
    queue.clear()
    _soon.clear()
    news.clear()
    pictures.forget("")
    if session.job is not None:
        session.cancel()
        memo.clear()
        tell("WARNING", "The shot was cancelled because another file was opened.")


def register() -> None:
    """Makes room for pictures and watches for other files."""
    pictures.register()
    bpy.app.handlers.load_post.append(_forget_file)


def unregister() -> None:
    """Ends the session with the backend that it started, and drops everything."""
    global received, installation
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    bpy.app.handlers.load_post.remove(_forget_file)
    drop_work()
    if installation is not None:
        installation.cancel()
        installation.join(5.0)
        installation = None
    session.close()
    news.clear()
    received = None
    pictures.unregister()
