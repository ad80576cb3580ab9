"""A z-buffer rasteriser: triangles to dense maps of triangle, barycentric coordinates, depth and interpolated values.

Image coordinates are pixels, x right and y down, and whole numbers are pixel centres (OpenCV's convention). Depth is
the distance from the camera: the smaller wins. A pixel whose centre lies on or inside a triangle's edges is covered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

EDGE_TOLERANCE = 1e-4  # in barycentric units: neighbouring triangles leave no pin holes between them
LEAST_AREA = 1e-8  # square pixels: thinner triangles are not drawn
NO_TRIANGLE = -1


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees: triangle (height, width) int32, -1 where nothing is; barycentric (height, width, 3) float32
    weights of the triangle's corners, 0 where nothing is; depth (height, width) float32, inf where nothing is.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """Where any triangle is seen, (height, width) bool."""
        return self.triangle >= 0


@njit(cache=True, inline="always")
def _pixel_span(low, high, limit):
    """First and last whole pixel between low and high inside 0..limit-1."""
    first = max(int(np.ceil(low - EDGE_TOLERANCE)), 0)
    last = min(int(np.floor(high + EDGE_TOLERANCE)), limit - 1)
    return first, last


@njit(cache=True, nogil=True, fastmath=True)
def _draw_fragments(points, triangles, triangle, barycentric, depth):
    height, width = depth.shape
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < LEAST_AREA:
            continue
        x0, x1 = _pixel_span(min(ax, bx, cx), max(ax, bx, cx), width)
        y0, y1 = _pixel_span(min(ay, by, cy), max(ay, by, cy), height)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                wa = 1.0 - wb - wc
                if wa < -EDGE_TOLERANCE or wb < -EDGE_TOLERANCE or wc < -EDGE_TOLERANCE:
                    continue
                z = wa * az + wb * bz + wc * cz
                if z < depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = index
                    barycentric[y, x, 0] = wa
                    barycentric[y, x, 1] = wb
                    barycentric[y, x, 2] = wc


@njit(cache=True, nogil=True, fastmath=True)
def _gather(triangle, barycentric, triangles, values, out):
    height, width = triangle.shape
    for y in range(height):
        for x in range(width):
            index = triangle[y, x]
            if index < 0:
                continue
            for corner in range(3):
                weight = barycentric[y, x, corner]
                vertex = triangles[index, corner]
                for channel in range(values.shape[1]):
                    out[y, x, channel] += weight * values[vertex, channel]


@njit(cache=True, inline="always")
def _inside_span(at_zero, slope, first, last):
    """The part of first..last where a barycentric weight at_zero + slope · x is not below 0."""
    if abs(slope) < 1e-12:
        return (first, last) if at_zero >= -EDGE_TOLERANCE else (1.0, 0.0)
    crossing = (-EDGE_TOLERANCE - at_zero) / slope
    if slope > 0.0:
        return max(first, crossing), last
    return first, min(last, crossing)


@njit(cache=True, nogil=True, fastmath=True)
def draw_values(points, triangles, values, out, depth):
    """Draws triangles into out (height, width, n_channels) float32 in place, against depth (height, width) float32.

    points (n_vertices, 3) float32 x, y, depth; triangles (n_triangles, 3) int32; values (n_vertices, n_channels)
    float32 are interpolated linearly on the image plane. Row by row, without a map of barycentric coordinates: the
    quick path for dense flow.
    """
    height, width = depth.shape
    n_channels = values.shape[1]
    gradient = np.empty((n_channels, 2), np.float32)
    for index in range(triangles.shape[0]):
        a, b, c = triangles[index]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        abx, aby, abz = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - az
        acx, acy, acz = points[c, 0] - ax, points[c, 1] - ay, points[c, 2] - az
        area = abx * acy - aby * acx
        if abs(area) < LEAST_AREA:
            continue
        inverse = 1.0 / area
        x0, x1 = _pixel_span(ax + min(0.0, abx, acx), ax + max(0.0, abx, acx), width)
        y0, y1 = _pixel_span(ay + min(0.0, aby, acy), ay + max(0.0, aby, acy), height)
        if x0 > x1 or y0 > y1:
            continue
        z_x, z_y = (abz * acy - acz * aby) * inverse, (acz * abx - abz * acx) * inverse
        for channel in range(n_channels):
            ab = values[b, channel] - values[a, channel]
            ac = values[c, channel] - values[a, channel]
            gradient[channel, 0] = (ab * acy - ac * aby) * inverse
            gradient[channel, 1] = (ac * abx - ab * acx) * inverse
        b_x, c_x = acy * inverse, -aby * inverse
        for y in range(y0, y1 + 1):
            dy = y - ay
            b_0, c_0 = -dy * acx * inverse - ax * b_x, abx * dy * inverse - ax * c_x
            first, last = _inside_span(b_0, b_x, float(x0), float(x1))
            first, last = _inside_span(c_0, c_x, first, last)
            first, last = _inside_span(1.0 - b_0 - c_0, -b_x - c_x, first, last)
            for x in range(int(np.ceil(first)), int(np.floor(last)) + 1):
                dx = x - ax
                z = az + dx * z_x + dy * z_y
                if z < depth[y, x]:
                    depth[y, x] = z
                    for channel in range(n_channels):
                        out[y, x, channel] = values[a, channel] + dx * gradient[channel, 0] + dy * gradient[channel, 1]


def rasterize(points: np.ndarray, triangles: np.ndarray, *, height: int, width: int) -> Fragments:
    """The nearest triangle at every pixel.

    points (n_vertices, 3): x, y in pixels and depth (any unit, smaller is nearer). triangles (n_triangles, 3) vertex
    indices, either winding. Depth and weights are linear on the image plane.
    """
    triangle = np.full((height, width), NO_TRIANGLE, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    _draw_fragments(np.ascontiguousarray(points, np.float32), _as_triangles(triangles), triangle, barycentric, depth)
    return Fragments(triangle, barycentric, depth)


def interpolate(fragments: Fragments, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Per-vertex values (n_vertices, n_channels) as an image (height, width, n_channels) float32, 0 where empty."""
    values = np.ascontiguousarray(values, np.float32)
    out = np.zeros((*fragments.triangle.shape, values.shape[1]), np.float32)
    _gather(fragments.triangle, fragments.barycentric, _as_triangles(triangles), values, out)
    return out


def shade(points: np.ndarray, triangles: np.ndarray, colors: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """A plainly lit picture (height, width, 3) uint8 of a mesh on grey, for looking at shapes.

    points (n_vertices, 3): x right, y down, depth, all in pixels. colors (n_vertices, 3) or (3,): 0-1. Light comes
    from the camera, a little from above.
    """
    points = np.asarray(points, np.float32)
    fragments = rasterize(points, triangles, height=height, width=width)
    normals = vertex_normals(points, triangles)
    facing = np.abs(normals @ np.array([0.15, -0.35, -0.92], np.float32))[:, None]
    lit = np.broadcast_to(np.asarray(colors, np.float32), points.shape) * (0.25 + 0.75 * facing)
    image = interpolate(fragments, triangles, lit)
    image[~fragments.covered] = 0.35
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (n_vertices, 3), each the area-weighted mean over the triangles around the vertex."""
    corners = np.asarray(points, np.float32)[_as_triangles(triangles)]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros((len(points), 3), np.float32)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _as_triangles(triangles: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(triangles, np.int32)
