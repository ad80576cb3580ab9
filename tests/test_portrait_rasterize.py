"""The rasteriser agrees with a naive loop over every pixel and triangle."""

import numpy as np
import pytest

from bfm import rasterize as rz

HEIGHT, WIDTH = 40, 52


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-8, 60, 24), rng.uniform(-8, 48, 24), rng.uniform(1, 9, 24)]).astype(
        np.float32
    )
    return points, rng.integers(0, 24, (14, 3)).astype(np.int32)


def naive(points, triangles):
    triangle = np.full((HEIGHT, WIDTH), -1)
    weights = np.zeros((HEIGHT, WIDTH, 3))
    depth = np.full((HEIGHT, WIDTH), np.inf)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for index, corners in enumerate(triangles):
                matrix = np.vstack([points[corners, :2].T.astype(float), np.ones(3)])
                if abs(np.linalg.det(matrix)) < 1e-6:
                    continue
                w = np.linalg.solve(matrix, [x, y, 1.0])
                z = w @ points[corners, 2]
                if w.min() >= 0 and z < depth[y, x]:
                    triangle[y, x], weights[y, x], depth[y, x] = index, w, z
    return triangle, weights, depth


def test_fragments_match_the_naive_loop(scene):
    points, triangles = scene
    got = rz.rasterize(points, triangles, height=HEIGHT, width=WIDTH)
    triangle, weights, depth = naive(points, triangles)
    same = got.triangle == triangle
    assert same.mean() > 0.998  # edges may fall either way within the tolerance
    assert (triangle >= 0).sum() > 200
    assert np.abs(got.barycentric - weights)[same].max() < 2e-3
    covered = same & (triangle >= 0)
    assert np.abs(got.depth[covered] - depth[covered]).max() < 1e-2


def test_values_drawn_in_place_match_the_interpolated_ones(scene):
    points, triangles = scene
    values = np.random.default_rng(5).normal(size=(len(points), 2)).astype(np.float32)
    expected = rz.interpolate(rz.rasterize(points, triangles, height=HEIGHT, width=WIDTH), triangles, values)
    out, depth = np.zeros((HEIGHT, WIDTH, 2), np.float32), np.full((HEIGHT, WIDTH), np.inf, np.float32)
    rz.draw_values(points, triangles, values, out, depth)
    assert (np.abs(out - expected).max(axis=2) < 5e-3).mean() > 0.998


def test_shared_edges_leave_no_holes():
    points = np.array([[-1, -1, 1], [WIDTH, -1, 1], [WIDTH, HEIGHT, 1], [-1, HEIGHT, 1], [17.3, 20.9, 1]], np.float32)
    fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    assert rz.rasterize(points, fan, height=HEIGHT, width=WIDTH).covered.all()


def test_flat_triangles_and_ones_outside_draw_nothing():
    points = np.array([[1, 1, 1], [9, 9, 1], [17, 17, 1], [90, 90, 1], [95, 90, 1], [90, 95, 1]], np.float32)
    assert not rz.rasterize(points, np.array([[0, 1, 2], [3, 4, 5]]), height=HEIGHT, width=WIDTH).covered.any()


def test_normals_of_a_plane_point_one_way():
    points = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0]], np.float32)
    normals = rz.vertex_normals(points, np.array([[0, 1, 2], [0, 2, 3]]))
    assert np.allclose(normals, [0, 0, 1])


def test_shaded_preview_separates_mesh_from_ground():
    points = np.array([[5, 5, 10], [45, 5, 10], [25, 35, 10]], np.float32)
    image = rz.shade(points, np.array([[0, 1, 2]]), np.array([1.0, 0.8, 0.7]), height=HEIGHT, width=WIDTH)
    assert image.dtype == np.uint8
    assert image[12, 25, 0] > image[38, 2, 0] + 60
