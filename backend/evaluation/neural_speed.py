"""Face-vid2vid's generator here beside itself frame by frame as published: same weights, same frames, one run."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from backend.checkpoints.store import MissingWeightsError, load_network
from backend.models.facevid2vid.generator import Generator
from backend.neural.facevid2vid import BATCH, GPU_BATCH
from backend.neural.optimised import optimised

LIMIT = 1e-3
"""How far any stage may be from the published one."""


@dataclass(frozen=True)
class Speed:
    """Seconds per frame as published and here; differences by stage (largest, mean); bfloat16's (largest, mean)."""

    published: float
    ours: float
    differences: dict[str, tuple[float, float]]
    half: tuple[float, float]
    half_seconds: float


def measure(*, size: int = 256, n_frames: int = 4, device: str = "cpu", plain: Generator | None = None) -> Speed:
    """Times both on n_frames frames and compares them stage by stage. plain: a generator instead of the imported or
    made-up one; it is used up.
    """
    where = torch.device(device)
    published = plain or _generator()
    random = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, size, size, generator=random)
    source = 0.4 * torch.randn(1, 15, 3, generator=random)
    driving = source + 0.05 * torch.randn(n_frames, 15, 3, generator=random)
    with torch.inference_mode():
        published.to(where)
        image, source, driving = (x.to(where) for x in (image, source, driving))
        stages, seconds = _timed(
            lambda: [_stages(published, image, source, frame) for frame in driving.split(1)], where
        )
        half, half_seconds = _half(published, image, source, driving[:1], stages[0]["image"], where)
        fast = optimised(published, where)
        batch = GPU_BATCH if where.type == "cuda" else BATCH
        fast(fast.encode(image), source, driving[:1])
        pictures, ours = _timed(lambda: _batched(fast, image, source, driving, batch), where)
        differences = _compared(fast, image, source, driving, stages, pictures)
    return Speed(seconds / n_frames, ours / n_frames, differences, half, half_seconds)


def report(*, size: int = 256, n_frames: int = 4) -> None:
    """Prints both speeds, their ratio and the differences."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    measured = measure(size=size, n_frames=n_frames, device=device)
    console = Console(highlight=False)
    console.print(f"face-vid2vid at {size}², {n_frames} frames, {device}, {torch.get_num_threads()} threads")
    table = Table(box=None, pad_edge=False)
    for heading in ("", "seconds per frame", "frames per second"):
        table.add_column(heading)
    for name, seconds in (("frame by frame, as published", measured.published), ("here", measured.ours)):
        table.add_row(name, f"{seconds:.3f}", f"{1 / seconds:.2f}")
    console.print(table)
    console.print(f"{measured.published / measured.ours:.2f} times as fast")
    for stage, (largest, mean) in measured.differences.items():
        verdict = "" if largest <= LIMIT else "  (above the limit)"
        console.print(f"{stage:>12}: differs by {largest:.1e} at most, {mean:.1e} on the mean{verdict}")
    largest, mean = measured.half
    seconds = f"{measured.half_seconds:.3f} s per frame"
    console.print(f"    bfloat16: differs by {largest:.1e} at most, {mean:.1e} on the mean; {seconds}")
    if device == "cuda":
        console.print(f"memory of the device: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")
    else:
        console.print(f"memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _generator() -> Generator:
    """The imported generator, or one with made-up weights of even spread."""
    try:
        return load_network("facevid2vid.generator")
    except MissingWeightsError:
        torch.manual_seed(0)
        made = Generator().eval().requires_grad_(False)
        for part in made.modules():
            if isinstance(part, nn.Conv2d | nn.Conv3d) and not hasattr(part, "parametrizations"):
                nn.init.kaiming_normal_(part.weight)
        return made


def _stages(generator: Generator, image: Tensor, source: Tensor, driving: Tensor) -> dict[str, Tensor]:
    """What every stage gives for one frame, the source encoded anew."""
    features = generator.encode(image)
    motion = generator.motion(features.compressed, source, driving)
    warped = generator.warp(features, motion)
    return {
        "source": features.volume, "motion": motion.deformation, "occlusion": motion.occlusion, "warped": warped,
        "image": generator.decoder(warped),
    }  # fmt: skip


def _batched(generator: Generator, image: Tensor, source: Tensor, driving: Tensor, batch: int) -> Tensor:
    features = generator.encode(image)
    parts = [generator(features, source.expand_as(part), part).clone() for part in driving.split(batch)]
    return torch.cat(parts)


def _compared(
    fast: Generator, image: Tensor, source: Tensor, driving: Tensor, stages: list[dict[str, Tensor]], pictures: Tensor
) -> dict[str, tuple[float, float]]:
    """Differences of every stage on the first frame, each fed with the published stage before it, and of all images."""
    before = stages[0]
    ours = _stages(fast, image, source, driving[:1])
    ours["image"] = fast.decoder(before["warped"])
    found = {name: _difference(ours[name], value) for name, value in before.items()}
    whole = torch.cat([stage["image"] for stage in stages])
    return found | {"all frames": _difference(pictures, whole)}


def _half(generator: Generator, image, source, driving, expected: Tensor, where) -> tuple[tuple[float, float], float]:
    """What one frame in bfloat16 differs by, and its seconds."""
    with torch.autocast(where.type, torch.bfloat16):
        features = generator.encode(image)
        picture, seconds = _timed(lambda: generator(features, source, driving), where)
    return _difference(picture, expected), seconds


def _difference(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    apart = (ours.float() - theirs.float()).abs()
    return float(apart.max()), float(apart.mean())


def _timed(work: Callable[[], object], where: torch.device):
    if where.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    if where.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start
