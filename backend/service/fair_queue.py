"""The queue of waiting jobs that is fair to every client, whatever priorities one gives its own."""

from __future__ import annotations

from collections import deque


class FairQueue:
    """Waiting jobs: clients take turns, whoever was served longest ago first.

    Each client's own jobs come by priority, higher first, then in the order in which they were handed in.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[str]] = {}
        self._last_turn: dict[str, int] = {}
        self._turn = 0
        self._priorities: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._waiting.values())

    def count(self, client: str) -> int:
        """How many jobs of a client wait."""
        return len(self._waiting.get(client, ()))

    def push(self, job: str, client: str, *, priority: int = 0) -> None:
        """Adds a job to its client's line, behind those of its priority."""
        line = self._waiting.setdefault(client, deque())
        place = next((i for i, other in enumerate(line) if self._priorities[other] < priority), len(line))
        line.insert(place, job)
        self._priorities[job] = priority

    def pop(self) -> str | None:
        """The job whose turn it is, or None where nobody waits."""
        if not self._waiting:
            return None
        client = _next_client(self._waiting, self._last_turn)
        self._turn += 1
        self._last_turn[client] = self._turn
        job = self._waiting[client].popleft()
        del self._priorities[job]
        if not self._waiting[client]:
            del self._waiting[client]
        if len(self._last_turn) > 1000:
            del self._last_turn[min(self._last_turn, key=self._last_turn.get)]
        return job

    def remove(self, job: str) -> bool:
        """Takes a job out of its line. Returns whether it waited."""
        for client, jobs in self._waiting.items():
            if job in jobs:
                jobs.remove(job)
                del self._priorities[job]
                if not jobs:
                    del self._waiting[client]
                return True
        return False

    def order(self) -> list[str]:
        """The waiting jobs in the order in which they would run if nobody else came."""
        waiting = {client: deque(jobs) for client, jobs in self._waiting.items()}
        last_turn, turn, order = dict(self._last_turn), self._turn, []
        while waiting:
            client = _next_client(waiting, last_turn)
            turn += 1
            last_turn[client] = turn
            order.append(waiting[client].popleft())
            if not waiting[client]:
                del waiting[client]
        return order


def _next_client(waiting: dict[str, deque[str]], last_turn: dict[str, int]) -> str:
    return min(waiting, key=lambda client: last_turn.get(client, 0))
