"""Face-vid2vid's generator here beside itself frame by frame as published: same weights, same frames, one run.

Every figure is printed as soon as it is known.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from backend.checkpoints.store import MissingWeightsError, load_network
from backend.models.facevid2vid.generator import Generator, SourceFeatures
from backend.neural.optimised import GPU_BATCH, FastGenerator, frames_at_once

LIMIT = 1e-3
"""How far any stage may be from the published one in float32."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """Seconds per frame as published, here, and of one frame in bfloat16; differences by stage (largest, mean), and
    bfloat16's; first: seconds until the first frame came out here, the source's encoding among them. Work: seconds of
    all cores together per frame, which other programs on the machine change little.
    """

    published: float
    ours: float
    published_work: float
    work: float
    half: float
    first: float
    differences: dict[str, tuple[float, float]]
    half_difference: tuple[float, float]


def measure(
    *, size: int = 256, n_frames: int = 4, device: str = "cpu", plain: Generator | None = None,
    say: Say = lambda _: None,
) -> Speed:  # fmt: skip
    """Times both on n_frames frames and compares them stage by stage, after one frame each to warm up.

    plain: a generator instead of the imported or made-up one; it is used up.
    """
    where = torch.device(device)
    generator = (plain or _generator()).to(where)
    random = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, size, size, generator=random)
    n_points = generator.config.motion.n_keypoints
    source = 0.4 * torch.randn(1, n_points, 3, generator=random)
    driving = source + 0.05 * torch.randn(n_frames, n_points, 3, generator=random)
    image, source, driving = (x.to(where) for x in (image, source, driving))
    with torch.inference_mode():
        wanted, published, published_work = _published(generator, image, source, driving, say)
        half_difference, half = _half(generator, image, source, driving[:1], wanted[0]["image"], say)
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        fast, seconds = _timed(lambda: FastGenerator(generator, where))
        features, encoding = _timed(lambda: fast.encode(image))
        say(f"here: folded in {seconds:.1f} s, source {encoding:.3f} s once")
        differences = _compared(fast, features, source, driving[:1], wanted[0], say)
        pictures, ours, work, first = _streamed(fast, image, source, driving, say)
    whole = torch.cat([stages["image"] for stages in wanted]).cpu()
    differences["all frames"] = _difference(pictures, whole)
    return Speed(published, ours, published_work, work, half, first, differences, half_difference)


def report(*, size: int = 256, n_frames: int = 4) -> None:
    """Prints both speeds, their ratio and the differences."""
    console = Console(highlight=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    console.print(f"face-vid2vid at {size}², {n_frames} frames, {_hardware(device)}")
    measured = measure(size=size, n_frames=n_frames, device=device, say=console.print)
    sides = (
        ("frame by frame, as published", measured.published, measured.published_work),
        ("here", measured.ours, measured.work),
    )
    for name, seconds, work in sides:
        console.print(
            f"{name}: {seconds:.3f} s per frame, {1 / seconds:.2f} frames per second, {work:.3f} s of the processor"
        )
    console.print(
        f"{measured.published / measured.ours:.2f} times as fast, with {measured.published_work / measured.work:.2f} "
        f"times less of the processor; the first frame after {measured.first:.3f} s"
    )
    precision = "float32" if device == "cpu" else "bfloat16 here, float32 as published"
    for stage, (largest, mean) in measured.differences.items():
        verdict = "  (above the limit)" if largest > LIMIT and device == "cpu" else ""
        console.print(f"{stage:>12}: differs by {largest:.1e} at most, {mean:.1e} on the mean ({precision}){verdict}")
    if device == "cuda":
        console.print(f"memory of the device: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")
    console.print(f"memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _published(
    generator: Generator, image: Tensor, source: Tensor, driving: Tensor, say: Say
) -> tuple[list[dict[str, Tensor]], float, float]:
    """Every frame's stages as published, and seconds and work per frame."""
    _stages(generator, image, source, driving[:1])
    wanted, total, worked = [], 0.0, time.process_time()
    for number, frame in enumerate(driving.split(1), 1):
        times: dict[str, float] = {}
        stages, seconds = _timed(lambda frame=frame, times=times: _stages(generator, image, source, frame, times))
        total += seconds
        wanted.append(stages)
        parts = ", ".join(f"{name} {spent:.3f}" for name, spent in times.items())
        say(f"as published, frame {number}: {seconds:.3f} s ({parts})")
    return wanted, total / len(driving), (time.process_time() - worked) / len(driving)


