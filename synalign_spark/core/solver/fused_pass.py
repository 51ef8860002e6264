"""The fused pass, compiled: a row is read from memory once and used twice, for its logit and for the weighted sum.

Two BLAS calls a block would read it twice, the second time from the cache. numba compiles
on the first call (seconds, kept on disk for later processes) and is imported by the first large pass alone.
"""

import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

# A tile is the rows that stay in the second-level cache between their logits and their sum. Reading from memory stops while a tile is
# summed, so large tiles are better as long as they fit: 256 KiB, which is 32 rows of 2,048 numbers.
TILE_BYTES = 2**18
MIN_TILE_ROWS, MAX_TILE_ROWS = 16, 64  # at most: a tile's sum is in the precision of theta
STRIP = 256  # numbers of a row whose products are added in the precision of theta before they join a float64
RELAXED = {"reassoc", "contract", "nsz", "arcp"}  # sums in any order, so that they use vector units; infinities stay infinities


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function in machine code, without the interpreter's lock; kept on disk where there is a place to keep it."""
    try:
        return numba.njit(nogil=True, fastmath=RELAXED, cache=os.path.exists(__file__))(
            function
        )  # numba trusts any place for an archive's code
    except RuntimeError:  # neither the code's folder nor a home can be written, as in some containers
        return numba.njit(nogil=True, fastmath=RELAXED)(function)


@_compiled
def _dot(x: Any, theta: Any, rest: Any) -> Any:
    kind = theta.dtype.type
    total, small = kind(0), kind(0)
    for j in range(x.size):
        total += kind(x[j]) * theta[j]
        small += kind(x[j]) * rest[j]
    return np.float64(total) + np.float64(small)


@_compiled
def _add(part: Any, a: Any, x: Any) -> None:
    for j in range(x.size):
        part[j] += a * part.dtype.type(x[j])


@_compiled
def _flush(part: Any, features: Float64Array) -> None:
    """Adds a tile's sum to that of all rows and clears it; a loop, since numba's array expressions leave the vector units idle."""
    for j in range(part.size):
        features[j] += np.float64(part[j])
        part[j] = 0


@_compiled
def fused(values: Any, log_base: Any, theta: Any, rest: Any, features: Float64Array) -> tuple[float, float, float, int]:
    """(shift, total, squares, rows) of ``Moments``; the weighted sum of the features goes into ``features``.

    values: (n, D) float32 or int16, rows contiguous; log_base: (n,) float64; theta: (D,) in the precision of products and
    of sums over a tile; rest: (D,) what that precision cannot hold of theta: left out, it would shift all logits alike,
    and no number of rows averages that out; features: (D,) float64, zeros."""
    shift, total, squares, rows = -np.inf, 0.0, 0.0, 0
    tile = min(MAX_TILE_ROWS, max(MIN_TILE_ROWS, TILE_BYTES // max(1, theta.size * values.itemsize)))
    log_a, part = np.empty(tile), np.zeros_like(theta)
    for start in range(0, values.shape[0], tile):
        n = min(tile, values.shape[0] - start)
        peak = -np.inf
        for i in range(n):
            log_a[i] = log_base[start + i]
            for j in range(0, theta.size, STRIP):
                log_a[i] += _dot(values[start + i, j : j + STRIP], theta[j : j + STRIP], rest[j : j + STRIP])
            peak = max(peak, log_a[i])
        if peak == -np.inf:
            continue
        if peak > shift:
            shrink = np.exp(shift - peak)
            total, squares, shift = total * shrink, squares * shrink**2, peak
            features *= shrink
        for i in range(n):
            if log_a[i] > -np.inf:
                a = np.exp(log_a[i] - shift)
                total, squares, rows = total + a, squares + a * a, rows + 1
                _add(part, part.dtype.type(a), values[start + i])
        _flush(part, features)
    return shift, total, squares, rows
