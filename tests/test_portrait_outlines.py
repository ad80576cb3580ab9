"""Outlines where the flow jumps lose their stairs, and nothing else changes."""

import numpy as np

from backend.portrait.outlines import soften_outlines


def flow_of(height, width):
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)


def test_only_pixels_beside_a_jump_are_averaged():
    rng = np.random.default_rng(2)
    picture = rng.uniform(0, 255, (20, 30, 4)).astype(np.float32)
    flow, out = flow_of(20, 30), np.empty_like(picture)
    soften_outlines(flow * 1.4, picture, out)  # skin that stretches is no jump
    assert np.array_equal(out, picture)
    flow[:, 15:, 0] += 7.0
    soften_outlines(flow, picture, out)
    changed = np.abs(out - picture).max(axis=2) > 0
    assert changed[1:-1, 14:16].all()
    changed[:, 14:16] = False
    assert not changed.any()
    x, y = 14, 9
    weights = np.outer([1, 2, 1], [1, 2, 1])[..., None] / 16.0
    assert np.allclose(out[y, x], (weights * picture[y - 1 : y + 2, x - 1 : x + 2]).sum(axis=(0, 1)), atol=1e-3)