def _stages(
    generator: Generator, image: Tensor, source: Tensor, driving: Tensor, times: dict[str, float] | None = None
) -> dict[str, Tensor]:
    """What every stage gives for one frame, the source encoded anew; times gets the seconds of each."""
    spent = {} if times is None else times
    features, spent["source"] = _timed(lambda: generator.encode(image))
    motion, spent["motion"] = _timed(lambda: generator.motion(features.compressed, source, driving))
    warped, spent["warp"] = _timed(lambda: generator.warp(features, motion))
    picture, spent["decoder"] = _timed(lambda: generator.decoder(warped))
    return {
        "volume": features.volume, "compressed": features.compressed, "deformation": motion.deformation,
        "mask": motion.mask, "occlusion": motion.occlusion, "warped": warped, "image": picture,
    }  # fmt: skip


def _half(
    generator: Generator, image, source, driving, expected: Tensor, say: Say
) -> tuple[tuple[float, float], float]:
    """What one frame in bfloat16 differs by, the source in float32, and its seconds."""
    features = generator.encode(image)
    with torch.autocast(image.device.type, torch.bfloat16):
        picture, seconds = _timed(lambda: generator(features, source, driving))
    largest, mean = _difference(picture, expected)
    say(f"bfloat16: {seconds:.3f} s for a frame, differs by {largest:.1e} at most, {mean:.1e} on the mean")
    return (largest, mean), seconds


def _compared(
    fast: FastGenerator, features: SourceFeatures, source: Tensor, driving: Tensor, wanted: dict[str, Tensor], say: Say
) -> dict[str, tuple[float, float]]:
    """Differences of every stage on one frame, each fed with the published stage before it. Warms up."""
    parts = fast.generator
    ours = {"volume": features.volume, "compressed": features.compressed}
    motion = parts.motion(wanted["compressed"], source, driving)
    ours |= {name: getattr(motion, name) for name in ("deformation", "mask", "occlusion")}
    published = type(motion)(*(wanted[name] for name in ("deformation", "mask", "occlusion")))
    ours["warped"] = parts.warp(SourceFeatures(wanted["volume"], wanted["compressed"]), published)
    ours["image"] = parts.decoder(wanted["warped"])
    stages = (
        ("motion", lambda: parts.motion(wanted["compressed"], source, driving)),
        ("warp", lambda: parts.warp(SourceFeatures(wanted["volume"], wanted["compressed"]), published)),
        ("decoder", lambda: parts.decoder(wanted["warped"])),
    )
    spent = ", ".join(f"{name} {_timed(work)[1]:.3f}" for name, work in stages)
    say(f"here, one frame alone: {spent} s")
    return {name: _difference(ours[name], value) for name, value in wanted.items()}


def _streamed(
    fast: FastGenerator, image: Tensor, source: Tensor, driving: Tensor, say: Say
) -> tuple[Tensor, float, float, float]:
    """All pictures, seconds and work per frame with the source's encoding, and seconds until the first."""
    features = fast.encode(image)
    for _ in fast.pictures(features, source, driving[: frames_at_once() if fast.device.type == "cpu" else GPU_BATCH]):
        pass
    if fast.device.type == "cuda":
        say(f"compiled: {'yes' if fast.compiled else 'no, triton is missing'}; batches of {GPU_BATCH}")
    start, worked = time.perf_counter(), time.process_time()
    pictures, times = [], []
    for picture in fast.pictures(fast.encode(image), source, driving):
        pictures.append(picture)
        times.append(time.perf_counter() - start)
    work = (time.process_time() - worked) / len(driving)
    say("here, frames out after " + ", ".join(f"{spent:.3f}" for spent in times[:8]) + " s")
    return torch.stack(pictures), times[-1] / len(driving), work, times[0]


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


def _hardware(device: str) -> str:
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    name = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _difference(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    apart = (ours.float() - theirs.float()).abs()
    return float(apart.max()), float(apart.mean())


def _timed(work: Callable[[], object]):
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start = time.perf_counter()
    result = work()
    wait()
    return result, time.perf_counter() - start
