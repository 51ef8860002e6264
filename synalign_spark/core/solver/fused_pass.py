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
ROWS_AT_ONCE = 4  # rows that join a tile's sum together, so that the sum is read and written once for all of them
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
def _add_four(part: Any, a: Any, x: Any) -> None:
    """The same for four rows. a: (4,) float64; x: (4, D)."""
    kind = part.dtype.type
    first, second, third, fourth = kind(a[0]), kind(a[1]), kind(a[2]), kind(a[3])
    for j in range(part.size):
        part[j] += first * kind(x[0, j]) + second * kind(x[1, j]) + third * kind(x[2, j]) + fourth * kind(x[3, j])


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
    term, part = np.empty(tile), np.zeros_like(theta)  # term: a row's logit, then its exponential
    for start in range(0, values.shape[0], tile):
        n = min(tile, values.shape[0] - start)
        peak = -np.inf
        for i in range(n):
            term[i] = log_base[start + i]
            for j in range(0, theta.size, STRIP):
                term[i] += _dot(values[start + i, j : j + STRIP], theta[j : j + STRIP], rest[j : j + STRIP])
            peak = max(peak, term[i])
        if peak == -np.inf:
            continue
        if peak > shift:
            shrink = np.exp(shift - peak)
            total, squares, shift = total * shrink, squares * shrink**2, peak
            features *= shrink
        for i in range(n):
            if term[i] > -np.inf:
                rows += 1
            term[i] = np.exp(term[i] - shift)
            total, squares = total + term[i], squares + term[i] ** 2
        together = n - n % ROWS_AT_ONCE
        for i in range(0, together, ROWS_AT_ONCE):
            _add_four(part, term[i : i + ROWS_AT_ONCE], values[start + i : start + i + ROWS_AT_ONCE])
        for i in range(together, n):
            _add(part, part.dtype.type(term[i]), values[start + i])
        _flush(part, features)
    return shift, total, squares, rows
