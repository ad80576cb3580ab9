"""Metrics against scikit-image, naive loops and cases whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.evaluation import metrics
from backend.evaluation.metrics_sharpness import cpbd, edge_widths
from backend.portrait.affine import similarity


@pytest.fixture(scope="module")
def pictures(astronaut) -> tuple[np.ndarray, np.ndarray]:
    face = astronaut[60:188, 160:288]
    return face, cv2.GaussianBlur(face, (0, 0), 1.5)


def test_psnr_equals_scikit_images(pictures):
    from skimage.metrics import peak_signal_noise_ratio

    assert metrics.psnr(*pictures) == pytest.approx(peak_signal_noise_ratio(*pictures, data_range=255), abs=1e-9)
    assert metrics.psnr(pictures[0], pictures[0]) == np.inf


def test_psnr_counts_only_the_asked_pixels(pictures):
    face, changed = pictures[0], pictures[0].copy()
    changed[:10] = 0
    where = np.ones(face.shape[:2], bool)
    where[:10] = False
    assert metrics.psnr(face, changed) < 30.0
    assert metrics.psnr(face, changed, where) == np.inf


def test_ssim_follows_the_published_formula(pictures):
    a, b = (picture[:24, :24] for picture in pictures)
    assert metrics.ssim(a, a) == pytest.approx(1.0)
    radius = 5
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / 1.5) ** 2)
    window = np.outer(line, line) / np.outer(line, line).sum()
    values = []
    for channel in range(3):
        for y in range(radius, 24 - radius):
            for x in range(radius, 24 - radius):
                part = slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1), channel
                p, q = a[part].astype(float), b[part].astype(float)
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                both = (window * (p - mp) * (q - mq)).sum()
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                values.append((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    assert metrics.ssim(a, b) == pytest.approx(np.mean(values), abs=1e-4)


def test_a_similarity_is_found_again():
    random = np.random.default_rng(0)
    points = random.normal(size=(20, 2)) * 40.0
    turn = 1.3 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    found = similarity(points, points @ turn.T + [7.0, -3.0])
    assert np.allclose(found, np.column_stack([turn, [7.0, -3.0]]))


def test_alignment_takes_away_head_motion_and_leaves_expression():
    random = np.random.default_rng(1)
    template = random.normal(size=(478, 2)) * 50.0 + 128.0
    talking = template.copy()
    talking[metrics.MOUTH] += [0.0, 6.0]
    turn = 0.9 * np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    moved = (talking @ turn.T + [20.0, 5.0])[None]
    aligned = metrics.aligned(moved, template)
    assert metrics.landmark_distance(template[None], aligned, metrics.MOUTH) == pytest.approx(6.0, abs=1e-6)
    assert metrics.landmark_distance(template[None], moved, metrics.FACE) > 10.0


def test_steady_motion_has_no_jitter_and_trembling_has():
    steady = np.zeros((10, 478, 2)) + np.arange(10)[:, None, None]
    trembling = steady + np.resize([0.0, 1.0], 10)[:, None, None] * [1.0, 0.0]
    assert metrics.landmark_jitter(steady) == 0.0
    assert metrics.landmark_jitter(trembling) == pytest.approx(2.0)


def test_an_edges_width_is_measured():
    ramp = np.clip((np.arange(128) - 60.0) / 6.0, 0.0, 1.0) * 200.0
    widths = edge_widths(np.tile(ramp, (64, 1)))
    assert widths.max() in (6.0, 7.0, 8.0)
    mirrored = edge_widths(np.tile(ramp[::-1], (64, 1)))
    assert mirrored.max() == pytest.approx(widths.max())


def test_cpbd_falls_with_blur_from_sharp_to_none(astronaut):
    face = astronaut[:256, 100:356]
    values = [cpbd(face), *(cpbd(cv2.GaussianBlur(face, (0, 0), sigma)) for sigma in (0.8, 1.6, 3.2))]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.3
    assert values[-1] < 0.05


def test_cpbd_of_steps_is_one_and_of_nothing_is_zero():
    stripes = np.tile(np.repeat([40, 210, 40, 210], 32), (128, 1)).astype(np.uint8)
    assert cpbd(stripes) == 1.0
    assert cpbd(np.full((128, 128), 90, np.uint8)) == 0.0
