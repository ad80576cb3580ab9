"""The fast generator gives what the plain one gives: convolutions, blocks, the whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backend.evaluation import neural_speed
from backend.evaluation.neural_speed import LIMIT, measure
from backend.models.facevid2vid.decoder import AdaptiveDecoder
from backend.models.facevid2vid.dense_motion import DenseMotionConfig
from backend.models.facevid2vid.generator import Generator, GeneratorConfig, SourceFeatures
from backend.neural import optimised
from backend.neural.enlarging import Enlarged, EnlargingConv, EnlargingModule
from backend.neural.fast_decoder import FastDecoder
from backend.neural.fast_motion import FastMotion, FastWarp
from backend.neural.folded_decoder import FoldedDecoder
from backend.neural.optimised import FastGenerator, folded
from backend.neural.winograd import WinogradConv, statistics

K = 4  # key points of the narrow generator


@pytest.fixture(autouse=True)
def steady():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def last(x: torch.Tensor):
    """(1, C, H, W) or (1, C, D, H, W) as an array (1 or D, H, W, C)."""
    return x.movedim(1, -1).reshape(-1, *x.shape[-2:], x.shape[1]).numpy().copy()


def first(x, dims: int) -> torch.Tensor:
    """The way back."""
    return torch.from_numpy(x).movedim(-1, 0)[None] if dims == 3 else torch.from_numpy(x).movedim(-1, 1)


@pytest.mark.parametrize("dims, shape", [(2, (16, 32)), (2, (4, 4)), (3, (5, 8, 12)), (3, (2, 300, 4))])
def test_winograd_is_the_convolution(dims, shape):
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims](24, 140, 3, padding=1)
    x = torch.randn(1, 24, *shape)
    quick = WinogradConv(conv)
    plain = conv(x)
    assert torch.allclose(first(quick(Enlarged.of(last(x))), dims), plain, atol=1e-4)
    added = last(torch.randn_like(plain))
    y = quick(Enlarged.of(last(x)), floor=0.0, added=added, input_floor=0.25)
    assert torch.allclose(first(y, dims), conv_above(conv, x).relu() + first(added, dims), atol=1e-4)
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    half = pool(plain.relu(), (1, 2, 2)[-dims:])
    assert torch.allclose(first(quick(Enlarged.of(last(x)), floor=0.0, pool=2), dims), half, atol=1e-4)
    doubled = conv(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0)[-dims:], mode="nearest"))
    assert torch.allclose(first(quick(Enlarged.of(last(x), 2)), dims), doubled, atol=1e-4)


def conv_above(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The convolution of what of x is above 0.25, with a border of 0."""
    return conv(x.clamp(min=0.25))


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarging_is_folded_into_the_kernel(factor):
    read, both = nn.Conv2d(5, 7, 3, padding=1), nn.Conv2d(7, 24, 3, padding=1)
    guide, x = torch.randn(1, 5, 8, 12), 3 + 2 * torch.randn(1, 12, 8, 12)
    plain = read(F.interpolate(guide, scale_factor=factor, mode="nearest"))
    assert torch.allclose(EnlargingModule(read, factor)(guide), plain, atol=1e-5)
    scale, shift = both(plain.relu()).chunk(2, dim=1)
    wanted = F.leaky_relu(F.instance_norm(F.interpolate(x, scale_factor=factor)) * scale + shift, 0.2)
    _, hidden = EnlargingConv([read, read], factor)(last(guide))
    found = WinogradConv(both).modulated(hidden, last(x), statistics(last(x)), factor=factor, slope=0.2)
    assert torch.allclose(first(found, 2), wanted, atol=1e-4)


def test_the_fast_decoders_are_the_decoder():
    decoder = AdaptiveDecoder(32, n_middle=2).eval()
    features = torch.randn(2, 32, 8, 8)
    plain = decoder(features)
    folded(decoder)
    assert (FoldedDecoder(decoder)(features) - plain).abs().max() < 1e-4
    assert (FastDecoder(decoder)(features) - plain).abs().max() < 1e-4


def small_generator() -> Generator:
    """A narrow generator whose batch norms do something."""
    motion = DenseMotionConfig(n_keypoints=K, width=4, max_width=16, feature_channels=8, depth=4)
    config = GeneratorConfig(width=8, n_residual=1, volume_channels=8, depth=4, motion=motion)
    generator = Generator(config).eval().requires_grad_(False)
    for part in generator.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d) and not hasattr(part, "parametrizations"):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 1.5)
    return generator


