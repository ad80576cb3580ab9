"""Small networks side by side, each on a thread of its own.

A recurrent network's steps are too short to be shared: its threads wait for one another longer than they work, many
times longer where another program keeps a core busy. So torch is held to one thread where faces are made from sound,
and networks run beside one another instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch works on one thread; also a decorator."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


@contextmanager
def one_thread_each() -> Iterator[Callable[..., Future]]:
    """Inside, torch works on one thread; what is given, beside(function, *arguments), runs on one more."""
    import torch

    # torch keeps the number for each thread: a new one has to be told
    with one_thread(), ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.submit
