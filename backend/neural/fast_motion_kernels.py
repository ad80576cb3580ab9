"""Sampling of feature volumes for the dense motion on a CPU, channels last, as grid_sample does it by default: -1 and 1
are the outer edges, and outside there is nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _taps(n, shift):
    """Lower pixel (n,) and the weights (n, 2) of both pixels at each position of an axis from -1 to 1, moved."""
    low, weight = np.zeros(n, np.int64), np.zeros((n, 2), np.float32)
    for i in range(n):
        place = ((2.0 * i / (n - 1) + shift) * n - 1.0) / 2.0
        if -1.0 < place < n:
            low[i] = min(max(int(np.floor(place)), 0), n - 2)
            for k in range(2):
                weight[i, k] = max(0.0, 1.0 - abs(place - (low[i] + k)))
    return low, weight


@njit(cache=True, nogil=True)
def _bumps(n, centre, variance):
    """A Gaussian (n,) along an axis from -1 to 1."""
    bump = np.empty(n, np.float32)
    for i in range(n):
        apart = 2.0 * i / (n - 1) - 1.0 - centre
        bump[i] = np.exp(-0.5 * apart * apart / variance)
    return bump


@njit(cache=True, nogil=True, fastmath=True)
def evidence(compressed, source, driving, variance, out):
    """Fills out (D, H, W, (1 + K) (1 + C)) per candidate motion, none first: the difference of the key points' heat
    maps and the compressed volume (D, H, W, C) moved. source, driving: key points (K, 3) in x, y, z.

    A candidate moves everything alike: its samples and its heat map are products along the axes.
    """
    depth, height, width, channels = compressed.shape
    line = np.empty((width, channels), np.float32)
    for k in range(len(source) + 1):
        at = k * (channels + 1)
        shift = np.zeros(3, np.float32) if k == 0 else source[k - 1] - driving[k - 1]
        low_x, share_x = _taps(width, shift[0])
        low_y, share_y = _taps(height, shift[1])
        low_z, share_z = _taps(depth, shift[2])
        now = [_bumps(n, driving[max(k - 1, 0), 2 - i], variance) for i, n in enumerate((depth, height, width))]
        then = [_bumps(n, source[max(k - 1, 0), 2 - i], variance) for i, n in enumerate((depth, height, width))]
        for z in range(depth):
            for y in range(height):
                line[:] = 0.0
                for i in range(2):
                    for j in range(2):
                        share = share_z[z, i] * share_y[y, j]
                        if share != 0.0:
                            row = compressed[low_z[z] + i, low_y[y] + j]
                            for x in range(width):
                                for c in range(channels):
                                    line[x, c] += share * row[x, c]
                target = out[z, y]
                for x in range(width):
                    start = low_x[x]
                    for c in range(channels):
                        target[x, at + 1 + c] = share_x[x, 0] * line[start, c] + share_x[x, 1] * line[start + 1, c]
                if k == 0:
                    target[:, 0] = 0.0
                else:
                    here, there = now[0][z] * now[1][y], then[0][z] * then[1][y]
                    for x in range(width):
                        target[x, at] = here * now[2][x] - there * then[2][x]


@njit(cache=True, nogil=True, fastmath=True)
def sampled(volume, places, out):
    """Fills out (H, W, D * C) with a volume (D, H, W, C) at places (D, H, W, 3), x, y, z."""
    depth, height, width, channels = volume.shape
    pixel = np.empty(channels, np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                place = places[z, y, x]
                px = ((place[0] + np.float32(1.0)) * width - np.float32(1.0)) * np.float32(0.5)
                py = ((place[1] + np.float32(1.0)) * height - np.float32(1.0)) * np.float32(0.5)
                pz = ((place[2] + np.float32(1.0)) * depth - np.float32(1.0)) * np.float32(0.5)
                x0, y0, z0 = int(np.floor(px)), int(np.floor(py)), int(np.floor(pz))
                for c in range(channels):
                    pixel[c] = 0.0
                for i in range(max(z0, 0), min(z0 + 2, depth)):
                    for j in range(max(y0, 0), min(y0 + 2, height)):
                        for k in range(max(x0, 0), min(x0 + 2, width)):
                            share = (1 - abs(pz - i)) * (1 - abs(py - j)) * (1 - abs(px - k))
                            near = volume[i, j, k]
                            for c in range(channels):
                                pixel[c] += np.float32(share) * near[c]
                target = out[y, x]
                for c in range(channels):
                    target[z * channels + c] = pixel[c]
