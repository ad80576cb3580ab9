"""The fast generator gives what the plain one gives: convolutions, blocks, the whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backend.evaluation.neural_speed import LIMIT, measure
from backend.models.facevid2vid.decoder import AdaptiveDecoder
from backend.models.facevid2vid.dense_motion import DenseMotionConfig
from backend.models.facevid2vid.generator import Generator, GeneratorConfig
from backend.neural.optimised import FastDecoder, folded, optimised
from backend.neural.winograd import EnlargingConv, WinogradConv


@pytest.fixture(autouse=True)
def steady():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def test_winograd_is_the_convolution():
    conv = nn.Conv2d(24, 40, 3, padding=1)
    x = torch.randn(2, 24, 16, 32)
    assert torch.allclose(WinogradConv(conv)(x), conv(x), atol=1e-4)
    assert torch.allclose(WinogradConv(conv).double()(x.double()), conv.double()(x.double()), atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarging_is_folded_into_the_kernel(factor):
    conv = nn.Conv2d(5, 7, 3, padding=1)
    x = torch.randn(2, 5, 6, 9)
    plain = conv(nn.functional.interpolate(x, scale_factor=factor, mode="nearest"))
    assert torch.allclose(EnlargingConv(conv, factor)(x), plain, atol=1e-5)


def test_the_fast_decoder_is_the_decoder():
    decoder = AdaptiveDecoder(128, n_middle=1).eval()
    features = torch.randn(2, 128, 8, 8)
    plain = decoder(features)
    assert (FastDecoder(folded(decoder))(features) - plain).abs().max() < 1e-4


def small_generator() -> Generator:
    """A narrow generator whose batch norms do something."""
    motion = DenseMotionConfig(width=4, max_width=16)
    generator = Generator(GeneratorConfig(width=16, n_residual=1, volume_channels=32, motion=motion)).eval()
    for part in generator.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 1.5)
    return generator


def test_the_fast_generator_is_the_generator():
    generator = small_generator()
    image, source, driving = torch.rand(1, 3, 128, 128), torch.randn(1, 15, 3) / 3, torch.randn(3, 15, 3) / 3
    plain = generator(generator.encode(image), source.expand_as(driving), driving)
    fast = optimised(generator, torch.device("cpu"))
    quick = fast(fast.encode(image), source.expand_as(driving), driving)
    assert plain.shape == (3, 3, 128, 128)
    assert (quick - plain).abs().max() < 1e-3


@pytest.mark.soak
def test_the_benchmark_compares_every_stage():
    measured = measure(size=128, n_frames=2, plain=small_generator())
    assert set(measured.differences) == {"source", "motion", "occlusion", "warped", "image", "all frames"}
    assert all(largest <= LIMIT for largest, _ in measured.differences.values())
    assert measured.published > 0
    assert measured.ours > 0
    assert 0 < measured.half[0] < 0.5
