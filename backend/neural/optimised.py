"""Face-vid2vid's generator made fast without another result: what is constant is folded, what repeats is shared.

Spectral norm becomes plain weights, and batch norm goes into the convolution before it. On a CPU every frame runs on
one thread with convolutions that need a quarter of the multiplications, several frames at once. On a CUDA device
convolutions run in bfloat16, positions stay in float32, and torch.compile makes CUDA graphs of batches. Frames stream
out while the next are computed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from backend.models.blocks import ConvBlock
from backend.models.facevid2vid.generator import Generator, SourceFeatures
from backend.neural.fast_decoder import FastDecoder
from backend.neural.fast_motion import FastMotion, FastWarp
from backend.neural.folded_decoder import FoldedDecoder

MOST_AT_ONCE = 16  # frames on a CPU
GPU_BATCH = 16


class FastGenerator:
    """A generator for inference on one device; the Generator given is used up. generator: its parts, made fast."""

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self.device, self.generator = device, folded(generator).to(device)
        self.compiled = False
        if device.type == "cuda":
            generator.decoder = FoldedDecoder(generator.decoder)
            generator.decoder.to(memory_format=torch.channels_last)
            self._batch = self._compiled()
        else:
            generator.motion = FastMotion(generator.motion)
            generator.warp = FastWarp(generator)
            generator.decoder = FastDecoder(generator.decoder)

    def encode(self, image: Tensor) -> SourceFeatures:
        """The features of a source image (1, 3, H, W) RGB 0-1, once for all frames."""
        with torch.inference_mode():
            return self.generator.encode(image.to(self.device))

    def pictures(self, features: SourceFeatures, source: Tensor, driving: Tensor) -> Iterator[Tensor]:
        """Images (3, H, W) RGB 0-1 float32 on the CPU, in order, with the key points driving (n_frames, 15, 3) in place
        of source (1, 15, 3). The next are computed while one is looked at.
        """
        draw = self._on_cuda if self.device.type == "cuda" else self._on_cpu
        return draw(features, source.to(self.device), driving.to(self.device))

    def _on_cpu(self, features: SourceFeatures, source: Tensor, driving: Tensor) -> Iterator[Tensor]:
        def frame(i: int) -> Tensor:
            with torch.inference_mode():
                return self.generator(features, source, driving[i : i + 1])[0]

        n_threads = frames_at_once()
        if n_threads == 1 or len(driving) == 1:
            yield from map(frame, range(len(driving)))
            return
        pool, ahead = _workers(n_threads), deque()
        try:
            for i in range(len(driving)):
                ahead.append(pool.submit(frame, i))
                if len(ahead) > n_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for unseen in ahead:
                unseen.cancel()

    def _on_cuda(self, features: SourceFeatures, source: Tensor, driving: Tensor) -> Iterator[Tensor]:
        before = None
        for first in range(0, len(driving), GPU_BATCH):
            points = driving[first : first + GPU_BATCH]
            # Batches of one size: another would be compiled anew.
            full = points[torch.arange(GPU_BATCH).clamp(max=len(points) - 1)]
            with torch.inference_mode():
                torch.compiler.cudagraph_mark_step_begin()
                pictures = self._batch(features, source.expand_as(full), full)[: len(points)]
                host = torch.empty(pictures.shape, dtype=torch.float32, pin_memory=True)
                host.copy_(pictures, non_blocking=True)
            done = torch.cuda.Event()
            done.record()
            if before is not None:
                before[1].synchronize()
                yield from before[0]
            before = host, done
        if before is not None:
            before[1].synchronize()
            yield from before[0]

    def _compiled(self):
        """The generator in bfloat16, compiled where torch's compiler has what it needs."""
        from torch.utils._triton import has_triton

        def forward(features: SourceFeatures, source: Tensor, driving: Tensor) -> Tensor:
            with torch.autocast("cuda", torch.bfloat16):
                return self.generator(features, source, driving).float()

        self.compiled = has_triton()
        return torch.compile(forward, mode="reduce-overhead") if self.compiled else forward


def frames_at_once() -> int:
    """How many frames are drawn at the same time on this CPU."""
    return min(torch.get_num_threads(), MOST_AT_ONCE)


@lru_cache(maxsize=1)
def _workers(n: int) -> ThreadPoolExecutor:
    """Threads that compute with one core each, for frames beside one another."""
    pool, ready = ThreadPoolExecutor(n, thread_name_prefix="frames"), threading.Barrier(n)
    before = torch.get_num_threads()

    def alone() -> None:
        torch.set_num_threads(1)
        ready.wait()

    for started in [pool.submit(alone) for _ in range(n)]:
        started.result()
    torch.set_num_threads(before)  # what threads started later take over
    return pool


def folded(module: nn.Module) -> nn.Module:
    """The module with spectral norm and batch norm folded into the convolutions, in place."""
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d) and is_parametrized(part, "weight"):
            setattr(module, name, _plain(part))
        else:
            folded(part)
    if isinstance(module, ConvBlock) and not isinstance(module.norm, nn.Identity):
        module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
    return module


def _plain(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution with its spectral norm worked into the weight."""
    has_bias = conv.bias is not None
    made = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding, bias=has_bias)
    made.weight = nn.Parameter(conv.weight.detach(), requires_grad=False)
    if has_bias:
        made.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return made
