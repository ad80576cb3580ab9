"""Eight clients that behave badly with a service, and the account of what became of every job they handed in."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from service_host import Host, hand_in

from blender_addon.client import Client
from blender_addon.protocol.errors import BackendUnavailableError
from blender_addon.protocol.messages import TERMINAL, Cancelled, Failed, Finished

ORDERS = (b"quick speech", b"quick speech", b"brief", b"refuse", b"slow", b"crash", b"break")
ENDS = {Finished: "finished", Failed: "failed", Cancelled: "cancelled"}
LEAST_PAUSE, MOST_PAUSE = 0.005, 0.05
JOB_SECONDS = 120.0


@dataclass
class Account:
    """How often each job's end was seen, by name; what went wrong otherwise."""

    ends: dict[str, list[str]] = field(default_factory=dict)
    reasons: Counter = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def behave_badly(host: Host, account: Account, *, n_jobs: int, seed: int) -> None:
    """Hands in jobs one after the other; cancels some, leaves in the middle of others and comes back by name."""
    dice = random.Random(seed)
    client = host.client(timeout=20.0)
    try:
        for _ in range(n_jobs):
            order = dice.choice(ORDERS)
            job = hand_in(client, order, portrait=b"p" * dice.randrange(1, 200_000), portrait_name="p.png")
            cancels = order == b"slow" or dice.random() < 0.25
            leaves = dice.random() < 0.3
            if leaves:
                client = _leave_and_return(host, client, job, dice)
            if cancels:
                time.sleep(dice.uniform(LEAST_PAUSE, 4 * MOST_PAUSE))
                client.cancel(job)
            last = list(client.wait(job, timeout=JOB_SECONDS))[-1]
            with account.lock:
                account.ends.setdefault(job, []).append(ENDS[type(last)])
                if isinstance(last, Failed):
                    account.reasons[last.reason] += 1
    except Exception as error:
        account.errors.append(f"client {seed}: {type(error).__name__}: {error}")
    finally:
        client.close()


def _leave_and_return(host: Host, client: Client, job: str, dice: random.Random) -> Client:
    """Waits until the job was accepted, goes away, comes back as somebody else and asks for the job by name."""
    for message in client.wait(job, timeout=JOB_SECONDS):
        if isinstance(message, TERMINAL) or hasattr(message, "position"):
            break
    client.close()
    time.sleep(dice.uniform(LEAST_PAUSE, MOST_PAUSE))
    returned = host.client(timeout=20.0)
    returned.resume(job)
    return returned


def kill_workers(host: Host, *, times: int, until: threading.Event, pause: float) -> int:
    """Kills one of the service's workers now and then. Returns how many were killed."""
    dice, killed = random.Random(7), 0
    with host.client(timeout=20.0) as watcher:
        while killed < times and not until.wait(pause):
            with contextlib.suppress(BackendUnavailableError, ProcessLookupError):
                pids = [pid for pid in watcher.status().workers if pid]
                if pids:
                    os.kill(dice.choice(pids), signal.SIGKILL)
                    killed += 1
    return killed


def storm(host: Host, *, n_jobs: int, n_clients: int, kills: int) -> tuple[Account, int]:
    """n_jobs from n_clients at once while workers are killed. Returns the account and the number of kills."""
    account, over, killed = Account(), threading.Event(), []
    shares = [n_jobs // n_clients + (i < n_jobs % n_clients) for i in range(n_clients)]
    threads = [
        threading.Thread(target=behave_badly, args=(host, account), kwargs={"n_jobs": share, "seed": i})
        for i, share in enumerate(shares)
    ]
    killer = threading.Thread(
        target=lambda: killed.append(kill_workers(host, times=kills, until=over, pause=0.7)), daemon=True
    )
    for thread in (*threads, killer):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    killer.join()
    return account, killed[0]
