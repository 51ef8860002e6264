"""The nearest centroid of each row: exact, whatever the number of BLAS threads and the size of the blocks.

A float32 matrix product only shortlists: every centroid that its rounding error could hide is compared
again by float64 differences. So equal input gives equal output on every machine layout, and ties are real.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Matrix = npt.NDArray[Any]

BLOCK_SCORES = 2**22  # row-centroid scores held at once: 16 MiB of float32
BLOCK_NUMBERS = 2**22  # numbers of row-centroid differences held at once: 32 MiB of float64
UNIT_ROUNDOFF = 2.0**-24  # of float32


def nearest(x: Matrix, centroids: Float64Array) -> tuple[npt.NDArray[np.int32], Float64Array]:
    """Nearest centroid of each row by squared Euclidean distance.

    x: (n, d), finite; centroids: (k, d), k >= 1.
    Returns ids (n,) int32, ties to the smaller id, and sq_dist (n,) float64, >= 0, from float64 differences.
    Raises ValueError if the widths differ or there is no centroid."""
    if x.ndim != 2 or centroids.ndim != 2 or (len(x) and x.shape[1] != centroids.shape[1]):
        raise ValueError(f"x and centroids must be matrices of one width, got shapes {x.shape} and {centroids.shape}")
    if not len(centroids):
        raise ValueError("centroids must hold at least one row")
    ids, sq_dist = np.empty(len(x), dtype=np.int32), np.empty(len(x))
    centroids = np.ascontiguousarray(centroids, dtype=np.float64)
    step = max(1, BLOCK_SCORES // len(centroids))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        ids[part], sq_dist[part] = _nearest_block(x[part], centroids)
    return ids, sq_dist


def _nearest_block(x: Matrix, centroids: Float64Array) -> tuple[npt.NDArray[np.int32], Float64Array]:
    """As :func:`nearest`, for rows whose scores fit in memory together."""
    scores, error = _scores(x, centroids)  # (n, k), (n,)
    best = scores.argmin(axis=1).astype(np.int32)  # (n,)
    limit = scores[np.arange(len(x)), best] + 2 * error  # (n,)
    # Negated, so that an overflow to NaN keeps the centroid on the shortlist.
    shortlist = ~(scores > limit[:, None])  # (n, k)
    unsure = np.flatnonzero(np.count_nonzero(shortlist, axis=1) > 1)
    sq_dist = _sq_dist(x, centroids, np.arange(len(x)), best)
    if len(unsure):
        best[unsure], sq_dist[unsure] = _compare(x[unsure], centroids, shortlist[unsure])
    return best, sq_dist


def _scores(x: Matrix, centroids: Float64Array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """|c|^2 / 2 - x.c in float32 about the mean centroid, smallest where c is nearest, and a bound of its error.

    The bound is that of a d-term dot product in any order (Higham 2002, sec. 3.1), with room for the
    roundings of x, c and the norms. Returns (n, k) and (n,)."""
    shift = centroids.mean(axis=0).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        c = (centroids - shift).astype(np.float32)
        rows = (x - shift).astype(np.float32, copy=False)
        half = np.square(c, dtype=np.float64).sum(axis=1) / 2  # (k,)
        scores = half.astype(np.float32) - rows @ c.T
        reach = np.sqrt(np.square(rows).sum(axis=1))  # (n,)
        error = (rows.shape[1] + 16) * UNIT_ROUNDOFF * (reach * np.sqrt(2 * half.max()) + half.max())
    return scores, error.astype(np.float32)


def _sq_dist(x: Matrix, centroids: Float64Array, rows: npt.NDArray[Any], ids: npt.NDArray[Any]) -> Float64Array:
    """Squared distances of pairs (row, centroid) by float64 differences, in blocks. Returns (len(rows),)."""
    found = np.empty(len(rows))
    step = max(1, BLOCK_NUMBERS // max(1, centroids.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found[part] = np.square(x[rows[part]] - centroids[ids[part]]).sum(axis=1)
    return found


def _compare(x: Matrix, centroids: Float64Array, shortlist: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], Float64Array]:
    """The nearest of the shortlisted centroids of each row, ties to the smaller id."""
    rows, ids = np.nonzero(shortlist)  # pairs by row, then by id
    sq_dist = _sq_dist(x, centroids, rows, ids)
    starts = np.searchsorted(rows, np.arange(len(x)))
    smallest = np.minimum.reduceat(sq_dist, starts)  # (n,)
    winners = np.flatnonzero(sq_dist == smallest[rows])
    first = winners[np.searchsorted(rows[winners], np.arange(len(x)))]
    return ids[first], sq_dist[first]
