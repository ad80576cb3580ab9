"""Softens the outlines where a near part of the face covers a far one: there the flow jumps, and pixels show stairs."""

from __future__ import annotations

from numba import njit

JUMP = 1.6  # pixels that the flow changes from one pixel to the next, beyond any stretching of skin


@njit(cache=True, nogil=True, fastmath=True)
def soften_outlines(flow, warped, out):
    """Copies warped (h, w, n) into out, where the flow (h, w, 2) jumps averaged over 3 × 3 pixels (1 2 1 each way)."""
    height, width, channels = warped.shape
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                out[y, x, c] = warped[y, x, c]
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if not (_jumps(flow, y, x, y, x + 1) or _jumps(flow, y, x, y, x - 1) or
                    _jumps(flow, y, x, y + 1, x) or _jumps(flow, y, x, y - 1, x)):  # fmt: skip
                continue
            for c in range(channels):
                middle = warped[y, x - 1, c] + 2.0 * warped[y, x, c] + warped[y, x + 1, c]
                above = warped[y - 1, x - 1, c] + 2.0 * warped[y - 1, x, c] + warped[y - 1, x + 1, c]
                below = warped[y + 1, x - 1, c] + 2.0 * warped[y + 1, x, c] + warped[y + 1, x + 1, c]
                out[y, x, c] = (above + 2.0 * middle + below) / 16.0


@njit(cache=True, inline="always")
def _jumps(flow, y, x, other_y, other_x):
    """Whether neighbouring pixels come from places further apart than JUMP beside their own distance."""
    across = flow[other_y, other_x, 0] - flow[y, x, 0] - (other_x - x)
    down = flow[other_y, other_x, 1] - flow[y, x, 1] - (other_y - y)
    return abs(across) > JUMP or abs(down) > JUMP
