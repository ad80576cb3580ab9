"""The refiner: it starts as the identity, leaves a face at rest alone, and learns from made-up faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.models.refiner import Refiner, RefinerConfig
from backend.portrait.analysis import analyse_portrait
from backend.portrait.refine import MouthCrop, window
from backend.portrait.refiner_network import load_refiner, shipped_refiner
from backend.portrait.renderer import WarpRenderer
from backend.training import refiner_data
from backend.training.refiner import PLAN, draw_batch, refiner_loss, train_refiner
from backend.training.refiner_data import Pairs, load_corpus, make_corpus, packed, unpacked
from backend.weights import NETWORKS
from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD, FaceCoefficients


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refiner_data, "FACES_PER_SHARD", 2)
        patch.setattr(refiner_data, "FRAMES_PER_FACE", 3)
        make_corpus(folder, faces=2, seed=3)
    return folder


@pytest.fixture(scope="module")
def pairs(corpus) -> Pairs:
    return load_corpus(sorted(corpus.glob("*.npz")))


@pytest.fixture(scope="module")
def portrait(astronaut):
    return analyse_portrait(np.ascontiguousarray(astronaut[:256, 90:346]))


def coefficients_of(portrait, **weights: float) -> FaceCoefficients:
    """Two frames: the photo's own expression, and one with some channels changed."""
    fit = portrait.fit
    expression = np.repeat(fit.expression[None], 2, axis=0)
    for name, weight in weights.items():
        expression[1, CHANNEL_INDEX[name]] = weight * FULL_ACTIVATION_SD
    still = (np.repeat(v[None], 2, axis=0) for v in (fit.rotation, fit.translation))
    return FaceCoefficients(fit.identity, fit.texture, expression, *still, fit.lighting, 25.0)


def test_an_untrained_refiner_adds_nothing():
    network = Refiner(RefinerConfig())
    added = network(torch.rand(2, 3, 96, 96), torch.randn(2, 12, 96, 96))
    assert added.shape == (2, 3, 96, 96)
    assert (added == 0.0).all()


def test_it_is_small():
    from torch.utils.flop_counter import FlopCounterMode

    config = RefinerConfig()
    with FlopCounterMode(display=False) as counter:
        Refiner(config)(torch.zeros(1, 3, config.side, config.side), torch.zeros(1, 12, config.side, config.side))
    assert counter.get_total_flops() < 1e9


def test_a_face_at_rest_is_left_alone_and_a_moved_one_changes_only_near_the_mouth(portrait):
    coefficients = coefficients_of(portrait, jawOpen=0.6)
    plain = WarpRenderer(portrait, size=256)
    refined = WarpRenderer(portrait, size=256, refiner=(lambda crop, guides: np.full_like(crop, 0.1), 96))
    assert np.array_equal(plain.render(coefficients, 0), refined.render(coefficients, 0))
    change = np.abs(plain.render(coefficients, 1).astype(int) - refined.render(coefficients, 1)).max(axis=2)
    assert change.max() >= 20
    rows, columns = np.nonzero(change > 2)
    lips = portrait.landmarks[[13, 14, 61, 291], :2]
    width = np.linalg.norm(lips[2] - lips[3])
    away = np.hypot(columns - lips[:, 0].mean(), rows - lips[:, 1].mean())
    assert away.max() < 1.8 * width


def test_frames_in_a_row_are_those_rendered_one_by_one(portrait):
    coefficients = coefficients_of(portrait, jawOpen=0.6)
    renderer = WarpRenderer(portrait, size=256, refiner=shipped_refiner())
    alone = [renderer.render(coefficients, index) for index in range(coefficients.n_frames)]
    assert np.array_equal(alone, list(renderer.frames(coefficients)))


def test_the_shipped_refiner_says_how_it_was_made_and_is_no_identity(portrait):
    said = NETWORKS["refiner"].metadata()
    assert said["command"].startswith("emorig train refiner") and len(said["corpus_sha256"]) == 64
    assert NETWORKS["refiner"].path.stat().st_size < 16e6
    coefficients = coefficients_of(portrait, jawOpen=0.6)
    plain, refined = (WarpRenderer(portrait, size=256, refiner=r) for r in (None, shipped_refiner()))
    assert np.array_equal(plain.render(coefficients, 0), refined.render(coefficients, 0))
    assert np.abs(plain.render(coefficients, 1).astype(int) - refined.render(coefficients, 1)).max() > 4


