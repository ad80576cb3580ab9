"""What surrounds the matrix products of Winograd's F(4x4, 3x3): pictures to tiles, tiles to pictures.

Channels lie last, so that every loop runs along them. Arrays are float32 and contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE, PATCH = 4, 6  # output and input pixels of a tile's side
CHUNK = 128  # channels at once, so that a tile's numbers stay in the nearest cache


@njit(inline="always")
def _six_of_six(a, b, c, d, e, f):
    """The rows of Winograd's input transform."""
    even, odd = e - 4 * c, d - 4 * b
    slow, fast = e - c, 2 * (d - b)
    return 4 * a - 5 * c + e, even + odd, even - odd, slow + fast, slow - fast, 4 * b - 5 * d + f


@njit(inline="always")
def _four_of_six(a, b, c, d, e, f):
    """The rows of Winograd's output transform."""
    near, far = b + c, d + e
    turned, twisted = b - c, d - e
    return a + near + far, turned + 2 * twisted, near + 4 * far, turned + 8 * twisted + f


@njit(cache=True, nogil=True, fastmath=True)
def into_tiles(x, rows, columns, floor, first, tiles):
    """Fills tiles (36, D or D + 2, n, C) with transformed patches of rows of tiles from first on.

    x: (D, H, W, P, P, C) by pixel and phase of the enlarged picture; rows (2, H' + 2), columns (2, W' + 2): pixel and
    phase of each row and column of the enlarged picture, pixel -1 where it is border; floor: the least value.
    """
    depth, channels = x.shape[0], x.shape[5]
    before = (tiles.shape[1] - depth) // 2
    across = (columns.shape[1] - 2) // TILE
    patch = np.empty((PATCH, CHUNK), np.float32)
    half = np.empty((PATCH, PATCH, CHUNK), np.float32)
    for z in range(depth):
        for t in range(tiles.shape[2]):
            top, left = TILE * (first + t // across), TILE * (t % across)
            for start in range(0, channels, CHUNK):
                n = min(CHUNK, channels - start)
                for j in range(PATCH):
                    column, phase = columns[0, left + j], columns[1, left + j]
                    for i in range(PATCH):
                        row = rows[0, top + i]
                        if row < 0 or column < 0:
                            for c in range(n):
                                patch[i, c] = 0.0
                        else:
                            pixel = x[z, row, column, rows[1, top + i], phase]
                            for c in range(n):
                                patch[i, c] = max(pixel[start + c], floor)
                    for c in range(n):
                        a, b, d, e, f, g = _six_of_six(
                            patch[0, c], patch[1, c], patch[2, c], patch[3, c], patch[4, c], patch[5, c]
                        )
                        half[0, j, c], half[1, j, c], half[2, j, c] = a, b, d
                        half[3, j, c], half[4, j, c], half[5, j, c] = e, f, g
                for i in range(PATCH):
                    k, slab = PATCH * i, z + before
                    for c in range(n):
                        a, b, d, e, f, g = _six_of_six(
                            half[i, 0, c], half[i, 1, c], half[i, 2, c], half[i, 3, c], half[i, 4, c], half[i, 5, c]
                        )
                        s = start + c
                        tiles[k, slab, t, s], tiles[k + 1, slab, t, s], tiles[k + 2, slab, t, s] = a, b, d
                        tiles[k + 3, slab, t, s], tiles[k + 4, slab, t, s], tiles[k + 5, slab, t, s] = e, f, g


@njit(inline="always")
def _pixels(products, z, t, start, n, half, out):
    """The 4x4 pixels of one tile's products, channels start to start + n, into out (4, 4, CHUNK)."""
    for j in range(PATCH):
        for c in range(n):
            s = start + c
            half[0, j, c], half[1, j, c], half[2, j, c], half[3, j, c] = _four_of_six(
                products[j, z, t, s], products[6 + j, z, t, s], products[12 + j, z, t, s], products[18 + j, z, t, s],
                products[24 + j, z, t, s], products[30 + j, z, t, s],
            )  # fmt: skip
    for i in range(TILE):
        for c in range(n):
            out[i, 0, c], out[i, 1, c], out[i, 2, c], out[i, 3, c] = _four_of_six(
                half[i, 0, c], half[i, 1, c], half[i, 2, c], half[i, 3, c], half[i, 4, c], half[i, 5, c]
            )


@njit(cache=True, nogil=True, fastmath=True)
def finish(products, bias, floor, pool, added, first, y):
    """Fills rows of tiles of y (D, H, W, C), or of (D, H / 2, W / 2, C) where it is pooled, from products
    (36, D, n, C): bias, the least value, the mean over 2x2 pixels; added (like y, or empty) comes on top.
    """
    channels, side = y.shape[3], TILE // pool
    across = y.shape[2] // side
    half = np.empty((TILE, PATCH, CHUNK), np.float32)
    out = np.empty((TILE, TILE, CHUNK), np.float32)
    for z in range(y.shape[0]):
        for t in range(products.shape[2]):
            top, left = side * (first + t // across), side * (t % across)
            for start in range(0, channels, CHUNK):
                n = min(CHUNK, channels - start)
                _pixels(products, z, t, start, n, half, out)
                for i in range(TILE):
                    for j in range(TILE):
                        for c in range(n):
                            out[i, j, c] = max(out[i, j, c] + bias[start + c], floor)
                for i in range(side):
                    for j in range(side):
                        target = y[z, top + i, left + j]
                        if pool == 2:
                            for c in range(n):
                                upper = out[2 * i, 2 * j, c] + out[2 * i, 2 * j + 1, c]
                                lower = out[2 * i + 1, 2 * j, c] + out[2 * i + 1, 2 * j + 1, c]
                                target[start + c] = np.float32(0.25) * (upper + lower)
                        elif added.size:
                            more = added[z, top + i, left + j]
                            for c in range(n):
                                target[start + c] = out[i, j, c] + more[start + c]
                        else:
                            for c in range(n):
                                target[start + c] = out[i, j, c]


@njit(cache=True, nogil=True, fastmath=True)
def modulate(products, bias, x, gain, offset, factor, slope, first, y):
    """Fills rows of tiles of y (1, H, W, C): x (1, H / factor, W / factor, C) times gain plus offset per channel,
    scaled and shifted by the pixels of products (36, 1, n, 2 C), scales first, then through a leaky ReLU.
    """
    channels = y.shape[3]
    across = y.shape[2] // TILE
    half = np.empty((TILE, PATCH, CHUNK), np.float32)
    scale, shift = np.empty((TILE, TILE, CHUNK), np.float32), np.empty((TILE, TILE, CHUNK), np.float32)
    for t in range(products.shape[2]):
        top, left = TILE * (first + t // across), TILE * (t % across)
        for start in range(0, channels, CHUNK):
            n = min(CHUNK, channels - start)
            _pixels(products, 0, t, start, n, half, scale)
            _pixels(products, 0, t, channels + start, n, half, shift)
            for i in range(TILE):
                for j in range(TILE):
                    target, pixel = y[0, top + i, left + j], x[0, (top + i) // factor, (left + j) // factor]
                    for c in range(n):
                        k = start + c
                        normal = pixel[k] * gain[k] + offset[k]
                        value = normal * (scale[i, j, c] + bias[k]) + shift[i, j, c] + bias[channels + k]
                        target[k] = max(value, slope * value)


@njit(cache=True, nogil=True, fastmath=True)
def moments(x):
    """Mean and variance (C,) float64 of x (n, C), summed a few rows at a time."""
    count, channels = x.shape
    first = x[0].copy()  # near the mean, so that squares stay small
    total, squares = np.zeros(channels), np.zeros(channels)
    part, square = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for start in range(0, count, 64):
        part[:], square[:] = np.float32(0.0), np.float32(0.0)
        for i in range(start, min(start + 64, count)):
            row = x[i]
            for c in range(channels):
                apart = row[c] - first[c]
                part[c] += apart
                square[c] += apart * apart
        for c in range(channels):
            total[c] += part[c]
            squares[c] += square[c]
    mean = total / count
    return mean + first, squares / count - mean * mean
