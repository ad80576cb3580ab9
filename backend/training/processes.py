"""The processes that train together: one, or as many as torchrun starts, each on a device of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import distributed


@dataclass(frozen=True)
class Processes:
    """rank of world processes; this one works on device."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The means over all processes."""
        if self.world == 1 or not values:
            return values
        held = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(held)
        return dict(zip(values, (held / self.world).tolist()))

    def first_says(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.world == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(held, 0)
        return float(held)

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.world > 1:
            distributed.barrier()


ALONE = Processes()


@contextmanager
def joined(device: str = "auto") -> Iterator[Processes]:
    """This process among those of torchrun (by the variables that it sets), or alone.

    device: cpu, cuda, or auto: CUDA devices where there are any. Gradients go by NCCL there, else by gloo.
    """
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    world = int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(place)
    if world == 1:
        yield Processes(device=place)
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(distributed.get_rank(), world, place)
    finally:
        distributed.destroy_process_group()