def test_the_fast_motion_and_warp_are_the_plain_ones():
    generator = small_generator()
    image, source = torch.rand(2, 3, 128, 128), torch.randn(2, K, 3) / 3
    # One key point far outside, where nothing is sampled.
    driving = source + 0.2 * torch.randn(2, K, 3)
    driving[0, 0] += 3.0
    features = generator.encode(image)
    motion = generator.motion(features.compressed, source, driving)
    warped = generator.warp(features, motion)
    folded(generator)
    ours = FastMotion(generator.motion)(features.compressed, source, driving)
    for name in ("deformation", "mask", "occlusion"):
        assert torch.allclose(getattr(ours, name), getattr(motion, name), atol=1e-4), name
    assert torch.allclose(FastWarp(generator)(features, motion), warped, atol=1e-4)
    alone = SourceFeatures(features.volume[:1], features.compressed[:1])
    shared = FastWarp(generator)(alone, motion)
    assert torch.allclose(shared[0], warped[0], atol=1e-4)
    assert not torch.allclose(shared[1], warped[1], atol=1e-2)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_fast_generator_is_the_generator(n_threads, monkeypatch):
    monkeypatch.setattr(optimised, "frames_at_once", lambda: n_threads)
    generator = small_generator()
    image, source, driving = torch.rand(1, 3, 128, 128), torch.randn(1, K, 3) / 3, torch.randn(5, K, 3) / 3
    plain = generator(generator.encode(image), source.expand_as(driving), driving)
    fast, threads = FastGenerator(generator, torch.device("cpu")), torch.get_num_threads()
    quick = torch.stack(list(fast.pictures(fast.encode(image), source, driving)))
    assert plain.shape == (5, 3, 128, 128)
    assert (quick - plain).abs().max() < 1e-3
    assert torch.get_num_threads() == threads


def test_frames_come_out_before_the_last_is_computed(monkeypatch):
    monkeypatch.setattr(optimised, "frames_at_once", lambda: 2)
    fast = FastGenerator(small_generator(), torch.device("cpu"))
    image, source = torch.rand(1, 3, 128, 128), torch.randn(1, K, 3) / 3
    begun = []
    decode = fast.generator.decoder.forward
    monkeypatch.setattr(fast.generator.decoder, "forward", lambda x: begun.append(1) or decode(x))
    frames = fast.pictures(fast.encode(image), source, source.expand(8, K, 3))
    next(frames)
    assert len(begun) <= 4
    frames.close()


def test_positions_stay_in_full_precision():
    generator = small_generator()
    image, source, driving = torch.rand(1, 3, 128, 128), torch.randn(1, K, 3) / 3, torch.randn(1, K, 3) / 3
    compressed = generator.encode(image).compressed
    with torch.autocast("cpu", torch.bfloat16):
        motion = generator.motion(compressed, source, driving)
    assert motion.deformation.dtype == torch.float32


def test_the_benchmark_compares_every_stage(monkeypatch):
    monkeypatch.setattr(neural_speed, "_half", lambda *_: ((0.01, 0.001), 1.0))  # slow where bfloat16 is lacking
    said = []
    measured = measure(size=128, n_frames=2, plain=small_generator(), say=said.append)
    assert set(measured.differences) == {
        "volume", "compressed", "deformation", "mask", "occlusion", "warped", "image", "all frames",
    }  # fmt: skip
    assert all(largest <= LIMIT for largest, _ in measured.differences.values())
    assert min(measured.published, measured.work, measured.published_work) > 0
    assert measured.first <= 2 * measured.ours
    assert sum("as published, frame" in line for line in said) == 2


@pytest.mark.soak
def test_bfloat16_states_its_difference():
    generator = small_generator()
    image, source = torch.rand(1, 3, 128, 128), torch.randn(1, K, 3) / 3
    plain = generator(generator.encode(image), source, source)
    (largest, mean), seconds = neural_speed._half(generator, image, source, source, plain, lambda _: None)
    assert 0 < mean < largest < 0.5
    assert seconds > 0


@pytest.mark.gpu
def test_a_gpu_draws_the_same_frames():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    generator = small_generator()
    image, source, driving = torch.rand(1, 3, 128, 128), torch.randn(1, K, 3) / 3, torch.randn(20, K, 3) / 3
    plain = generator(generator.encode(image), source.expand_as(driving), driving)
    fast = FastGenerator(generator, torch.device("cuda"))
    quick = torch.stack(list(fast.pictures(fast.encode(image), source, driving)))
    assert (quick - plain).abs().mean() < 0.02