@pytest.mark.parametrize("size", [256, 512])
def test_the_square_is_the_same_at_any_size(portrait, size):
    small, other = (WarpRenderer(portrait, size=s) for s in (256, size))
    crops = [MouthCrop(r.plate, r.motion, 96) for r in (small, other)]
    squares = [crop.cut(r.plate.image, crop.into(r.plate.landmarks)) for crop, r in zip(crops, (small, other))]
    assert np.abs(squares[0] - squares[1]).mean() < 0.015


def test_made_faces_are_true_where_it_counts(pairs):
    assert pairs.crop.shape == pairs.truth.shape == (6, 3, 96, 96)
    counts = pairs.window[:, None].astype(float) / 255.0
    error = np.abs(pairs.crop.astype(float) - pairs.truth) * counts
    assert error.sum() / (3.0 * counts.sum()) < 25.0
    assert 0.2 < counts.mean() < 0.9


def test_shards_are_the_same_whenever_they_are_made(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(refiner_data, "FACES_PER_SHARD", 2)
    monkeypatch.setattr(refiner_data, "FRAMES_PER_FACE", 3)
    again = load_corpus(make_corpus(tmp_path, faces=2, seed=3))
    first = load_corpus(sorted(corpus.glob("*.npz")))
    assert all(np.array_equal(a, b) for a, b in zip(vars(again).values(), vars(first).values()))


def test_guides_survive_packing():
    guides = np.random.default_rng(0).uniform(-1.0, 1.0, (12, 8, 8)).astype(np.float32)
    guides[:3] = np.abs(guides[:3])
    assert np.abs(unpacked(packed(guides)) - guides).max() < 0.01


def test_the_loss_is_zero_for_what_is_wanted():
    wanted, counts = torch.randn(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
    assert all(float(part) == 0.0 for part in refiner_loss(wanted, wanted, counts).values())


def test_batches_are_the_same_whenever_they_are_drawn(pairs):
    first, again = (draw_batch(pairs, PLAN, 7) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))


def test_training_lowers_the_error_goes_on_and_is_read_back(pairs, tmp_path, monkeypatch):
    middle = slice(24, 72)
    small = Pairs(**{name: values[..., middle, middle] for name, values in vars(pairs).items()})
    np.savez(tmp_path / "shard.npz", **vars(small))
    monkeypatch.setattr("backend.training.refiner.make_corpus", lambda *_a, **_k: [tmp_path / "shard.npz"])
    plan = replace(PLAN, steps=24, batch=4, averaging=0.8, warm_up=5, save_every=12)
    weights = tmp_path / "refiner.safetensors"
    train_refiner(tmp_path, weights, faces=2, plan=replace(plan, steps=12))
    reached: list[int] = []
    train_refiner(tmp_path, weights, faces=2, plan=plan, progress=lambda step, _: reached.append(step))
    assert reached == [24]
    predict, side = load_refiner(weights)
    crop, guides, wanted, counts = draw_batch(small, plan, 99)
    added = torch.from_numpy(np.stack([predict(c, g) for c, g in zip(crop.numpy(), guides.numpy())]))
    before, after = (sum(refiner_loss(a, wanted, counts).values()) for a in (torch.zeros_like(wanted), added))
    assert side == 48
    assert float(after) < float(before)


def test_openvino_agrees_with_torch(tmp_path):
    pytest.importorskip("openvino")
    import json
    from dataclasses import asdict

    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = Refiner(RefinerConfig())
    torch.nn.init.normal_(network.residual.weight, std=0.05)
    weights = tmp_path / "r.safetensors"
    save_file(network.state_dict(), str(weights), metadata={"config": json.dumps(asdict(network.config))})
    rng = np.random.default_rng(0)
    inputs = rng.random((3, 96, 96), np.float32), rng.random((12, 96, 96), np.float32)
    ours, theirs = (load_refiner(weights, device=device)[0](*inputs) for device in ("cpu", "openvino"))
    assert np.abs(ours - theirs).max() < 1e-3


def test_bad_weights_are_refused(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no refiner"):
        load_refiner(tmp_path / "bad.safetensors")


def test_nothing_is_added_at_the_squares_border():
    guides = np.ones((12, 96, 96), np.float32)
    shown = window(96, guides)
    assert shown[0].max() == shown[:, -1].max() == 0.0
    assert shown[48, 48] == 1.0
