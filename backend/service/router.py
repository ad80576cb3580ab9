"""The service: takes shots from clients on a ROUTER socket, has workers make them, sends back what they make.

One thread and one loop that never waits for anything but the sockets. What a job has made lies on disk as encoded
messages; every client that follows it has a place in that log, so a slow, absent or returning client costs no memory.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from backend.errors import InputError, ProtocolError
from backend.service.admission import ServiceLimits, reason_to_decline
from backend.service.fair_queue import FairQueue
from backend.service.jobs import Job, JobStore
from backend.service.metrics import Metrics, gauges_of
from backend.service.peers import Peer, account_of, send_waiting
from backend.service.worker_pool import WorkerPool, WorkerProcess
from blender_addon.protocol.codec import decode, encode, version_sentence
from blender_addon.protocol.messages import (
    MAX_TEXT,
    NOT_KEPT,
    SUPPORTED_VERSIONS,
    Accepted,
    Cancel,
    Cancelled,
    Failed,
    Finished,
    Hello,
    Notice,
    Ping,
    Pong,
    Progress,
    Queued,
    Refused,
    Resume,
    Status,
    StatusRequest,
    Submit,
    UploadPart,
    Welcome,
)
from blender_addon.protocol.options import RENDERERS

PROGRAM = "emorig"
TICK_SECONDS = 0.1
FAREWELL_SECONDS = 0.5
CARE_SECONDS = 10.0
MEASURE_SECONDS = 1.0
PRESENT_SECONDS = 15.0  # a client that listens sends a ping every 2 s

log = logging.getLogger(__name__)


class Service:
    """The state of the running service and the answer to every kind of message; run() is its loop."""

    def __init__(
        self,
        router: zmq.Socket,
        pool: WorkerPool,
        *,
        token: str,
        root: Path,
        limits: ServiceLimits,
        stop: threading.Event,
        parks: bool = False,
    ) -> None:
        self.metrics = Metrics()
        self._parks = parks
        self.name = secrets.token_hex(8)
        self._router, self._pool, self._token, self._root = router, pool, token, root
        self._limits, self._stop = limits, stop
        self._started = time.monotonic()
        self._next_care = self._next_measure = 0.0
        self._peers: dict[bytes, Peer] = {}
        self._queue = FairQueue()
        self._store = JobStore(
            root, max_jobs=limits.kept_jobs, max_bytes=limits.kept_bytes, max_seconds=limits.kept_seconds
        )
        self._handlers: dict[type, Callable[[Peer, object], None]] = {
            Submit: self._on_submit,
            UploadPart: self._on_upload,
            Cancel: self._on_cancel,
            Resume: self._on_resume,
            Ping: self._on_ping,
            StatusRequest: self._on_status,
        }

    def run(self) -> None:
        """Serves until stop is set; then leaves no process behind, and no job but those that are parked on disk."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._pool.notes, zmq.POLLIN)
        self._take_up_parked()
        wait = 0.0
        while not self._stop.is_set():
            self._pool.start()
            poller.poll(int(1000 * min(wait, self._pool.seconds_to_deadline(), TICK_SECONDS)))
            self._read_clients()
            self._read_workers()
            self._watch_workers()
            self._dispatch()
            self._care()
            self._measure()
            wait = send_waiting(self._router, self._peers, self._store)
        self._end_all()

    def _take_up_parked(self) -> None:
        """Goes on with what a former run has parked; a shot that was being made starts again."""
        for job in self._store.restore() if self._parks else ():
            if len(job.log) > 1:
                self._keep(job, Notice(job.name, len(job.log), "The backend was restarted: the shot starts again."))
            self._queue.push(job.name, job.client, priority=job.request.priority)
            log.info("job %s was parked and waits again", job.name)

    def _read_clients(self) -> None:
        for _ in range(64):
            try:
                frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._answer(frames[0].bytes, [frame.bytes for frame in frames[1:]], account_of(frames[0]))

    def _answer(self, identity: bytes, parts: Sequence[bytes], account: str) -> None:
        """One message of a client; nothing that it holds may stop the service."""
        try:
            message = decode(parts)
            peer = self._peers.get(identity)
            if isinstance(message, Hello):
                self._on_hello(identity, message, account)
            elif peer is None:
                self._refuse(identity, "hello", "Say hello with the token first.")
            elif type(message) in self._handlers:
                peer.last_heard = time.monotonic()
                self._handlers[type(message)](peer, message)
            else:
                raise ProtocolError(f"A {type(message).__name__} is the backend's to send, not a client's.")
        except InputError as error:
            log.warning("refused a message: %r", str(error))
            self._refuse(identity, "malformed", str(error))
        except Exception:
            log.exception("a message could not be handled")
            self._refuse(identity, "internal", "The backend could not handle the message; its log says more.")

    def _refuse(self, identity: bytes, code: str, reason: str) -> None:
        self.metrics.count("emorig_refusals_total", label=f"reason={code}")
        with contextlib.suppress(zmq.ZMQError):
            self._router.send_multipart([identity, *encode(Refused(code, reason[:MAX_TEXT]))], zmq.NOBLOCK)

    def _on_hello(self, identity: bytes, hello: Hello, account: str) -> None:
        common = set(hello.versions) & set(SUPPORTED_VERSIONS)
        if not common:
            theirs = " or ".join(str(v) for v in hello.versions)
            self._refuse(identity, "version", version_sentence(theirs))
        elif not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            log.warning("refused a client with a wrong token")
            self._refuse(
                identity, "token", "The token is not this backend's: take the one that it printed at its start."
            )
        elif identity not in self._peers and len(self._peers) >= self._limits.clients:
            self._refuse(identity, "hello", f"The backend is busy: {len(self._peers)} clients are connected already.")
        else:
            peer = self._peers[identity] = Peer(identity, account or hello.client)
            device = ", ".join(worker.device for worker in self._pool.workers)
            peer.reply(Welcome(max(common), self.name, PROGRAM, device, RENDERERS))

    def _on_submit(self, peer: Peer, request: Submit) -> None:
        job = self._store.get(request.job)
        if job is not None and job.state != "receiving":
            self._follow(peer, job, NOT_KEPT)
            return
        if job is not None:
            self._store.remove(job)
        self._root.mkdir(mode=0o700, exist_ok=True)  # systems clear old temporary folders
        reason = reason_to_decline(
            request, peer.client, store=self._store, queue=self._queue, limits=self._limits, root=self._root
        )
        if reason is not None:
            self.metrics.count("emorig_jobs_declined_total")
            peer.reply(Failed(request.job, NOT_KEPT, reason))
            return
        job = self._store.add(request, peer.client)
        self._follow(peer, job, NOT_KEPT)

    def _on_upload(self, peer: Peer, part: UploadPart) -> None:
        job = self._store.get(part.job)
        if job is None or job.state != "receiving" or job.client != peer.client:
            return  # of a job that was declined, cancelled or is here already, while its bytes were under way
        try:
            fits = self._store.receive(job, part.upload, part.offset, part.data)
        except OSError as error:
            self._end(job, Failed(job.name, len(job.log), f"The backend cannot store the shot: {error.strerror}."))
            return
        if not fits:
            reason = f"The {part.upload}'s bytes did not come as announced: send the shot again."
            self._end(job, Failed(job.name, len(job.log), reason))
        elif job.is_whole:
            self._accept(job)

    def _accept(self, job: Job) -> None:
        job.state = "queued"
        self._queue.push(job.name, job.client, priority=job.request.priority)
        self.metrics.count("emorig_jobs_accepted_total")
        self._keep(job, Accepted(job.name, len(job.log), self._position(job.name)))
        with contextlib.suppress(OSError):  # a full disk; the job would not outlive this run
            job.record()

    def _position(self, job: str) -> int:
        """The job's place in the queue, 1 for the next; 0 when it need not wait."""
        order = self._queue.order()
        if job not in order:
            return 0
        n_free = sum(worker.job is None for worker in self._pool.workers)
        return max(0, order.index(job) + 1 - n_free)

    def _on_cancel(self, peer: Peer, cancel: Cancel) -> None:
        job = self._store.get(cancel.job)
        if job is None or job.has_ended:
            if job is None:
                peer.reply(Cancelled(cancel.job, NOT_KEPT))
            return
        if job.name not in peer.places:
            self._follow(peer, job, NOT_KEPT)
        worker = self._pool.worker_of(job.name)
        if worker is not None:
            worker.cancel()
            return
        self._queue.remove(job.name)
        self._end(job, Cancelled(job.name, len(job.log)))
        self._tell_positions()

    def _on_resume(self, peer: Peer, resume: Resume) -> None:
        job = self._store.get(resume.job)
        if job is None:
            reason = "The backend does not have this shot: it was restarted or kept it no longer; send the shot again."
            peer.reply(Failed(resume.job, NOT_KEPT, reason))
        else:
            self._follow(peer, job, resume.after)

    def _follow(self, peer: Peer, job: Job, after: int) -> None:
        """Lets a client have a job's kept messages after a sequence number, and its news."""
        peer.places[job.name] = min(after + 1, len(job.log))
        if job.state == "running":
            peer.tell(job.name, Progress(job.name, job.stage, job.done, job.total))
        elif job.state == "queued" and len(job.log):
            peer.tell(job.name, Queued(job.name, self._position(job.name)))

    def _on_ping(self, peer: Peer, ping: Ping) -> None:
        peer.reply(Pong(ping.stamp))

    def _on_status(self, peer: Peer, _request: StatusRequest) -> None:
        peer.reply(self._status(with_jobs=True))

    def _status(self, *, with_jobs: bool) -> Status:
        jobs, now = list(self._store), time.monotonic()
        return Status(
            seconds=now - self._started,
            device=", ".join(worker.device for worker in self._pool.workers),
            workers=tuple(worker.pid for worker in self._pool.workers),
            n_clients=sum(now - peer.last_heard < PRESENT_SECONDS for peer in self._peers.values()),
            n_queued=len(self._queue),
            n_running=sum(job.state == "running" for job in jobs),
            kept_bytes=self._store.kept_bytes,
            jobs=tuple(job.summary(self._position(job.name)) for job in jobs) if with_jobs else (),
        )

    def _measure(self) -> None:
        """Renews the gauges once a second; whoever reads them does not touch the service's state."""
        if time.monotonic() < self._next_measure:
            return
        self._next_measure = time.monotonic() + MEASURE_SECONDS
        self.metrics.gauges = gauges_of(self._status(with_jobs=False))

    def _dispatch(self) -> None:
        """Gives waiting jobs to free workers."""
        has_moved = False
        while len(self._queue) and (worker := self._pool.free_worker()) is not None:
            job = self._store.get(self._queue.pop())
            job.state = "running"
            worker.run(job.name, job.folder, sequence=len(job.log))
            has_moved = True
        if has_moved:
            self._tell_positions()

    def _tell_positions(self) -> None:
        for name in self._queue.order():
            self._tell(name, Queued(name, self._position(name)))

    def _read_workers(self) -> None:
        for worker, note in self._pool.read_notes():
            if note["note"] == "ready":
                worker.is_ready()
                continue
            job = self._store.get(note["job"])
            if note["note"] == "done" and worker.job == note["job"]:
                worker.done()
            if job is None or job.state != "running":
                continue
            if note["note"] == "kept":
                job.log.note(note["sizes"])
            elif note["note"] == "progress":
                job.stage, job.done, job.total = note["stage"][:64], note["done"], note["total"]
                self._tell(job.name, Progress(job.name, job.stage, job.done, job.total, note["rate"]))
            elif note["note"] == "done":
                self._end(job, _ending(job, note))

    def _watch_workers(self) -> None:
        """Gives up a job that does not stop, then kills its worker; notices a worker that has died."""
        for worker in self._pool.workers:
            if worker.cancel_deadline is not None and time.monotonic() > worker.cancel_deadline:
                job = self._store.get(worker.job)
                if job is not None and not job.has_ended:
                    worker.give_up()
                    self._end(job, Cancelled(job.name, len(job.log)))
                else:
                    log.warning("the worker on %s did not stop its job and was killed", worker.device)
                    worker.kill()
            elif (code := worker.exit_code()) is not None:
                self._bury(worker, code)

    def _bury(self, worker: WorkerProcess, code: int) -> None:
        self._read_workers()
        self.metrics.count("emorig_worker_deaths_total")
        log.error("the worker on %s has died with exit code %d", worker.device, code)
        job = self._store.get(worker.job) if worker.job else None
        worker.forget()
        if job is not None and not job.has_ended:
            hint = "it was killed, often for want of memory: try a smaller size" if code == -9 else f"exit code {code}"
            reason = f"The worker that made the shot stopped ({hint}); the backend goes on with a new one."
            self._end(job, Failed(job.name, len(job.log), reason))

    def _end(self, job: Job, message: Finished | Failed | Cancelled) -> None:
        self._store.end(job, type(message).__name__.lower())
        self._keep(job, message)
        self.metrics.count("emorig_jobs_ended_total", label=f"state={job.state}")
        if isinstance(message, Finished):
            self.metrics.count("emorig_frames_total", message.n_frames)
            self.metrics.count("emorig_job_seconds_total", message.seconds)
        log.info("job %s: %s", job.name, job.state)

    def _keep(self, job: Job, message: object) -> None:
        try:
            job.log.append(encode(message))
        except OSError:
            log.exception("a message of job %s could not be kept", job.name)
            self._tell(job.name, message)

    def _tell(self, job: str, message: object) -> None:
        for peer in self._peers.values():
            if job in peer.places:
                peer.tell(job, message)

    def _care(self) -> None:
        """Now and then: forgets clients that are silent, uploads that were broken off, results nobody came for."""
        now = time.monotonic()
        if now < self._next_care:
            return
        self._next_care = now + CARE_SECONDS
        silent = [i for i, peer in self._peers.items() if now - peer.last_heard > self._limits.silent_seconds]
        for identity in silent:
            del self._peers[identity]
        for job in self._store:
            if job.state == "receiving" and now - job.touched > self._limits.upload_seconds:
                self._store.remove(job)
        for job in self._store.evict():
            log.info("job %s is kept no longer", job.name)

    def _end_all(self) -> None:
        """Parks or ends what is not done, tells the clients, and gives the sockets a moment to send it."""
        for worker in self._pool.workers:
            worker.kill()
        for job in self._store:
            is_parked = self._parks and job.state in ("queued", "running")
            if not job.has_ended and not is_parked:
                self._end(job, Failed(job.name, len(job.log), "The backend was stopped: send the shot again."))
        end = time.monotonic() + FAREWELL_SECONDS
        while (wait := send_waiting(self._router, self._peers, self._store)) < FAREWELL_SECONDS:
            if time.monotonic() > end:
                break
            time.sleep(wait)


def _ending(job: Job, note: dict) -> Finished | Failed | Cancelled:
    if note["outcome"] == "finished":
        return Finished(job.name, len(job.log), note["n_frames"], note["seconds"])
    if note["outcome"] == "cancelled":
        return Cancelled(job.name, len(job.log))
    return Failed(job.name, len(job.log), note["reason"][:MAX_TEXT])
