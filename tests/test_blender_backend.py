"""The program that the add-on starts: found, watched, and never left behind. Without Blender."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blender_addon.backend_process import BackendProcess, find_command
from blender_addon.protocol.errors import BackendUnavailableError, InputError, ProtocolError
from blender_addon.protocol.messages import Cancelled, Finished, Progress, Welcome
from blender_addon.session import BackendChoice, Request, Session, State

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and shell scripts of POSIX")
SLEEPER = (
    "import os, sys, time; print('up', flush=True); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
)
OWNER = (
    "import sys, time; from pathlib import Path; from blender_addon.backend_process import BackendProcess;"
    "process = BackendProcess([sys.executable, '-c', *sys.argv[1:3]], Path(sys.argv[3])); time.sleep(60)"
)


def wait_for(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True


def pid_in(path: Path) -> int:
    wait_for(lambda: path.is_file() and path.read_text())
    return int(path.read_text())


def test_a_chosen_program_python_or_folder_is_used(tmp_path):
    program = tmp_path / ".venv" / "bin" / "emorig"
    program.parent.mkdir(parents=True)
    program.touch()
    assert find_command(str(program)) == [str(program), "serve"]
    assert find_command(str(tmp_path)) == [str(program), "serve"]
    assert find_command(sys.executable) == [sys.executable, "-m", "backend", "serve"]
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(BackendUnavailableError, match="preferences"):
            find_command(str(wrong))


def test_stopping_ends_the_program(tmp_path):
    process = BackendProcess([sys.executable, "-c", SLEEPER, str(tmp_path / "pid")], tmp_path / "log")
    pid = pid_in(tmp_path / "pid")
    assert process.is_running and process.last_words() == "up"
    process.stop()
    assert not process.is_running and not is_alive(pid)


def test_a_killed_owner_leaves_no_program_behind(tmp_path):
    command = [sys.executable, "-c", OWNER, SLEEPER, str(tmp_path / "pid"), str(tmp_path / "log")]
    owner = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    pid = pid_in(tmp_path / "pid")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_for(lambda: not is_alive(pid))


def test_a_program_that_cannot_start_says_why(tmp_path):
    process = BackendProcess([str(tmp_path / "missing")], tmp_path / "log")
    wait_for(lambda: not process.is_running)
    assert "Cannot start" in process.last_words()


class ScriptedClient:
    """A client that plays what a test wrote: each poll takes the next list of messages, or raises the next error."""

    def __init__(self, script):
        self.script, self.submitted, self.cancelled, self.is_closed = list(script), [], [], False

    def open(self):
        pass

    def poll(self, *, deadline):
        step = self.script.pop(0) if self.script else []
        if isinstance(step, Exception):
            raise step
        return step

    def submit(self, **arguments):
        self.submitted.append(arguments)
        return JOB

    def cancel(self, job):
        self.cancelled.append(job)

    def close(self):
        self.is_closed = True


JOB = "a" * 32
WELCOME = Welcome(1, "server", "emorig", "cpu")


def session_with(*script) -> tuple[Session, ScriptedClient]:
    client = ScriptedClient(script)
    session = Session(make_client=lambda choice: client)
    session.connect(BackendChoice(address="tcp://127.0.0.1:1"))
    return session, client


def test_a_job_waits_for_the_welcome_and_reports_progress():
    session, client = session_with(
        [], [WELCOME], [Progress(JOB, "rendering", 5, 20, 12.0)], [Finished(JOB, 3, 20, 1.0)]
    )
    session.submit(Request({"audio": b"x"}))
    assert session.state is State.STARTING and session.progress_text == "Waiting for the backend"
    session.tick()
    assert not client.submitted
    session.tick()
    assert client.submitted == [{"audio": b"x"}] and session.state is State.BUSY
    with pytest.raises(InputError, match="being made"):
        session.submit(Request({}))
    session.tick()
    assert session.progress == 0.25 and session.progress_text == "Rendering 5 of 20, 0:01 left"
    assert [type(m) for m in session.tick()] == [Finished] and session.state is State.READY and session.job is None


def test_cancelling_before_and_after_handing_in():
    session, client = session_with([WELCOME], [Cancelled(JOB, 1)])
    session.submit(Request({}))
    session.cancel()
    assert session.job is None and not client.cancelled
    session.tick()
    session.submit(Request({}))
    session.cancel()
    assert client.cancelled == [JOB] and session.progress_text == "Cancelling"
    session.tick()
    assert session.job is None


def test_another_version_is_a_sentence_and_ends_the_job():
    session, client = session_with(ProtocolError("The other side speaks version 2."))
    session.submit(Request({}))
    messages = session.tick()
    assert session.state is State.REFUSED and "version 2" in session.detail and client.is_closed
    assert "version 2" in messages[0].reason and session.job is None


def test_missing_modules_are_said_and_nothing_starts(monkeypatch):
    monkeypatch.setattr("blender_addon.session.missing_modules", lambda: ["zmq", "msgpack"])
    session = Session()
    assert session.state is State.UNAVAILABLE and "zmq and msgpack" in session.detail
    with pytest.raises(BackendUnavailableError, match="lacks zmq"):
        session.connect(BackendChoice())
    session.close()
    assert session.state is State.UNAVAILABLE and session.is_idle


def test_a_key_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "client.json").write_text("{}")
    session = Session()
    with pytest.raises(InputError, match="use the client"):
        session.connect(BackendChoice(keys_path=str(tmp_path / "client.json")))
    assert session.state is State.OFFLINE


def test_a_lost_backend_is_tried_again():
    session, _ = session_with([WELCOME], BackendUnavailableError("gone"), [WELCOME])
    session.tick()
    session.tick()
    assert session.state is State.LOST and session.detail == "gone"
    session.wait(timeout=5, until=lambda: session.state is State.READY)
    assert session.detail == ""
    session.close()
    assert session.state is State.OFFLINE
